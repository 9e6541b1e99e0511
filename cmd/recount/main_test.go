package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"recount/command"
)

// TestMain lets the test binary be what scripts call recount, and what the
// engine starts as its child.
func TestMain(m *testing.M) {
	registerFolds()
	if handled, exit := command.Child(os.Args[1:], os.Stdin, os.Stdout, os.Stderr); handled {
		os.Exit(exit)
	}
	testscript.Main(m, map[string]func(){"recount": main})
}

// TestScripts runs testdata/script/*.txtar, each named for what it promises.
func TestScripts(t *testing.T) {
	runScripts(t, filepath.Join("testdata", "script"), false)
}
