package life_test

import (
	"context"
	"errors"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"recount"
	"recount/internal/archive"
	"recount/internal/fault"
	"recount/store"
	"recount/store/mem"
)

const week = 7 * 24 * time.Hour

func expiring(before time.Time) archive.ExpireOptions {
	return archive.ExpireOptions{Stream: "orders", Before: before, Keep: week, Program: "test"}
}

func names(t testing.TB, s store.Store) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	if err := s.List(context.Background(), "", func(name string, _ int64) error { all[name] = true; return nil }); err != nil {
		t.Fatal(err)
	}
	return all
}

// holds checks that no file of a snapshot is gone.
func holds(t testing.TB, s store.Store, snap recount.Snapshot) {
	t.Helper()
	for _, f := range snap.Files {
		if _, err := s.Stat(context.Background(), f.Name); err != nil {
			t.Errorf("snapshot %d lost %s: %v", snap.Commit, f.Name, err)
		}
	}
	for _, m := range snap.Marks {
		if _, err := s.Stat(context.Background(), m.Name); err != nil {
			t.Errorf("snapshot %d lost %s: %v", snap.Commit, m.Name, err)
		}
	}
}

func TestExpiryTakesOutHoursAndDeletesThemLater(t *testing.T) {
	s := &mem.Store{}
	archived(t, s, 1, 120, 10)
	first := snapshot(t, s)
	want := rows(t, s, first)
	edge := noon.Add(-time.Hour)
	result, err := open(s).Expire(t.Context(), expiring(edge.Add(10*time.Minute)))
	if err != nil || !result.Before.Equal(edge) || result.Files == 0 || result.Deleted.Count != 0 || len(result.Kept) != 1 {
		t.Fatalf("got %+v, %v, want hours before %s taken out and nothing deleted", result, err, edge)
	}
	second := snapshot(t, s)
	left := rows(t, s, second)
	for seq, r := range want {
		_, there := left[seq]
		if stays := !r.TimeKnown || !r.Time.Before(edge); stays != there {
			t.Errorf("event %d of %s: there %t, want %t", seq, r.Time, there, stays)
		}
	}
	if !second.Since.Equal(edge) || int64(len(want)-len(left)) != result.Events {
		t.Errorf("since %s, %d events taken out: %+v", second.Since, len(want)-len(left), result)
	}
	holds(t, s, first)
	verify(t, s)

	result, err = openAt(s, noon.Add(week)).Expire(t.Context(), expiring(edge))
	if err != nil || result.Files != 0 || result.Deleted.Count != len(first.Files)-len(second.Files) || len(result.Kept) != 0 {
		t.Fatalf("a week later: got %+v, %v", result, err)
	}
	holds(t, s, second)
	verify(t, s)
	for _, f := range second.Removed {
		if _, err := s.Stat(t.Context(), f.Name); !errors.Is(err, recount.ErrNotFound) {
			t.Errorf("%s is still there", f.Name)
		}
	}
	again, err := openAt(s, noon.Add(week)).Expire(t.Context(), expiring(edge))
	if err != nil || again.Deleted.Count != 0 || again.Snapshot != result.Snapshot {
		t.Errorf("a second time: got %+v, %v", again, err)
	}
}

func TestExpiryKeepsWhatSomethingRefersTo(t *testing.T) {
	later := noon.Add(week)
	build := func() (*mem.Store, recount.Snapshot) {
		s := &mem.Store{}
		archived(t, s, 1, 60, 10)
		snap := snapshot(t, s)
		compact(t, open(s))
		return s, snap
	}
	for name, need := range map[string]archive.Need{
		"by its id":         {By: "plan fix.plan"},
		"that nobody knows": {Snapshot: "gone", By: "plan other.plan"},
	} {
		s, snap := build()
		if need.Snapshot == "" {
			need.Snapshot = snap.ID
		}
		opts := expiring(time.Time{})
		opts.Needs = []archive.Need{{At: noon.Add(-week), By: "run 0"}, need}
		result, err := openAt(s, later).Expire(t.Context(), opts)
		if err != nil || result.Deleted.Count != 0 || len(result.Kept) != 1 || result.Kept[0].Why != need.By {
			t.Errorf("a snapshot %s: got %+v, %v", name, result, err)
		}
		holds(t, s, snap)
		opts.Needs = opts.Needs[:1]
		result, err = openAt(s, later).Expire(t.Context(), opts)
		if err != nil || result.Deleted.Count == 0 || len(result.Kept) != 0 {
			t.Errorf("without it: got %+v, %v", result, err)
		}
		holds(t, s, snapshot(t, s))
	}
}

// TestExpiryFindsTheSnapshotOfAMoment has a run between two commits.
func TestExpiryFindsTheSnapshotOfAMoment(t *testing.T) {
	s := &mem.Store{}
	archived(t, s, 1, 60, 10)
	snap := snapshot(t, s)
	compact(t, openAt(s, noon.Add(time.Hour)))
	opts := expiring(time.Time{})
	opts.Needs = []archive.Need{{At: noon.Add(30 * time.Minute), By: "run 1"}}
	result, err := openAt(s, noon.Add(2*week)).Expire(t.Context(), opts)
	if err != nil || result.Deleted.Count != 0 {
		t.Errorf("got %+v, %v", result, err)
	}
	holds(t, s, snap)
	opts.Needs[0].At = noon.Add(90 * time.Minute)
	result, err = openAt(s, noon.Add(2*week)).Expire(t.Context(), opts)
	if err != nil || result.Deleted.Count == 0 {
		t.Errorf("got %+v, %v", result, err)
	}
}

// listing is a store whose listings lie: they are empty, or partial.
type listing struct {
	store.Store
	show func(name string) bool
}

func (l listing) List(ctx context.Context, prefix string, each func(string, int64) error) error {
	return l.Store.List(ctx, prefix, func(name string, size int64) error {
		if !l.show(name) {
			return nil
		}
		return each(name, size)
	})
}

func TestAListingThatLiesDeletesNothingThatIsNeeded(t *testing.T) {
	s := &mem.Store{}
	archived(t, s, 1, 60, 10)
	compact(t, open(s))
	before := names(t, s)
	opts := expiring(noon.Add(-2 * time.Hour))
	opts.Leftovers = true
	empty := listing{s, func(name string) bool { return strings.Contains(name, "/commits/") }}
	result, err := openAt(empty, noon.Add(2*week)).Expire(t.Context(), opts)
	if err != nil || result.Deleted.Count != 0 || result.Leftovers.Count != 0 {
		t.Errorf("an empty listing: got %+v, %v", result, err)
	}
	for name := range before {
		if !names(t, s)[name] {
			t.Errorf("an empty listing deleted %s", name)
		}
	}
	n := 0
	partial := listing{s, func(string) bool { n++; return n%2 == 0 }}
	if _, err := openAt(partial, noon.Add(4*week)).Expire(t.Context(), opts); err != nil {
		t.Fatal(err)
	}
	holds(t, s, snapshot(t, s))
	verify(t, s)
}

// TestACrashOfAnExpiryLosesNothingThatIsNeeded lets every call go wrong: the
// newest snapshot, and one that a plan refers to, keep all their files.
func TestACrashOfAnExpiryLosesNothingThatIsNeeded(t *testing.T) {
	first := &mem.Store{}
	l := newLog(3, 60)
	for end := 5; end <= 60; end += 5 {
		l.run(t, open(first), end)
		if end == 30 {
			compact(t, open(first))
		}
	}
	needed := snapshot(t, first)
	compact(t, open(first))
	leave(t, first, "orders/date=2024-06-10/hour=10/00000003-2024061010-1-deadbeef.parquet")
	late := noon.Add(2 * week)
	opts := expiring(noon.Add(-2 * time.Hour))
	opts.Leftovers, opts.Needs = true, []archive.Need{{Snapshot: needed.ID, By: "plan fix.plan"}}
	dry := fault.Wrap(copied(t, first), nil)
	if result, err := openAt(dry, late).Expire(t.Context(), opts); err != nil || result.Deleted.Count == 0 || result.Leftovers.Count != 1 || result.Files == 0 {
		t.Fatalf("got %+v, %v", result, err)
	}
	kinds := []fault.Kind{fault.Crash, fault.After, fault.Lost, fault.Fail, fault.Short}
	for n := 1; n <= dry.Calls(); n++ {
		for _, kind := range kinds {
			s := copied(t, first)
			_, _ = openAt(fault.Wrap(s, fault.Nth(n, kind)), late).Expire(t.Context(), opts)
			s.Crash()
			holds(t, s, snapshot(t, s))
			holds(t, s, needed)
			if n%7 == int(kind) {
				verify(t, s)
			}
			if _, err := openAt(s, late).Expire(t.Context(), opts); err != nil {
				t.Fatalf("call %d, kind %d: the next expiry: %v", n, kind, err)
			}
			holds(t, s, snapshot(t, s))
			holds(t, s, needed)
			if t.Failed() {
				t.Fatalf("call %d, kind %d", n, kind)
			}
		}
	}
	t.Logf("%d calls", dry.Calls())
}

func leave(t testing.TB, s store.Store, name string) {
	t.Helper()
	if err := s.Put(context.Background(), name, func(w io.Writer) error { _, err := w.Write([]byte("left")); return err }); err != nil {
		t.Fatal(err)
	}
}

func TestLeftoversGoOnlyWhenTheyAreOld(t *testing.T) {
	s := &mem.Store{}
	archived(t, s, 1, 30, 10)
	named := names(t, s)
	old := []string{
		"orders/date=2024-06-10/hour=10/00000002-2024061010-1-deadbeef.parquet", "_recount/orders/marks/00000001-deadbeef.parquet",
	}
	others := []string{
		"orders/date=2024-06-10/hour=10/00000004-2024061010-1-deadbeef.parquet", // of a commit that may still come
		"orders/date=2024-06-10/hour=10/notes.parquet", "orders/date=2024-06-10/hour=10/00000001-x.txt", "orders/readme", "other/00000001-x.parquet",
		"_recount/orders/checkpoints/c-1/x.parquet",
	}
	for _, name := range slices.Concat(old, others) {
		leave(t, s, name)
	}
	opts := expiring(time.Time{})
	opts.Leftovers = true
	for _, at := range []time.Time{noon, noon.Add(week - 1)} {
		if result, err := openAt(s, at).Expire(t.Context(), opts); err != nil || result.Leftovers.Count != 0 {
			t.Errorf("young leftovers: got %+v, %v", result, err)
		}
	}
	opts.DryRun = true
	if result, err := openAt(s, noon.Add(week)).Expire(t.Context(), opts); err != nil || result.Leftovers.Count != 2 {
		t.Errorf("a dry run: got %+v, %v", result, err)
	}
	opts.DryRun = false
	if result, err := openAt(s, noon.Add(week)).Expire(t.Context(), opts); err != nil || result.Leftovers != (archive.Objects{Count: 2, Bytes: 8}) {
		t.Errorf("got %+v, %v", result, err)
	}
	for _, name := range others {
		named[name] = true
	}
	if got := names(t, s); !maps.Equal(got, named) {
		t.Errorf("objects: got %v, want %v", got, named)
	}
	unlock, err := s.Lock(t.Context(), "_recount/orders/writer")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openAt(s, noon.Add(week)).Expire(t.Context(), opts); code(err) != recount.CodeArchiveLocked {
		t.Errorf("beside an archiver: got %v, want CodeArchiveLocked", err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
}

func TestExpiryRefusesHoursThatAreNotComplete(t *testing.T) {
	s := &mem.Store{}
	archived(t, s, 1, 30, 10)
	snap := snapshot(t, s)
	_, err := open(s).Expire(t.Context(), expiring(noon.Add(2*time.Hour)))
	if code(err) != recount.CodeExpire || snapshot(t, s).ID != snap.ID {
		t.Errorf("got %v, want CodeExpire and no commit", err)
	}
	opts := expiring(noon.Add(-time.Hour))
	opts.DryRun = true
	result, err := open(s).Expire(t.Context(), opts)
	if err != nil || result.Files == 0 || snapshot(t, s).ID != snap.ID {
		t.Errorf("a dry run: got %+v, %v", result, err)
	}
}

func TestAnArchiverGoesOnAfterAnExpiryThatWasFirst(t *testing.T) {
	s := &mem.Store{}
	l := newLog(3, 120)
	for end := 8; end <= 80; end += 8 {
		l.run(t, open(s), end)
	}
	overtaken := &between{Store: s, commit: "/" + strings.Repeat("0", 18) + "11.json", act: func() {
		if _, err := open(s).Expire(context.Background(), expiring(noon.Add(-2*time.Hour))); err != nil {
			t.Errorf("expire: %v", err)
		}
	}}
	l.run(t, open(overtaken), 120)
	snap := snapshot(t, s)
	if snap.Commit != 12 || !snap.Since.Equal(noon.Add(-2*time.Hour)) {
		t.Errorf("commit %d, since %s", snap.Commit, snap.Since)
	}
	verify(t, s)
	got := rows(t, s, snap)
	if n := len(got) + removedRows(snap); n != 120 {
		t.Errorf("%d events, want 120", n)
	}
	l2 := newLog(3, 120)
	if !reflect.DeepEqual(l2.events[119].Data, got[120].Data) {
		t.Error("the newest event is another")
	}
}

func removedRows(s recount.Snapshot) int {
	n := 0
	for _, f := range s.Removed {
		n += int(f.Rows)
	}
	return n
}
