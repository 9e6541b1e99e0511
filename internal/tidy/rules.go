package tidy

import (
	"fmt"
	"go/ast"
	"go/token"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// The sizes that fit a screen and a head.
const (
	MaxFunction = 70  // lines, from func to the closing brace
	MaxTest     = 120 // the same for tests: a table of cases is read line by line
	MaxFile     = 500 // lines of Go
	MaxFolder   = 25  // files, tests left out
)

// Sizes finds functions, files and folders that are too large.
func Sizes(t *Tree) []Breach {
	var found []Breach
	for _, f := range t.Go {
		if f.Generated() {
			continue
		}
		if f.Lines > MaxFile {
			found = append(found, Breach{"file size", f.Path, fmt.Sprintf("%d lines; at most %d", f.Lines, MaxFile)})
		}
		for _, decl := range f.Syntax.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			most := MaxFunction
			if f.Test || strings.HasSuffix(f.Folder, "test") { // suites are tests that others run
				most = MaxTest
			}
			if n := t.Fset.Position(fn.End()).Line - t.Fset.Position(fn.Pos()).Line + 1; n > most {
				found = append(found, Breach{"function size", t.place(fn.Pos()), fmt.Sprintf("%s has %d lines; at most %d", fn.Name.Name, n, most)})
			}
		}
	}
	for _, folder := range slices.Sorted(maps.Keys(t.Folders)) {
		if n := t.Folders[folder]; n > MaxFolder {
			found = append(found, Breach{"folder size", folder, fmt.Sprintf("%d files; at most %d", n, MaxFolder)})
		}
	}
	return found
}

// home is the one place of something that all others are handed.
type home struct {
	pkg   string // import path
	names *regexp.Regexp
	files []string
	text  string
}

var homes = []home{
	{"time", regexp.MustCompile(`^(Now|Since|Until)$`), []string{"internal/clock/clock.go"}, "take a clock.Clock, so that replays and tests own the time"},
	{"time", regexp.MustCompile(`^Sleep$`), nil, "wait for what you wait for; nothing sleeps"},
	{"os", regexp.MustCompile(`^Exit$`), []string{"command/main.go"}, "return an error; only command.Main exits"},
	{"log", regexp.MustCompile(`^(Fatal|Panic|Print).*$`), nil, "return an error, or take a *slog.Logger"},
	{"fmt", regexp.MustCompile(`^Print(f|ln)?$`), nil, "write to the io.Writer you were given"},
	{"math/rand", regexp.MustCompile(`^[A-Z]`), nil, "take a *rand.Rand of math/rand/v2, made from a printed seed"},
	{"math/rand/v2", regexp.MustCompile(`^(Int|Uint|Float|Norm|Exp|Perm|Shuffle|N$)`), nil, "take a *rand.Rand, made from a printed seed"},
}

// Homes finds uses of the clock, of exits, of printing and of chance outside
// their homes. Example functions print: that is how they are checked. TestMain
// may exit: a test binary that stands in for the program has a code of its own.
func Homes(t *Tree) []Breach {
	var found []Breach
	for _, f := range t.Go {
		names := importNames(f)
		for _, decl := range f.Syntax.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && f.Test && (strings.HasPrefix(fn.Name.Name, "Example") || fn.Name.Name == "TestMain") {
				continue
			}
			ast.Inspect(decl, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok {
					if text := astray(f.Path, names, s); text != "" {
						found = append(found, Breach{"homes", t.place(s.Pos()), text})
					}
				}
				return true
			})
		}
	}
	return found
}

// importNames maps the names by which a file calls its imports to their paths.
func importNames(f GoFile) map[string]string {
	names := map[string]string{}
	for i, p := range f.Imports() {
		name := path.Base(p)
		if name == "v2" {
			name = path.Base(path.Dir(p))
		}
		if alias := f.Syntax.Imports[i].Name; alias != nil {
			name = alias.Name
		}
		names[name] = p
	}
	return names
}

func astray(file string, names map[string]string, s *ast.SelectorExpr) string {
	x, ok := s.X.(*ast.Ident)
	if !ok {
		return ""
	}
	for _, h := range homes {
		if names[x.Name] == h.pkg && h.names.MatchString(s.Sel.Name) && !slices.Contains(h.files, file) {
			return x.Name + "." + s.Sel.Name + ": " + h.text
		}
	}
	return ""
}

// Comments finds packages without a package comment.
func Comments(t *Tree) []Breach {
	said := map[string]bool{}
	for _, f := range t.Go {
		if f.Test && !strings.HasSuffix(f.Syntax.Name.Name, "_test") || !f.Test {
			folder := f.Folder
			doc := f.Syntax.Doc.Text()
			said[folder] = said[folder] || strings.HasPrefix(doc, "Package "+f.Syntax.Name.Name+" ") ||
				f.Syntax.Name.Name == "main" && strings.HasPrefix(doc, "Command "+path.Base(folder)+" ")
		}
	}
	var found []Breach
	for _, folder := range slices.Sorted(maps.Keys(said)) {
		if !said[folder] {
			found = append(found, Breach{"package comment", folder, `no file begins with "// Package NAME …" ("// Command NAME …" for a program)`})
		}
	}
	return found
}

// notUsed are words that design.md keeps out of names: each has a better one.
var notUsed = map[string]string{
	"job": "calculation or run", "task": "calculation or run", "backfill": "replay", "patch": "plan or change",
	"restore": "rollback", "fix": "change", "range": "window or span", "util": "the noun that it is about",
	"utils": "the noun that it is about", "helper": "the noun that it is about", "manager": "the noun that it is about",
}

// Words finds exported names and command texts that use a word for which the
// vocabulary has another.
func Words(t *Tree) []Breach {
	var found []Breach
	for _, f := range t.Go {
		if f.Test {
			continue
		}
		for _, decl := range f.Syntax.Decls {
			for _, id := range exported(decl) {
				for _, word := range split(id.Name) {
					if better, bad := notUsed[word]; bad {
						found = append(found, Breach{"words", t.place(id.Pos()), fmt.Sprintf("%s: say %s instead of %s", id.Name, better, word)})
					}
				}
			}
		}
		if f.Folder == "cli" || strings.HasPrefix(f.Folder, "cli/") {
			found = append(found, spoken(t, f)...)
		}
	}
	return found
}

// said finds the words in texts that a person reads; fix and range are plain
// English there.
var said = regexp.MustCompile(`(?i)\b(backfill|job|task|restore|patch)(s|ed|ing)?\b`)

func spoken(t *Tree, f GoFile) []Breach {
	var found []Breach
	ast.Inspect(f.Syntax, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if word := said.FindString(lit.Value); word != "" {
				found = append(found, Breach{"words", t.place(lit.Pos()), fmt.Sprintf("the text says %q; the vocabulary has another word", word)})
			}
		}
		return true
	})
	return found
}

func exported(decl ast.Decl) []*ast.Ident {
	var ids []*ast.Ident
	keep := func(id *ast.Ident) {
		if id.IsExported() {
			ids = append(ids, id)
		}
	}
	switch d := decl.(type) {
	case *ast.FuncDecl:
		keep(d.Name)
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				keep(s.Name)
			case *ast.ValueSpec:
				for _, id := range s.Names {
					keep(id)
				}
			}
		}
	}
	return ids
}

// split cuts a camel-case name into its words, in lower case.
func split(name string) []string {
	var words []string
	start := 0
	runes := []rune(name)
	for i := 1; i <= len(runes); i++ {
		if i == len(runes) || unicode.IsUpper(runes[i]) && (!unicode.IsUpper(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])) {
			words = append(words, strings.ToLower(string(runes[start:i])))
			start = i
		}
	}
	return words
}

// The marks are spelled in pieces, so that this file does not hold them.
var (
	unfinished = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|X` + `XX|HA` + `CK|W` + `IP)\b|(?i:\bfor n` + `ow\b|\bst` + `ub(s|bed)?\b)`)
	machine    = regexp.MustCompile(`(^|[^\w.])/(wo` + `rk|ho` + `me|ro` + `ot|Us` + `ers)/\w|\.\./sha` + `red\b`)
)

// Texts finds marks of unfinished work, and paths of one machine.
func Texts(t *Tree) []Breach {
	var found []Breach
	for _, f := range t.Texts {
		for i, line := range strings.Split(f.Text, "\n") {
			place := fmt.Sprintf("%s:%d", f.Path, i+1)
			if mark := unfinished.FindString(line); mark != "" {
				found = append(found, Breach{"unfinished", place, fmt.Sprintf("%q: finish it, or say what is so", mark)})
			}
			if p := machine.FindString(line); p != "" {
				found = append(found, Breach{"machine path", place, fmt.Sprintf("%q is a place on one machine", strings.TrimSpace(p))})
			}
		}
	}
	return found
}
