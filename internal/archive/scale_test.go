package archive_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"recount"
	"recount/internal/archive"
	"recount/internal/fault"
	"recount/store"
	"recount/store/disk"
	"recount/store/mem"
)

// eager is an archive that writes a head after each second commit and looks ids
// up wherever it can.
func eager(s store.Store) *archive.Archive { return archive.Tune(open(s), 2, 0, 5) }

// derivedObjects are those that may be missing, changed or stale.
func derivedObjects(s *mem.Store) []string {
	var names []string
	for _, n := range s.Names() {
		if strings.Contains(n, "/heads/") || strings.Contains(n, "/ids/") {
			names = append(names, n)
		}
	}
	return names
}

// sameWithoutHeads checks that the snapshot is the one that the commit log alone
// gives.
func sameWithoutHeads(t *testing.T, s *mem.Store) {
	t.Helper()
	bare := s.Clone()
	for _, n := range derivedObjects(s) {
		bare.Damage(n, func([]byte) []byte { return nil })
	}
	if got, want := mustSnapshot(t, open(s)), mustSnapshot(t, open(bare)); !reflect.DeepEqual(got, want) {
		t.Errorf("by heads the snapshot is\n%+v\nand without them\n%+v", got, want)
	}
}

// grow runs a source that grows between runs, and does something to the store
// before each.
func grow(t *testing.T, rng *rand.Rand, src *fakeSource, run func(), before func()) {
	t.Helper()
	full := src.partitions
	src.partitions = map[string][]recount.Event{}
	for more := true; more; {
		more = false
		for _, p := range sortedKeys(full) {
			n := min(len(full[p]), len(src.partitions[p])+1+rng.IntN(40))
			src.partitions[p] = full[p][:n]
			more = more || n < len(full[p])
		}
		before()
		run()
	}
}

func TestMarksAreTheSameWithAnIndex(t *testing.T) {
	for seed := range uint64(10) {
		if underRace() && seed > 2 {
			break
		}
		rng := rand.New(rand.NewPCG(seed, 11))
		src := randomSource(rng, 1+rng.IntN(400))
		s := &mem.Store{}
		a := archive.Tune(open(s), 1+rng.Int64N(5), rng.Int64N(30), rng.Int64N(30))
		grow(t, rng, src, func() {
			opts := options(src)
			opts.CommitEvents = 5 + rng.Int64N(60)
			mustRun(t, a, opts)
		}, func() {})
		checkExactlyOnce(t, s, src)
		sameWithoutHeads(t, s)
		if seed == 0 && len(derivedObjects(s)) < 3 {
			t.Errorf("there is no head or no index: %q", derivedObjects(s))
		}
		report, err := open(s).Verify(t.Context(), nil, nil)
		if err != nil || len(report.Streams[0].Leftovers) > 0 {
			t.Errorf("verify: %v, %+v", err, report)
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// TestWhatHappensToHeadsAndIndexChangesNothing removes, changes and brings back
// them at random between runs.
func TestWhatHappensToHeadsAndIndexChangesNothing(t *testing.T) {
	for seed := range uint64(8) {
		if underRace() && seed > 3 {
			break
		}
		rng := rand.New(rand.NewPCG(seed, 12))
		src := randomSource(rng, 1+rng.IntN(250))
		s := &mem.Store{}
		a := eager(s)
		past := map[string][]byte{}
		grow(t, rng, src, func() {
			opts := options(src)
			opts.CommitEvents = 5 + rng.Int64N(30)
			mustRun(t, a, opts)
		}, func() {
			for _, n := range derivedObjects(s) {
				s.Damage(n, func(b []byte) []byte {
					past[n] = bytes.Clone(b)
					switch rng.IntN(8) {
					case 0:
						return nil
					case 1:
						b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
					case 2:
						return b[:rng.IntN(len(b))]
					case 3:
						return append(b, 'x')
					}
					return b
				})
			}
			for _, n := range sortedKeys(past) {
				if rng.IntN(6) == 0 {
					s.Damage(n, func([]byte) []byte { return bytes.Clone(past[n]) })
				}
			}
			if rng.IntN(5) == 0 {
				s.Lag()
			}
		})
		checkExactlyOnce(t, s, src)
		sameWithoutHeads(t, s)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func TestACrashAtAnyCallWithHeadsAndIndex(t *testing.T) {
	kinds := []fault.Kind{fault.Crash, fault.After, fault.Lost, fault.Fail, fault.Short}
	rng := rand.New(rand.NewPCG(3, 13))
	src := randomSource(rng, 60)
	dry := fault.Wrap(&mem.Store{}, nil)
	mustRun(t, eager(dry), smallOptions(src))
	step := 7
	if underRace() {
		step = 29
	}
	for n := 1; n <= dry.Calls(); n += step {
		s := &mem.Store{}
		_, _ = eager(fault.Wrap(s, fault.Nth(n, kinds[n/step%len(kinds)]))).Run(t.Context(), smallOptions(src))
		s.Crash()
		mustRun(t, eager(s), smallOptions(src))
		checkExactlyOnce(t, s, src)
		sameWithoutHeads(t, s)
		if t.Failed() {
			t.Fatalf("call %d", n)
		}
	}
}

// TestAnIndexOfALogThatWasRolledBackIsNotBelieved loses the newest commits and
// archives other events under their numbers.
func TestAnIndexOfALogThatWasRolledBackIsNotBelieved(t *testing.T) {
	for lost := 1; lost < 8; lost++ {
		s := &mem.Store{}
		opts := smallOptions(newSource(120))
		opts.Source.(*fakeSource).batch = 5
		mustRun(t, eager(s), opts)
		names := commits(s)
		for _, n := range names[len(names)-lost:] {
			s.Damage(n, func([]byte) []byte { return nil })
		}
		src := newSource(120)
		rng := rand.New(rand.NewPCG(uint64(lost), 14))
		for i := range 60 {
			src.add(event(rng.IntN(200), noon.Add(-time.Duration(i)*time.Minute)))
		}
		mustRun(t, eager(s), smallOptions(src))
		checkExactlyOnce(t, s, src)
		sameWithoutHeads(t, s)
	}
}

// counted counts the reads of a store.
type counted struct {
	store.Store
	opened atomic.Int64
}

func (c *counted) Open(ctx context.Context, name string) (store.Reader, error) {
	c.opened.Add(1)
	return c.Store.Open(ctx, name)
}

func TestALongLogIsReadByFewObjects(t *testing.T) {
	s := &mem.Store{}
	opts := options(newSource(1500))
	opts.CommitEvents = 1
	opts.Source.(*fakeSource).batch = 1
	mustRun(t, open(s), opts) // no index, a head after each 64 commits
	c := &counted{Store: s}
	snap := mustSnapshot(t, open(c))
	const most = 64 + 12
	if snap.Commit < 1500 || c.opened.Load() > most {
		t.Errorf("%d commits are read by %d objects", snap.Commit, c.opened.Load())
	}
	heads := 0
	for _, n := range derivedObjects(s) {
		if strings.HasSuffix(n, ".json") {
			heads++
		}
	}
	if heads != 2 {
		t.Errorf("%d heads are there, not the last two", heads)
	}
	sameWithoutHeads(t, s)
}

func TestAnOldArchiveGetsHeadsAndAnIndex(t *testing.T) {
	s := &mem.Store{}
	src := randomSource(rand.New(rand.NewPCG(1, 15)), 200)
	mustRun(t, archive.Tune(open(s), 1<<40, 1<<40, 1<<40), smallOptions(src))
	if left := derivedObjects(s); len(left) > 0 {
		t.Fatalf("there are %q", left)
	}
	src.add(event(0, noon)) // between the two, all ids lie
	src.add(event(199, noon))
	opts := smallOptions(src)
	opts.CommitEvents = 100
	mustRun(t, eager(s), opts)
	src.add(event(3, noon))
	src.add(event(190, noon))
	mustRun(t, eager(s), opts)
	left := derivedObjects(s)
	if !strings.Contains(strings.Join(left, " "), ".ids") || !strings.Contains(strings.Join(left, " "), ".pack") {
		t.Errorf("there are only %q", left)
	}
	checkExactlyOnce(t, s, src)
	sameWithoutHeads(t, s)
}

// TestIDsThatGrowWithTimeNeedNoIndex archives such ids, and a few late ones.
func TestIDsThatGrowWithTimeNeedNoIndex(t *testing.T) {
	s := &mem.Store{}
	src := newSource(1000)
	opts := options(src)
	opts.CommitEvents = 50
	mustRun(t, archive.Tune(open(s), 2, 1000, 5), opts)
	for i := range 5 {
		src.add(event(990+i, noon))
		mustRun(t, archive.Tune(open(s), 2, 0, 5), opts)
	}
	if left := strings.Join(derivedObjects(s), " "); strings.Contains(left, "/ids/") || !strings.Contains(left, "/heads/") {
		t.Errorf("there are %q", left)
	}
	checkExactlyOnce(t, s, src)
}

func TestCatReadsTheFilesThatHoldTheID(t *testing.T) {
	s := &mem.Store{}
	src := newSource(400)
	opts := options(src)
	opts.CommitEvents = 20
	mustRun(t, eager(s), opts)
	snap := mustSnapshot(t, open(s))
	c := &counted{Store: s}
	got, err := open(c).Cat(t.Context(), "orders", "e-000123")
	if err != nil || len(got) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	if len(snap.Files) < 20 || c.opened.Load() > 20 {
		t.Errorf("%d files, %d objects were opened", len(snap.Files), c.opened.Load())
	}
}

// BenchmarkLoad loads a log of 100,000 commits on disk.
func BenchmarkLoad(b *testing.B) {
	const n = 100_000
	s, err := disk.Open(b.TempDir(), nil)
	if err != nil {
		b.Fatal(err)
	}
	if err := archive.FakeLog(open(s), "orders", n); err != nil {
		b.Fatal(err)
	}
	load := func(b *testing.B) {
		for b.Loop() {
			if snap := mustSnapshot(b, open(s)); snap.Commit != n {
				b.Fatal(snap.Commit)
			}
		}
	}
	b.Run("log", load)
	if err := archive.MakeHead(b.Context(), open(s), "orders"); err != nil {
		b.Fatal(err)
	}
	b.Run("head", load)
}

// BenchmarkCommitAmongRandomIDs archives 10,000 events more where n are archived
// in 200 commits.
func BenchmarkCommitAmongRandomIDs(b *testing.B) {
	for _, n := range []int{0, 1_000_000, 10_000_000} {
		if testing.Short() && n > 1_000_000 {
			continue
		}
		for _, indexed := range []bool{true, false} {
			b.Run(fmt.Sprintf("%d/index=%v", n, indexed), func(b *testing.B) { commitAmong(b, n, indexed) })
		}
	}
}

func commitAmong(b *testing.B, n int, indexed bool) {
	s, err := disk.Open(b.TempDir(), nil)
	if err != nil {
		b.Fatal(err)
	}
	archived := func() *archive.Archive {
		if indexed {
			return open(s)
		}
		return archive.Tune(open(s), 64, 1<<60, 1<<60)
	}
	src := newCanned(n)
	src.again = 0
	opts := archive.RunOptions{Stream: "orders", Source: src, Fields: fields, MappingDigest: "m", CommitEvents: int64(n / 200)}
	mustRun(b, open(s), opts)
	seed, most := uint64(1), int64(0)
	for b.Loop() {
		more := newCanned(10_000)
		more.again, more.offset = 0, seed<<40
		seed++
		opts.Source, opts.CommitEvents = more, 0
		stop := sampleHeap()
		if res := mustRun(b, archived(), opts); res.Repeats != 0 {
			b.Fatalf("%+v", res)
		}
		most = max(most, stop())
	}
	b.ReportMetric(float64(most)/(1<<20), "MiB-peak")
	var size int64
	if err := s.List(b.Context(), "_recount/orders/ids/", func(_ string, n int64) error { size += n; return nil }); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(size)/float64(max(n, 1)), "index-B/id")
}

// sampleHeap looks at the heap until it is stopped, and says by how much it grew
// at most.
func sampleHeap() (stop func() int64) {
	debug.FreeOSMemory()
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	look := func() int64 { metrics.Read(sample); return int64(sample[0].Value.Uint64()) }
	before, most := look(), int64(0)
	done, ended := make(chan bool), make(chan bool)
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			case <-time.After(time.Millisecond):
				most = max(most, look()-before)
			}
		}
	}()
	return func() int64 { close(done); <-ended; return most }
}
