package doctest_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// invariants are the numbers that docs/reliability.md explains; code, reviews and
// reports cite them, so none may vanish.
var invariants = []string{
	"A1", "A2", "A3", "A4", "A5", "A6", "A7", "A8", "A9", "R1", "R2", "R3", "R4", "R5", "R6",
	"P1", "P2", "P3", "P4", "P5", "P6", "P7", "P8", "P9", "X1", "X2", "X3", "X4", "X5", "X6", "X7", "B1", "B2",
}

var (
	invariantRow = regexp.MustCompile(`(?m)^\| ([A-Z]\d) \| (.+?) \| (.+?) \|$`)
	testName     = regexp.MustCompile("`([a-z0-9_/.]+) ((?:Test|Fuzz)\\w+)`")
	scriptName   = regexp.MustCompile("`([a-z0-9_/.-]+\\.txtar)`")
)

// TestEveryInvariantNamesTestsThatExist reads the table of docs/reliability.md:
// each number is there, and the tests that it names are in the tree.
func TestEveryInvariantNamesTestsThatExist(t *testing.T) {
	page, err := os.ReadFile(docs + "/reliability.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for _, m := range invariantRow.FindAllStringSubmatch(string(page), -1) {
		rows[m[1]] = m[3]
	}
	for _, number := range invariants {
		tests, ok := rows[number]
		if !ok {
			t.Errorf("docs/reliability.md has no row for %s", number)
			continue
		}
		named := testName.FindAllStringSubmatch(tests, -1)
		scripts := scriptName.FindAllStringSubmatch(tests, -1)
		if len(named)+len(scripts) == 0 {
			t.Errorf("docs/reliability.md: %s names no test", number)
		}
		for _, m := range named {
			if !testExists(t, m[1], m[2]) {
				t.Errorf("docs/reliability.md: %s names %s in %s, which is not there", number, m[2], m[1])
			}
		}
		for _, m := range scripts {
			if _, err := os.Stat(filepath.Join("../..", filepath.FromSlash(m[1]))); err != nil {
				t.Errorf("docs/reliability.md: %s names %s, which is not there", number, m[1])
			}
		}
	}
}

// testExists looks for a function in the Go files of a folder; conformance suites
// hold their tests in files that are no tests themselves.
func testExists(t *testing.T, folder, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("../..", filepath.FromSlash(folder), "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file) //nolint:gosec // a file of the tree
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "func "+name+"(") {
			return true
		}
	}
	return false
}
