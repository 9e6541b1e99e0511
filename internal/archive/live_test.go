package archive_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"recount"
	"recount/internal/archive"
	"recount/internal/fault"
	"recount/source"
	"recount/store"
	"recount/store/mem"
)

// scripted is a clock on which waiting takes no time. What is planned happens
// while a run waits.
type scripted struct {
	passed time.Duration
	moved  time.Duration // of the hands, by somebody
	plan   []step
}

type step struct {
	at time.Duration
	do func()
}

func (c *scripted) Now() time.Time        { return noon.Add(c.passed + c.moved) }
func (c *scripted) Passed() time.Duration { return c.passed }

func (c *scripted) Sleep(ctx context.Context, length time.Duration) {
	end := c.passed + length
	for len(c.plan) > 0 && c.plan[0].at <= end && ctx.Err() == nil {
		next := c.plan[0]
		c.plan = c.plan[1:]
		c.passed = max(c.passed, next.at)
		next.do()
	}
	c.passed = end
}

// at plans something, after all that is planned already.
func (c *scripted) at(at time.Duration, do func()) { c.plan = append(c.plan, step{at, do}) }

// busSource is a partitioned log that grows, forgets and fails.
type busSource struct {
	mu        sync.Mutex
	parts     map[string][]recount.Event
	first     map[string]int // the oldest that is kept
	gaps      map[string]map[int]recount.Gap
	fail      error
	watermark func() time.Time
	told      []source.Cursor
	reads     int
	batch     int
}

func newBus() *busSource {
	return &busSource{
		parts: map[string][]recount.Event{}, first: map[string]int{}, gaps: map[string]map[int]recount.Gap{}, batch: 7,
		watermark: func() time.Time { return time.Now().UTC() },
	}
}

// grow adds n events to a partition, a second apart from an instant on.
func (s *busSource) grow(partition string, n int, from time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range n {
		at := len(s.parts[partition])
		e := event(at, from.Add(time.Duration(i)*time.Second))
		e.ID = fmt.Sprintf("%s-%d", partition, at)
		e.Partition, e.Position = partition, recount.PadPosition(strconv.Itoa(at))
		s.parts[partition] = append(s.parts[partition], e)
	}
}

func (s *busSource) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *busSource) Info() source.Info { return source.Info{HasID: true, Place: "bus", Dense: true} }
func (s *busSource) Decoder(string, string) (source.Decoder, error) {
	return fakeDecoder{}, nil
}
func (s *busSource) Check(context.Context) error { return nil }
func (s *busSource) Close() error                { return nil }

func (s *busSource) Committed(_ context.Context, c source.Cursor) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = append(s.told, c)
	return nil
}

func (s *busSource) Read(ctx context.Context, cursor source.Cursor, emit func(source.Batch) error) (source.End, error) {
	s.mu.Lock()
	s.reads++
	at := s.watermark()
	s.mu.Unlock()
	for _, p := range s.names() {
		from := 0
		if c, ok := cursor[p]; ok {
			n, err := strconv.Atoi(c)
			if err != nil {
				return source.End{}, err
			}
			from = n
		}
		if err := s.span(ctx, p, from, 1<<40, emit); err != nil {
			return source.End{}, err
		}
	}
	return source.End{Watermark: at, Partitions: len(s.parts)}, ctx.Err()
}

func (s *busSource) names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return sortedKeys(s.parts)
}

// span hands over the positions [from, to) of a partition.
func (s *busSource) span(_ context.Context, p string, from, to int, emit func(source.Batch) error) error {
	for {
		s.mu.Lock()
		if s.fail != nil {
			defer s.mu.Unlock()
			return s.fail
		}
		b := source.Batch{Partition: p, Format: "csv", Header: "h"}
		if first := s.first[p]; from < first && first <= to {
			b.Gaps = append(b.Gaps, recount.Gap{Partition: p, From: pad(from), To: pad(first), Reason: recount.GapRetention})
			from = first
		}
		for len(b.Events) < s.batch && from < min(len(s.parts[p]), to) {
			if g, ok := s.gaps[p][from]; ok {
				b.Gaps = append(b.Gaps, g)
				n, _ := strconv.Atoi(recount.ShortPosition(g.To))
				from = max(n, from+1)
				continue
			}
			e := s.parts[p][from]
			e.Fields = append([]recount.Value(nil), e.Fields...)
			b.Events = append(b.Events, e)
			from++
		}
		s.mu.Unlock()
		if len(b.Events)+len(b.Gaps) == 0 {
			return nil
		}
		b.Cursor = strconv.Itoa(from)
		if err := emit(b); err != nil {
			return err
		}
	}
}

func pad(n int) string { return recount.PadPosition(strconv.Itoa(n)) }

func (s *busSource) ReadSpan(ctx context.Context, span source.Span, emit func(source.Batch) error) (source.End, error) {
	for _, p := range s.names() {
		from, to := 0, 0
		for _, w := range span.Positions {
			if w.Partition == p {
				from, _ = strconv.Atoi(recount.ShortPosition(w.From))
				to, _ = strconv.Atoi(recount.ShortPosition(w.To))
			}
		}
		if len(span.Positions) == 0 {
			s.mu.Lock()
			list := s.parts[p]
			for from < len(list) && list[from].Time.Before(span.From) {
				from++
			}
			to = from
			for to < len(list) && list[to].Time.Before(span.To) {
				to++
			}
			s.mu.Unlock()
		}
		if err := s.span(ctx, p, from, to, emit); err != nil {
			return source.End{}, err
		}
	}
	return source.End{Partitions: len(s.parts)}, nil
}

// wants are the events that an archive of the bus must hold.
func (s *busSource) wants(keep func(recount.Event) bool) map[string]int {
	want := map[string]int{}
	for _, events := range s.parts {
		for _, e := range events {
			if keep == nil || keep(e) {
				want[eventKey(e.Partition, e.Position, e.Data)]++
			}
		}
	}
	return want
}

// liveRun is a live run over a scripted clock.
type liveRun struct {
	t     *testing.T
	clock *scripted
	store store.Store
	bus   *busSource
	opts  archive.RunOptions
	told  []archive.Status
}

func newLive(t *testing.T) *liveRun {
	l := &liveRun{t: t, clock: &scripted{}, store: &mem.Store{}, bus: newBus()}
	l.bus.watermark = func() time.Time { return l.clock.Now() }
	l.opts = options(l.bus)
	l.opts.Live = true
	l.opts.Tell = func(st archive.Status) { l.told = append(l.told, st) }
	return l
}

// run runs until everything planned has happened, and then is interrupted.
func (l *liveRun) run(s store.Store) (archive.RunResult, error) {
	l.t.Helper()
	ctx, stop := context.WithCancel(l.t.Context())
	defer stop()
	last := time.Duration(0)
	for _, step := range l.clock.plan {
		last = max(last, step.at)
	}
	l.clock.at(last, stop)
	return archive.Open(s, l.clock).Run(ctx, l.opts)
}

// archived checks that the archive holds all events of the bus, each once.
func (l *liveRun) archived() recount.Snapshot {
	l.t.Helper()
	return wantArchived(l.t, l.store, l.bus.wants(nil))
}

func wantArchived(t *testing.T, s store.Store, want map[string]int) recount.Snapshot {
	t.Helper()
	snap := mustSnapshot(t, open(s))
	if diff := diffCounts(readAll(t, s, snap).events, want); diff != "" {
		t.Fatalf("events differ:%s", diff)
	}
	return snap
}

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

func TestLostEventsAreRecordedAndSaid(t *testing.T) {
	s, bus := &mem.Store{}, newBus()
	bus.watermark = func() time.Time { return noon }
	bus.grow("0", 30, noon.Add(-time.Hour))
	bus.grow("1", 5, noon.Add(-time.Hour))
	bus.first["0"] = 12
	res, err := open(s).Run(t.Context(), options(bus))
	wantCode(t, err, recount.CodeLost)
	if !strings.Contains(err.Error(), "partition 0, positions [0, 12)") || res.Events != 23 || len(res.Lost) != 1 {
		t.Errorf("got %v, %+v", err, res)
	}
	snap := wantArchived(t, s, bus.wants(func(e recount.Event) bool { return e.Partition == "1" || e.Position >= pad(12) }))
	if want := []recount.Gap{{Partition: "0", From: pad(0), To: pad(12), Reason: recount.GapRetention}}; !slices.Equal(snap.Gaps, want) {
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
	src := newSource(5)
	opts = options(src)
	opts.Pull = &source.Span{From: noon.Add(-time.Hour), To: noon}
	_, err := open(&mem.Store{}).Run(t.Context(), opts)
	wantCode(t, err, recount.CodeUnsupported)
}

func TestTombstonesAndLargeEvents(t *testing.T) {
	s := &mem.Store{}
	src := &fakeSource{partitions: map[string][]recount.Event{}, batch: 10, watermark: noon}
	large := bytes.Repeat([]byte("0123456789abcdef"), 4<<20) // 64 MiB
	for i, data := range [][]byte{nil, {}, large, nil, []byte("x")} {
		e := event(i, noon)
		e.Partition, e.Data = "0", data
		if i == 3 {
			e.ID = "e-000000" // the same tombstone again: a repeat
		}
		src.add(e)
	}
	e := event(1, noon) // the empty payload's id with a tombstone: a conflict
	e.Partition, e.Data = "0", nil
	src.add(e)
	res := mustRun(t, open(s), options(src))
	if res.Repeats != 1 || res.Conflicts != 2 {
		t.Errorf("result: %+v", res)
	}
	got := readAll(t, s, mustSnapshot(t, open(s)))
	if got.bySeq[1].Data != nil || got.bySeq[2].Data == nil || !bytes.Equal(got.bySeq[3].Data, large) || got.bySeq[4].Data != nil {
		t.Errorf("payloads: %v, %v, %d bytes, %v", got.bySeq[1].Data, got.bySeq[2].Data, len(got.bySeq[3].Data), got.bySeq[4].Data)
	}
	verified(t, s)
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
	if _, err := open(s).Run(t.Context(), opts); code(err) != recount.CodeLost {
		t.Fatal(err)
	}
	report := verified(t, s)
	if got, want := runs(report), "0:lost 0-9\n0:sealed 10-99\n1:sealed 0-49\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if p := report.Streams[0].Partitions[0]; !p.Dense || p.Gaps[recount.GapControl] != 6 || p.Gaps[recount.GapRetention] != 10 {
		t.Errorf("partition: %+v", p)
	}
	// A hole and a position twice.
	bus.parts["1"][20].Position = pad(19)
	s = &mem.Store{}
	if _, err := open(s).Run(t.Context(), opts); code(err) != recount.CodeLost {
		t.Fatal(err)
	}
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

// TestManyOpenHoursStayWithinTheBudget opens two thousand hours in one commit.
func TestManyOpenHoursStayWithinTheBudget(t *testing.T) {
	const hours, each, budget = 2000, 40, 48 << 20
	s := &mem.Store{}
	src := &heapSource{fakeSource: fakeSource{partitions: map[string][]recount.Event{}, batch: 500, watermark: noon}}
	for i := range hours * each {
		e := event(i, noon.Add(-time.Duration(i%hours)*time.Hour))
		e.Data = append(e.Data, bytes.Repeat([]byte("0123456789"), 60)...)
		src.add(e)
	}
	opts := options(src)
	opts.MemoryBudget = budget
	src.before = heap()
	res := mustRun(t, open(s), opts)
	if res.Events != hours*each || res.Commits != 1 {
		t.Errorf("result: %+v", res)
	}
	written := res.Bytes // the store keeps them in memory
	t.Logf("%d files, %d MiB written; at most %d MiB on the heap", res.Files, written>>20, src.most>>20)
	if src.most > budget+uint64(written) {
		t.Errorf("the heap grew by %d MiB, of which %d MiB are what is stored; the budget is %d MiB", src.most>>20, written>>20, budget>>20)
	}
}

// heapSource measures the heap while it is read.
type heapSource struct {
	fakeSource
	before, most uint64
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func (s *heapSource) Read(ctx context.Context, cursor source.Cursor, emit func(source.Batch) error) (source.End, error) {
	n := 0
	return s.fakeSource.Read(ctx, cursor, func(b source.Batch) error {
		if err := emit(b); err != nil {
			return err
		}
		if n++; n%8 == 0 {
			if now := heap(); now > s.before {
				s.most = max(s.most, now-s.before)
			}
		}
		return nil
	})
}
