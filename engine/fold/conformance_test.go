package fold_test

import (
	"testing"

	"recount/engine"
	"recount/engine/duckdb"
	"recount/engine/enginetest"
	"recount/engine/fold"
)

func TestMain(m *testing.M) { duckdb.RunTests(m) }

func newEngine(tb testing.TB) engine.Engine {
	base := duckdb.New()
	e := fold.New(inside{}).Over(base)
	tb.Cleanup(func() {
		if err := e.(*fold.Engine).Close(); err != nil { //nolint:forcetypeassert // it is what Over returns
			tb.Error(err)
		}
	})
	return e
}

func TestConformance(t *testing.T) {
	enginetest.Run(t, enginetest.Harness{New: newEngine, Logic: logicOf})
}

func FuzzAsSQL(f *testing.F) {
	f.Add(uint64(100))
	base := duckdb.New()
	e := fold.New(inside{}).Over(base)
	f.Cleanup(func() { _ = base.Close() })
	h := enginetest.Harness{New: func(testing.TB) engine.Engine { return e }, Logic: logicOf}
	f.Fuzz(func(t *testing.T, seed uint64) {
		enginetest.AsSQL(t, h, seed)
		enginetest.History(t, h, seed)
	})
}
