package livetest_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"recount"
	"recount/internal/archive"
	"recount/internal/archive/eventfile"
	"recount/internal/clock"
	"recount/source"
	"recount/store"
	"recount/store/mem"
)

var noon = time.Date(2024, 6, 10, 12, 0, 0, 0, time.UTC)

func open(s store.Store) *archive.Archive { return archive.Open(s, clock.Fixed(noon)) }

func options(src source.Source) archive.RunOptions {
	return archive.RunOptions{Stream: "orders", Source: src, MappingDigest: "m", Program: "test"}
}

func eventKey(e recount.Event) string {
	return fmt.Sprintf("%s@%s %x", e.Partition, e.Position, sha256.Sum256(e.Data))
}

// archivedEvents counts the events of an archive by partition, position and payload.
func archivedEvents(t *testing.T, s store.Store, snap recount.Snapshot) map[string]int {
	t.Helper()
	all := map[string]int{}
	for _, f := range snap.Files {
		r, err := s.Open(t.Context(), f.Name)
		if err != nil {
			t.Fatal(err)
		}
		ef, err := eventfile.Open(r)
		if err != nil {
			t.Fatal(err)
		}
		for g := range ef.Groups() {
			events, err := ef.Events(g, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range events {
				all[eventKey(e.Event)]++
			}
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func diffCounts(got, want map[string]int) string {
	var b strings.Builder
	both := maps.Clone(want)
	maps.Copy(both, got)
	for _, k := range slices.Sorted(maps.Keys(both)) {
		if got[k] != want[k] {
			fmt.Fprintf(&b, "\n%s: got %d, want %d", k, got[k], want[k])
		}
	}
	return b.String()
}

func code(err error) recount.Code {
	if e, ok := errors.AsType[*recount.Error](err); ok {
		return e.Code
	}
	return ""
}

// wantCode checks the code of an error and that it has all its parts.
func wantCode(t *testing.T, err error, want recount.Code) {
	t.Helper()
	var e *recount.Error
	if !errors.As(err, &e) || e.Code != want {
		t.Fatalf("got error %v, want code %s", err, want)
	}
	if e.What == "" || e.Where == "" || e.Why == "" || e.Next == "" {
		t.Errorf("a part is missing: %+v", e)
	}
}

func mustRun(t *testing.T, a *archive.Archive, opts archive.RunOptions) archive.RunResult {
	t.Helper()
	res, err := a.Run(t.Context(), opts)
	if err != nil {
		t.Fatalf("run: %v", err)
	}
	return res
}

func mustSnapshot(t *testing.T, a *archive.Archive) recount.Snapshot {
	t.Helper()
	snap, err := a.Snapshot(t.Context(), "orders")
	if err != nil {
		t.Fatalf("snapshot: %v", err)
	}
	return snap
}

// lockless is a store whose lock does not work.
type lockless struct{ store.Store }

func (lockless) Lock(context.Context, string) (func() error, error) {
	return nil, recount.ErrUnsupported
}

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
		watermark: func() time.Time { return noon },
	}
}

// grow adds n events to a partition, a second apart from an instant on.
func (s *busSource) grow(partition string, n int, from time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range n {
		at := len(s.parts[partition])
		id := fmt.Sprintf("%s-%d", partition, at)
		s.parts[partition] = append(s.parts[partition], recount.Event{
			ID: id, Partition: partition, Position: pad(at), Time: from.Add(time.Duration(i) * time.Second), Data: []byte(id),
		})
	}
}

func (s *busSource) Info() source.Info { return source.Info{HasID: true, Place: "bus", Dense: true} }

func (s *busSource) Decoder(string, string) (source.Decoder, error) {
	return nil, recount.ErrUnsupported
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
	return slices.Sorted(maps.Keys(s.parts))
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
			b.Events = append(b.Events, s.parts[p][from])
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

func (s *busSource) ReadSpan(ctx context.Context, span source.Span, each func(source.Batch) error) (source.End, error) {
	emit := func(b source.Batch) error { b.Cursor = ""; return each(b) } // its partitions are never others
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
				want[eventKey(e)]++
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
	if diff := diffCounts(archivedEvents(t, s, snap), want); diff != "" {
		t.Fatalf("events differ:%s", diff)
	}
	return snap
}
