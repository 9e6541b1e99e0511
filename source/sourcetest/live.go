package sourcetest

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"recount"
	"recount/source"
)

// dense checks that a source whose positions have no holes leaves none: what holds
// no event is told.
func dense(t *testing.T, h Harness) {
	made := h.Make(t, Mapping(), [][]Row{many("a", 40), many("b", 3)})
	if !made.Source.Info().Dense {
		t.Skip("positions are not dense")
	}
	cursor, next := source.Cursor{}, map[string]string{}
	follow(t, readAll(t, made.Source, cursor), next)
	if made.Skip == nil {
		return
	}
	reason := made.Skip(t, 0)
	made.Grow(t, 0, many("aa", 5))
	made.Skip(t, 0)
	batches := readAll(t, made.Source, cursor)
	follow(t, batches, next)
	if n := len(eventsOf(batches, "a")); n != 5 {
		t.Errorf("got %d events, want the 5 that were added", n)
	}
	told := 0
	for _, b := range batches {
		for _, g := range b.Gaps {
			told++
			if g.Reason != reason {
				t.Errorf("gap %s: got reason %s, want %s", g, g.Reason, reason)
			}
		}
	}
	if told < 2 {
		t.Errorf("got %d gaps, want one before the events and one after", told)
	}
	if again := readAll(t, made.Source, cursor); len(again) != 0 {
		t.Errorf("a gap at the end: got %d batches when it was read, want none", len(again))
	}
}

// follow checks that each partition goes on where it stood, event by event and gap
// by gap. next is by partition the position that must come.
func follow(t *testing.T, batches []source.Batch, next map[string]string) {
	t.Helper()
	for _, b := range batches {
		events, gaps := b.Events, b.Gaps
		for len(events)+len(gaps) > 0 {
			var from, to string
			if len(gaps) > 0 && (len(events) == 0 || gaps[0].From < events[0].Position) {
				from, to = gaps[0].From, gaps[0].To
				if gaps[0].Partition != b.Partition || from >= to {
					t.Fatalf("gap %s of partition %q is none", gaps[0], b.Partition)
				}
				gaps = gaps[1:]
			} else {
				from, to = events[0].Position, after(t, events[0].Position)
				events = events[1:]
			}
			if want, known := next[b.Partition]; known && from != want {
				t.Fatalf("partition %q: %s comes after %s, and nothing tells why", b.Partition, from, want)
			}
			next[b.Partition] = to
		}
	}
}

// after is the position that follows another where positions are dense.
func after(t *testing.T, position string) string {
	t.Helper()
	n, ok := new(big.Int).SetString(position, 10)
	if !ok {
		t.Fatalf("position %q is no number, so that it cannot be dense", position)
	}
	return recount.PadPosition(n.Add(n, big.NewInt(1)).String())
}

func waits(t *testing.T, h Harness) {
	made := h.Make(t, Mapping(), [][]Row{many("a", 3)})
	w, ok := made.Source.(source.Waiter)
	if !ok || made.Grow == nil {
		t.Skip("the source does not wait")
	}
	cursor := source.Cursor{}
	readAll(t, made.Source, cursor)
	const short, most = 300 * time.Millisecond, 20 * time.Second
	ctx, cancel := context.WithTimeout(t.Context(), short)
	defer cancel()
	if err := w.Wait(ctx, cursor); err != nil {
		t.Errorf("nothing new until the context ends: got %v, want no error", err)
	}
	made.Grow(t, 0, many("aa", 2))
	ctx, cancel = context.WithTimeout(t.Context(), most)
	defer cancel()
	if err := w.Wait(ctx, cursor); err != nil || ctx.Err() != nil {
		t.Fatalf("something new: got %v and %v, want a return", err, ctx.Err())
	}
	if n := len(eventsOf(readAll(t, made.Source, cursor), "a")); n != 2 {
		t.Errorf("got %d events, want 2", n)
	}
}

func spans(t *testing.T, h Harness) {
	rows := many("a", 200)
	made := h.Make(t, Mapping(), [][]Row{rows, many("b", 3)})
	s, ok := made.Source.(source.Spanned)
	if !ok {
		t.Skip("the source cannot be read by a span")
	}
	cursor := source.Cursor{}
	all := eventsOf(readAll(t, made.Source, cursor), "a")
	pulled := source.Cursor{}
	read := func(span source.Span) []recount.Event {
		t.Helper()
		span.Cursor = cursor
		var got []source.Batch
		if _, err := s.ReadSpan(t.Context(), span, func(b source.Batch) error { got = append(got, b); return nil }); err != nil {
			t.Fatalf("read span: got %v, want no error", err)
		}
		for _, b := range got {
			if b.Cursor != "" {
				pulled[b.Partition] = b.Cursor
			}
		}
		return eventsOf(got, "a")
	}
	same := func(what string, got, want []recount.Event) {
		t.Helper()
		if !slices.EqualFunc(got, want, func(a, b recount.Event) bool {
			return a.ID == b.ID && a.Position == b.Position && a.Partition == b.Partition && bytes.Equal(a.Data, b.Data)
		}) {
			t.Errorf("%s: got %v, want %v", what, ids(got), ids(want))
		}
	}
	p := all[0].Partition
	same("positions", read(source.Span{Positions: []recount.PositionWindow{{Partition: p, From: all[20].Position, To: all[50].Position}}}), all[20:50])
	same("no position", read(source.Span{Positions: []recount.PositionWindow{{Partition: "no such partition", From: all[0].Position, To: all[9].Position}}}), nil)
	cursor = pulled // as an archive that has pulled only
	same("positions again", read(source.Span{Positions: []recount.PositionWindow{{Partition: p, From: all[10].Position, To: all[20].Position}}}), all[10:20])
	same("what a run finds after pulls", eventsOf(readAll(t, made.Source, maps.Clone(pulled)), "a"), all)
	if made.Stored == nil {
		return
	}
	at := made.Stored(0)
	same("a span of time", read(source.Span{From: at[30], To: at[70]}), all[30:70])
	same("a span before everything", read(source.Span{From: at[0].Add(-time.Hour), To: at[0]}), nil)
	same("all", read(source.Span{From: at[0], To: at[len(at)-1].Add(time.Hour)}), all)
}

func resumer(t *testing.T, h Harness) {
	s := h.Make(t, Mapping(), [][]Row{many("a", 3)}).Source
	r, ok := s.(source.Resumer)
	if !ok {
		t.Skip("the source cannot say what it lost")
	}
	cursor := source.Cursor{}
	readAll(t, s, cursor)
	for _, c := range []source.Cursor{nil, cursor} {
		if lost, err := r.Overtaken(t.Context(), c); err != nil || len(lost) != 0 {
			t.Errorf("got %v and %v, want nothing lost", lost, err)
		}
	}
}

// follows holds what a destination says of its readers against what they did.
func follows(t *testing.T, h Harness) {
	made := h.Make(t, Mapping(), [][]Row{many("a", 3), many("b", 3)})
	bus, ok := made.Source.(source.Bus)
	if !ok {
		t.Skip("the source's kind cannot be written to")
	}
	destination, _ := made.Destination(t)
	p, err := bus.Publisher(t.Context(), destination)
	if err != nil {
		t.Fatalf("publisher: got %v, want no error", err)
	}
	defer p.Close() //nolint:errcheck // what was published is looked at
	followed, ok := p.(source.Followed)
	if !ok {
		t.Skip("a destination does not keep how far its readers are")
	}
	group := "readers-of-" + strings.ReplaceAll(destination, ".", "-")
	check := func(what string, messages, left int64) {
		t.Helper()
		f, err := followed.Follow(t.Context(), group)
		if err != nil || f.Messages() != messages || f.Left() != left || f.Members != 0 || len(f.Parts) == 0 {
			t.Errorf("%s: got %+v and %v, want %d messages, %d left and no member", what, f, err, messages, left)
		}
		for _, part := range f.Parts {
			if part.Beyond {
				t.Errorf("%s: partition %s: got beyond the end", what, part.Partition)
			}
		}
	}
	check("an empty destination", 0, 0)
	var messages []source.Message
	for i := range 7 {
		messages = append(messages, source.Message{Key: fmt.Append(nil, i), Data: []byte("{}"), Time: time.Unix(int64(i), 0), Partition: "0", Headers: []recount.Header{{Name: "n", Value: fmt.Append(nil, i)}}})
	}
	if err := p.Publish(t.Context(), messages); err != nil {
		t.Fatalf("publish: got %v, want no error", err)
	}
	check("a group that is not there", 7, 7)
	made.Consume(t, destination, group, 3)
	check("a part", 7, 4)
	made.Consume(t, destination, group, 4)
	check("all", 7, 0)
	if err := p.Publish(t.Context(), messages[:2]); err != nil {
		t.Fatalf("publish: got %v, want no error", err)
	}
	check("more", 9, 2)
}

// publishes writes to a destination and reads it with a source of its own.
func publishes(t *testing.T, h Harness) {
	made := h.Make(t, Mapping(), [][]Row{many("a", 3), many("b", 3)})
	bus, ok := made.Source.(source.Bus)
	if !ok {
		t.Skip("the source's kind cannot be written to")
	}
	destination, back := made.Destination(t)
	if bus.Reads(destination) {
		t.Errorf("reads %q: got yes, want no", destination)
	}
	p, err := bus.Publisher(t.Context(), destination)
	if err != nil {
		t.Fatalf("publisher: got %v, want no error", err)
	}
	defer p.Close() //nolint:errcheck // what was published is read back
	all := readAll(t, made.Source, source.Cursor{})
	var messages []source.Message
	for _, letter := range []string{"a", "b"} {
		for _, e := range eventsOf(all, letter) {
			messages = append(messages, source.Message{
				Key: e.Key, Data: e.Data, Time: e.Time, Partition: e.Partition,
				Headers: []recount.Header{{Name: "note", Value: []byte("x")}, {Name: source.HeaderPosition, Value: []byte(e.Partition + "@" + e.Position)}},
			})
		}
	}
	if err := p.Publish(t.Context(), messages); err != nil {
		t.Fatalf("publish: got %v, want no error", err)
	}
	got := readAll(t, back, source.Cursor{})
	for _, letter := range []string{"a", "b"} {
		want, have := eventsOf(all, letter), eventsOf(got, letter)
		if !slices.EqualFunc(have, want, func(a, b recount.Event) bool {
			return a.ID == b.ID && bytes.Equal(a.Data, b.Data) && bytes.Equal(a.Key, b.Key)
		}) {
			t.Errorf("partition %s: got %v, want %v", letter, ids(have), ids(want))
		}
	}
	// What carries the header of a replay is no event, and tells what is there.
	for i := range messages {
		messages[i].Headers = append(messages[i].Headers, recount.Header{Name: source.HeaderReplay, Value: []byte("r1")})
	}
	if err := p.Publish(t.Context(), messages[:5]); err != nil {
		t.Fatalf("publish: got %v, want no error", err)
	}
	there := map[string]int{}
	err = p.Published(t.Context(), source.HeaderReplay, "r1", func(partition, position string) { there[partition+"@"+position]++ })
	for i, m := range messages {
		place := string(m.Headers[1].Value)
		if want := min(max(5-i, 0), 1); err != nil || there[place] != want {
			t.Errorf("published: got %s %d times and %v, want %d", place, there[place], err, want)
		}
	}
	if n := len(eventsOf(readAll(t, back, source.Cursor{}), "a")); n != 3 {
		t.Errorf("a replay's own messages: got %d events, want the 3 of before", n)
	}
}
