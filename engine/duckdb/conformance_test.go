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

// FuzzHistories: runs, states and contributions of any history are the oracle's.
func FuzzHistories(f *testing.F) {
	f.Add(uint64(100))
	e := duckdb.New()
	f.Cleanup(func() { _ = e.Close() })
	f.Fuzz(func(t *testing.T, seed uint64) {
		enginetest.History(t, enginetest.Harness{New: func(testing.TB) engine.Engine { return e }}, seed)
	})
}
