package enginetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"recount"
	"recount/engine"
)

// inTurns is a fold that is several: version by version.
func (l *lab) inTurns(versions ...recount.Version) engine.Variant {
	return engine.Variant{Logic: recount.Continued(versions), Key: []string{"user_id"}, Columns: []string{"total", "n"}, Dedupe: true}
}

// version is a meaning in force in a span of event time.
func (l *lab) version(name string, m Meaning, span recount.Window) recount.Version {
	l.t.Helper()
	return recount.Version{Name: name, Logic: l.fold(m, nil).Logic, Effective: span, Continues: true}
}

// turnsAsSQL holds folds that take turns over a random history, under a random
// variant, against SQL over the same session: each event counts once or twice, by
// whose turn it is.
func turnsAsSQL(t *testing.T, l *lab, v engine.Variant, r *rand.Rand) {
	t.Helper()
	edge := noon.Add(time.Duration(r.IntN(60)-15) * time.Minute)
	stamp := "TIMESTAMPTZ '" + edge.Format("2006-01-02 15:04:05+00") + "'"
	before, after := recount.Window{To: edge}, recount.Window{From: edge}
	once := recount.Version{Name: "once", Logic: l.fold(Totals, nil).Logic, Hit: true}
	twice := l.version("twice", Doubled, recount.Window{})
	list, factor := []recount.Version{once, twice}, "CASE WHEN hit THEN 1 ELSE 2 END"
	switch r.IntN(3) {
	case 0:
		list, factor = []recount.Version{l.version("once", Totals, before), l.version("twice", Doubled, after)}, "CASE WHEN time < "+stamp+" THEN 1 ELSE 2 END"
	case 1:
		list = []recount.Version{once, l.version("twice", Doubled, before), l.version("again", Totals, after)}
		factor = "CASE WHEN NOT hit AND time < " + stamp + " THEN 2 ELSE 1 END"
	}
	sql := v
	sql.Logic = logic("SELECT user_id, sum(value * " + factor + ") AS total, count(*) AS n FROM events GROUP BY user_id")
	sql.Key, sql.Columns = []string{"user_id"}, []string{"total", "n"}
	folds := sql
	folds.Logic = recount.Continued(list)
	want(t, fmt.Sprintf("folds in turns, %s, %+v", factor, v), l.rows(folds), l.rows(sql)...)
	sameInSplits(t, l, folds, "folds in turns")
}

// foldTurns holds what folds that take turns give besides rows.
func foldTurns(t *testing.T, h Harness) {
	l := newLab(t, h)
	minute := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Minute) }
	l.Add(order("1", minute(0), "a", "1"), order("2", minute(1), "b", "7"), order("3", minute(2), "z", "3"))
	l.Add(order("4", minute(10), "a", "8"), order("5", minute(11), "b", "4"), order("6", minute(20), "a", "9"), order("7", minute(21), "c", "6"))
	edges := [...]time.Time{minute(10), minute(20)}
	v := l.inTurns(
		l.version("first", Totals, recount.Window{To: edges[0]}), l.version("second", Doubled, recount.Window{From: edges[0], To: edges[1]}), l.version("third", Mails, recount.Window{From: edges[1]}),
	)
	l.input(everything, func(in *engine.Input) { // no event is hit
		in.Hits.Window = recount.Window{From: noon.Add(-time.Hour), To: noon.Add(-time.Minute), By: recount.ByEvent}
	})
	whole := []string{"a|26.00,3", "b|15.00,2", "c|6.00,1", "z|3.00,1"}
	want(t, "rows", l.rows(v), whole...)
	want(t, "rows after each event", l.states(v, engine.StatesQuery{Keys: keysOf("a", "z"), Unhit: 5}),
		"a@1 0:1/1 last 0:1/1 n=1: 1.00,1", "a@4 0:4/4 last 0:4/4 n=2: 17.00,2", "a@6 0:6/6 last 0:6/6 n=3: 26.00,3 newest", "z@3 0:3/3 last 0:3/3 n=1: 3.00,1 newest")
	each, err := l.tryEach(v)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "each alone", each, "0:1@1/1 false a|1.00,1", "0:2@2/2 false b|7.00,1", "0:3@3/3 false z|3.00,1",
		"0:4@4/4 false a|16.00,1", "0:5@5/5 false b|8.00,1", "0:6@6/6 false a|9.00,1", "0:7@7/7 false c|6.00,1")
	// Only the third sends anything, and each event once.
	effects, err := l.session.Effects(t.Context(), v)
	if err != nil {
		t.Fatal(err)
	}
	var sent []string
	for e, ok := effects.Next(); ok; e, ok = effects.Next() {
		sent = append(sent, fmt.Sprintf("%s %d %s", e.Key, e.Seq, e.Payload))
	}
	if err := errors.Join(effects.Err(), effects.Close()); err != nil {
		t.Fatal(err)
	}
	want(t, "effects", sent, `a 6 {"value":"9.00"}`, `c 7 {"value":"6.00"}`)
	fromStates(l, v, minute(11), whole)
}

// fromStates holds that rows from the states at an instant are those of the whole.
func fromStates(l *lab, v engine.Variant, at time.Time, whole []string) {
	t := l.t
	t.Helper()
	states := v
	states.Columns = []string{recount.StateColumn}
	l.input(func(in *engine.Input) { in.Read = recount.Window{To: at, By: recount.ByEvent} })
	r, err := l.session.Run(t.Context(), states)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "states.parquet")
	if _, err := writeStates(path, r); err != nil {
		t.Fatal(err)
	}
	v.Logic.Opening = []recount.Field{{Name: "user_id", Type: recount.Type{Kind: recount.KindString}}, {Name: recount.StateColumn, Type: recount.Type{Kind: recount.KindString}}}
	l.input(func(in *engine.Input) { in.Opening, in.Read = path, recount.Window{From: at, By: recount.ByEvent} })
	want(t, "rows from opening states", l.rows(v), whole...)
}

// foldTurnsRefused holds that folds take turns only where one can go on from the
// state of the other.
func foldTurnsRefused(t *testing.T, h Harness) {
	l := newLab(t, h)
	l.Add(order("1", noon, "a", "1"), order("2", noon.Add(10*time.Minute), "a", "2"))
	l.input(everything)
	edge := noon.Add(time.Minute)
	check := func(what string, second recount.Version) {
		t.Helper()
		logic := recount.Continued([]recount.Version{l.version("first", Totals, recount.Window{To: edge}), second})
		_, err := l.engine.Check(t.Context(), logic, Fields)
		wantCode(t, what, err, recount.CodeHandover)
	}
	otherKey := l.version("second", Doubled, recount.Window{From: edge})
	otherKey.Logic.By = []string{"price"}
	check("another key", otherKey)
	check("another kind", recount.Version{Name: "second", Logic: logic(totals), Effective: recount.Window{From: edge}})
}
