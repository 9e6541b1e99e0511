package all_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"recount/adapter"
	_ "recount/adapters/all"
)

const root = "../.."

// ports maps the top folders to the constants that name their ports.
var ports = map[string]adapter.Port{"source": adapter.Source, "store": adapter.Store, "engine": adapter.Engine, "target": adapter.Target}

// TestAllAdaptersAreListed reads the ports' folders: an adapter that nobody
// imports would be missing from the program without a word.
func TestAllAdaptersAreListed(t *testing.T) {
	found := 0
	imported := imports(t, "all.go")
	for top, port := range ports {
		registered := adapter.Default.Names(port)
		for folder, names := range registering(t, top) {
			found++
			if !slices.Contains(imported, "recount/"+folder) {
				t.Errorf("adapters/all/all.go does not import %q, which registers a %s", "recount/"+folder, port)
			}
			for _, name := range names {
				if !slices.Contains(registered, name) {
					t.Errorf("%s declares the %s %q, but the registry has only %q", folder, port, name, registered)
				}
			}
		}
		if len(registered) == 0 {
			t.Errorf("the registry has no %s", port)
		}
	}
	if found != len(imported) {
		t.Errorf("adapters/all/all.go imports %d packages, %d register an adapter", len(imported), found)
	}
}

// TestSpecsDescribeThemselves sees that every adapter has what its reference
// page needs.
func TestSpecsDescribeThemselves(t *testing.T) {
	for _, port := range ports {
		for _, name := range adapter.Default.Names(port) {
			spec, _ := adapter.Default.Lookup(port, name)
			if !strings.HasSuffix(spec.Summary, ".") {
				t.Errorf("%s %s: the summary %q is no sentence", port, name, spec.Summary)
			}
			for _, k := range spec.Keys() {
				if !strings.HasSuffix(k.Doc, ".") {
					t.Errorf("%s %s: the doc of key %q is no sentence: %q", port, name, k.Name, k.Doc)
				}
			}
		}
	}
}

// registering lists the folders below top whose code calls adapter.Register,
// with the names that stand in the call as texts.
func registering(t *testing.T, top string) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	err := filepath.WalkDir(filepath.Join(root, top), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		folder, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && calls(call, "Register") {
				folder := filepath.ToSlash(folder)
				found[folder] = append(found[folder], declared(call)...)
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func calls(call *ast.CallExpr, name string) bool {
	fun := call.Fun
	if generic, ok := fun.(*ast.IndexExpr); ok {
		fun = generic.X
	}
	s, ok := fun.(*ast.SelectorExpr)
	if !ok || s.Sel.Name != name {
		return false
	}
	x, ok := s.X.(*ast.Ident)
	return ok && x.Name == "adapter"
}

// declared reads the name out of adapter.Register(adapter.Declare(port, name, …));
// a name that is a constant is not looked up.
func declared(register *ast.CallExpr) []string {
	var names []string
	ast.Inspect(register, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || !calls(call, "Declare") || len(call.Args) < 2 {
			return true
		}
		if lit, ok := call.Args[1].(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if name, err := strconv.Unquote(lit.Value); err == nil {
				names = append(names, name)
			}
		}
		return true
	})
	return names
}

// imports lists what a file of this folder imports blank.
func imports(t *testing.T, name string) []string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, i := range file.Imports {
		path, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		if i.Name == nil || i.Name.Name != "_" {
			t.Errorf("%s imports %q by name; it only lists", name, path)
		}
		list = append(list, path)
	}
	return list
}
