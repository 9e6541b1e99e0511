package life_test

import (
	"context"
	"errors"
	"io"
	"reflect"
	"strings"
	"sync"
	"testing"

	"recount"
	"recount/internal/archive"
	"recount/internal/fault"
	"recount/store"
	"recount/store/disk"
	"recount/store/mem"
)

func TestACompactionKeepsEveryEventAsItWas(t *testing.T) {
	for seed := range uint64(3) {
		s := &mem.Store{}
		l := archived(t, s, seed, 200, 9)
		before := snapshot(t, s)
		want := rows(t, s, before)
		result := compact(t, open(s))
		after := snapshot(t, s)
		if result.Files < 30 || len(after.Files) > 10 || result.Commits != 1 || result.Made == 0 {
			t.Fatalf("seed %d: %d files became %d: %+v", seed, len(before.Files), len(after.Files), result)
		}
		if got := rows(t, s, after); !reflect.DeepEqual(got, want) {
			t.Errorf("seed %d: events differ", seed)
		}
		if got, want := marks(after), marks(before); got != want {
			t.Errorf("seed %d: marks by file: got %v, want %v", seed, got, want)
		}
		if !reflect.DeepEqual(after.Fields, before.Fields) || !after.Watermark.Equal(before.Watermark) {
			t.Errorf("seed %d: fields or watermark changed", seed)
		}
		if report := verify(t, s); len(report.Leftovers) != 0 || report.Events != int64(len(l.events)) {
			t.Errorf("seed %d: leftovers %v, %d events", seed, report.Leftovers, report.Events)
		}
		if again := compact(t, open(s)); again.Commits != 0 || again.Files != 0 {
			t.Errorf("seed %d: a second compaction: %+v", seed, again)
		}
		older, err := open(s).SnapshotAt(t.Context(), "orders", before.ID)
		if err != nil {
			t.Fatal(err)
		}
		if got := rows(t, s, older); !reflect.DeepEqual(got, want) {
			t.Errorf("seed %d: the older snapshot differs", seed)
		}
		_, err = open(s).SnapshotAt(t.Context(), "orders", "nothing")
		if code(err) != recount.CodeNoSnapshot {
			t.Errorf("an unknown snapshot: %v", err)
		}
	}
}

func marks(s recount.Snapshot) (sum [3]int64) {
	for _, f := range s.Files {
		sum[0] += f.Repeats
		sum[1] += f.Conflicts
		sum[2] += f.Faults
	}
	return sum
}

// TestArchivingGoesOnAfterACompaction compares with an archive that was never
// compacted: the same events, marks and commits.
func TestArchivingGoesOnAfterACompaction(t *testing.T) {
	plain, packed := &mem.Store{}, &mem.Store{}
	a, b := newLog(5, 150), newLog(5, 150)
	for end := 10; end <= 150; end += 10 {
		a.run(t, open(plain), end)
		b.run(t, open(packed), end)
		if end%30 == 0 {
			compact(t, open(packed))
		}
	}
	x, y := snapshot(t, plain), snapshot(t, packed)
	if marks(x) != marks(y) {
		t.Errorf("marks: got %v, want %v", marks(y), marks(x))
	}
	got, want := rows(t, packed, y), rows(t, plain, x)
	for seq, w := range want {
		g := got[seq]
		g.Commit, w.Commit = 0, 0
		if !reflect.DeepEqual(g, w) {
			t.Fatalf("event %d: got %+v, want %+v", seq, g, w)
		}
	}
	verify(t, packed)
}

// TestACrashOfACompactionLeavesTheArchiveAsItWas lets every call go wrong.
func TestACrashOfACompactionLeavesTheArchiveAsItWas(t *testing.T) {
	first := &mem.Store{}
	archived(t, first, 7, 21, 3)
	want := rows(t, first, snapshot(t, first))
	dry := fault.Wrap(copied(t, first), nil)
	compact(t, open(dry))
	kinds := []fault.Kind{fault.Crash, fault.After, fault.Lost, fault.Fail, fault.Short}
	for n := 1; n <= dry.Calls(); n++ {
		s := copied(t, first)
		kind := kinds[n%len(kinds)]
		wrapped := fault.Wrap(s, fault.Nth(n, kind))
		_, err := open(wrapped).Compact(t.Context(), compacting(t))
		s.Crash()
		if got := rows(t, s, snapshot(t, s)); !reflect.DeepEqual(got, want) {
			t.Fatalf("call %d, kind %d (%v): events differ", n, kind, err)
		}
		verify(t, s)
		compact(t, open(s))
		if got := rows(t, s, snapshot(t, s)); !reflect.DeepEqual(got, want) {
			t.Fatalf("call %d, kind %d: events differ after the next compaction", n, kind)
		}
		verify(t, s)
	}
	t.Logf("%d crashes", dry.Calls())
}

// between calls act once, before the first commit with some number is put.
type between struct {
	store.Store
	commit string
	once   sync.Once
	act    func()
}

func (b *between) Put(ctx context.Context, name string, write func(io.Writer) error) error {
	if strings.HasSuffix(name, b.commit) {
		b.once.Do(b.act)
	}
	return b.Store.Put(ctx, name, write)
}

func TestAnArchiverGoesOnAfterACompactionThatWasFirst(t *testing.T) {
	for portion := 1; portion <= 40; portion += 13 {
		s := &mem.Store{}
		l := newLog(3, 120)
		for end := 8; end <= 80; end += 8 {
			l.run(t, open(s), end)
		}
		next := "/" + strings.Repeat("0", 18) + "11.json"
		overtaken := &between{Store: s, commit: next, act: func() { compact(t, open(s)) }}
		l.run(t, open(overtaken), 80+portion)
		plain := &mem.Store{}
		same := newLog(3, 120)
		for end := 8; end <= 80; end += 8 {
			same.run(t, open(plain), end)
		}
		same.run(t, open(plain), 80+portion)
		got, want := snapshot(t, s), snapshot(t, plain)
		if got.Commit != 12 || len(got.Files) >= len(want.Files) {
			t.Fatalf("commit %d with %d files, want 12 and fewer than %d", got.Commit, len(got.Files), len(want.Files))
		}
		if marks(got) != marks(want) {
			t.Errorf("marks: got %v, want %v", marks(got), marks(want))
		}
		if report := verify(t, s); len(report.Leftovers) > 0 || report.Events != int64(80+portion) {
			t.Errorf("leftovers %v, %d events", report.Leftovers, report.Events)
		}
	}
}

func TestACompactionGoesOnAfterAnArchiverThatWasFirst(t *testing.T) {
	s := &mem.Store{}
	l := newLog(3, 120)
	for end := 8; end <= 80; end += 8 {
		l.run(t, open(s), end)
	}
	next := "/" + strings.Repeat("0", 18) + "11.json"
	overtaken := &between{Store: s, commit: next, act: func() { l.run(t, open(s), 120) }}
	result := compact(t, open(overtaken))
	plain := &mem.Store{}
	same := newLog(3, 120)
	same.run(t, open(plain), 120)
	got, want := snapshot(t, s), snapshot(t, plain)
	if result.Commits != 2 || marks(got) != marks(want) { // the second joins what came between
		t.Errorf("%d commits, marks %v, want 2 and %v", result.Commits, marks(got), marks(want))
	}
	if report := verify(t, s); report.Events != 120 {
		t.Errorf("%d events", report.Events)
	}
}

func TestArchiversAndCompactionsTogether(t *testing.T) {
	d, err := disk.Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	l := newLog(9, 200)
	l.run(t, open(d), 10)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := open(d).Compact(context.Background(), compacting(t)); err != nil && !errors.Is(err, recount.ErrLocked) {
				t.Errorf("compact: %v", err)
				return
			}
		}
	})
	for end := 20; end <= 200; end += 10 {
		l.run(t, open(d), end)
	}
	close(stop)
	wg.Wait()
	plain := &mem.Store{}
	same := newLog(9, 200)
	same.run(t, open(plain), 200)
	if got, want := marks(snapshot(t, d)), marks(snapshot(t, plain)); got != want {
		t.Errorf("marks: got %v, want %v", got, want)
	}
	if report := verify(t, d); report.Events != 200 {
		t.Errorf("%d events", report.Events)
	}
}

func TestACompactionRefusesADamagedFile(t *testing.T) {
	s := &mem.Store{}
	archived(t, s, 2, 40, 5)
	snap := snapshot(t, s)
	s.Damage(snap.Files[1].Name, func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
	_, err := open(s).Compact(t.Context(), compacting(t))
	if code(err) != recount.CodeDamaged {
		t.Fatalf("got %v, want CodeDamaged", err)
	}
	if now := snapshot(t, s); now.ID != snap.ID {
		t.Error("a compaction of a damaged archive made a commit")
	}
}

func TestLargeFilesAreLeftAlone(t *testing.T) {
	s := &mem.Store{}
	archived(t, s, 2, 40, 5)
	opts := compacting(t)
	opts.Target = 1000
	result, err := open(s).Compact(t.Context(), opts)
	if err != nil || result.Commits != 0 {
		t.Errorf("got %+v, %v, want nothing done", result, err)
	}
	opts.Target, opts.DryRun = 0, true
	result, err = open(s).Compact(t.Context(), opts)
	if err != nil || result.Commits != 0 || result.Files == 0 || result.Made == 0 {
		t.Errorf("a dry run says %+v, %v", result, err)
	}
}

func TestACheckpointHoldsThroughACompaction(t *testing.T) {
	s := &mem.Store{}
	l := newLog(4, 100)
	for end := 5; end <= 50; end += 5 {
		l.run(t, open(s), end)
	}
	snap := snapshot(t, s)
	at := noon.Add(-2 * 3600e9)
	put, err := open(s).PutCheckpoint(t.Context(), snap, archive.Checkpoint{Calculation: "c", Logic: "0123456789abcdef0", Time: at, Last: map[string]string{}},
		func(w io.Writer) error { _, err := w.Write([]byte("rows")); return err })
	if err != nil {
		t.Fatal(err)
	}
	if !put.Holds(snap) {
		t.Fatal("a new checkpoint does not hold")
	}
	compact(t, open(s))
	if !put.Holds(snapshot(t, s)) {
		t.Error("a compaction ended a checkpoint")
	}
	l.events[50].Time = at.Add(-1000)
	l.events[50].Fault = ""
	l.run(t, open(s), 55)
	compact(t, open(s))
	if put.Holds(snapshot(t, s)) {
		t.Error("a late event was compacted, and the checkpoint holds")
	}
}
