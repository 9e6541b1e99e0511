package process_test

import (
	"os"
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

// TestConformance runs the suite of engines over folds in Python.
func TestConformance(t *testing.T) {
	pythons(t, func(t *testing.T, interpreter string) {
		if required := os.Getenv("RECOUNT_TEST_REQUIRE"); strings.HasSuffix(t.Name(), "arrow") && !strings.Contains(required, "readers") {
			t.Skip("skipped: it takes minutes; RECOUNT_TEST_REQUIRE=readers runs it, and worker/ipc runs the suite over Arrow with a quicker worker")
		}
		text, err := os.ReadFile("testdata/suite.py")
		if err != nil {
			t.Fatal(err)
		}
		p := newProject(t, interpreter, string(text), enginetest.Fields, "user_id")
		logic := func(m enginetest.Meaning) (recount.Logic, bool) {
			l := p.logic
			w := *l.Worker
			w.Command = append(w.Command[:len(w.Command):len(w.Command)], string(m))
			w.Timeout = 5 * time.Minute // a loaded machine is no hung worker
			l.Worker, l.Digest = &w, l.Digest+string(m)
			return l, true
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
