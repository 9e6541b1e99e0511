package archive_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"recount"
	"recount/internal/archive"
	"recount/internal/fault"
	"recount/store"
	"recount/store/mem"
)

func smallOptions(src *fakeSource) archive.RunOptions {
	opts := options(src)
	opts.MemoryBudget, opts.CommitEvents = 1, 12
	return opts
}

// TestACrashAtAnyCallLosesAndDoublesNothing crashes before and after each call
// of the store, and lets answers be lost; then the archive is run again.
func TestACrashAtAnyCallLosesAndDoublesNothing(t *testing.T) {
	kinds := []fault.Kind{fault.Crash, fault.After, fault.Lost, fault.Fail, fault.Short}
	tried := 0
	for seed := range uint64(2) {
		src := randomSource(rand.New(rand.NewPCG(seed, 3)), 24)
		dry := fault.Wrap(&mem.Store{}, nil)
		mustRun(t, open(dry), smallOptions(src))
		step := 1
		if underRace() {
			step = 7
		}
		for n := 1; n <= dry.Calls(); n += step {
			for i, kind := range kinds {
				if i != (n+int(seed))%len(kinds) {
					continue // each call goes wrong in another way with each seed
				}
				s := &mem.Store{}
				op := ""
				_, err := open(fault.Wrap(s, func(c fault.Call) fault.Kind {
					if c.N != n {
						return fault.None
					}
					op = c.Op
					return kind
				})).Run(t.Context(), smallOptions(src))
				if err != nil && kind == fault.Lost && op == "put" {
					t.Errorf("a put whose answer was lost ended the run: %v", err)
				}
				s.Crash()
				mustRun(t, open(s), smallOptions(src))
				checkExactlyOnce(t, s, src)
				if t.Failed() {
					t.Fatalf("seed %d, call %d, kind %d", seed, n, kind)
				}
				tried++
			}
		}
	}
	t.Logf("%d crashes", tried)
}

func checkExactlyOnce(t *testing.T, s store.Store, src *fakeSource) {
	t.Helper()
	snap := mustSnapshot(t, open(s))
	got := readAll(t, s, snap)
	if diff := diffCounts(got.events, src.wantEvents()); diff != "" {
		t.Errorf("events differ:%s", diff)
	}
	if diff := diffCounts(got.marks, wantMarks(got.bySeq)); diff != "" {
		t.Errorf("marks differ:%s", diff)
	}
	if _, err := open(s).Verify(context.WithoutCancel(t.Context()), nil, nil); err != nil {
		t.Errorf("verify: %v", err)
	}
}

// TestManyCrashesInARow crashes at random until a run comes through.
func TestManyCrashesInARow(t *testing.T) {
	for seed := range uint64(6) {
		rng := rand.New(rand.NewPCG(seed, 5))
		src := randomSource(rng, 80)
		s := &mem.Store{}
		crashes := 0
		for {
			plan := func(fault.Call) fault.Kind {
				switch rng.IntN(200) {
				case 0:
					return fault.Crash
				case 1:
					return fault.After
				case 2:
					return fault.Lost
				}
				return fault.None
			}
			_, err := open(fault.Wrap(s, plan)).Run(t.Context(), smallOptions(src))
			s.Crash()
			if err == nil {
				break
			}
			if crashes++; crashes > 500 {
				t.Fatalf("seed %d: no run comes through: %v", seed, err)
			}
		}
		checkExactlyOnce(t, s, src)
		if t.Failed() {
			t.Fatalf("seed %d after %d crashes", seed, crashes)
		}
	}
}

// lockless is a store whose lock does not work.
type lockless struct{ store.Store }

func (lockless) Lock(context.Context, string) (func() error, error) {
	return nil, recount.ErrUnsupported
}

func TestOfArchiversWithoutALockOneCommits(t *testing.T) {
	for seed := range uint64(5) {
		src := randomSource(rand.New(rand.NewPCG(seed, 9)), 100)
		s := &mem.Store{}
		const writers = 8
		errs := make([]error, writers)
		var wg sync.WaitGroup
		for i := range writers {
			wg.Go(func() {
				own := *src
				// Another clock, so that no two commits are the same bytes.
				a := archive.Open(lockless{s}, fixedClock(noon.Add(time.Duration(i)*time.Second)))
				_, errs[i] = a.Run(t.Context(), smallOptions(&own))
			})
		}
		wg.Wait()
		won := 0
		for _, err := range errs {
			switch {
			case err == nil:
				won++
			case code(err) != recount.CodeArchiveLocked || !errors.Is(err, recount.ErrLocked):
				t.Errorf("seed %d: got %v, want CodeArchiveLocked", seed, err)
			}
		}
		if won == 0 {
			mustRun(t, open(s), smallOptions(src))
		}
		checkExactlyOnce(t, s, src)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

type fixedClock time.Time

func (c fixedClock) Now() time.Time { return time.Time(c) }

func TestOneArchiverAtATime(t *testing.T) {
	s := &mem.Store{}
	unlock, err := s.Lock(t.Context(), "_recount/orders/writer")
	if err != nil {
		t.Fatal(err)
	}
	_, err = open(s).Run(t.Context(), options(newSource(1)))
	wantCode(t, err, recount.CodeArchiveLocked)
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	mustRun(t, open(s), options(newSource(1)))
}

func TestAHangingStoreEndsWithTheContext(t *testing.T) {
	src := newSource(50)
	dry := fault.Wrap(&mem.Store{}, nil)
	mustRun(t, open(dry), options(src))
	for n := 1; n <= dry.Calls(); n++ {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		s := &mem.Store{}
		_, err := open(fault.Wrap(s, fault.Nth(n, fault.Hang))).Run(ctx, options(src))
		cancel()
		if err == nil {
			t.Errorf("call %d: the run ended without an error", n)
		}
	}
}
