package enginetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"recount"
	"recount/engine"
)

func windows(t *testing.T, h Harness) {
	us := time.Microsecond
	t.Run("edges are half open to the microsecond", func(t *testing.T) {
		l := newLab(t, h)
		l.Add(order("1", noon.Add(-us), "before", "1"), order("2", noon, "from", "1"), order("3", noon.Add(30*time.Minute-us), "last", "1"),
			order("4", noon.Add(30*time.Minute), "to", "1"))
		want(t, "rows", l.open().rows(variant()), "from|1.00,1", "last|1.00,1")
	})
	t.Run("no file, and files without an event of the window", func(t *testing.T) {
		l := newLab(t, h)
		want(t, "no file", l.open().rows(variant()))
		l.Add(order("1", noon.Add(time.Hour), "a", "1"))
		want(t, "no event", l.open().rows(variant()))
	})
	if h.folds() {
		return
	}
	t.Run("the edges are $from and $to", func(t *testing.T) {
		l := newLab(t, h)
		l.Add(order("1", noon, "a", "1"))
		v := variant(func(v *engine.Variant) {
			v.Logic = logic("WITH e AS (SELECT $from AS f FROM (SELECT $to AS x)) SELECT user_id, e.f AS total, (SELECT $to) AS n, date_trunc('hour', $from) AS h FROM events, e")
			v.Columns = []string{"total", "n", "h"}
		})
		want(t, "rows", l.open(noon, noon.Add(90*time.Minute+us)).rows(v), "a|2024-06-10T12:00:00Z,2024-06-10T13:30:00.000001Z,2024-06-10T12:00:00Z")
	})
	t.Run("hit is true for the events of the window", func(t *testing.T) {
		l := newLab(t, h)
		l.Add(order("1", noon, "a", "1"))
		v := variant(func(v *engine.Variant) {
			v.Logic, v.Columns = logic("SELECT user_id, bool_and(hit) AS total FROM events GROUP BY 1"), []string{"total"}
		})
		want(t, "rows", l.open().rows(v), "a|true")
	})
	t.Run("a folder with brackets and quotes in its name", func(t *testing.T) {
		l := newLab(t, h)
		l.Stream = "it's [a] *stream?"
		l.Add(order("1", noon, "a", "1"))
		v := variant(func(v *engine.Variant) {
			v.Logic, v.Columns = logic("SELECT user_id, stream AS total FROM events"), []string{"total"}
		})
		want(t, "rows", l.open().rows(v), "a|it's [a] *stream?")
	})
}

// marked is a lab with a sound event, a repeat, a conflict and a fault in the
// window; seqs 1 to 7.
func marked(t *testing.T, h Harness) *lab {
	l := newLab(t, h)
	fault := order("6", noon.Add(4*time.Minute), "d", "4")
	fault.Fields[1], fault.Fault = recount.Null, "value is no decimal"
	l.Add(order("1", noon.Add(time.Minute), "a", "1"), order("2", noon.Add(2*time.Minute), "b", "2"))
	l.Add(order("1", noon.Add(time.Minute), "a", "1"), order("4", noon.Add(3*time.Minute), "c", "8"), order("4", noon.Add(3*time.Minute), "c", "9"), fault)
	l.Add(order("7", noon.Add(5*time.Minute), "a", "16"))
	l.Mark(
		recount.Mark{Seq: 3, Kind: recount.MarkRepeat, ID: "1", Time: noon.Add(time.Minute)},
		recount.Mark{Seq: 4, Kind: recount.MarkConflict, ID: "4", Time: noon.Add(3 * time.Minute), Why: "two payloads"},
		recount.Mark{Seq: 5, Kind: recount.MarkConflict, ID: "4", Time: noon.Add(3 * time.Minute), Why: "two payloads"},
	)
	l.Mark(recount.Mark{Seq: 6, Kind: recount.MarkFault, ID: "6", Time: noon.Add(4 * time.Minute), Broken: []string{"value"}, Why: "value is no decimal"})
	return l
}

func marks(t *testing.T, h Harness) {
	t.Run("repeats count once, or each with no dedupe; conflicts and faults never", func(t *testing.T) {
		l := marked(t, h).open()
		want(t, "dedupe", l.rows(variant()), "a|17.00,2", "b|2.00,1")
		want(t, "twice", l.rows(variant(func(v *engine.Variant) { v.Dedupe = false })), "a|18.00,3", "b|2.00,1")
	})
	t.Run("marks of events that are in no file are passed over", func(t *testing.T) {
		l := marked(t, h)
		l.Mark(recount.Mark{Seq: 999, Kind: recount.MarkFault, ID: "999", Time: noon.Add(time.Minute)},
			recount.Mark{Seq: 998, Kind: recount.MarkRepeat, ID: "998", Time: noon.Add(time.Minute)})
		l.open()
		want(t, "rows", l.rows(variant()), "a|17.00,2", "b|2.00,1")
		if got, err := l.session.Quarantined(t.Context()); err != nil || len(got) != 3 {
			t.Errorf("quarantined: got %v, %v, want 3 marks", got, err)
		}
	})
	t.Run("the quarantined are listed in order, with what is broken", func(t *testing.T) {
		l := marked(t, h)
		lost := order("8", time.Time{}, "e", "1")
		lost.Fault = "no time"
		l.Add(lost)
		l.Mark(recount.Mark{Seq: 8, Kind: recount.MarkFault, ID: "8", Broken: []string{"value", "price"}, Why: "no time"})
		got, err := l.open().session.Quarantined(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var list []string
		for _, m := range got {
			list = append(list, fmt.Sprintf("%d %s %s %v %s %t", m.Seq, m.Kind, m.ID, m.Broken, m.Why, m.Time.IsZero()))
		}
		want(t, "marks", list, "4 conflict 4 [] two payloads false", "5 conflict 4 [] two payloads false",
			"6 fault 6 [value] value is no decimal false", "8 fault 8 [value price] no time true")
	})
}

func missed(t *testing.T, h Harness) {
	l := marked(t, h).open()
	run := func(missed ...recount.EventList) []string {
		t.Helper()
		return l.rows(variant(func(v *engine.Variant) { v.Missed = missed }))
	}
	want(t, "by time", run(recount.EventList{From: noon.Add(2 * time.Minute), To: noon.Add(5 * time.Minute)}), "a|17.00,2")
	want(t, "the end is excluded", run(recount.EventList{From: noon.Add(5 * time.Minute), To: noon.Add(5 * time.Minute)}), "a|17.00,2", "b|2.00,1")
	want(t, "open end", run(recount.EventList{From: noon.Add(5 * time.Minute)}), "a|1.00,1", "b|2.00,1")
	want(t, "by condition", run(recount.EventList{Where: "user_id = 'b' OR events.value > 10"}), "a|1.00,1")
	want(t, "by both", run(recount.EventList{To: noon.Add(2 * time.Minute), Where: "user_id = 'a' -- comment"}), "a|16.00,1", "b|2.00,1")
	want(t, "two entries", run(recount.EventList{Where: "user_id = 'b'"}, recount.EventList{Where: "value = 16"}), "a|1.00,1")
	want(t, "NULL is not true", run(recount.EventList{Where: "NULL::BOOLEAN"}), "a|17.00,2", "b|2.00,1")
	want(t, "nothing said is all", run(recount.EventList{}))
	_, err := l.try(variant(func(v *engine.Variant) { v.Missed = []recount.EventList{{Where: "random() < 0.5"}} }))
	wantCode(t, "a condition that is not checked", err, recount.CodeSQLRefused)
}

func probes(t *testing.T, h Harness) {
	l := marked(t, h).open()
	run := func(probe int, only ...int64) []string {
		t.Helper()
		return l.rows(variant(func(v *engine.Variant) { v.Only, v.Probe = append([]int64{}, only...), probe }))
	}
	want(t, "whatever their marks", run(0, 1, 3, 4), "a|2.00,2", "c|8.00,1")
	want(t, "NULL", run(0, 6), "d|NULL,1")
	want(t, "small", run(1, 6, 1), "a|1.00,1", "d|0.00,1")
	want(t, "large", run(2, 6), "d|999999999.00,1")
	want(t, "none", run(0))
	want(t, "unknown", run(1, 12345))
}

func splits(t *testing.T, h Harness) {
	l := newLab(t, h)
	for f := range 6 {
		var list []Event
		for i := range 500 {
			n := f*500 + i
			list = append(list, order(fmt.Sprint(n), noon.Add(time.Duration(n%1000)*time.Second), fmt.Sprint("user", n*7919%97), fmt.Sprint(n%5)))
		}
		l.Add(list...)
	}
	l.open()
	run := func(split int, text string) []string {
		t.Helper()
		return l.rows(variant(func(v *engine.Variant) {
			v.Logic, v.Split, v.Columns = logic(text), split, []string{"total"}
		}))
	}
	same := func(a, b []string) bool { return len(a) > 0 && slices.Equal(a, b) }
	for _, c := range []struct {
		name, text string
		same       bool
	}{
		{"a decimal sum", "SELECT user_id, sum(value) AS total FROM events GROUP BY 1", true},
		{"an ordered sum of doubles", "SELECT user_id, sum(price / 3 ORDER BY position) AS total FROM events GROUP BY 1", true},
		{"an order without ties", "SELECT user_id, string_agg(id, ',' ORDER BY time, position) AS total FROM events GROUP BY 1", true},
		{"first by an order with ties", "SELECT user_id, first(id ORDER BY value % 2) AS total FROM events GROUP BY 1", false},
		{"a list by an order with ties", "SELECT user_id, string_agg(id, ',' ORDER BY value) AS total FROM events GROUP BY 1", false},
		{"row_number by an order with ties", "SELECT user_id, id AS total FROM events QUALIFY row_number() OVER (PARTITION BY user_id ORDER BY value) = 1", false},
		{"LIMIT by an order with ties", "SELECT 'a' AS user_id, max(id) AS total FROM (SELECT id FROM events ORDER BY value LIMIT 3)", false},
		{"DISTINCT ON by an order with ties", "SELECT DISTINCT ON (user_id) user_id, id AS total FROM events ORDER BY user_id, value", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			first := run(0, c.text)
			if again := run(1, c.text); same(first, again) != c.same {
				t.Errorf("runs agree: got %t, want %t; %q and %q", !c.same, c.same, first[:1], again[:1])
			}
			if c.same && !same(first, run(2, c.text)) {
				t.Error("the third run gives other rows")
			}
		})
	}
}
