package livetest_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"recount"
	"recount/internal/archive"
	"recount/internal/archive/cover"
	"recount/source"
	"recount/store/mem"
)

func TestLostEventsAreRecordedAndSaid(t *testing.T) {
	s, bus := &mem.Store{}, newBus()
	bus.watermark = func() time.Time { return noon }
	bus.grow("0", 30, noon.Add(-time.Hour))
	bus.grow("1", 5, noon.Add(-time.Hour))
	bus.first["0"] = 3
	// The source is older than the archive: that is no loss of its own, but no window
	// may need it.
	if res := mustRun(t, open(s), options(bus)); res.Events != 32 || len(res.Lost) != 0 || res.Gaps != 1 {
		t.Errorf("first run: %+v", res)
	}
	w := recount.Window{From: noon.Add(-2 * time.Hour), To: noon.Add(-time.Hour)}
	wantCode(t, cover.Complete(mustSnapshot(t, open(s)), w, w), recount.CodeIncomplete)
	bus.grow("0", 20, noon.Add(-time.Minute))
	bus.first["0"] = 40
	res, err := open(s).Run(t.Context(), options(bus))
	wantCode(t, err, recount.CodeLost)
	if !strings.Contains(err.Error(), "partition 0, positions [30, 40)") || res.Events != 10 || len(res.Lost) != 1 {
		t.Errorf("got %v, %+v", err, res)
	}
	snap := wantArchived(t, s, bus.wants(func(e recount.Event) bool {
		return e.Partition == "1" || e.Position >= pad(3) && e.Position < pad(30) || e.Position >= pad(40)
	}))
	lost := func(from, to int) recount.Gap {
		return recount.Gap{Partition: "0", From: pad(from), To: pad(to), Reason: recount.GapRetention}
	}
	if want := []recount.Gap{lost(0, 3), lost(30, 40)}; !slices.Equal(snap.Gaps, want) {
		t.Errorf("gaps: %v", snap.Gaps)
	}
	mustRun(t, open(s), options(bus)) // said once
	verified(t, s)
}

func TestABadGapEndsTheRun(t *testing.T) {
	for name, g := range map[string]recount.Gap{
		"another partition": {Partition: "1", From: pad(3), To: pad(4), Reason: recount.GapControl},
		"empty":             {Partition: "0", From: pad(3), To: pad(3), Reason: recount.GapControl},
		"unknown reason":    {Partition: "0", From: pad(3), To: pad(4), Reason: "lazy"},
		"no text":           {Partition: "0", From: pad(3), To: "\xff", Reason: recount.GapControl},
	} {
		bus := newBus()
		bus.grow("0", 10, noon)
		bus.gaps["0"] = map[int]recount.Gap{3: g}
		if _, err := open(&mem.Store{}).Run(t.Context(), options(bus)); err == nil {
			t.Errorf("%s: the run went on", name)
		}
	}
}

func TestAPullBringsInASpanAndNothingTwice(t *testing.T) {
	s, bus := &mem.Store{}, newBus()
	bus.watermark = func() time.Time { return noon }
	bus.grow("0", 600, noon.Add(-600*time.Second))
	bus.grow("1", 600, noon.Add(-600*time.Second))
	pull := func(span source.Span) archive.RunResult {
		t.Helper()
		opts := options(bus)
		opts.Pull, opts.CommitEvents = &span, 50
		return mustRun(t, open(s), opts)
	}
	in := func(from, to int) func(e recount.Event) bool {
		return func(e recount.Event) bool { return e.Position >= pad(from) && e.Position < pad(to) }
	}
	at := func(n int) time.Time { return noon.Add(time.Duration(n-600) * time.Second) }
	if res := pull(source.Span{From: at(100), To: at(200)}); res.Events != 200 || res.Commits < 3 {
		t.Errorf("first pull: %+v", res)
	}
	snap := wantArchived(t, s, bus.wants(in(100, 200)))
	if len(snap.Pulled) != 1 || snap.Followed || !snap.Watermark.IsZero() {
		t.Errorf("snapshot: %+v", snap)
	}
	if res := pull(source.Span{From: at(150), To: at(300)}); res.Events != 200 || res.Known != 100 {
		t.Errorf("overlapping pull: %+v", res)
	}
	if res := pull(source.Span{From: at(120), To: at(280)}); res.Commits != 0 || res.Known != 320 {
		t.Errorf("pull of what is there: %+v", res)
	}
	if res := pull(source.Span{Positions: []recount.PositionWindow{{Partition: "1", From: pad(250), To: pad(320)}}}); res.Events != 20 {
		t.Errorf("pull by position: %+v", res)
	}
	report := verified(t, s)
	t.Logf("%+v", report.Streams[0].Partitions)
	opts := options(bus)
	opts.CommitEvents = 70
	if res := mustRun(t, open(s), opts); res.Known != 420 {
		t.Errorf("ordinary run: %+v", res)
	}
	if snap := wantArchived(t, s, bus.wants(nil)); !snap.Followed || !snap.Watermark.Equal(noon) {
		t.Errorf("snapshot: %+v", snap)
	}
	if res := pull(source.Span{From: at(0), To: at(600)}); res.Events != 0 || res.Known != 1200 {
		t.Errorf("pull of everything: %+v", res)
	}
	verified(t, s)
	opts = options(struct{ source.Source }{bus}) // which keeps no index
	opts.Pull = &source.Span{From: noon.Add(-time.Hour), To: noon}
	_, err := open(&mem.Store{}).Run(t.Context(), opts)
	wantCode(t, err, recount.CodeUnsupported)
}

// What was pulled later lies earlier in the log: it is read where it lies.
func TestTheLogIsReadByPositionWhateverWasPulled(t *testing.T) {
	s, bus := &mem.Store{}, newBus()
	bus.watermark = func() time.Time { return noon }
	for _, p := range []string{"0", "1", "2"} {
		bus.grow(p, 300, noon.Add(-300*time.Second))
	}
	opts := options(bus)
	opts.CommitEvents = 40
	for _, w := range []recount.PositionWindow{{Partition: "0", From: pad(200), To: pad(250)}, {Partition: "1", From: pad(20), To: pad(120)}, {Partition: "0", From: pad(50), To: pad(90)}} {
		opts.Pull = &source.Span{Positions: []recount.PositionWindow{w}}
		mustRun(t, open(s), opts)
	}
	opts.Pull = nil
	mustRun(t, open(s), opts)
	snap := wantArchived(t, s, bus.wants(nil))
	all := func(*archive.LogEvent) bool { return true }
	arrived, last := 0, int64(0)
	log, err := open(s).Log(t.Context(), archive.LogOptions{Snapshot: snap, Files: snap.Files, Wanted: all, Dir: t.TempDir()}, func(e *archive.LogEvent) error {
		if arrived++; e.Seq <= last {
			t.Errorf("event %d came after %d", e.Seq, last)
		}
		last = e.Seq
		return nil
	})
	if err != nil || arrived != 900 {
		t.Fatalf("got %v, %d events", err, arrived)
	}
	next := map[string]int{}
	for range 2 { // it can be read again
		clear(next)
		err = log.Each(t.Context(), func(e *archive.LogEvent) error {
			if e.Position != pad(next[e.Partition]) {
				t.Fatalf("partition %s: got position %s, want %d", e.Partition, e.Position, next[e.Partition])
			}
			next[e.Partition]++
			return nil
		})
		if err != nil || next["0"] != 300 || next["1"] != 300 || next["2"] != 300 {
			t.Errorf("got %v, %v", err, next)
		}
	}
}

// TestVerifySaysWhatEachPositionIs also takes a source at its word that it is
// dense, and finds where it lied.
func TestVerifySaysWhatEachPositionIs(t *testing.T) {
	runs := func(report archive.Report) string {
		var b strings.Builder
		for _, p := range report.Streams[0].Partitions {
			for _, r := range p.Runs {
				fmt.Fprintf(&b, "%s:%s %s-%s\n", p.Partition, r.Kind, recount.ShortPosition(r.First), recount.ShortPosition(r.Last))
			}
		}
		return b.String()
	}
	s, bus := &mem.Store{}, newBus()
	bus.watermark = func() time.Time { return noon }
	bus.grow("0", 100, noon.Add(-100*time.Minute)) // over two hours, so in several files
	bus.grow("1", 50, noon.Add(-100*time.Minute))
	bus.gaps["0"] = map[int]recount.Gap{
		40: {Partition: "0", From: pad(40), To: pad(45), Reason: recount.GapControl},
		99: {Partition: "0", From: pad(99), To: pad(100), Reason: recount.GapControl},
	}
	bus.first["0"] = 10
	opts := options(bus)
	opts.CommitEvents = 30
	mustRun(t, open(s), opts)
	report := verified(t, s)
	if got, want := runs(report), "0:lost 0-9\n0:sealed 10-99\n1:sealed 0-49\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if p := report.Streams[0].Partitions[0]; p.Runs == nil || p.Gaps[recount.GapControl] != 6 || p.Gaps[recount.GapRetention] != 10 {
		t.Errorf("partition: %+v", p)
	}
	// A hole and a position twice.
	bus.parts["1"][20].Position = pad(19)
	s = &mem.Store{}
	mustRun(t, open(s), opts)
	report, err := open(s).Verify(t.Context(), nil, nil)
	wantCode(t, err, recount.CodeDamaged)
	if got, want := runs(report), "0:lost 0-9\n0:sealed 10-99\n1:sealed 0-19\n1:overlap 19-19\n1:hole 20-20\n1:sealed 21-49\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if len(report.Streams[0].Problems) != 2 {
		t.Errorf("problems: %v", report.Streams[0].Problems)
	}
	// What was pulled stands apart, and is no hole.
	bus.parts["1"][20].Position = pad(20)
	s = &mem.Store{}
	for _, w := range [][2]int{{60, 70}, {20, 30}} {
		opts.Pull = &source.Span{Positions: []recount.PositionWindow{{Partition: "0", From: pad(w[0]), To: pad(w[1])}}}
		mustRun(t, open(s), opts)
	}
	if got, want := runs(verified(t, s)), "0:sealed 20-29\n0:sealed 60-69\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
