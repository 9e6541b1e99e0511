package enginetest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"recount"
	"recount/engine"
)

// ids is the logic that shows which events a row is made of, in their order.
const ids = "SELECT user_id, string_agg(id, ' ' ORDER BY position) AS ids, string_agg(id, ' ' ORDER BY position) FILTER (WHERE hit) AS hits FROM events GROUP BY user_id"

// seen is the variant of ids; options change it.
func seen(options ...func(*engine.Variant)) engine.Variant {
	v := engine.Variant{Logic: logic(ids), Key: []string{"user_id"}, Columns: []string{"ids", "hits"}, Dedupe: true}
	for _, o := range options {
		o(&v)
	}
	return v
}

// pos is a position as the archive spells it.
func pos(n int) string { return recount.PadPosition(fmt.Sprint(n)) }

// place puts an event into a partition at a position, taken in at a time.
func place(e Event, partition string, position int, taken time.Time) Event {
	e.Partition, e.Position, e.IngestTime = partition, pos(position), taken
	return e
}

// idList is a list of ids as it was read.
func idList(ids ...string) *recount.IDList {
	return &recount.IDList{From: "ids.txt", Count: int64(len(ids)), IDs: ids}
}

// input opens a session over an input that options change.
func (l *lab) input(options ...func(*engine.Input)) *lab {
	l.t.Helper()
	in := l.Input(noon, noon.Add(30*time.Minute))
	for _, o := range options {
		o(&in)
	}
	if l.session != nil {
		l.close()
	}
	s, err := l.engine.Open(l.t.Context(), in)
	if err != nil {
		l.t.Fatalf("open: %v", err)
	}
	if l.session == nil {
		l.t.Cleanup(l.close)
	}
	l.session = s
	return l
}

// everything reads all events whose time is known.
func everything(in *engine.Input) { in.Read = recount.Window{By: recount.ByEvent} }

// clocks is a lab with events of two partitions before, in and after the window.
func clocks(t *testing.T, h Harness) *lab {
	l := newLab(t, h)
	minute := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Minute) }
	lost := place(order("x", time.Time{}, "a", "1"), "1", 9, minute(3))
	lost.Fault = "no time"
	l.Add(
		place(order("a", minute(-1), "a", "1"), "0", 1, minute(5)),
		place(order("b", minute(0), "a", "1"), "0", 2, time.Time{}),
		place(order("c", minute(10), "a", "1"), "1", 1, minute(30)),
		place(order("d", minute(30), "a", "1"), "0", 10, minute(29)),
		place(order("b", minute(12), "a", "1"), "1", 2, minute(12)),
	)
	l.Add(lost)
	l.Add(place(order("", minute(29), "b", "1"), "1", 3, minute(29)))
	l.Mark(recount.Mark{Seq: 5, Kind: recount.MarkRepeat, ID: "b", Time: minute(12)}, recount.Mark{Seq: 6, Kind: recount.MarkFault, ID: "x", Why: "no time"})
	return l
}

func hitEvents(t *testing.T, h Harness) {
	l := clocks(t, h)
	window := recount.Window{From: noon, To: noon.Add(30 * time.Minute), By: recount.ByEvent}
	ingest := window
	ingest.By = recount.ByIngest
	positions := func(list ...recount.PositionWindow) recount.Hits {
		return recount.Hits{Window: recount.Window{By: recount.ByPosition}, Positions: list}
	}
	for _, c := range []struct {
		name string
		hits recount.Hits
		want string // the hits of user a
		b    string
		n    int64
		span string
	}{
		{"nothing said is Window", recount.Hits{}, "b c", "NULL", 3, "0 2-2 1 1-3"},
		{"by event time", recount.Hits{Window: window}, "b c", "NULL", 3, "0 2-2 1 1-3"},
		{"by ingest time, edges", recount.Hits{Window: ingest}, "a d", "NULL", 3, "0 1-10 1 3-3"},
		{"by position, edges", positions(recount.PositionWindow{Partition: "0", From: pos(2), To: pos(10)}), "b", "NULL", 1, "0 2-2"},
		{
			"by position of two partitions", positions(recount.PositionWindow{Partition: "0", From: pos(10), To: pos(11)}, recount.PositionWindow{Partition: "1", From: pos(0), To: pos(3)}),
			"c d", "NULL", 2, "0 10-10 1 1-1",
		},
		{"by ids", recount.Hits{Window: recount.Window{By: recount.ByIDs}, IDs: idList("a", "c", "nobody", "x", "zz")}, "a c", "NULL", 2, "0 1-1 1 1-1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l.t = t
			l.input(everything, func(in *engine.Input) { in.Hits = c.hits })
			want(t, "rows", sorted(l.rows(seen())), "a|a b c d,"+c.want, "b|NULL,"+c.b)
			got, err := l.session.Count(t.Context(), true)
			if err != nil || got != (recount.EventCounts{Read: 7, Used: 5, Duplicates: 1, Quarantined: 1, Hit: c.n}) {
				t.Errorf("count: got %+v, %v, want %d hit events", got, err, c.n)
			}
			s, err := l.session.HitSpan(t.Context(), true)
			if err != nil || s.Events != c.n {
				t.Fatalf("span: got %+v, %v", s, err)
			}
			var places []string
			for _, p := range s.Positions {
				places = append(places, fmt.Sprintf("%s %s-%s", p.Partition, recount.ShortPosition(p.First), recount.ShortPosition(p.Last)))
			}
			if text := strings.Join(places, " "); text != c.span {
				t.Errorf("positions: got %s, want %s", text, c.span)
			}
			if c.hits.IDs != nil && (s.Missing != 3 || strings.Join(s.MissingIDs, " ") != "nobody x zz" || !s.First.Equal(noon.Add(-time.Minute)) || !s.Last.Equal(noon.Add(10*time.Minute))) {
				t.Errorf("ids: got %+v, want 3 that are missing, a and c", s)
			}
		})
	}
	l.t = t
}

func reading(t *testing.T, h Harness) {
	l := clocks(t, h)
	minute := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Minute) }
	run := func(options ...func(*engine.Input)) []string { return l.input(options...).rows(variant()) }
	want(t, "Window alone", run(), "a|2.00,2", "b|1.00,1")
	want(t, "everything", run(everything), "a|4.00,4", "b|1.00,1")
	want(t, "an open start", run(func(in *engine.Input) { in.Read = recount.Window{To: noon, By: recount.ByEvent} }), "a|1.00,1")
	want(t, "an open end", run(func(in *engine.Input) { in.Read = recount.Window{From: minute(29), By: recount.ByEvent} }), "a|1.00,1", "b|1.00,1")
	want(t, "less than Window", run(func(in *engine.Input) {
		in.Read = recount.Window{From: minute(10), To: minute(20), By: recount.ByEvent}
	}), "a|1.00,1")
	until := func(in *engine.Input) { in.Until = map[string]string{"0": pos(10), "2": pos(0)} }
	want(t, "until a position", run(everything, until), "a|3.00,3", "b|1.00,1")
	got, err := l.session.Count(t.Context(), true)
	if err != nil || got != (recount.EventCounts{Read: 7, Used: 4, Duplicates: 1, Quarantined: 1, Outside: 1, Hit: 3}) {
		t.Errorf("count until a position: got %+v, %v", got, err)
	}
	want(t, "until the start", run(everything, func(in *engine.Input) { in.Until = map[string]string{"0": "", "1": pos(1)} }))
	if got, err = l.session.Count(t.Context(), true); err != nil || got != (recount.EventCounts{Read: 7, Outside: 7}) {
		t.Errorf("count of nothing: got %+v, %v", got, err)
	}
	if marks, err := l.session.Quarantined(t.Context()); err != nil || len(marks) != 0 {
		t.Errorf("quarantined behind the cut: got %v, %v, want none", marks, err)
	}
	l.input(everything)
	steps, err := l.session.Minutes(t.Context(), true, 3)
	if err != nil || len(steps) != 3 || steps[0].Events != 1 || steps[1].Events != 1 || steps[2].Events != 1 {
		t.Errorf("steps of Window: got %v, %v", steps, err)
	}
	touched, err := l.session.Touched(t.Context(), true, 1, []string{"user_id"}, [][]recount.Value{{recount.Text("a")}, {recount.Text("b")}, {recount.Text("c")}})
	if err != nil || len(touched) != 1 || touched[0] != 2 {
		t.Errorf("touched rows of Window: got %v, %v", touched, err)
	}
	list := func(q engine.Query) string {
		events, err := l.session.Events(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		var seqs []string
		for _, e := range events {
			seqs = append(seqs, fmt.Sprint(e.Seq))
		}
		return strings.Join(seqs, " ")
	}
	lists := func(lists ...recount.EventList) []recount.EventList { return lists }
	for _, c := range []struct {
		name string
		q    engine.Query
		want string
	}{
		{"all that is read", engine.Query{}, "1 2 3 7 4"},
		{"hit events on any list", engine.Query{Lists: lists(recount.EventList{IDs: idList("a", "b")}, recount.EventList{Where: "user_id = 'b'"})}, "2 7"},
		{"with repeats", engine.Query{Lists: lists(recount.EventList{IDs: idList("b")}), Repeats: true}, "2 5"},
		{"no list", engine.Query{Lists: []recount.EventList{}}, ""},
		{"an empty list names all hit events", engine.Query{Lists: lists(recount.EventList{})}, "2 3 7"},
	} {
		if got := list(c.q); got != c.want {
			t.Errorf("events, %s: got %s, want %s", c.name, got, c.want)
		}
	}
}

func lists(t *testing.T, h Harness) {
	l := clocks(t, h).input(everything)
	run := func(list recount.EventList) string {
		return strings.Join(l.rows(query("SELECT 'k' AS k, string_agg(id, ' ' ORDER BY time) AS ids, count(*) AS n FROM events", []string{"k"}, "ids", "n"), func(v *engine.Variant) { v.Missed = []recount.EventList{list} }), ";")
	}
	for _, c := range []struct {
		name string
		list recount.EventList
		want string
	}{
		{"nothing said lists the hit events alone", recount.EventList{}, "k|a d,2"},
		{"by positions", recount.EventList{Positions: []recount.PositionWindow{{Partition: "1", From: pos(1), To: pos(3)}, {Partition: "0", From: pos(1), To: pos(2)}}}, "k|a b d,4"},
		{"by ids", recount.EventList{IDs: idList("b", "nobody", "d")}, "k|a c d,4"},
		{"by no id", recount.EventList{IDs: idList()}, "k|a b c d,5"},
		{"all ids but some; no list says anything of an event without one", recount.EventList{Except: idList("a", "c")}, "k|a c d,4"},
		{"all ids", recount.EventList{Except: idList()}, "k|a d,3"},
		{"by all of it", recount.EventList{From: noon, To: noon.Add(10 * time.Minute), Where: "partition = '0'", IDs: idList("b"), Except: idList("c")}, "k|a c d,4"},
	} {
		if got := run(c.list); got != c.want {
			t.Errorf("missed, %s: got %s, want %s", c.name, got, c.want)
		}
	}
}
