package run_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"recount"
	"recount/engine/fold/run"
)

// drawTorn draws a run over events of a few keys, each with events from several
// partitions, of which no order of files names the first one first.
func drawTorn(t *rapid.T, dir string) *scene {
	s := &scene{spec: drawSpec(t), events: drawEvents(t, 120)}
	noNulls(s.events)
	for i := range s.events {
		s.events[i].mark = ""
		s.events[i].Fields[0] = recount.Text(fmt.Sprint("user", rapid.IntRange(0, 12).Draw(t, "user")))
	}
	s.spec.Read, s.spec.Until, s.spec.By = recount.Window{}, nil, []string{"user"}
	s.spec.Reads = []string{"id", "partition", "position"}
	s.spec.Shape.Key = keyColumns(&s.spec)
	s.spec.Out, s.spec.Effects, s.spec.Scratch = filepath.Join(dir, "rows"), filepath.Join(dir, "effects"), dir
	s.spec.Files, s.spec.Marks = writeFiles(t, dir, s.events)
	s.spec.Shake.Interleave = rapid.Bool().Draw(t, "interleave")
	return s
}

// redraw draws anew what must not change a run.
func (s *scene) redraw(t *rapid.T) {
	s.spec.Threads = rapid.IntRange(1, 8).Draw(t, "threads")
	s.spec.Memory = rapid.SampledFrom([]int64{0, 1, 8 << 10}).Draw(t, "memory")
	s.spec.Batch = rapid.SampledFrom([]int{0, 1, 7}).Draw(t, "batch")
	s.spec.Shake.Files, s.spec.Shake.Batches = rapid.Bool().Draw(t, "reversed"), rapid.Bool().Draw(t, "batches")
	s.spec.Shake.Seed = rapid.Bool().Draw(t, "seed")
}

// TestPartitionsAreOrderedByName holds that the order between the partitions of a
// key is that of their names, whatever the order in which threads met them: of
// the archive's files and of a feed, spilled or not, and where a run goes on
// from one that met them otherwise.
func TestPartitionsAreOrderedByName(t *testing.T) {
	check(t, 60, func(rt *rapid.T) {
		dir := t.TempDir()
		s := drawTorn(rt, dir)
		s.redraw(rt)
		s.spec.Shake.Threads = rapid.Bool().Draw(rt, "shaken threads")
		execute(rt, s)
		s.checkRows(rt)
		want := outputs(rt, s)

		s.redraw(rt)
		execute(rt, s)
		if outputs(rt, s) != want {
			rt.Fatal("another run wrote other bytes")
		}

		plain := s.spec
		s.redraw(rt)
		s.spec.Feed, s.spec.Logged = true, true
		execute(rt, s)
		if outputs(rt, s) != want {
			rt.Fatal("a feed that the log orders gave other bytes")
		}

		s.spec = plain
		s.spec.Resume, s.spec.Digest = filepath.Join(dir, "resume"), "one"
		for range rapid.IntRange(1, 3).Draw(rt, "stops") {
			s.redraw(rt)
			s.stopAt(rt, rapid.IntRange(0, 20).Draw(rt, "batches"))
		}
		s.redraw(rt)
		execute(rt, s)
		if outputs(rt, s) != want {
			rt.Fatal("a run that went on wrote other bytes")
		}
	})
}

// stopAt runs until so many batches were folded, by all threads together.
func (s *scene) stopAt(t *rapid.T, batches int) {
	fold := s.fold()
	left := make(chan struct{}, batches)
	for range batches {
		left <- struct{}{}
	}
	fold.before = func(run.Batch) error {
		select {
		case <-left:
			return nil
		default:
			return errStopped
		}
	}
	if _, err := run.Execute(context.Background(), s.spec, fold); err != nil && !errors.Is(err, errStopped) {
		t.Fatal(err)
	}
}
