// Package tidy holds the house rules as a test, so that they hold where no
// linter is installed: layers, sizes, homes of the clock and of printing, words.
// It reads the tree and never compiles or changes it. Exceptions stand in one
// table, waivers.go, each with a reason and a date; one that nothing needs any
// more is itself a breach.
package tidy

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Module is the path of the module whose tree is read.
const Module = "recount"

// Breach is one place that breaks a rule.
type Breach struct {
	Rule  string
	Place string // path:line, or a folder; waivers name it without the line
	Text  string
}

// String shows the breach as compilers do.
func (b Breach) String() string { return fmt.Sprintf("%s: %s (%s)", b.Place, b.Text, b.Rule) }

// Tree is all files of the module that a person writes.
type Tree struct {
	Fset  *token.FileSet
	Go    []GoFile
	Texts []TextFile
	// Folders counts the files of each folder; tests, testdata and hidden ones are
	// left out.
	Folders map[string]int
}

// GoFile is one parsed Go file.
type GoFile struct {
	Path   string // slash-separated, from the top
	Folder string // its folder; "." at the top
	Test   bool
	Lines  int
	Syntax *ast.File
}

// Imports lists the paths that the file imports.
func (f GoFile) Imports() []string {
	var list []string
	for _, spec := range f.Syntax.Imports {
		if p, err := strconv.Unquote(spec.Path.Value); err == nil {
			list = append(list, p)
		}
	}
	return list
}

// Generated says whether a program wrote the file.
func (f GoFile) Generated() bool { return ast.IsGenerated(f.Syntax) }

// TextFile is one file of text, Go files among them.
type TextFile struct {
	Path string
	Text string
}

// textEndings are the files whose words are read. Data and recorded files are
// not ours to word.
var textEndings = []string{".go", ".md", ".sql", ".yaml", ".yml", ".sh", ".py", ".txtar", ".mod", ""}

// Read reads the tree below top. Folders that hold no work of ours (hidden ones,
// testdata of Go code) count, but are not parsed as Go.
func Read(top string) (*Tree, error) {
	t := &Tree{Fset: token.NewFileSet(), Folders: map[string]int{}}
	err := filepath.WalkDir(top, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(top, file)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if rel != "." && rel != ".ci" && (strings.HasPrefix(d.Name(), ".") || strings.HasPrefix(d.Name(), "_")) {
				return filepath.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() || rel == "LICENSE" || rel == "go.sum" || strings.HasPrefix(d.Name(), ".") {
			return nil
		}
		if !strings.HasSuffix(rel, "_test.go") && !strings.Contains("/"+rel, "/testdata/") {
			t.Folders[path.Dir(rel)]++
		}
		if !slices.Contains(textEndings, path.Ext(rel)) {
			return nil
		}
		return t.add(file, rel)
	})
	return t, err
}

func (t *Tree) add(file, rel string) error {
	const most = 1 << 20 // larger files are data
	info, err := os.Stat(file)
	if err != nil || info.Size() > most {
		return err
	}
	text, err := os.ReadFile(file) //nolint:gosec // a file of the tree
	if err != nil {
		return err
	}
	return t.Add(rel, string(text))
}

// Add adds one file to the tree.
func (t *Tree) Add(rel, text string) error {
	t.Texts = append(t.Texts, TextFile{Path: rel, Text: text})
	if path.Ext(rel) != ".go" || slices.Contains(strings.Split(rel, "/"), "testdata") {
		return nil
	}
	syntax, err := parser.ParseFile(t.Fset, rel, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return fmt.Errorf("parse %s: %w", rel, err)
	}
	t.Go = append(t.Go, GoFile{
		Path: rel, Folder: path.Dir(rel), Test: strings.HasSuffix(rel, "_test.go"),
		Lines: strings.Count(text, "\n"), Syntax: syntax,
	})
	return nil
}

func (t *Tree) place(pos token.Pos) string {
	p := t.Fset.Position(pos)
	return p.Filename + ":" + strconv.Itoa(p.Line)
}
