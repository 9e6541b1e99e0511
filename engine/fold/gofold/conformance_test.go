package gofold_test

import (
	"testing"

	"recount"
	"recount/engine"
	"recount/engine/duckdb"
	"recount/engine/enginetest"
	"recount/engine/fold"
	"recount/engine/fold/gofold"
	"recount/worker"
)

func logicOf(m enginetest.Meaning) (recount.Logic, bool) {
	_, ok := worker.Lookup(string(m))
	return recount.Logic{Kind: recount.LogicGo, Text: string(m), Path: "go: " + string(m), Digest: "digest of " + string(m), By: []string{"user_id"}}, ok
}

func TestConformance(t *testing.T) {
	enginetest.Run(t, enginetest.Harness{Logic: logicOf, New: func(tb testing.TB) engine.Engine {
		tb.Helper()
		e, ok := fold.New(gofold.New(gofold.Options{})).Over(duckdb.New()).(*fold.Engine)
		if !ok {
			tb.Fatal("the engine over another is of another type")
		}
		tb.Cleanup(func() {
			if err := e.Close(); err != nil {
				tb.Error(err)
			}
		})
		return e
	}})
}
