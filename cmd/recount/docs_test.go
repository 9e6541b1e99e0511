package main

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"recount/adapter"
	"recount/internal/clock"
	"recount/internal/config"
	"recount/internal/doctest"
	"recount/internal/sandbox"
	"recount/internal/tidy"
)

var update = flag.Bool("update", false, "renew what pages show, and generated pages")

const top = "../.."

// TestPagesShowWhatIsSo runs the console blocks of all pages; this test binary is
// the recount that they call.
func TestPagesShowWhatIsSo(t *testing.T) {
	var pages []string
	err := fs.WalkDir(os.DirFS(top), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata"):
			return fs.SkipDir
		case path.Ext(name) == ".md" && holdsConsole(t, name):
			pages = append(pages, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(pages)
	source, err := filepath.Abs(top)
	if err != nil {
		t.Fatal(err)
	}
	doctest.Check(t, doctest.Options{Root: top, Env: []string{"TERM=xterm", "RECOUNT_SRC=" + source}, Update: *update, Clock: clock.System{}}, pages...)
}

func holdsConsole(t *testing.T, name string) bool {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(top, filepath.FromSlash(name))) //nolint:gosec // a page of the tree
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(text), "```console")
}

var (
	flagNamed   = regexp.MustCompile("(?:^|[\\s`(\"])--([a-z][a-z-]+)")
	flagOffered = regexp.MustCompile(`(?m)^ +(?:-\w, +)?--([a-z-]+)`)
)

// foreign are flags of other programs, and the slip that a page shows.
var foreign = []string{"no-sync", "locale", "form", "describe", "group", "select", "vars", "target", "bootstrap-server", "random-seed", "security-opt"}

// TestEveryFlagThatIsNamedExists reads pages, and the messages of the packages
// below the command line: advice must not name a flag that there is not.
func TestEveryFlagThatIsNamedExists(t *testing.T) {
	known := slices.Clone(foreign)
	for _, command := range []string{
		"", "init", "demo", "archive run", "archive ls", "archive verify", "archive cat", "archive adopt",
		"archive compact", "archive expire", "archive register", "replay", "diff", "plan", "show", "explain",
		"verify", "apply", "rollback", "runs", "runs check", "detect", "effects", "doctor",
	} {
		help, err := exec.CommandContext(t.Context(), "recount", append(strings.Fields(command), "--help")...).Output()
		if err != nil {
			t.Fatalf("recount %s --help: %v", command, err)
		}
		for _, m := range flagOffered.FindAllStringSubmatch(string(help), -1) {
			known = append(known, m[1])
		}
	}
	tree, err := tidy.Read(top)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range tree.Texts {
		message := strings.HasSuffix(f.Path, ".go") && !strings.HasSuffix(f.Path, "_test.go") &&
			!strings.HasPrefix(f.Path, "cli/") && !strings.HasPrefix(f.Path, "internal/servertest/") && !strings.HasPrefix(f.Path, "internal/tools/") && !strings.HasPrefix(f.Path, "bench/")
		if page := strings.HasSuffix(f.Path, ".md"); !page && !message {
			continue
		}
		for i, line := range strings.Split(f.Text, "\n") {
			for _, m := range flagNamed.FindAllStringSubmatch(line, -1) {
				if !slices.Contains(known, m[1]) {
					t.Errorf("%s:%d names --%s, which no command has", f.Path, i+1, m[1])
				}
			}
		}
	}
}

func TestTheConfigurationReferenceIsNotStale(t *testing.T) {
	file := filepath.Join(top, "docs", "reference", "config.md")
	want := config.Reference(adapter.Default)
	// What a worker may have is the sandbox's to say, which the configuration does not know.
	if line := fmt.Sprintf("| `memory` | size | %dGiB |", sandbox.DefaultMemoryMiB>>10); !strings.Contains(want, line) {
		t.Errorf("the reference lacks the sandbox's own default: %s", line)
	}
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil { //nolint:gosec // pages are read by all
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(file)
	if err != nil || string(got) != want {
		t.Errorf("docs/reference/config.md is stale: run go test ./cmd/recount -update (%v)", err)
	}
}
