package livetest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"recount"
	"recount/internal/archive"
	"recount/internal/fault"
	"recount/store"
)

func TestALiveRunFollowsAndFlushesAQuietPartition(t *testing.T) {
	l := newLive(t)
	l.opts.Flush = 30 * time.Second
	l.bus.grow("0", 20, noon)
	var before int64
	l.clock.at(29*time.Second, func() {
		if _, err := open(l.store).Snapshot(t.Context(), "orders"); code(err) != recount.CodeNoArchive {
			t.Errorf("committed before the flush: %v", err)
		}
	})
	l.clock.at(32*time.Second, func() {
		if snap := l.archived(); snap.Commit != 1 || snap.Watermark.IsZero() {
			t.Errorf("snapshot: %+v", snap)
		}
		l.bus.grow("0", 5, noon)
	})
	l.clock.at(40*time.Second, func() { l.bus.grow("1", 5, noon) })
	l.clock.at(65*time.Second, func() { // with no new data, half a minute after the first of them
		before = l.archived().Commit
	})
	l.clock.at(365*time.Second, func() {
		// What moves alone is the watermark: one commit a flush, not one a reading.
		if got := l.archived().Commit - before; got < 9 || got > 10 {
			t.Errorf("%d commits in five quiet minutes, want one a flush", got)
		}
		l.bus.grow("0", 3, noon)
	})
	l.clock.at(367*time.Second, func() {})
	result, err := l.run(l.store)
	wantCode(t, err, recount.CodeInterrupted)
	l.archived() // what was read is committed at the end
	if result.Events != 33 {
		t.Errorf("result: %+v", result)
	}
	if last := l.bus.told[len(l.bus.told)-1]; last["0"] != "28" || last["1"] != "5" {
		t.Errorf("the source was told %v", last)
	}
	if len(l.bus.told) != result.Commits+1 {
		t.Errorf("the source was told %d times of %d commits", len(l.bus.told), result.Commits)
	}
	verified(t, l.store)
}

func verified(t *testing.T, s store.Store) archive.Report {
	t.Helper()
	report, err := open(s).Verify(t.Context(), nil, nil)
	if err != nil {
		t.Errorf("verify: %v", err)
	}
	return report
}

func TestALiveRunWaitsOutWhatIsDown(t *testing.T) {
	l := newLive(t)
	down := fault.None
	faulty := fault.Wrap(l.store, func(fault.Call) fault.Kind { return down })
	l.bus.grow("0", 20, noon)
	l.opts.Flush = 5 * time.Second
	l.clock.at(7*time.Second, func() { l.bus.grow("0", 10, noon) })
	l.clock.at(9*time.Second, func() { l.bus.fail = fmt.Errorf("read: %w", recount.ErrTransient) })
	l.clock.at(20*time.Second, func() {
		l.archived() // also what the broker handed over just before it went
		l.bus.fail, down = nil, fault.Fail
		l.bus.grow("0", 10, noon)
	})
	l.clock.at(320*time.Second, func() { down = fault.None })
	l.clock.at(400*time.Second, func() { l.archived() })
	_, err := l.run(passing{faulty})
	wantCode(t, err, recount.CodeInterrupted)
	l.archived()
	waits := []time.Duration{}
	for _, st := range l.told {
		if st.Err != nil {
			wantCode(t, st.Err, recount.CodeOutOfReach)
			waits = append(waits, st.Retry)
		}
	}
	if len(waits) < 5 || len(waits) > 25 || waits[0] != time.Second || waits[len(waits)-1] != time.Minute {
		t.Errorf("waits: %v", waits)
	}
	verified(t, l.store)
}

// passing says of every failure but those that mean something that it passes.
type passing struct{ store.Store }

func (s passing) Put(ctx context.Context, name string, write func(io.Writer) error) error {
	return passes(s.Store.Put(ctx, name, write))
}

func (s passing) Open(ctx context.Context, name string) (store.Reader, error) {
	r, err := s.Store.Open(ctx, name)
	return r, passes(err)
}

func (s passing) List(ctx context.Context, prefix string, each func(string, int64) error) error {
	return passes(s.Store.List(ctx, prefix, each))
}

func passes(err error) error {
	if err == nil || errors.Is(err, recount.ErrNotFound) || errors.Is(err, recount.ErrExists) || errors.Is(err, recount.ErrUnknown) {
		return err
	}
	return fmt.Errorf("%w: %w", err, recount.ErrTransient)
}

// TestALiveRunSurvivesAnyFailureThatPasses lets each call of the store fail in
// turn, or be done with its answer lost.
func TestALiveRunSurvivesAnyFailureThatPasses(t *testing.T) {
	for _, kind := range []fault.Kind{fault.Fail, fault.Lost, fault.Short} {
		for n, calls := 1, 1; n <= calls; n++ {
			l := newLive(t)
			faulty := fault.Wrap(l.store, fault.Nth(n, kind))
			l.opts.Flush, l.opts.CommitEvents = 5*time.Second, 15
			l.bus.grow("0", 40, noon)
			l.clock.at(7*time.Second, func() { l.bus.grow("1", 10, noon) })
			l.clock.at(30*time.Second, func() {})
			result, err := l.run(passing{faulty})
			if code(err) == recount.CodeArchiveLocked && result.Commits == 0 || n == 1 {
				continue // the lock itself failed
			}
			wantCode(t, err, recount.CodeInterrupted)
			l.archived()
			if result.Events != 50 {
				t.Errorf("kind %d, call %d: result %+v", kind, n, result)
			}
			verified(t, l.store)
			if t.Failed() {
				t.Fatalf("kind %d, call %d", kind, n)
			}
			calls = faulty.Calls()
		}
	}
}

func TestAnErrorThatDoesNotPassEndsALiveRun(t *testing.T) {
	l := newLive(t)
	l.bus.grow("0", 20, noon)
	l.clock.at(3*time.Second, func() {
		l.bus.fail = &recount.Error{Code: recount.CodeSourceFile, What: "broken", Where: "there", Why: "so", Next: "mend it"}
	})
	l.clock.at(time.Hour, func() { t.Error("the run goes on") })
	_, err := l.run(l.store)
	wantCode(t, err, recount.CodeSourceFile)
	l.archived()
}

// TestAClockThatJumpsADay moves the hands of the machine's clock, on which the
// source's watermark stands too.
func TestAClockThatJumpsADay(t *testing.T) {
	for _, jump := range []time.Duration{24 * time.Hour, -24 * time.Hour} {
		l := newLive(t)
		l.opts.Flush = 10 * time.Second
		l.bus.grow("0", 5, noon)
		var before recount.Snapshot
		l.clock.at(30*time.Second, func() {
			before = l.archived()
			l.clock.moved = jump
			l.bus.grow("0", 5, noon)
		})
		l.clock.at(60*time.Second, func() { // flushed all the same
			snap := l.archived()
			if snap.Watermark.Before(before.Watermark) || snap.Watermark.After(noon.Add(2*time.Minute)) {
				t.Errorf("jump %s: watermark %s, before it %s", jump, snap.Watermark, before.Watermark)
			}
			l.clock.moved = 0
		})
		l.clock.at(120*time.Second, func() {
			if snap := l.archived(); snap.Watermark.Before(noon.Add(100 * time.Second)) {
				t.Errorf("jump %s: the watermark stays at %s when the clock is right again", jump, snap.Watermark)
			}
			l.clock.moved = jump
		})
		l.clock.at(3*time.Hour, func() {
			if snap := l.archived(); jump > 0 && snap.Watermark.Before(noon.Add(jump)) {
				t.Errorf("a clock that stays ahead is not believed: %s", snap.Watermark)
			}
		})
		_, err := l.run(l.store)
		wantCode(t, err, recount.CodeInterrupted)
		verified(t, l.store)
	}
}

func TestOfTwoLiveRunsWithoutALockOneEnds(t *testing.T) {
	first := newLive(t)
	first.opts.Flush = 5 * time.Second
	first.bus.grow("0", 20, noon)
	s := lockless{first.store}
	first.clock.at(7*time.Second, func() {
		// Another process comes, and is as quick with the next commit.
		other := newLive(t)
		other.bus, other.opts.Source = first.bus, first.bus
		other.opts.Flush = time.Second
		first.bus.grow("0", 10, noon)
		other.clock.passed = time.Minute
		other.clock.at(time.Minute+3*time.Second, func() {})
		if _, err := other.run(s); code(err) != recount.CodeInterrupted {
			t.Errorf("the quicker one: %v", err)
		}
	})
	first.clock.at(time.Hour, func() { t.Error("the run goes on") })
	_, err := first.run(s)
	wantCode(t, err, recount.CodeArchiveLocked)
	first.archived()
	verified(t, first.store)
}

// TestALiveRunGoesOnOverCommitsOfUpkeep joins files while the run is cut off from
// its store.
func TestALiveRunGoesOnOverCommitsOfUpkeep(t *testing.T) {
	l := newLive(t)
	down := fault.None
	faulty := fault.Wrap(l.store, func(fault.Call) fault.Kind { return down })
	l.opts.Flush = 5 * time.Second
	for i := range 4 {
		l.clock.at(time.Duration(10*i)*time.Second, func() { l.bus.grow("0", 20, noon) })
	}
	compact := func() {
		if _, err := open(l.store).Compact(t.Context(), archive.CompactOptions{Stream: "orders", Dir: t.TempDir()}); err != nil {
			t.Error(err)
		}
	}
	l.clock.at(40*time.Second, compact) // between two commits
	l.clock.at(41*time.Second, func() { l.bus.grow("0", 20, noon) })
	l.clock.at(50*time.Second, func() {
		down = fault.Fail
		l.bus.grow("0", 20, noon)
	})
	l.clock.at(60*time.Second, compact) // while the run has a batch that it could not write
	l.clock.at(61*time.Second, func() { down = fault.None })
	l.clock.at(200*time.Second, func() {})
	_, err := l.run(passing{faulty})
	wantCode(t, err, recount.CodeInterrupted)
	if snap := l.archived(); len(snap.Files) > 6 {
		t.Errorf("%d files: nothing was joined", len(snap.Files))
	}
	verified(t, l.store)
}
