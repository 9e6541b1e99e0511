package duckdb_test

import (
	"testing"

	"recount/engine"
	"recount/engine/duckdb"
	"recount/engine/enginetest"
)

func TestConformance(t *testing.T) {
	enginetest.Run(t, enginetest.Harness{
		New:  func(tb testing.TB) engine.Engine { return newEngine(tb) },
		Kill: duckdb.KillChild,
	})
}
