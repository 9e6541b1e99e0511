package tidy

import (
	"go/ast"
	"path"
	"slices"
	"strings"
)

// ports are the top folders whose sub-folders hold adapters.
var ports = []string{"source", "store", "engine", "target"}

// steps never import each other: they meet in root types, and app joins them.
var steps = []string{"archive", "detect", "replay", "diff", "plan", "apply", "ledger"}

// layer says what the files of a folder may import of the module. A name that
// ends in / stands for all folders below it.
type layer struct {
	folder string
	may    []string
	vendor bool // may import modules of others
	why    string
}

// layers is searched from the top: the first that fits a folder holds. Tests are
// free to import what they test together. ADAPTER stands for any folder that
// registers an adapter, PORT for its port, and STEP for a step.
var layers = []layer{
	{folder: ".", why: "the vocabulary imports the standard library alone"},
	{folder: "adapter", may: []string{"."}, why: "adapter knows no port"},
	{folder: "PORT", may: []string{"."}, why: "a port's signatures hold no vendor's type"},
	{folder: "engine/", may: []string{".", "adapter", "engine", "engine/", "worker", "worker/", "internal/sandbox", "internal/clock", "internal/fault"}, vendor: true, why: "an engine knows its own port, the SDK whose folds it runs, and the sandbox"},
	{folder: "PORT/", may: []string{".", "adapter", "PORT", "PORT/", "internal/clock", "internal/fault", "internal/lockfile"}, vendor: true, why: "an adapter knows its own port alone"},
	{folder: "adapters/all", may: []string{"ADAPTER"}, why: "it is the one import list"},
	{folder: "worker", may: []string{"."}, why: "an author's worker needs the vocabulary and the standard library alone"},
	{folder: "worker/", may: []string{".", "worker", "worker/"}, vendor: true, why: "helpers of the SDK stand beside it"},
	{folder: "command", may: []string{".", "adapter", "adapters/all", "cli", "cli/", "engine", "engine/", "worker", "internal/clock", "internal/sandbox", "ADAPTER"}, vendor: true, why: "it is the whole command for an author's own binary"},
	{folder: "internal/sandbox/escape", vendor: true, why: "tests alone: attempts to get out of a sandbox"},
	{folder: "internal/sandbox", may: []string{"."}, vendor: true, why: "a sandbox knows processes, and nothing of what they compute"},
	{folder: "internal/lockfile", may: []string{"."}, why: "a lock on a file is the standard library's"},
	{folder: "internal/clock", why: "the clock stands alone"},
	{folder: "internal/fault", may: []string{".", "source", "store", "engine", "target"}, why: "faults wrap ports"},
	{folder: "internal/config", may: []string{".", "adapter"}, vendor: true, why: "reading the configuration opens nothing"},
	{folder: "internal/STEP", may: []string{".", "adapter", "source", "store", "engine", "target", "internal/clock", "internal/STEP/"}, vendor: true, why: "steps meet in root types alone"},
	{folder: "internal/archive/life", vendor: true, why: "tests alone: what becomes of an archive that is kept for long"},
	{folder: "internal/STEP/", may: []string{".", "adapter", "source", "store", "engine", "target", "internal/clock", "internal/STEP/"}, vendor: true, why: "a step's folders know no other step"},
	{folder: "internal/demo", may: []string{".", "adapter", "internal/app", "internal/clock", "internal/config"}, vendor: true, why: "the demo is a user of app, in a shop of its own"},
	{folder: "internal/pgtest", may: []string{"."}, vendor: true, why: "it starts a server for tests"},
	{folder: "internal/servertest", may: []string{"."}, vendor: true, why: "it starts servers for tests"},
	{folder: "internal/servertest/", may: []string{".", "internal/servertest"}, vendor: true, why: "it starts servers for tests"},
	{folder: "internal/badworkers", vendor: true, why: "tests alone: they run workers in every engine"},
	{folder: "internal/badinput", vendor: true, why: "tests alone: what goes wrong around an archiver"},
	{folder: "internal/readers", vendor: true, why: "tests alone: other programs read the archive"},
	{folder: "internal/incidents", vendor: true, why: "tests alone: they run the product on a live table"},
	{folder: "internal/guess", may: []string{"."}, vendor: true, why: "guesses are made from files alone"},
	{folder: "internal/rowfile", may: []string{"."}, vendor: true, why: "rows are read from a file alone"},
	{folder: "internal/solve", may: []string{"."}, why: "the solver is arrays in, an answer out"},
	{folder: "internal/app", may: []string{".", "adapter", "source", "store", "engine", "target", "internal/clock", "internal/config", "internal/guess", "internal/sandbox", "internal/STEP", "internal/archive/cover", "internal/archive/iceberg", "internal/archive/positions", "internal/replay/tobus", "internal/app/"}, vendor: true, why: "app joins the steps and knows no surface"},
	{folder: "internal/app/", may: []string{".", "source", "engine", "target", "internal/config", "internal/rowfile", "internal/solve", "internal/STEP", "internal/archive/cover", "internal/app/"}, vendor: true, why: "it is below app, joins the steps and reaches the project through its host"},
	{folder: "cli", may: []string{".", "adapter", "internal/app", "internal/app/", "internal/config", "internal/clock", "internal/demo", "cli/"}, vendor: true, why: "the surface calls app, never a step or port"},
	{folder: "cli/", may: []string{".", "internal/app", "internal/clock", "cli/"}, vendor: true, why: "views are fed by app's results"},
	{folder: "cmd/", may: []string{".", "command", "adapter", "adapters/all", "cli", "cli/", "internal/clock", "internal/sandbox", "ADAPTER"}, vendor: true, why: "main ties cli and adapters"},
	{folder: "internal/tidy", vendor: true, why: "it reads files alone"},
	{folder: "internal/doctest", may: []string{"internal/clock"}, vendor: true, why: "what it runs is tied by its test"},
	{folder: "internal/sim/", may: []string{".", "adapter", "adapters/all", "source", "store", "engine", "engine/", "target", "cli", "internal/", "worker", "ADAPTER"}, vendor: true, why: "a simulator drives the product"},
	{folder: "internal/tools/", may: []string{".", "internal/"}, vendor: true, why: "tools stand beside the product"},
	{folder: "bench/", may: []string{".", "adapter", "adapters/all", "cli", "command", "engine", "engine/", "worker", "internal/", "bench/machine", "ADAPTER"}, vendor: true, why: "a benchmark runs the product"},
	{folder: "examples/", may: []string{".", "worker", "worker/", "command", "examples/"}, vendor: true, why: "an example is a user's program"},
}

// Layers finds imports that go against the layers.
func Layers(t *Tree) []Breach {
	adapters := t.adapters()
	var found []Breach
	for _, f := range t.Go {
		if f.Test {
			continue
		}
		rule, ok := layerOf(f.Folder)
		if !ok {
			found = append(found, Breach{"layers", f.Folder, "the folder stands in no layer; add it to internal/tidy/layers.go"})
			continue
		}
		for _, p := range f.Imports() {
			if text := forbidden(rule, f.Folder, p, adapters); text != "" {
				found = append(found, Breach{"layers", f.Path, text})
			}
		}
	}
	return found
}

// adapters lists the folders that register an adapter.
func (t *Tree) adapters() []string {
	var list []string
	for _, f := range t.Go {
		if f.Test || slices.Contains(list, f.Folder) {
			continue
		}
		ast.Inspect(f.Syntax, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && selects(call.Fun, "adapter", "Register") && !slices.Contains(list, f.Folder) {
				list = append(list, f.Folder)
			}
			return true
		})
	}
	return list
}

func selects(e ast.Expr, pkg, name string) bool {
	s, ok := e.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	x, ok := s.X.(*ast.Ident)
	return ok && x.Name == pkg && s.Sel.Name == name
}

func layerOf(folder string) (layer, bool) {
	for _, l := range layers {
		if fits(l.folder, folder, folder) {
			return l, true
		}
	}
	return layer{}, false
}

// fits says whether a name of the table stands for folder, seen from a file in
// from.
func fits(name, folder, from string) bool {
	top, rest, below := strings.Cut(folder, "/")
	switch {
	case name == "PORT":
		own, _, _ := strings.Cut(from, "/")
		return slices.Contains(ports, folder) && own == folder
	case name == "PORT/":
		own, _, _ := strings.Cut(from, "/")
		return below && slices.Contains(ports, top) && own == top
	case name == "internal/STEP":
		return top == "internal" && slices.Contains(steps, rest)
	case name == "internal/STEP/": // a step's own folders
		step, _, deeper := strings.Cut(rest, "/")
		return top == "internal" && deeper && slices.Contains(steps, step) && strings.HasPrefix(from+"/", "internal/"+step+"/")
	case strings.HasSuffix(name, "/"):
		return strings.HasPrefix(folder, name)
	}
	return name == folder
}

// forbidden says why a file in folder may not import p; empty where it may.
func forbidden(rule layer, folder, p string, adapters []string) string {
	if p != Module && !strings.HasPrefix(p, Module+"/") {
		if !rule.vendor && strings.Contains(strings.Split(p, "/")[0], ".") {
			return "imports " + p + ": " + rule.why
		}
		return ""
	}
	imported := "."
	if p != Module {
		imported = strings.TrimPrefix(p, Module+"/")
	}
	if slices.Contains(adapters, imported) && imported != folder && !strings.HasPrefix(folder+"/", imported+"/") {
		if slices.Contains(rule.may, "ADAPTER") {
			return ""
		}
		return "imports the adapter " + imported + ": only adapters/all, main and tests do"
	}
	if path.Dir(imported) == folder && slices.Contains(adapters, folder) {
		return "" // an adapter's own folders
	}
	if slices.ContainsFunc(rule.may, func(name string) bool { return fits(name, imported, folder) }) {
		return ""
	}
	return "imports " + imported + ": " + rule.why
}
