package incidents_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"recount"
)

// pages is the folder of the incidents' pages.
var pages = filepath.Join("..", "..", "docs", "incidents")

// block is a fenced block that shows a file of the incident's project.
var block = regexp.MustCompile("(?s)<!-- file: (\\S+) -->\n```(\\w+)\n(.*?)```\n")

// TestThePagesShowWhatTheTestsRun holds the blocks of each incident's page
// against the files that its test uses and writes.
func TestThePagesShowWhatTheTestsRun(t *testing.T) {
	folders, err := filepath.Glob(filepath.Join("testdata", "*"))
	if err != nil || len(folders) != 6 {
		t.Fatalf("there are %d incidents, %v", len(folders), err)
	}
	index := read(t, filepath.Join(pages, "README.md"))
	for _, folder := range folders {
		name := filepath.Base(folder)
		file := filepath.Join(pages, name+".md")
		if !strings.Contains(index, "("+name+".md)") {
			t.Errorf("docs/incidents/README.md does not lead to %s.md", name)
		}
		text := read(t, file)
		shown := map[string]bool{}
		got := block.ReplaceAllStringFunc(text, func(found string) string {
			parts := block.FindStringSubmatch(found)
			shown[parts[1]] = true
			return fmt.Sprintf("<!-- file: %s -->\n```%s\n%s```\n", parts[1], parts[2], read(t, filepath.Join(folder, parts[1])))
		})
		files, err := os.ReadDir(folder)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if !shown[f.Name()] {
				t.Errorf("%s does not show %s", file, f.Name())
			}
		}
		if got == text {
			continue
		}
		if !*update {
			t.Errorf("%s does not show what the test runs (go test ./internal/incidents -run Pages -update mends it)", file)
			continue
		}
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// commands checks that the incident's page has the commands that the test stands
// for: the plan, and the apply with the names of its tables.
func (st *stage) commands(p *recount.Plan, file string) {
	st.t.Helper()
	var calculations []string
	for _, part := range p.Parts() {
		if part.Body.Role == recount.RoleResult {
			calculations = append(calculations, part.Body.Calculation)
		}
	}
	text := read(st.t, filepath.Join(pages, st.scene.name+".md"))
	for _, command := range []string{
		"recount plan " + strings.Join(append(calculations, p.Body.AskedFlags()...), " ") + " --out " + file,
		"recount apply " + file + " --confirm " + strings.Join(p.Tables(), ","),
	} {
		if !strings.Contains(text, command) {
			st.t.Errorf("the page of %s does not say %q", st.scene.name, command)
		}
	}
}
