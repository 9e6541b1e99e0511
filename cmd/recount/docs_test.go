package main

import (
	"flag"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"recount/adapter"
	"recount/internal/clock"
	"recount/internal/config"
	"recount/internal/doctest"
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
	doctest.Check(t, doctest.Options{Root: top, Update: *update, Clock: clock.System{}}, pages...)
}

func holdsConsole(t *testing.T, name string) bool {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(top, filepath.FromSlash(name))) //nolint:gosec // a page of the tree
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(text), "```console")
}

func TestTheConfigurationReferenceIsNotStale(t *testing.T) {
	file := filepath.Join(top, "docs", "reference", "config.md")
	want := config.Reference(adapter.Default)
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
