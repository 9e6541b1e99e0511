package duckdb_test

import (
	"os"
	"testing"

	"recount/engine/duckdb"
)

func TestMain(m *testing.M) { os.Exit(duckdb.RunTests(m)) } //nolint:forbidigo // a test binary's own end
