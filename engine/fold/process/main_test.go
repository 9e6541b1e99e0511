package process_test

import (
	"os"
	"testing"

	"recount/engine/duckdb"
	"recount/internal/sandbox"
)

func TestMain(m *testing.M) {
	if handled, exit := sandbox.Child(os.Args[1:]...); handled {
		os.Exit(exit)
	}
	duckdb.RunTests(m)
}
