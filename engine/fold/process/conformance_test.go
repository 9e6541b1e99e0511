package process_test

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"recount"
	"recount/engine"
	"recount/engine/duckdb"
	"recount/engine/enginetest"
	"recount/engine/fold"
	"recount/engine/fold/process"
)

// TestConformance runs the suite of engines over folds in Python. A process for each
// run of the suite takes minutes: all of it runs where RECOUNT_TEST_LONG is set, and
// worker/ipc runs it with a quicker worker.
func TestConformance(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped: it takes minutes; the other tests of the package run workers too")
	}
	pythons(t, func(t *testing.T, interpreter string) {
		whole := os.Getenv("RECOUNT_TEST_LONG") != ""
		if !whole && strings.HasSuffix(t.Name(), "arrow") {
			t.Skip("skipped: it takes minutes; RECOUNT_TEST_LONG=1 runs it")
		}
		text, err := os.ReadFile("testdata/suite.py")
		if err != nil {
			t.Fatal(err)
		}
		p := newProject(t, interpreter, string(text), enginetest.Fields, "user_id")
		logic := func(m enginetest.Meaning) (recount.Logic, bool) {
			l := p.logic
			w := *l.Worker
			w.Command = append(slices.Clip(w.Command), string(m))
			w.Timeout = 5 * time.Minute // a loaded machine is no hung worker
			l.Worker, l.Digest = &w, l.Digest+string(m)
			return l, whole || m != enginetest.IDs && m != enginetest.Followed
		}
		enginetest.Run(t, enginetest.Harness{Logic: logic, New: func(tb testing.TB) engine.Engine {
			e := fold.New(process.New(process.Options{})).Over(duckdb.New())
			tb.Cleanup(func() {
				if err := e.(*fold.Engine).Close(); err != nil { //nolint:forcetypeassert // it is what Over returns
					tb.Error(err)
				}
			})
			return e
		}})
	})
}
