package sourcetest

import (
	"bytes"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"
	"unicode/utf8"

	"recount"
	"recount/source"
)

// some is a count of rows that takes several batches.
const some = 17_000

func everyEvent(t *testing.T, h Harness) {
	rows := [][]Row{many("a", some), many("b", 3), many("c", 1)}
	s := h.Make(t, Mapping(), rows).Source
	batches := readAll(t, s, source.Cursor{})
	for p, letter := range []string{"a", "b", "c"} {
		got := eventsOf(batches, letter)
		if len(got) != len(rows[p]) {
			t.Fatalf("partition %s: got %d events, want %d", letter, len(got), len(rows[p]))
		}
		for i, ev := range got {
			want := rows[p][i]
			at, err := time.Parse(time.RFC3339Nano, want.Time)
			if err != nil {
				t.Fatal(err)
			}
			fields := []recount.Value{recount.Text(want.User), recount.Text(want.Value), recount.Text(want.Note)}
			if ev.ID != want.ID || !ev.Time.Equal(at) || string(ev.Key) != want.User || ev.Fault != "" || !slices.Equal(ev.Fields, fields) {
				t.Fatalf("event %d: got %+v, want %+v", i, ev, want)
			}
			if ev.Partition != got[0].Partition || ev.Partition == "" {
				t.Fatalf("event %s: got partition %q, want %q", ev.ID, ev.Partition, got[0].Partition)
			}
		}
	}
	var bytesRead int64
	for _, b := range batches {
		bytesRead += b.Bytes
	}
	if bytesRead == 0 {
		t.Error("bytes read: got 0")
	}
}

func payloads(t *testing.T, h Harness) {
	rows := hostile(h)
	made := h.Make(t, Mapping(), [][]Row{rows})
	got := eventsOf(readAll(t, made.Source, source.Cursor{}), "h")
	if len(got) != len(rows) {
		t.Fatalf("got %d events, want %d", len(got), len(rows))
	}
	for i, ev := range got {
		if made.Payloads != nil && !bytes.Equal(ev.Data, made.Payloads[0][i]) {
			t.Errorf("payload of note %.40q: got %.80q, want %.80q", rows[i].Note, ev.Data, made.Payloads[0][i])
		}
		if !utf8.ValidString(rows[i].Note) {
			if ev.Fault == "" || !ev.Fields[2].Null || !slices.Equal(ev.Broken, []string{"remark"}) || ev.Fields[1] != recount.Text("1.50") {
				t.Errorf("note %.40q: got fault %q, broken %v, fields %v, want the note alone broken", rows[i].Note, ev.Fault, ev.Broken, ev.Fields)
			}
			continue
		}
		if ev.Fault != "" || ev.Fields[2] != recount.Text(rows[i].Note) {
			t.Errorf("note %.40q: got %.40q, fault %q", rows[i].Note, ev.Fields[2].Text, ev.Fault)
		}
	}
}

func positions(t *testing.T, h Harness) {
	s := h.Make(t, Mapping(), [][]Row{many("a", some), many("b", 12)}).Source
	last, width := map[string]string{}, 0
	for _, b := range readAll(t, s, source.Cursor{}) {
		for _, ev := range b.Events {
			if width == 0 {
				width = len(ev.Position)
			}
			if len(ev.Position) != width || width == 0 {
				t.Fatalf("position %q: got width %d, want %d", ev.Position, len(ev.Position), width)
			}
			if ev.Position <= last[ev.Partition] {
				t.Fatalf("partition %q: got position %q after %q", ev.Partition, ev.Position, last[ev.Partition])
			}
			last[ev.Partition] = ev.Position
		}
	}
}

func nothingNew(t *testing.T, h Harness) {
	s := h.Make(t, Mapping(), [][]Row{many("a", 100), many("b", 3)}).Source
	cursor := source.Cursor{}
	readAll(t, s, cursor)
	before := maps.Clone(cursor)
	if again := readAll(t, s, cursor); len(again) != 0 {
		t.Errorf("got %d batches, want none", len(again))
	}
	if !maps.Equal(before, cursor) {
		t.Errorf("cursor: got %v, want %v", cursor, before)
	}
}

func resumes(t *testing.T, h Harness) {
	s := h.Make(t, Mapping(), [][]Row{many("a", some), many("b", 3)}).Source
	all := readAll(t, s, source.Cursor{})
	if len(all) < 3 {
		t.Fatalf("got %d batches, want at least 3", len(all))
	}
	cursor := source.Cursor{}
	for k := range all {
		cursor[all[k].Partition] = all[k].Cursor
		rest := readAll(t, s, maps.Clone(cursor))
		for _, letter := range []string{"a", "b"} {
			want, got := eventsOf(all[k+1:], letter), eventsOf(rest, letter)
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("after batch %d: got %d events of %s, want %d, all alike", k, len(got), letter, len(want))
			}
		}
	}
}

func grows(t *testing.T, h Harness) {
	made := h.Make(t, Mapping(), [][]Row{many("a", 10), many("b", 3)})
	if made.Grow == nil {
		t.Skip("the stream cannot grow")
	}
	cursor := source.Cursor{}
	readAll(t, made.Source, cursor)
	made.Grow(t, 1, many("bb", some))
	got := readAll(t, made.Source, cursor)
	if n := len(eventsOf(got, "a")); n != 0 {
		t.Errorf("partition a: got %d events, want none", n)
	}
	var want []string
	for _, row := range many("bb", some) {
		want = append(want, row.ID)
	}
	if !slices.Equal(ids(eventsOf(got, "b")), want) {
		t.Errorf("partition b: got %d events, want the %d that were added", len(eventsOf(got, "b")), len(want))
	}
	// However a partition is read, an event has one position.
	first, again := eventsOf(got, "b")[0], eventsOf(readAll(t, made.Source, source.Cursor{}), "bb")[0]
	if first.Partition != again.Partition || first.Position != again.Position {
		t.Errorf("position after growing: got %s %q, want %s %q", first.Partition, first.Position, again.Partition, again.Position)
	}
}

func empty(t *testing.T, h Harness) {
	s := h.Make(t, Mapping(), [][]Row{{}}).Source
	cursor := source.Cursor{}
	// Where it begins may be told, so that a loss before the first event is seen.
	for _, b := range readAll(t, s, cursor) {
		if len(b.Events)+len(b.Gaps) != 0 {
			t.Errorf("got %d events and %d gaps, want none", len(b.Events), len(b.Gaps))
		}
	}
	if got := readAll(t, s, cursor); len(got) != 0 {
		t.Errorf("read again: got %d batches, want none", len(got))
	}
}

func answers(t *testing.T, h Harness) {
	s := h.Make(t, Mapping(), [][]Row{many("a", 2)}).Source
	if err := s.Check(t.Context()); err != nil {
		t.Errorf("check: got %v, want no error", err)
	}
	if info := s.Info(); !info.HasID || info.Place == "" {
		t.Errorf("info: got %+v, want an id and a place", info)
	}
	if err := s.Close(); err != nil {
		t.Errorf("close: got %v, want no error", err)
	}
}
