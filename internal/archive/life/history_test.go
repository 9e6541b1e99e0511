package life_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"recount"
	"recount/internal/archive"
	"recount/internal/archive/cover"
	"recount/internal/archive/eventfile"
	"recount/internal/fault"
	"recount/source"
	"recount/store"
	"recount/store/mem"
)

// history is a topic and its archive, and what somebody knows who saw everything.
type history struct {
	t     *testing.T
	rng   *rand.Rand
	topic *topic
	store *mem.Store
	did   []string
	taken map[string]bool // events that retention took out
	since time.Time
	came  map[string]string // when each event came, whatever was compacted since
	yes   int               // windows that were said to be complete
}

// TestAnyHistoryKeepsEachEventOnceAndClaimsNoMore plays runs, live runs, pulls,
// compactions and expiries in any order, each of which may crash or fail at any
// call, while the topic grows, forgets and is made anew. RECOUNT_HISTORIES says how
// many; RECOUNT_HISTORY plays one.
func TestAnyHistoryKeepsEachEventOnceAndClaimsNoMore(t *testing.T) {
	first, many := 1, 25
	if n, err := strconv.Atoi(os.Getenv("RECOUNT_HISTORIES")); err == nil {
		many = n
	}
	if n, err := strconv.Atoi(os.Getenv("RECOUNT_HISTORY")); err == nil {
		first, many = n, n
	}
	yes := 0
	for seed := first; seed <= many; seed++ {
		rng := rand.New(rand.NewPCG(uint64(seed), 77))
		h := &history{t: t, rng: rng, topic: newTopic(rng), store: &mem.Store{}, taken: map[string]bool{}, came: map[string]string{}}
		for range 6 + rng.IntN(25) {
			h.step()
			h.judge()
			if t.Failed() {
				break
			}
		}
		h.finish()
		yes += h.yes
		if t.Failed() {
			t.Fatalf("history %d:\n%s", seed, strings.Join(h.did, "\n"))
		}
	}
	if first != many && yes < many {
		t.Errorf("only %d windows were said to be complete", yes)
	}
	t.Logf("%d windows were complete", yes)
}

func (h *history) note(format string, args ...any) {
	h.did = append(h.did, fmt.Sprintf(format, args...))
}

func (h *history) step() {
	switch h.rng.IntN(13) {
	case 0, 1, 2:
		h.topic.send(1 + h.rng.IntN(25))
		h.note("sent, now %s", h.topic.now.Format(time.TimeOnly))
	case 3:
		p, n := strconv.Itoa(h.rng.IntN(2)), 1+h.rng.IntN(20)
		h.topic.forget(p, n)
		h.note("forgot %d of %s", n, p)
	case 4:
		if h.rng.IntN(2) == 0 {
			p := strconv.Itoa(h.rng.IntN(2))
			h.topic.anew(p)
			h.topic.send(h.rng.IntN(20))
			h.note("made %s anew", p)
		}
	case 5, 6:
		h.act("run", h.run)
	case 7:
		h.act("live run", h.live)
	case 8, 9:
		h.act("pull", h.pull)
	case 10:
		h.act("pull of positions", h.pullPositions)
	case 11:
		h.act("compact", h.compact)
	case 12:
		h.act("expire", h.expire)
	}
}

// act does something whose process may crash, or whose store or source may fail at
// any call.
func (h *history) act(what string, do func(*archive.Archive) error) {
	var s store.Store = h.store
	h.topic.pieces, h.topic.fail = -1, nil
	switch h.rng.IntN(4) {
	case 0:
		kind := []fault.Kind{fault.Crash, fault.After, fault.Fail, fault.Lost, fault.Short}[h.rng.IntN(5)]
		n := 1 + h.rng.IntN(60)
		s = unlocked{fault.Wrap(h.store, fault.Nth(n, kind))}
		what += fmt.Sprintf(", call %d goes wrong (%d)", n, kind)
	case 1:
		h.topic.pieces = h.rng.IntN(12)
		h.topic.fail = []error{fmt.Errorf("the topic is away: %w", recount.ErrTransient), fmt.Errorf("the topic is broken")}[h.rng.IntN(2)]
		what += fmt.Sprintf(", the source fails after %d batches", h.topic.pieces)
	}
	before := h.archived()
	err := do(archive.Open(s, h.topic))
	h.topic.pieces, h.topic.end = -1, nil
	h.note("%s: %v", what, err)
	after := h.archived()
	for key := range before {
		if after[key] > 0 {
			continue
		}
		h.taken[key] = true
		if e := h.topic.sent[key].event; !e.Time.Before(h.since) {
			h.t.Errorf("%s of %s is gone", key, e.Time)
		}
	}
}

// unlocked is a store whose locks die with its process.
type unlocked struct{ store.Store }

func (unlocked) Lock(context.Context, string) (func() error, error) {
	return func() error { return nil }, nil
}

func (h *history) options() archive.RunOptions {
	return archive.RunOptions{
		Stream: "orders", Source: h.topic, MappingDigest: "m", Program: "test", Lateness: lateBy, CommitEvents: int64(1 + h.rng.IntN(20)),
	}
}

func (h *history) run(a *archive.Archive) error {
	_, err := a.Run(h.t.Context(), h.options())
	return err
}

func (h *history) live(a *archive.Archive) error {
	ctx, stop := context.WithCancel(h.t.Context())
	defer stop()
	opts := h.options()
	opts.Live, opts.Flush = true, 5*time.Second
	waits := 0
	h.topic.end = func() {
		if waits++; waits > 5 {
			stop()
		} else {
			h.topic.send(h.rng.IntN(4))
		}
	}
	_, err := a.Run(ctx, opts)
	return err
}

func (h *history) pull(a *archive.Archive) error {
	opts := h.options()
	w := h.window()
	opts.Pull = &source.Span{From: w.From, To: w.To}
	h.note("(%s)", w)
	_, err := a.Run(h.t.Context(), opts)
	return err
}

func (h *history) pullPositions(a *archive.Archive) error {
	opts := h.options()
	opts.Pull = &source.Span{}
	for range 1 + h.rng.IntN(3) {
		if w, ok := h.positions(); ok {
			h.note("(%s)", w)
			opts.Pull.Positions = append(opts.Pull.Positions, w)
		}
	}
	if len(opts.Pull.Positions) == 0 {
		return nil
	}
	_, err := a.Run(h.t.Context(), opts)
	return err
}

func (h *history) compact(a *archive.Archive) error {
	_, err := a.Compact(h.t.Context(), compacting(h.t))
	return err
}

func (h *history) expire(a *archive.Archive) error {
	before := noon.Add(time.Duration(h.rng.Int64N(int64(h.topic.now.Sub(noon)) + 1))).Truncate(time.Hour)
	if before.After(h.since) {
		h.since = before // whether or not it comes that far
	}
	_, err := a.Expire(h.t.Context(), archive.ExpireOptions{Stream: "orders", Before: before, Leftovers: h.rng.IntN(2) == 0, Program: "test"})
	return err
}

// window is a span of time in which there is something, mostly.
func (h *history) window() recount.Window {
	length := int64(h.topic.now.Sub(noon)) + int64(time.Minute)
	from := noon.Add(time.Duration(h.rng.Int64N(length))).Truncate(time.Second)
	return recount.Window{From: from, To: from.Add(time.Duration(1+h.rng.IntN(1200)) * time.Second)}
}

func (h *history) positions() (recount.PositionWindow, bool) {
	names := h.topic.partitions()
	if len(names) == 0 {
		return recount.PositionWindow{}, false
	}
	from := h.rng.IntN(40)
	return recount.PositionWindow{Partition: names[h.rng.IntN(len(names))], From: pad(from), To: pad(from + 1 + h.rng.IntN(30))}, true
}

// archived counts the events of the newest snapshot by place, and finds those that
// nobody sent.
func (h *history) archived() map[string]int {
	h.t.Helper()
	found := map[string]int{}
	snap, err := open(h.store).Snapshot(h.t.Context(), "orders")
	if code(err) == recount.CodeNoArchive {
		return found
	}
	if err != nil {
		h.t.Fatalf("snapshot: %v\n%s", err, strings.Join(h.did, "\n"))
	}
	for _, r := range rows(h.t, h.store, snap) {
		key := r.Partition + "@" + r.Position
		if found[key]++; found[key] > 1 {
			h.t.Errorf("%s is there twice", key)
		}
		came := fmt.Sprintf("%d by commit %d, when the watermark was %s", r.Seq, r.Commit, r.Before)
		if before, known := h.came[key]; known && before != came {
			h.t.Errorf("%s came as %s, and now as %s", key, before, came)
		}
		h.came[key] = came
		if s := h.topic.sent[key]; s == nil || string(s.event.Data) != string(r.Data) || !s.event.Time.Equal(r.Time) {
			h.t.Errorf("%s was never sent so", key)
		}
	}
	return found
}

// judge compares what the archive says of itself with what is in it.
func (h *history) judge() {
	h.t.Helper()
	snap, err := open(h.store).Snapshot(h.t.Context(), "orders")
	if code(err) == recount.CodeNoArchive {
		return
	}
	found := h.archived()
	for range 12 {
		w := h.window()
		reads := []recount.Window{w, {To: w.To}, {From: w.From.Add(-10 * time.Minute), To: w.To}}
		read := reads[h.rng.IntN(len(reads))]
		if cover.Complete(snap, w, read) == nil {
			h.yes++
			h.whole(snap, found, fmt.Sprintf("window %s, read from %s", w, read.From), func(e recount.Event) bool { return !e.Time.Before(read.From) && e.Time.Before(w.To) })
		}
		if w, ok := h.positions(); ok && cover.CompletePositions(snap, []recount.PositionWindow{w}) == nil {
			h.yes++
			h.whole(snap, found, "window "+w.String(), func(e recount.Event) bool {
				return e.Partition == w.Partition && e.Position >= w.From && e.Position < w.To
			})
		}
	}
	for _, g := range snap.Gaps {
		for key := range found {
			if e := h.topic.sent[key].event; e.Partition == g.Partition && e.Position >= g.From && e.Position < g.To {
				h.t.Errorf("%s is archived, and in gap %s (%s)", key, g, g.Reason)
			}
		}
	}
	h.headless(snap)
	if len(h.taken) == 0 { // a copy of what was taken out is none
		h.marks(snap)
	}
}

// marks judges the events naively, in their order of arrival.
func (h *history) marks(snap recount.Snapshot) {
	h.t.Helper()
	all := rows(h.t, h.store, snap)
	byID := map[string][]row{}
	want, got := map[string]int{}, map[string]int{}
	for _, seq := range slices.Sorted(maps.Keys(all)) {
		r := all[seq]
		if slices.ContainsFunc(byID[r.ID], func(o row) bool { return string(o.Data) == string(r.Data) }) {
			want[fmt.Sprintf("%d %s", seq, recount.MarkRepeat)]++
		}
		byID[r.ID] = append(byID[r.ID], r)
	}
	for _, copies := range byID {
		if slices.ContainsFunc(copies, func(o row) bool { return string(o.Data) != string(copies[0].Data) }) {
			for _, r := range copies {
				want[fmt.Sprintf("%d %s", r.Seq, recount.MarkConflict)]++
			}
		}
	}
	for _, m := range snap.Marks {
		r, err := h.store.Open(h.t.Context(), m.Name)
		if err != nil {
			h.t.Fatal(err)
		}
		ef, err := eventfile.Open(r)
		if err != nil {
			h.t.Fatal(err)
		}
		marks, err := ef.Marks()
		if err != nil {
			h.t.Fatal(err)
		}
		for _, mark := range marks {
			got[fmt.Sprintf("%d %s", mark.Seq, mark.Kind)]++
		}
		_ = ef.Close()
	}
	if !maps.Equal(got, want) {
		h.t.Errorf("marks: got %v, want %v", got, want)
	}
}

func (h *history) whole(snap recount.Snapshot, found map[string]int, what string, in func(recount.Event) bool) {
	h.t.Helper()
	for key, s := range h.topic.sent {
		if in(s.event) && found[key] == 0 && !h.topic.unseen(s.event, snap.Cursor) {
			h.t.Errorf("%s is said to be complete, but %s of %s is not there; gaps: %v, read: %v", what, key, s.event.Time.Format(time.TimeOnly), snap.Gaps, snap.Reached)
			return
		}
	}
}

// headless compares the snapshot with that of the log alone.
func (h *history) headless(snap recount.Snapshot) {
	h.t.Helper()
	log := &mem.Store{}
	err := h.store.List(h.t.Context(), "_recount/orders/commits/", func(name string, _ int64) error {
		r, err := h.store.Open(h.t.Context(), name)
		if err != nil {
			return err
		}
		defer func() { _ = r.Close() }()
		return log.Put(h.t.Context(), name, func(w io.Writer) error { _, err := io.Copy(w, r); return err })
	})
	if err != nil {
		h.t.Fatal(err)
	}
	if alone := snapshot(h.t, log); !reflect.DeepEqual(alone, snap) {
		h.t.Errorf("by the log alone:\n%+v\nby heads:\n%+v", alone, snap)
	}
}

// finish reads all that is left and accounts for every event.
func (h *history) finish() {
	h.t.Helper()
	for range 3 {
		if err := h.run(archive.Open(h.store, h.topic)); err != nil && code(err) != recount.CodeLost {
			h.t.Errorf("the last run: %v", err)
		}
	}
	h.judge()
	snap, found := snapshot(h.t, h.store), h.archived()
	for key, s := range h.topic.sent {
		lost := slices.ContainsFunc(snap.Gaps, func(g recount.Gap) bool {
			return g.Lost() && g.Partition == s.event.Partition && g.From <= s.event.Position && s.event.Position < g.To
		})
		switch {
		case found[key] == 1 || h.taken[key] || h.topic.unseen(s.event, snap.Cursor):
		case s.there:
			h.t.Errorf("%s can still be read, and is not archived (told as lost: %t)", key, lost)
		case !lost:
			h.t.Errorf("%s is gone without a word", key)
		}
	}
	if _, err := open(h.store).Verify(h.t.Context(), nil, nil); err != nil {
		h.t.Errorf("verify: %v", err)
	}
}
