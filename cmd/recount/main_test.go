package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"recount/engine/duckdb"
)

// TestMain lets the test binary be what scripts call recount, and what the
// engine starts as its child.
func TestMain(m *testing.M) {
	if handled, exit := duckdb.Child(os.Args[1:], os.Stdin, os.Stdout, os.Stderr); handled {
		os.Exit(exit)
	}
	testscript.Main(m, map[string]func(){"recount": main})
}

// TestScripts runs testdata/script/*.txtar, each named for what it promises.
func TestScripts(t *testing.T) {
	seed, err := filepath.Abs(filepath.Join("..", "..", "examples", "seed"))
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			// The seed's files, for scripts that copy them.
			env.Setenv("SEED", seed)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "runid": runID, "edit": edit, "runplan": runPlan, "lf": lf},
	})
}
