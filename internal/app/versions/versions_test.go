package versions_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"recount"
	"recount/engine"
	"recount/engine/duckdb"
	"recount/engine/enginetest"
	"recount/internal/app/versions"
)

func TestMain(m *testing.M) { duckdb.RunTests(m) }

var noon = time.Date(2024, 6, 10, 12, 0, 0, 0, time.UTC)

func hour(n int) time.Time { return noon.Add(time.Duration(n) * time.Hour) }

// sums is a version whose sums tell it from others.
func sums(times int) recount.Logic {
	text := fmt.Sprintf("SELECT user_id, date_trunc('hour', time) AS hour, CAST(sum(value) * %d AS DECIMAL(38,2)) AS total FROM events GROUP BY ALL", times)
	return recount.Logic{Kind: recount.LogicSQL, Text: text, Path: fmt.Sprintf("v%d.sql", times), Digest: fmt.Sprint(times)}
}

func variant(logic recount.Logic) engine.Variant {
	return engine.Variant{Logic: logic, Key: []string{"user_id", "hour"}, Columns: []string{"total"}, Dedupe: true}
}

// history is a random log over six hours and versions whose edges are hours.
type history struct {
	input    engine.Input
	versions []recount.Version
	users    []string
}

func draw(t *rapid.T, tb testing.TB) history {
	b := enginetest.NewBuilder(tb, enginetest.Fields...)
	h := history{users: []string{"a", "b", "c"}}
	for range rapid.IntRange(1, 2).Draw(t, "files") {
		var events []enginetest.Event
		for i := range rapid.IntRange(1, 30).Draw(t, "events") {
			user, value := rapid.SampledFrom(h.users).Draw(t, "user"), fmt.Sprint(rapid.IntRange(0, 9).Draw(t, "value"))
			e := enginetest.Event{Event: recount.Event{
				ID: fmt.Sprintf("%p-%d", &events, i), Partition: "0", Position: recount.PadPosition(fmt.Sprint(i)), Data: []byte{},
				Time:   noon.Add(time.Duration(rapid.IntRange(0, 359).Draw(t, "minute")) * time.Minute),
				Fields: []recount.Value{recount.Text(user), recount.Text(value), recount.Text(value)},
			}}
			events = append(events, e)
		}
		b.Add(events...)
	}
	h.input = b.Input(noon, hour(6))
	edges := rapid.SliceOfNDistinct(rapid.IntRange(1, 5), 0, 3, func(n int) int { return n }).Draw(t, "edges")
	slices.Sort(edges)
	from := time.Time{}
	for i := range len(edges) + 1 {
		v := recount.Version{Name: fmt.Sprintf("v%d", i+1), Logic: sums(i + 1), Effective: recount.Window{From: from}}
		if i < len(edges) {
			from = hour(edges[i])
			v.Effective.To = from
		}
		h.versions = append(h.versions, v)
	}
	return h
}

func open(t *testing.T, e engine.Engine, in engine.Input) versions.Session {
	t.Helper()
	in.Scratch = t.TempDir()
	s, err := e.Open(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return versions.Session{Session: s, Span: in.Window, Time: func(key []recount.Value) (time.Time, error) { return recount.ParseTimestamp(key[1].Text) }}
}

func rows(t *testing.T, s engine.Session, v engine.Variant) (list []string) {
	t.Helper()
	r, err := s.Run(t.Context(), v)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	last := ""
	for row, ok := r.Next(); ok; row, ok = r.Next() {
		if text := recount.KeyText(row.Key); last != "" && text <= last {
			t.Errorf("key %q does not follow %q", text, last)
		} else {
			last = text
		}
		list = append(list, fmt.Sprint(row.Key, row.Values))
	}
	if r.Err() != nil {
		t.Fatal(r.Err())
	}
	return list
}

// TestAWindowIsItsVersionsJoined: rows, contributions and states over a window are
// those of each version over its own part of it.
func TestAWindowIsItsVersionsJoined(t *testing.T) {
	e := duckdb.New()
	t.Cleanup(func() { _ = e.Close() })
	histories := rapid.Custom(func(rt *rapid.T) history { return draw(rt, t) })
	for seed := range 12 { // each opens several sessions
		h := histories.Example(seed)
		logic := recount.Versioned(h.versions)
		s := open(t, e, h.input)
		q := engine.StatesQuery{}
		for _, user := range h.users {
			for n := range 6 {
				q.Keys = append(q.Keys, []recount.Value{recount.Text(user), recount.Text(recount.FormatTimestamp(hour(n)))})
			}
		}
		got := [3][]string{rows(t, s, variant(logic)), each(t, s, variant(logic)), states(t, s, variant(logic), q)}
		var want [3][]string
		for _, v := range h.versions {
			in := h.input
			if v.Effective.From.After(in.Window.From) {
				in.Window.From = v.Effective.From
			}
			if !v.Effective.To.IsZero() {
				in.Window.To = v.Effective.To
			}
			part := open(t, e, in)
			want[0] = append(want[0], rows(t, part, variant(v.Logic))...)
			want[1] = append(want[1], each(t, part, variant(v.Logic))...)
			want[2] = append(want[2], states(t, part, variant(v.Logic), q)...)
		}
		for i, what := range []string{"rows", "contributions", "states"} {
			slices.Sort(got[i])
			slices.Sort(want[i])
			if g, w := strings.Join(got[i], "\n"), strings.Join(want[i], "\n"); g != w {
				t.Fatalf("seed %d: %s of %d versions: got\n%s\nwant\n%s", seed, what, len(h.versions), g, w)
			}
		}
		first, err := s.Run(t.Context(), variant(logic))
		if err != nil {
			t.Fatal(err)
		}
		second := variant(logic)
		second.Split = 1
		if same, err := s.Same(t.Context(), second, first); err != nil || !same {
			t.Fatalf("a second run: same is %t, %v", same, err)
		}
		if err := first.Close(); err != nil {
			t.Error(err)
		}
	}
}

func each(t *testing.T, s engine.Session, v engine.Variant) (list []string) {
	t.Helper()
	c, err := s.Each(t.Context(), v)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	for one, ok := c.Next(); ok; one, ok = c.Next() {
		list = append(list, fmt.Sprint(one.Seq, one.Row))
	}
	if c.Err() != nil {
		t.Fatal(c.Err())
	}
	return list
}

func states(t *testing.T, s engine.Session, v engine.Variant, q engine.StatesQuery) (list []string) {
	t.Helper()
	c, err := s.States(t.Context(), v, q)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	for one, ok := c.Next(); ok; one, ok = c.Next() {
		list = append(list, fmt.Sprint(one.Key, one.Seq, one.Count, one.Newest, one.Values))
	}
	if c.Err() != nil {
		t.Fatal(c.Err())
	}
	return list
}

// TestARowOfTwoVersionsIsRefused: a version that makes rows of another bucket than
// its events' is found.
func TestARowOfTwoVersionsIsRefused(t *testing.T) {
	e := duckdb.New()
	t.Cleanup(func() { _ = e.Close() })
	b := enginetest.NewBuilder(t, enginetest.Fields...)
	event := func(id string, at time.Time) enginetest.Event {
		return enginetest.Event{Event: recount.Event{
			ID: id, Partition: "0", Position: recount.PadPosition(id), Time: at, Data: []byte{}, Fields: []recount.Value{recount.Text("a"), recount.Text("1"), recount.Text("1")},
		}}
	}
	b.Add(event("1", noon), event("2", hour(1)))
	wrong := recount.Logic{Kind: recount.LogicSQL, Path: "wrong.sql", Text: "SELECT user_id, TIMESTAMPTZ '2024-06-10 12:00:00+00' AS hour, CAST(sum(value) AS DECIMAL(38,2)) AS total FROM events GROUP BY ALL"}
	s := open(t, e, b.Input(noon, hour(2)))
	r, err := s.Run(t.Context(), variant(recount.Versioned([]recount.Version{
		{Name: "v1", Logic: wrong, Effective: recount.Window{To: hour(1)}}, {Name: "v2", Logic: wrong, Effective: recount.Window{From: hour(1)}},
	})))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	for _, ok := r.Next(); ok; _, ok = r.Next() {
	}
	if e, ok := errors.AsType[*recount.Error](r.Err()); !ok || e.Code != recount.CodeVersion {
		t.Errorf("got %v, want %s", r.Err(), recount.CodeVersion)
	}
}
