package tidy_test

import (
	"go/token"
	"slices"
	"strings"
	"testing"

	"recount/internal/tidy"
)

func breaches(t *tidy.Tree) []tidy.Breach {
	return slices.Concat(tidy.Layers(t), tidy.Sizes(t), tidy.Homes(t), tidy.Comments(t), tidy.Words(t), tidy.Texts(t))
}

func TestTheTreeKeepsTheHouseRules(t *testing.T) {
	tree, err := tidy.Read("../..")
	if err != nil {
		t.Fatal(err)
	}
	if len(tree.Go) < 20 {
		t.Fatalf("the tree has %d Go files: it was read from the wrong place", len(tree.Go))
	}
	for _, b := range tidy.Waive(breaches(tree), tidy.Waivers) {
		t.Error(b)
	}
}

func TestEachRuleFindsItsBreach(t *testing.T) {
	long := "// Package a is long.\npackage a\n\nfunc f() {\n" + strings.Repeat("\t_ = 1\n", 70) + "}\n"
	unfinished := "// Package a is so.\npackage a // TO" + "DO\n"
	for _, test := range []struct {
		name, file, text, want string
	}{
		{"root imports a module", "a.go", "// Package recount is.\npackage recount\nimport _ \"example.com/x\"\n", "standard library alone"},
		{"a step imports a step", "internal/diff/a.go", "// Package diff is.\npackage diff\nimport _ \"recount/internal/plan\"\n", "steps meet"},
		{"an adapter imports another port", "source/files/a.go", "// Package files is.\npackage files\nimport _ \"recount/target\"\n", "its own port"},
		{"an adapter imports a step", "source/files/a.go", "// Package files is.\npackage files\nimport _ \"recount/internal/plan\"\n", "its own port"},
		{"app imports an adapter", "internal/app/a.go", "// Package app is.\npackage app\nimport _ \"recount/source/reg\"\n", "imports the adapter"},
		{"a port imports a module", "target/a.go", "// Package target is.\npackage target\nimport _ \"github.com/x/y\"\n", "vendor's type"},
		{"the command imports a port", "cli/a.go", "// Package cli is.\npackage cli\nimport _ \"recount/target\"\n", "calls app"},
		{"a folder without a layer", "other/a.go", "// Package other is.\npackage other\n", "no layer"},
		{"a long function", "internal/diff/a.go", strings.ReplaceAll(long, "package a", "package diff"), "72 lines"},
		{"a long file", "internal/diff/a.go", "// Package diff is.\npackage diff\n" + strings.Repeat("\n", 499), "501 lines"},
		{"the clock", "internal/diff/a.go", "// Package diff is.\npackage diff\nimport \"time\"\nvar _ = time.Now\n", "clock.Clock"},
		{"an exit", "cli/a.go", "// Package cli is.\npackage cli\nimport \"os\"\nfunc f() { os.Exit(1) }\n", "only command.Main exits"},
		{"printing", "cli/a.go", "// Package cli is.\npackage cli\nimport \"fmt\"\nfunc f() { fmt.Println() }\n", "io.Writer"},
		{"chance", "internal/diff/a.go", "// Package diff is.\npackage diff\nimport \"math/rand/v2\"\nvar _ = rand.IntN(2)\n", "printed seed"},
		{"no package comment", "internal/diff/a.go", "package diff\n", "no file begins"},
		{"a word", "internal/diff/a.go", "// Package diff is.\npackage diff\n// JobID is.\ntype JobID int\n", "calculation or run"},
		{"a spoken word", "cli/a.go", "// Package cli is.\npackage cli\nconst a = \"runs a backfill\"\n", "another word"},
		{"unfinished work", "internal/diff/a.go", strings.ReplaceAll(unfinished, "Package a is", "Package diff is"), "finish it"},
		{"a machine's path", "docs/a.md", "see /ho" + "me/me/x\n", "one machine"},
	} {
		t.Run(test.name, func(t *testing.T) {
			tree := &tidy.Tree{Fset: token.NewFileSet()}
			for file, text := range map[string]string{
				test.file:         test.text,
				"source/reg/r.go": "// Package reg is.\npackage reg\nimport \"recount/adapter\"\nfunc init() { adapter.Register(adapter.Spec{}) }\n",
			} {
				if err := tree.Add(file, text); err != nil {
					t.Fatal(err)
				}
			}
			found := breaches(tree)
			if !slices.ContainsFunc(found, func(b tidy.Breach) bool { return strings.Contains(b.Text, test.want) }) {
				t.Errorf("found %v, want a breach that says %q", found, test.want)
			}
		})
	}
}

func TestAWaiverThatNothingNeedsIsABreach(t *testing.T) {
	found := tidy.Waive([]tidy.Breach{{Rule: "homes", Place: "a.go:3"}}, []tidy.Waiver{
		{Rule: "homes", Place: "a.go", Reason: "so", Date: "2026-01-01"},
		{Rule: "homes", Place: "b.go", Reason: "so", Date: "2026-01-01"},
		{Rule: "words", Place: "c.go"},
	})
	if len(found) != 2 || found[0].Place != "b.go" || found[1].Place != "c.go" {
		t.Errorf("got %v, want breaches for b.go and c.go", found)
	}
}
