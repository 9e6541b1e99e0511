package archive_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"recount"
	"recount/internal/archive"
	"recount/internal/archive/cover"
	"recount/store"
	"recount/store/disk"
	"recount/store/mem"
)

// sound is an archive of a few commits with marks.
func sound(t *testing.T) (*mem.Store, recount.Snapshot) {
	t.Helper()
	s := &mem.Store{}
	opts := options(randomSource(rand.New(rand.NewPCG(4, 4)), 60))
	opts.CommitEvents = 15
	mustRun(t, open(s), opts)
	snap := mustSnapshot(t, open(s))
	if len(snap.Marks) < 2 || snap.Commit < 3 {
		t.Fatalf("the archive is too small for this test: %d commits", snap.Commit)
	}
	return s, snap
}

// use does what a plan does before it uses a row.
func use(ctx context.Context, s store.Store, dir string) error {
	a := open(s)
	snap, err := a.Snapshot(ctx, "orders")
	if err != nil {
		return err
	}
	_, err = a.Stage(ctx, archive.StageOptions{Snapshot: snap, Files: snap.Files, Fields: fields, Dir: dir})
	return err
}

func TestAChangedByteIsFoundBeforeUse(t *testing.T) {
	good, _ := sound(t)
	rng := rand.New(rand.NewPCG(8, 8))
	damages := map[string]func(b []byte) []byte{
		"a flipped bit":   func(b []byte) []byte { b[rng.IntN(len(b))] ^= 1 << rng.IntN(8); return b },
		"a cut":           func(b []byte) []byte { return b[:rng.IntN(len(b))] },
		"something after": func(b []byte) []byte { return append(b, 0) },
		"nothing":         func([]byte) []byte { return nil },
		"zeros":           func(b []byte) []byte { clear(b[len(b)/2:]); return b },
	}
	for i, name := range good.Names() {
		if underRace() && i%4 != 0 {
			continue
		}
		for what, damage := range damages {
			s := good.Clone()
			s.Damage(name, damage)
			err := use(t.Context(), s, t.TempDir())
			last := name == good.Names()[len(commits(good))-1] && strings.Contains(name, "/commits/")
			if last && what == "nothing" {
				continue // the archive as it was one commit before: nothing shows that there was more
			}
			wantCode(t, err, recount.CodeDamaged)
			base := name[strings.LastIndex(name, "/")+1:]
			if !strings.Contains(err.Error(), base) {
				t.Errorf("%s in %s: the error does not name it: %v", what, name, err)
			}
			if strings.HasPrefix(name, "orders/") && !strings.Contains(err.Error(), "partition ") {
				t.Errorf("%s in %s: the error does not say which positions are hit: %v", what, name, err)
			}
			report, err := open(s).Verify(t.Context(), nil, nil)
			if code(err) != recount.CodeDamaged || len(report.Streams[0].Problems) == 0 {
				t.Errorf("%s in %s: verify says %v", what, name, err)
			}
		}
	}
}

func commits(s *mem.Store) []string {
	return slices.DeleteFunc(s.Names(), func(n string) bool { return !strings.Contains(n, "/commits/") })
}

func TestEveryByteOfACommitCounts(t *testing.T) {
	good, _ := sound(t)
	newest := commits(good)[len(commits(good))-1]
	size, err := good.Stat(t.Context(), newest)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < int(size); i += 7 {
		s := good.Clone()
		s.Damage(newest, func(b []byte) []byte { b[i] ^= 0x10; return b })
		if _, err := open(s).Snapshot(t.Context(), "orders"); code(err) != recount.CodeDamaged {
			t.Fatalf("byte %d: got %v, want CodeDamaged", i, err)
		}
	}
}

func TestSwappedObjectsAreFound(t *testing.T) {
	good, snap := sound(t)
	swap := func(s *mem.Store, a, b string) {
		var x, y []byte
		s.Damage(a, func(v []byte) []byte { x = v; return v })
		s.Damage(b, func(v []byte) []byte { y = v; return v })
		s.Damage(a, func([]byte) []byte { return bytes.Clone(y) })
		s.Damage(b, func([]byte) []byte { return bytes.Clone(x) })
	}
	c := commits(good)
	for _, pair := range [][2]string{{snap.Files[0].Name, snap.Files[1].Name}, {snap.Marks[0].Name, snap.Marks[1].Name}, {c[0], c[1]}} {
		s := good.Clone()
		swap(s, pair[0], pair[1])
		wantCode(t, use(t.Context(), s, t.TempDir()), recount.CodeDamaged)
	}
}

func TestAMissingCommitIsAHoleAndTheLogDoesNotEndThere(t *testing.T) {
	good, _ := sound(t)
	for _, name := range commits(good)[:len(commits(good))-1] {
		s := good.Clone()
		s.Damage(name, func([]byte) []byte { return nil })
		_, err := open(s).Snapshot(t.Context(), "orders")
		wantCode(t, err, recount.CodeDamaged)
		_, err = open(s).Run(t.Context(), options(newSource(10)))
		wantCode(t, err, recount.CodeDamaged)
	}
}

func TestDamageInAnEarlierFileStopsTheSearchForRepeats(t *testing.T) {
	s := &mem.Store{}
	src := newSource(100)
	mustRun(t, open(s), options(src))
	for _, f := range mustSnapshot(t, open(s)).Files {
		s.Damage(f.Name, func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
	}
	src.add(event(3, noon))
	_, err := open(s).Run(t.Context(), options(src))
	wantCode(t, err, recount.CodeDamaged)
}

func TestLeftoversAreListedAndNeverRead(t *testing.T) {
	s := &mem.Store{}
	mustRun(t, open(s), options(newSource(100)))
	before := mustSnapshot(t, open(s))
	left := before.Files[0].Name[:strings.LastIndex(before.Files[0].Name, "/")+1] + "00000002-2024061008-1-deadbeef.parquet"
	s.Damage(left, func([]byte) []byte { return []byte("no parquet at all") })
	report, err := open(s).Verify(t.Context(), []string{"orders"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if l := report.Streams[0].Leftovers; len(l) != 1 || l[0].Name != left {
		t.Errorf("leftovers: %+v", l)
	}
	if after := mustSnapshot(t, open(s)); after.ID != before.ID || len(after.Files) != len(before.Files) {
		t.Error("the snapshot changed")
	}
}

// TestACorruptLeftoverDoesNotBlock lets a crash leave a broken object under the
// very name that the next run wants.
func TestACorruptLeftoverDoesNotBlock(t *testing.T) {
	dry := &mem.Store{}
	src := newSource(100)
	mustRun(t, open(dry), options(src))
	s := &mem.Store{}
	for _, f := range mustSnapshot(t, open(dry)).Files {
		s.Damage(f.Name, func([]byte) []byte { return []byte("half a fi") })
	}
	mustRun(t, open(s), options(src))
	checkExactlyOnce(t, s, src)
	report, err := open(s).Verify(t.Context(), nil, nil)
	if err != nil || len(report.Streams[0].Leftovers) != len(mustSnapshot(t, open(dry)).Files) {
		t.Errorf("verify: %v, %+v", err, report.Streams[0].Leftovers)
	}
}

func TestALaggingListLosesNothing(t *testing.T) {
	s := &mem.Store{}
	src := newSource(100)
	mustRun(t, open(s), smallOptions(src))
	s.Lag()
	src.add(event(500, noon))
	mustRun(t, open(s), smallOptions(src))
	checkExactlyOnce(t, s, src)
}

func TestANewerFormatIsRefused(t *testing.T) {
	s := &mem.Store{}
	mustRun(t, open(s), options(newSource(10)))
	name := commits(s)[0]
	s.Damage(name, archive.Reframe(func(body []byte) []byte {
		return bytes.Replace(body, []byte(`"format":1`), []byte(`"format":9,"new":true`), 1)
	}))
	_, err := open(s).Snapshot(t.Context(), "orders")
	wantCode(t, err, recount.CodeNewerArchive)
}

// TestVerifyFindsWhatNoDigestCan gives the newest commit, under a right digest,
// another account of a file.
func TestVerifyFindsWhatNoDigestCan(t *testing.T) {
	for what, change := range map[string][2]string{
		"times": {`"last_time":"2024-06-10T`, `"last_time":"2024-06-11T`}, "ids": {`"first_id":"e`, `"first_id":"d`},
		"positions": {`"first":"0`, `"first":"/`}, "numbers": {`"first_seq":1,`, `"first_seq":0,`}, "faults": {`"faults":0}]`, `"faults":1}]`},
		"header": {`"header":"id`, `"header":"ID`}, "marks": {`"repeats":1,"conflicts":0,"faults":0},"files"`, `"repeats":0,"conflicts":1,"faults":0},"files"`},
	} {
		s := &mem.Store{}
		src := newSource(0)
		src.add(event(1, noon.Add(-time.Minute)))
		src.add(event(2, noon.Add(-2*time.Minute)))
		again := event(1, noon.Add(-time.Minute))
		again.Time = noon.Add(-time.Hour)
		src.add(again)
		mustRun(t, open(s), options(src))
		var before, after []byte
		s.Damage(commits(s)[0], archive.Reframe(func(body []byte) []byte {
			before = bytes.Clone(body)
			after = bytes.Replace(body, []byte(change[0]), []byte(change[1]), 1)
			return after
		}))
		if bytes.Equal(before, after) {
			t.Errorf("%s: nothing was changed in %s", what, before)
		}
		_, err := open(s).Verify(t.Context(), nil, nil)
		if code(err) != recount.CodeDamaged {
			t.Errorf("%s: verify says %v", what, err)
		}
	}
}

func TestAFullDiskStopsCleanlyAndGoesOn(t *testing.T) {
	dir := t.TempDir()
	s, err := disk.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	src := newSource(300)
	opts := smallOptions(src)
	full := &fullStore{Local: s, left: 12}
	_, err = open(full).Run(t.Context(), opts)
	wantCode(t, err, recount.CodeStorage)
	var e *recount.Error
	if errors.As(err, &e) && !strings.Contains(e.Changed, "events were committed before this") {
		t.Errorf("the error does not say what was committed: %+v", e)
	}
	mustRun(t, open(s), opts)
	checkExactlyOnce(t, s, src)
	if left, err := filepath.Glob(filepath.Join(dir, "*", "*", "*", ".tmp-*")); err != nil || len(left) > 0 {
		t.Errorf("unfinished files are left: %q, %v", left, err)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Error(err)
	}
}

func TestACheckedWindowIsCompleteOrRefused(t *testing.T) {
	snap := recount.Snapshot{Stream: "orders", Followed: true, Watermark: noon, Lateness: time.Hour}
	w := recount.Window{From: noon.Add(-3 * time.Hour), To: noon.Add(-time.Hour), By: recount.ByEvent}
	if err := cover.Complete(snap, w, w); err != nil {
		t.Error(err)
	}
	w.To = w.To.Add(time.Microsecond)
	err := cover.Complete(snap, w, w)
	wantCode(t, err, recount.CodeIncomplete)
	var e *recount.Error
	if errors.As(err, &e) && e.Next != "recount archive run orders --once" {
		t.Errorf("next: %q", e.Next)
	}
	wantCode(t, cover.Complete(recount.Snapshot{Stream: "orders"}, w, w), recount.CodeIncomplete)
}

// FuzzManifest feeds any body under a right digest: it is read, or refused; what
// is read is written again with the same meaning.
func FuzzManifest(f *testing.F) {
	s := &mem.Store{}
	mustRun(f, open(s), options(newSource(20)))
	var object []byte
	s.Damage(commits(s)[0], func(b []byte) []byte { object = b; return b })
	var body []byte
	archive.Reframe(func(b []byte) []byte { body = b; return b })(object)
	f.Add(body)
	f.Add([]byte(`{"format":1}`))
	f.Add([]byte(`{"format":9,"x":1}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, body []byte) {
		framed := archive.Reframe(func([]byte) []byte { return body })(object)
		again, err := archive.DecodeAndAdd(framed)
		if err != nil {
			return
		}
		third, err := archive.DecodeAndAdd(again)
		if err != nil || !bytes.Equal(again, third) {
			t.Errorf("written again it differs: %v", err)
		}
		if _, err := archive.DecodeAndAdd(body); err == nil {
			t.Error("a body without its digest was read")
		}
	})
}
