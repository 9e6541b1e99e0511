package sourcetest

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"

	"recount"
	"recount/source"
)

func faults(t *testing.T, h Harness) {
	good := many("a", 1)[0]
	with := func(change func(*Row)) Row {
		row := good
		change(&row)
		return row
	}
	cases := []struct {
		name   string
		row    Row
		broken []string
		id     bool
		time   bool
	}{
		{"sound", good, nil, true, true},
		{"a value of a wrong type", with(func(r *Row) { r.Value = "abc" }), []string{"value"}, true, true},
		{"a value with too many digits", with(func(r *Row) { r.Value = "1.005" }), []string{"value"}, true, true},
		{"a time that is none", with(func(r *Row) { r.Time = "yesterday" }), nil, true, false},
		{"no time", with(func(r *Row) { r.Time = "" }), nil, true, false},
		{"no id", with(func(r *Row) { r.ID = "" }), nil, false, true},
		{"sound again", good, nil, true, true},
	}
	rows := make([]Row, len(cases))
	for i, c := range cases {
		rows[i] = c.row
	}
	var got []recount.Event
	for _, b := range readAll(t, h.Make(t, Mapping(), [][]Row{rows}).Source, source.Cursor{}) {
		got = append(got, b.Events...)
	}
	if len(got) != len(cases) {
		t.Fatalf("got %d events, want %d", len(got), len(cases))
	}
	for i, c := range cases {
		ev := got[i]
		sound := c.broken == nil && c.id && c.time
		if (ev.Fault == "") != sound {
			t.Errorf("%s: got fault %q", c.name, ev.Fault)
		}
		if !slices.Equal(ev.Broken, c.broken) || ev.Fields[1].Null != (c.broken != nil) {
			t.Errorf("%s: got broken %v and value %v, want broken %v", c.name, ev.Broken, ev.Fields[1], c.broken)
		}
		if (ev.ID != "") != c.id || ev.Time.IsZero() == c.time {
			t.Errorf("%s: got id %q and time %v", c.name, ev.ID, ev.Time)
		}
		if ev.Fields[0] != recount.Text(good.User) || len(ev.Data) == 0 || ev.Position == "" {
			t.Errorf("%s: got user %v, %d bytes, position %q, want all that can be read", c.name, ev.Fields[0], len(ev.Data), ev.Position)
		}
	}
}

func decoder(t *testing.T, h Harness) {
	rows := append(hostile(h), many("a", 50)...)
	rows = append(rows, Row{ID: "x", Time: "never", User: "u", Value: "no number", Note: "n"})
	s := h.Make(t, Mapping(), [][]Row{rows}).Source
	for _, b := range readAll(t, s, source.Cursor{}) {
		d, err := s.Decoder(b.Format, b.Header)
		if err != nil {
			t.Fatalf("decoder of %s: %v", b.Format, err)
		}
		for _, want := range b.Events {
			got := d.Decode(want)
			got.Partition, got.Position = want.Partition, want.Position
			if !reflect.DeepEqual(got, want) {
				t.Errorf("event %q: got %.200v, want %.200v", want.ID, got, want)
			}
		}
	}
	if _, err := s.Decoder("no such format", ""); err == nil {
		t.Error("decoder of an unknown format: got no error")
	}
}

func ownership(t *testing.T, h Harness) {
	s := h.Make(t, Mapping(), [][]Row{many("a", some)}).Source
	want := readAll(t, s, source.Cursor{})
	var got []source.Batch
	_, err := s.Read(t.Context(), nil, func(b source.Batch) error {
		for i := range b.Events {
			clear(b.Events[i].Data)
			clear(b.Events[i].Key)
			b.Events[i].Fields = append(b.Events[i].Fields, recount.Text("mine"))
		}
		got = append(got, b)
		return nil
	})
	if err != nil {
		t.Fatalf("read: got %v, want no error", err)
	}
	for i, b := range got {
		for j, ev := range b.Events {
			whole := want[i].Events[j]
			if ev.ID != whole.ID || !slices.Equal(ev.Fields[:len(whole.Fields)], whole.Fields) {
				t.Fatalf("event %s: got id %q and fields %v after the receiver wrote to other events", whole.ID, ev.ID, ev.Fields)
			}
		}
	}
}

func emitError(t *testing.T, h Harness) {
	s := h.Make(t, Mapping(), [][]Row{many("a", some)}).Source
	full := errors.New("the archive is full")
	calls := 0
	_, err := s.Read(t.Context(), nil, func(source.Batch) error {
		calls++
		return full
	})
	if !errors.Is(err, full) {
		t.Errorf("got %v, want the error of emit", err)
	}
	if calls != 1 {
		t.Errorf("got %d calls of emit, want 1", calls)
	}
}

func cancelled(t *testing.T, h Harness) {
	s := h.Make(t, Mapping(), [][]Row{many("a", some)}).Source
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	calls := 0
	_, err := s.Read(ctx, nil, func(source.Batch) error {
		calls++
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if calls != 1 {
		t.Errorf("got %d batches, want 1", calls)
	}
	if _, err := s.Read(ctx, nil, func(source.Batch) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("reading under a context that had ended: got %v, want context.Canceled", err)
	}
}
