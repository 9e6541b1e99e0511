package life_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"recount"
	"recount/source"
)

// lateBy is how late an event of the topic comes at most.
const lateBy = 2 * time.Minute

// topic is a source of two partitions that grows, forgets, is deleted and made
// anew, has markers between its events, and fails. Of each event that was ever sent
// it knows whether it can still be read.
type topic struct {
	rng   *rand.Rand
	now   time.Time
	parts map[string]*topicLog // by partition, the present log
	sent  map[string]*sentEvent
	ids   []recount.Event

	pieces int // batches until the next failure; below zero: none comes
	fail   error
	end    func() // called where a live run waits
}

// topicLog is one generation of a partition.
type topicLog struct {
	generation int
	start      int
	slots      []slot
}

// slot is a position: an event's, or that of a marker.
type slot struct {
	event  *recount.Event
	reason recount.GapReason
}

type sentEvent struct {
	event recount.Event
	there bool // the source still has it
}

func newTopic(rng *rand.Rand) *topic {
	return &topic{
		rng: rng, now: noon, pieces: -1, sent: map[string]*sentEvent{},
		parts: map[string]*topicLog{"0": {generation: 1}, "1": {generation: 1}},
	}
}

func (t *topic) Now() time.Time        { return t.now }
func (t *topic) Passed() time.Duration { return t.now.Sub(noon) }
func (t *topic) Sleep(_ context.Context, d time.Duration) {
	t.now = t.now.Add(d)
	if t.end != nil {
		t.end()
	}
}

func generationName(p string, generation int) string {
	if generation == 1 {
		return p
	}
	return p + "@" + strconv.Itoa(generation)
}

func pad(n int) string { return recount.PadPosition(strconv.Itoa(n)) }

// send appends events, some of them late, sent again or changed, and markers.
func (t *topic) send(n int) {
	for range n {
		t.now = t.now.Add(time.Duration(t.rng.IntN(60_000)) * time.Millisecond)
		p := strconv.Itoa(t.rng.IntN(2))
		l := t.parts[p]
		if t.rng.IntN(6) == 0 {
			reason := []recount.GapReason{recount.GapControl, recount.GapReplay, recount.GapCompacted}[t.rng.IntN(3)]
			l.slots = append(l.slots, slot{reason: reason})
			continue
		}
		id := fmt.Sprintf("e-%05d", len(t.sent))
		e := recount.Event{ID: id, Data: []byte(id), Time: t.now.Add(-time.Duration(t.rng.Int64N(int64(lateBy)))).Truncate(time.Microsecond)}
		if len(t.ids) > 0 && t.rng.IntN(8) == 0 {
			again := t.ids[t.rng.IntN(len(t.ids))]
			if e.ID, e.Data = again.ID, again.Data; t.rng.IntN(3) == 0 {
				e.Data = append([]byte("changed "), e.Data...)
			}
		}
		t.ids = append(t.ids, e)
		e.Partition, e.Position = generationName(p, l.generation), pad(len(l.slots))
		l.slots = append(l.slots, slot{event: &e})
		t.sent[e.Partition+"@"+e.Position] = &sentEvent{event: e, there: true}
	}
}

// forget deletes the oldest slots of a partition.
func (t *topic) forget(p string, n int) {
	l := t.parts[p]
	for ; n > 0 && l.start < len(l.slots); n-- {
		if e := l.slots[l.start].event; e != nil {
			t.sent[e.Partition+"@"+e.Position].there = false
		}
		l.start++
	}
}

// anew deletes a partition and makes it again.
func (t *topic) anew(p string) {
	t.forget(p, len(t.parts[p].slots))
	t.parts[p] = &topicLog{generation: t.parts[p].generation + 1}
}

func (t *topic) Info() source.Info { return source.Info{HasID: true, Place: "model", Dense: true} }
func (t *topic) Decoder(string, string) (source.Decoder, error) {
	return nil, errors.ErrUnsupported
}
func (t *topic) Check(context.Context) error { return nil }
func (t *topic) Close() error                { return nil }

// stands is a cursor: generation and next position; of what was only pulled, no
// position; of a generation that is gone, an end.
type stands struct {
	generation int
	next       int // -1: nothing was followed
	over       bool
}

func parseStands(text string) stands {
	var s stands
	if _, err := fmt.Sscanf(text, "%d %d %t", &s.generation, &s.next, &s.over); err != nil {
		panic(err)
	}
	return s
}

func (s stands) text() string { return fmt.Sprintf("%d %d %t", s.generation, s.next, s.over) }

// held is by generation what the archive has of a partition.
func heldOf(cursor source.Cursor, p string) map[int]stands {
	all := map[int]stands{}
	for name, text := range cursor {
		if base, _, _ := strings.Cut(name, "@"); base == p {
			s := parseStands(text)
			all[s.generation] = s
		}
	}
	return all
}

func (t *topic) Read(ctx context.Context, cursor source.Cursor, emit func(source.Batch) error) (source.End, error) {
	at := t.now
	for _, p := range []string{"0", "1"} {
		l, held := t.parts[p], heldOf(cursor, p)
		if err := t.gone(ctx, p, held, emit); err != nil {
			return source.End{}, err
		}
		from := 0
		if now, known := held[l.generation]; known {
			from = max(now.next, 0)
		}
		if err := t.span(ctx, p, from, len(l.slots), false, emit); err != nil {
			return source.End{}, err
		}
	}
	return source.End{Watermark: at, Partitions: 2}, ctx.Err()
}

// gone tells of the logs that are no more, as far as the archive knew them.
func (t *topic) gone(ctx context.Context, p string, held map[int]stands, emit func(source.Batch) error) error {
	for generation := 1; generation < t.parts[p].generation; generation++ {
		old, known := held[generation]
		if !known || old.over {
			continue
		}
		name := generationName(p, generation)
		old.over = true
		g := recount.Gap{Partition: name, From: pad(max(old.next, 0)), To: pad(1 << 40), Reason: recount.GapRetention, Before: t.now.Add(time.Microsecond)}
		if err := t.hand(ctx, source.Batch{Partition: name, Gaps: []recount.Gap{g}, Cursor: old.text()}, emit); err != nil {
			return err
		}
	}
	return nil
}

// unseen says whether an event's log was deleted before the archive knew it.
func (t *topic) unseen(e recount.Event, cursor map[string]string) bool {
	p, _, _ := strings.Cut(e.Partition, "@")
	_, known := cursor[e.Partition]
	return !known && e.Partition != generationName(p, t.parts[p].generation)
}

func (t *topic) hand(ctx context.Context, b source.Batch, emit func(source.Batch) error) error {
	if t.pieces--; t.pieces == -1 {
		return t.fail
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	b.Events = slices.Clone(b.Events)
	return emit(b)
}

// span hands over positions of a partition's log.
func (t *topic) span(ctx context.Context, p string, from, to int, pulled bool, emit func(source.Batch) error) error {
	l := t.parts[p]
	name := generationName(p, l.generation)
	for to = min(to, len(l.slots)); from < to; {
		b := source.Batch{Partition: name, Format: "csv", Header: "h"}
		if from < l.start {
			gone := min(l.start, to)
			b.Gaps = append(b.Gaps, recount.Gap{Partition: name, From: pad(from), To: pad(gone), Reason: recount.GapRetention, Before: t.now.Add(time.Microsecond)})
			from = gone
		}
		for most := from + 1 + t.rng.IntN(5); from < min(most, to); from++ {
			if s := l.slots[from]; s.event != nil {
				b.Events = append(b.Events, *s.event)
			} else {
				b.Gaps = append(b.Gaps, recount.Gap{Partition: name, From: pad(from), To: pad(from + 1), Reason: s.reason})
			}
		}
		at := stands{generation: l.generation, next: from}
		if pulled {
			at.next = -1
		}
		b.Cursor = at.text()
		if err := t.hand(ctx, b, emit); err != nil {
			return err
		}
	}
	return nil
}

// ReadSpan finds times as Kafka does: the first at or after them.
func (t *topic) ReadSpan(ctx context.Context, span source.Span, emit func(source.Batch) error) (source.End, error) {
	for _, p := range []string{"0", "1"} {
		if err := t.gone(ctx, p, heldOf(span.Cursor, p), emit); err != nil {
			return source.End{}, err
		}
		l := t.parts[p]
		from, to := 0, 0
		for _, w := range span.Positions { // as given: whoever asks for two of one partition gets both
			if w.Partition != generationName(p, l.generation) {
				continue
			}
			first, _ := strconv.Atoi(recount.ShortPosition(w.From))
			last, _ := strconv.Atoi(recount.ShortPosition(w.To))
			if err := t.span(ctx, p, first, last, true, emit); err != nil {
				return source.End{}, err
			}
		}
		if len(span.Positions) == 0 {
			from, to = l.firstAt(span.From), l.firstAt(span.To)
			if from == l.firstAt(time.Time{}) { // nothing older is left, so that it may have been of the span
				from = 0
			}
		}
		if err := t.span(ctx, p, from, to, true, emit); err != nil {
			return source.End{}, err
		}
	}
	return source.End{Partitions: 2}, nil
}

func (l *topicLog) firstAt(at time.Time) int {
	for i := l.start; i < len(l.slots); i++ {
		if e := l.slots[i].event; e != nil && !e.Time.Before(at) {
			return i
		}
	}
	return len(l.slots)
}

// partitions names every log that ever was.
func (t *topic) partitions() []string {
	names := map[string]bool{}
	for _, s := range t.sent {
		names[s.event.Partition] = true
	}
	return slices.Sorted(maps.Keys(names))
}
