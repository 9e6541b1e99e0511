package gofold_test

import (
	"fmt"
	"hash/maphash"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"recount/engine"
	"recount/engine/fold/gofold"
	"recount/worker"
)

// calls is shared by all keys, as no state of a fold may be.
var calls atomic.Int64

// misbehaving are folds whose rows depend on what is none of their events, and the
// shake that finds them; nil: another run does.
var misbehaving = map[string]struct {
	rows  func(c *worker.Context) any
	shake *engine.Shake
}{
	"the clock's year":     {func(*worker.Context) any { return year() }, &engine.Shake{Clock: true}},
	"the zone":             {func(*worker.Context) any { return time.Unix(0, 0).Local().Hour() }, &engine.Shake{Zone: true}},
	"the locale":           {func(*worker.Context) any { return os.Getenv("LC_ALL") }, &engine.Shake{Locale: true}},
	"the processors":       {func(*worker.Context) any { return runtime.GOMAXPROCS(0) }, &engine.Shake{Cores: true}},
	"the environment":      {func(*worker.Context) any { return len(os.Environ()) }, &engine.Shake{Machine: true}},
	"the user":             {func(*worker.Context) any { return os.Getenv("USER") }, &engine.Shake{Machine: true}},
	"chance":               {func(*worker.Context) any { return maphash.String(maphash.MakeSeed(), "") }, nil},
	"the context's chance": {func(c *worker.Context) any { return c.Rand().Uint64() }, &engine.Shake{Seed: true}},
	"the order of a map": {func(*worker.Context) any {
		m, text := map[int]bool{}, ""
		for i := range 64 {
			m[i] = true
		}
		for i := range m {
			text += fmt.Sprint(i)
		}
		return text
	}, nil},
}

// year is the clock's.
func year() int {
	var now syscall.Timeval
	if err := syscall.Gettimeofday(&now); err != nil {
		return 0
	}
	return time.Unix(int64(now.Sec), 0).UTC().Year() //nolint:unconvert // 32 bits on some machines
}

// registerMisbehaving registers them.
func registerMisbehaving() {
	type answer struct{ Answer string }
	for name, m := range misbehaving {
		worker.Register(name, worker.Fold[struct{}, order, answer]{
			Step: func(*worker.Context, *struct{}, *order) error { calls.Add(1); return nil },
			Rows: func(c *worker.Context, _ *struct{}, emit func(answer)) { emit(answer{fmt.Sprint(m.rows(c))}) },
		})
	}
}

func TestFoldsThatDependOnTheirPlaceAreFound(t *testing.T) {
	for name, m := range misbehaving {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, gofold.Options{}, "", "", "")
			b.logic.Text = name
			first, _, _ := b.must("answer")
			if m.shake != nil {
				if again, _, _ := b.must("answer"); fmt.Sprint(again) != fmt.Sprint(first) {
					t.Logf("differs without a shake too: %q, then %q", first, again)
				}
				b.spec.Shake = *m.shake
			}
			if shaken, _, _ := b.must("answer"); fmt.Sprint(shaken) == fmt.Sprint(first) {
				t.Errorf("it was not found: both times %q", first)
			}
		})
	}
}
