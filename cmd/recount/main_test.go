package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"recount/command"
	"recount/examples/go-worker/limits"
	sdk "recount/worker"
)

// TestMain lets the test binary be what scripts call recount, and go-worker, and
// what these start as their children.
func TestMain(m *testing.M) {
	registerFolds()
	sdk.Register("limits", limits.Fold)
	sdk.Register("limits-v1", limits.V1)
	if handled, exit := command.Child(os.Args[1:], os.Stdin, os.Stdout, os.Stderr); handled {
		os.Exit(exit)
	}
	testscript.Main(m, map[string]func(){"recount": main, "go-worker": main})
}

// TestScripts runs testdata/script/*.txtar, each named for what it promises.
func TestScripts(t *testing.T) {
	runScripts(t, filepath.Join("testdata", "script"), false)
}
