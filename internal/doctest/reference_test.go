package doctest_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"recount"
)

var update = flag.Bool("update", false, "renew the generated pages")

const docs = "../../docs"

// exits says each exit code in a sentence. Their numbers are the contract's and
// never change.
var exits = []struct {
	code int
	text string
}{
	{recount.ExitDone, "Done, or no difference."},
	{recount.ExitError, "An error; also: the target cannot be reached."},
	{recount.ExitDifferences, "Differences were found: `diff`, and `plan --detailed-exitcode`. Only updates, inserts and deletes count."},
	{recount.ExitPart, "Done in part; what was skipped is listed."},
	{recount.ExitStale, "The plan is stale: what it was made for has changed."},
	{recount.ExitLocked, "Locked by another run."},
	{recount.ExitTampered, "The plan was tampered with, has expired or is for another target."},
	{recount.ExitIncomplete, "The archive is incomplete or damaged."},
	{recount.ExitNondetermin, "The calculation is not deterministic."},
	{recount.ExitLimit, "A limit was exceeded."},
	{recount.ExitRefused, "Refused by a check."},
	{recount.ExitUnknown, "The outcome is unknown: look before you repeat."},
	{recount.ExitUsage, "Usage or configuration error."},
	{recount.ExitInterrupted, "Interrupted."},
}

func TestEveryCodeHasAPageAndEveryPageACode(t *testing.T) {
	files, err := filepath.Glob(docs + "/errors/RC*.md")
	if err != nil {
		t.Fatal(err)
	}
	var pages []string
	for _, f := range files {
		pages = append(pages, strings.TrimSuffix(filepath.Base(f), ".md"))
	}
	for _, info := range recount.Codes {
		at := slices.Index(pages, string(info.Code))
		if at < 0 {
			t.Errorf("%s has no page: write docs/errors/%s.md", info.Code, info.Code)
			continue
		}
		pages = slices.Delete(pages, at, at+1)
		checkPage(t, info)
	}
	for _, page := range pages {
		t.Errorf("docs/errors/%s.md is of no code", page)
	}
}

// checkPage looks at what every page has: the code's title, its exit code, and
// an example with all parts.
func checkPage(t *testing.T, info recount.CodeInfo) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(docs, "errors", string(info.Code)+".md")) //nolint:gosec // a page of the tree
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		fmt.Sprintf("# %s: %s\n\nExit code %d. ", info.Code, info.Title, info.Exit),
		fmt.Sprintf("```text\nerror %s: ", info.Code), "\n  why:     ", "\n  changed: ", "\n  next:    ",
		fmt.Sprintf("\n  page:    docs/errors/%s.md\n```\n\n", info.Code),
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("docs/errors/%s.md lacks %q", info.Code, want)
		}
	}
	if n := strings.Count(string(text), "\n"); n > 30 {
		t.Errorf("docs/errors/%s.md has %d lines; at most 30 are read in a hurry", info.Code, n)
	}
}

func TestGeneratedPagesAreNotStale(t *testing.T) {
	var index, table strings.Builder
	index.WriteString("# Errors\n\n<!-- Generated: go test ./internal/doctest -update -->\n\n" +
		"Every error has a code. Codes are never used twice, and their exit codes never change.\n")
	group := ""
	for _, info := range recount.Codes {
		if g := groupOf(info.Code); g != group {
			group = g
			fmt.Fprintf(&index, "\n## %s\n\n| code | exit | |\n|---|---|---|\n", group)
		}
		fmt.Fprintf(&index, "| [%s](%s.md) | %d | %s |\n", info.Code, info.Code, info.Exit, info.Title)
	}
	table.WriteString("# Exit codes\n\n<!-- Generated: go test ./internal/doctest -update -->\n\n" +
		"What a script sees. An unknown one means failure. A plan with held, extra or excluded rows is written and applied with 0;\n" +
		"applying an applied plan again is 0.\n\n| exit | | errors |\n|---|---|---|\n")
	for _, e := range exits {
		var codes []string
		for _, info := range recount.Codes {
			if info.Exit == e.code {
				codes = append(codes, fmt.Sprintf("[%s](../errors/%s.md)", info.Code, info.Code))
			}
		}
		fmt.Fprintf(&table, "| %d | %s | %s |\n", e.code, e.text, strings.Join(codes, " "))
	}
	compare(t, "errors/README.md", index.String())
	compare(t, "reference/exit-codes.md", table.String())
}

func groupOf(c recount.Code) string {
	switch c[2] {
	case '1':
		return "Usage and configuration"
	case '2':
		return "Plans and targets"
	case '3':
		return "Sources and archive"
	case '4':
		return "Calculations"
	case '5':
		return "Judgments"
	}
	return "The program itself"
}

func TestEveryExitCodeIsExplained(t *testing.T) {
	for _, info := range recount.Codes {
		known := false
		for _, e := range exits {
			known = known || e.code == info.Exit
		}
		if !known {
			t.Errorf("exit code %d of %s is not in the table", info.Exit, info.Code)
		}
	}
}

func compare(t *testing.T, page, want string) {
	t.Helper()
	file := filepath.Join(docs, filepath.FromSlash(page))
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil { //nolint:gosec // pages are read by all
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil { //nolint:gosec // pages are read by all
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(file) //nolint:gosec // a page of the tree
	if err != nil || string(got) != want {
		t.Errorf("docs/%s is stale: run go test ./internal/doctest -update (%v)", page, err)
	}
}
