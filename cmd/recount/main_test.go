package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"recount/command"
	"recount/examples/go-worker/limits"
	"recount/worker"
)

// TestMain lets the test binary be what scripts call recount, and go-worker, and
// what these start as their children.
func TestMain(m *testing.M) {
	worker.Register("limits", limits.Fold)
	worker.Register("limits-v1", limits.V1)
	if handled, exit := command.Child(os.Args[1:], os.Stdin, os.Stdout, os.Stderr); handled {
		os.Exit(exit)
	}
	testscript.Main(m, map[string]func(){"recount": main, "go-worker": main})
}

// TestScripts runs testdata/script/*.txtar, each named for what it promises.
func TestScripts(t *testing.T) {
	seed, err := filepath.Abs(filepath.Join("..", "..", "examples", "seed"))
	if err != nil {
		t.Fatal(err)
	}
	orders, err := filepath.Abs(filepath.Join("testdata", "orders"))
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
			env.Setenv("ORDERS", orders)
			env.Setenv("FROM", "2024-06-10T12:00:00Z")
			env.Setenv("TO", "2024-06-10T12:30:00Z")
			return nil
		},
		Cmds: commands(),
		Condition: func(name string) (bool, error) {
			if name == "tmpfs" {
				return canMount(), nil
			}
			return false, fmt.Errorf("no condition %q", name)
		},
	})
}
