package enginetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"recount"
	"recount/engine"
)

// crossed are events whose order in the archive is not that of the log, a repeat,
// and one outside of the window.
func crossed(t *testing.T, h Harness) *lab {
	l := newLab(t, h)
	l.Add(place(order("1", noon, "a", "1"), "1", 1, noon), place(order("2", noon.Add(time.Minute), "b", "2"), "0", 1, noon))
	l.Add(place(order("3", noon.Add(2*time.Minute), "a", "3"), "0", 2, noon), place(order("4", noon.Add(3*time.Minute), "a", "4"), "1", 2, noon))
	l.Add(place(order("5", noon.Add(time.Hour), "a", "5"), "0", 3, noon), place(order("6", noon.Add(4*time.Minute), "a", "6"), "0", 4, noon))
	return l
}

// foldSingles holds that single events, left out or repeated by one run, give the
// rows of runs of their own.
func foldSingles(t *testing.T, h Harness) {
	l := crossed(t, h)
	v := l.spell(variant(func(v *engine.Variant) { v.Logic, v.Columns = logic(ids), []string{"ids"} }))
	window := func(in *engine.Input) {
		everything(in)
		in.Hits = recount.Hits{Window: recount.Window{From: noon, To: noon.Add(30 * time.Minute), By: recount.ByEvent}}
	}
	l.input(window)
	show := func(q engine.SinglesQuery) (list []string, left int) {
		t.Helper()
		out, err := l.session.Singles(t.Context(), v, q)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range out.List {
			one := fmt.Sprintf("%s %s at %s:%s %t %t: ", join(s.Key), s.ID, s.Partition, recount.ShortPosition(s.Position), s.Again, s.Failed)
			if s.Values != nil {
				one += join(s.Values)
			}
			list = append(list, one)
		}
		return list, out.Left
	}
	var rows []string
	for _, key := range []string{"a", "b"} {
		for _, again := range []bool{false, true} {
			for _, e := range []struct{ id, user, at string }{{"1", "a", "1:1"}, {"2", "b", "0:1"}, {"3", "a", "0:2"}, {"4", "a", "1:2"}, {"6", "a", "0:4"}} {
				if e.user != key {
					continue
				}
				list := recount.EventList{IDs: idList(e.id)}
				one := v
				if one.Missed = []recount.EventList{list}; again {
					one.Missed, one.Again = nil, []recount.Again{{EventList: list, Times: 2}}
				}
				row := fmt.Sprintf("%s %s at %s %t false: ", key, e.id, e.at, again)
				for _, made := range l.rows(one) {
					if made[:2] == key+"|" {
						row += made[2:]
					}
				}
				rows = append(rows, row)
			}
		}
	}
	got, left := show(engine.SinglesQuery{Keys: keysOf("b", "a", "c"), Most: 1000})
	want(t, "single events", got, rows...)
	few, rest := show(engine.SinglesQuery{Keys: keysOf("a", "b"), Most: 10})
	want(t, "as many as there is room for", few, rows[len(rows)-2:]...)
	if left != 0 || rest != 1 {
		t.Errorf("keys that are left: got %d and %d, want 0 and 1", left, rest)
	}
	q := engine.SinglesQuery{Keys: keysOf("x"), Most: 10}
	if _, err := l.session.Singles(t.Context(), engine.Variant{Logic: logic("SELECT 'x' AS k, 1 AS v"), Key: []string{"k"}, Columns: []string{"v"}}, q); !errors.Is(err, recount.ErrUnsupported) {
		t.Errorf("single events of SQL: got %v, want ErrUnsupported", err)
	}
}

// foldSinglesPoison holds that what ends a fold where an event is left out says
// nothing of the events.
func foldSinglesPoison(t *testing.T, h Harness) {
	l := newLab(t, h)
	l.Add(order("1", noon, "a", "1"), order("2", noon, "a", "13"), order("3", noon, "b", "3"))
	v := l.fold(Poison, []string{"user_id"}, "total", "n")
	l.open()
	out, err := l.session.Singles(t.Context(), v, engine.SinglesQuery{Keys: keysOf("a", "b"), Most: 1000})
	marks, errMarks := l.session.Quarantined(t.Context())
	if errMarks != nil || len(marks) > 0 {
		t.Errorf("quarantined: got %v, %v, want none", marks, errMarks)
	}
	if e, ok := errors.AsType[*recount.Error](err); ok && e.Code == recount.CodeWorker {
		return // a fold that ends its process
	}
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range out.List {
		got = append(got, fmt.Sprint(join(s.Key), " ", s.ID, " ", s.Again, " ", s.Failed, " ", join(s.Values)))
	}
	want(t, "single events", got, "a 1 false true ", "a 2 false false 1.00,1", "a 1 true true ", "a 2 true true ", "b 3 false false ", "b 3 true false 6.00,2")
}

// foldAlong holds that a key that is followed along given events stands after each
// as the runs of the events up to it.
func foldAlong(t *testing.T, h Harness) {
	l := crossed(t, h)
	l.input(everything)
	v := l.spell(variant(func(v *engine.Variant) { v.Logic, v.Columns = logic(ids), []string{"ids"} }))
	for _, missed := range []bool{false, true} {
		if missed {
			v.Missed = []recount.EventList{{IDs: idList("3")}}
		}
		for _, along := range [][]int64{{1, 3, 4, 5, 6}, {6, 4, 1, 5, 3}, {4, 1}} {
			q := engine.StatesQuery{Keys: keysOf("a"), Along: along}
			r, err := l.session.States(t.Context(), v, q)
			if err != nil {
				t.Fatal(err)
			}
			var got, rows []string
			for s, ok := r.Next(); ok; s, ok = r.Next() {
				got = append(got, fmt.Sprint(s.Seq, " ", join(s.Key), "|", join(s.Values)))
			}
			if err := errors.Join(r.Err(), r.Close()); err != nil {
				t.Fatal(err)
			}
			for i, seq := range along {
				if missed && seq == 3 {
					continue
				}
				one := v
				one.Only = slices.Clone(along[:i+1])
				rows = append(rows, fmt.Sprint(seq, " ", l.rows(one)[0]))
			}
			want(t, fmt.Sprint("along ", along), got, rows...)
		}
	}
	_, err := l.session.States(t.Context(), engine.Variant{Logic: logic("SELECT 'x' AS k, 1 AS v"), Key: []string{"k"}, Columns: []string{"v"}}, engine.StatesQuery{Keys: keysOf("x"), Along: []int64{1}})
	if !errors.Is(err, recount.ErrUnsupported) {
		t.Errorf("SQL along given events: got %v, want ErrUnsupported", err)
	}
}

// wantSeveral holds that variants that run together give the rows that each gives
// alone: all, then those of some keys.
func wantSeveral(t *testing.T, l *lab, variants []engine.Variant, rows [][]string) {
	t.Helper()
	for _, keys := range [][][]recount.Value{nil, keysOf("a", "p1", "z")} {
		for i := range variants {
			variants[i].Keys = keys
		}
		several, err := l.session.Several(t.Context(), variants)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range variants {
			got, err := list(several.Next())
			if err != nil {
				t.Fatal(err)
			}
			all := slices.DeleteFunc(slices.Clone(rows[i]), func(row string) bool {
				return keys != nil && !slices.ContainsFunc(keys, func(key []recount.Value) bool { return strings.HasPrefix(row, join(key)+"|") })
			})
			want(t, fmt.Sprintf("several, %+v", v), got, all...)
		}
		if err := several.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// foldSeveral holds which variants are left to runs of their own.
func foldSeveral(t *testing.T, h Harness) {
	l := newLab(t, h)
	l.Add(order("1", noon, "a", "1"), order("2", noon, "b", "2"), order("3", noon, "b", "13"))
	v := l.fold(Poison, []string{"user_id"}, "total", "n")
	l.open()
	without := v
	without.Missed = []recount.EventList{{IDs: idList("3")}}
	if several, err := l.session.Several(t.Context(), []engine.Variant{without, without}); err != nil {
		t.Error(err)
	} else {
		for range 2 {
			got, err := list(several.Next())
			if err != nil {
				t.Fatal(err)
			}
			want(t, "without the event that the fold does not survive", got, "a|1.00,1", "b|2.00,1")
		}
		if err := several.Close(); err != nil {
			t.Error(err)
		}
	}
	shaken := without
	shaken.Shake.Files = true
	for name, list := range map[string][]engine.Variant{
		"an event that the fold does not survive": {without, v}, "another shake": {without, shaken}, "SQL": {variant(), variant()}, "none": {},
	} {
		if _, err := l.session.Several(t.Context(), list); !errors.Is(err, recount.ErrUnsupported) {
			t.Errorf("%s: got %v, want ErrUnsupported", name, err)
		}
	}
	if marks, err := l.session.Quarantined(t.Context()); err != nil || len(marks) > 0 {
		t.Errorf("quarantined: got %v, %v, want none", marks, err)
	}
}
