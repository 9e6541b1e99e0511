package ipc_test

import (
	"os"
	"testing"
	"time"

	"recount"
	"recount/engine"
	"recount/engine/duckdb"
	"recount/engine/enginetest"
	"recount/engine/enginetest/meanings"
	"recount/engine/fold"
	"recount/engine/fold/process"
	"recount/internal/sandbox"
	"recount/worker"
	"recount/worker/ipc"
)

// TestMain lets the test binary be a worker: its arguments are serve and a fold.
func TestMain(m *testing.M) {
	if handled, exit := sandbox.Child(os.Args[1:]...); handled {
		os.Exit(exit)
	}
	meanings.Register()
	if len(os.Args) == 3 && os.Args[1] == "serve" {
		if err := ipc.Run(os.Args[2]); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	duckdb.RunTests(m)
}

func TestConformance(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	logic := func(m enginetest.Meaning) (recount.Logic, bool) {
		_, ok := worker.Lookup(string(m))
		return recount.Logic{
			Kind: recount.LogicWorker, Path: string(m), Digest: "digest of " + string(m), By: []string{"user_id"},
			Worker: &recount.Worker{Command: []string{self, "serve", string(m)}, Dir: dir, Timeout: 5 * time.Minute},
		}, ok
	}
	enginetest.Run(t, enginetest.Harness{Logic: logic, New: func(tb testing.TB) engine.Engine {
		tb.Helper()
		e, ok := fold.New(process.New(process.Options{})).Over(duckdb.New()).(*fold.Engine)
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
