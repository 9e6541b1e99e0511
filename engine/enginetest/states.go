package enginetest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"recount"
	"recount/engine"
)

// showState is a state as text: what the last event is, what the variant did
// last and how often, the values, and what else is said.
func showState(s engine.State) string {
	values := "no row"
	if s.Values != nil {
		values = join(s.Values)
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%s@%d %s:%s/%s last %s:%s/%s n=%d: %s", join(s.Key), s.Seq, s.Partition, recount.ShortPosition(s.Position), s.ID,
		s.LastPartition, recount.ShortPosition(s.LastPosition), s.LastID, s.Count, values)
	for _, f := range []struct {
		name string
		set  bool
	}{{" newest", s.Newest}, {" mixed", s.Mixed}, {" cut", s.Cut}} {
		if f.set {
			text.WriteString(f.name)
		}
	}
	return text.String()
}

func (l *lab) tryStates(v engine.Variant, q engine.StatesQuery) (list []string, err error) {
	r, err := l.session.States(l.t.Context(), l.spell(v), l.spellTouching(q))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if len(r.Shape().Values) != len(v.Columns) || len(r.Shape().Key) != len(v.Key) {
		return nil, fmt.Errorf("shape: got %v", r.Shape())
	}
	for s, ok := r.Next(); ok; s, ok = r.Next() {
		list = append(list, showState(s))
	}
	return list, r.Err()
}

// spellTouching spells the other logics of a query.
func (l *lab) spellTouching(q engine.StatesQuery) engine.StatesQuery {
	for i, v := range q.Touching {
		q.Touching[i] = l.spell(v)
	}
	return q
}

func (l *lab) states(v engine.Variant, q engine.StatesQuery) []string {
	l.t.Helper()
	list, err := l.tryStates(v, q)
	if err != nil {
		l.t.Fatalf("states: %v", err)
	}
	return list
}

func (l *lab) tryEach(v engine.Variant, options ...func(*engine.Variant)) (list []string, err error) {
	for _, o := range options {
		o(&v)
	}
	r, err := l.session.Each(l.t.Context(), l.spell(v))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if len(r.Shape().Values) != len(v.Columns) || len(r.Shape().Key) != len(v.Key) {
		return nil, fmt.Errorf("shape: got %v", r.Shape())
	}
	for c, ok := r.Next(); ok; c, ok = r.Next() {
		list = append(list, fmt.Sprintf("%s:%s@%d/%s %t %s|%s", c.Partition, recount.ShortPosition(c.Position), c.Seq, c.ID, c.Hit, join(c.Row.Key), join(c.Row.Values)))
	}
	return list, r.Err()
}

// keysOf are keys of one column.
func keysOf(names ...string) (keys [][]recount.Value) {
	for _, n := range names {
		keys = append(keys, []recount.Value{recount.Text(n)})
	}
	return keys
}

func each(t *testing.T, h Harness) {
	l := marked(t, h).input(everything, func(in *engine.Input) {
		in.Hits = recount.Hits{Window: recount.Window{By: recount.ByPosition}, Positions: []recount.PositionWindow{{Partition: "0", From: pos(2), To: pos(9)}}}
	})
	got, err := l.tryEach(variant())
	if err != nil {
		t.Fatal(err)
	}
	want(t, "each event alone", got, "0:1@1/1 false a|1.00,1", "0:2@2/2 true b|2.00,1", "0:7@7/7 true a|16.00,1")
	got, err = l.tryEach(variant(func(v *engine.Variant) {
		v.Dedupe, v.Missed = false, []recount.EventList{{Where: "id = '2'"}}
		v.Again = []recount.Again{{EventList: recount.EventList{Where: "id = '7'"}, Times: 3}}
	}))
	if err != nil {
		t.Fatal(err)
	}
	want(t, "under a hypothesis", got, "0:1@1/1 false a|1.00,1", "0:1@3/1 false a|1.00,1", "0:7@7/7 true a|48.00,3")
	if h.folds() {
		return
	}
	got, err = l.tryEach(query("SELECT unnest([user_id, 'all', id]) AS k, value AS v FROM events", []string{"k"}, "v"))
	if err != nil {
		t.Fatal(err)
	}
	want(t, "several rows of an event, by key", got, "0:1@1/1 false 1|1.00", "0:1@1/1 false a|1.00", "0:1@1/1 false all|1.00", "0:2@2/2 true 2|2.00", "0:2@2/2 true all|2.00",
		"0:2@2/2 true b|2.00", "0:7@7/7 true 7|16.00", "0:7@7/7 true a|16.00", "0:7@7/7 true all|16.00")
	got, err = l.tryEach(query("SELECT u AS k, count(id) AS v FROM (VALUES ('a'), ('b'), ('c')) t(u) LEFT JOIN events ON user_id = u GROUP BY u", []string{"k"}, "v"))
	if err != nil {
		t.Fatal(err)
	}
	want(t, "rows that no event makes are no event's", got, "0:1@1/1 false a|1", "0:2@2/2 true b|1", "0:7@7/7 true a|1")
	got, err = l.tryEach(query("SELECT u AS k, count(id) AS v FROM (VALUES ('a'), ('b'), ('c')) t(u) LEFT JOIN events ON user_id = u GROUP BY u", []string{"k"}, "v"),
		func(v *engine.Variant) { v.Keys = keysOf("b", "c") })
	if err != nil {
		t.Fatal(err)
	}
	want(t, "wanted keys", got, "0:2@2/2 true b|1")
	_, err = l.tryEach(query("SELECT unnest([user_id, user_id]) AS k, 1 AS v FROM events", []string{"k"}, "v"))
	wantCode(t, "a key twice", err, recount.CodeResultKey)
	_, err = l.tryEach(query("SELECT nullif(user_id, 'b') AS k, 1 AS v FROM events", []string{"k"}, "v"))
	wantCode(t, "a NULL key", err, recount.CodeResultKey)
	_, err = l.tryEach(query("SELECT random()::VARCHAR AS k, 1 AS v FROM events", []string{"k"}, "v"))
	wantCode(t, "a query that is not checked", err, recount.CodeSQLRefused)
	_, err = l.tryEach(engine.Variant{Logic: recount.Logic{Kind: "worker"}})
	wantCode(t, "another kind of logic", err, recount.CodeUnsupported)
	got, err = newLab(t, h).open().tryEach(variant())
	if err != nil || len(got) != 0 {
		t.Errorf("no event: got %v, %v", got, err)
	}
}

// running is a lab with a key whose events lie before, in and after the window.
func running(t *testing.T, h Harness) *lab {
	l := newLab(t, h)
	minute := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Minute) }
	l.Add(
		place(order("1", minute(-20), "a", "1"), "0", 1, minute(-20)),
		place(order("2", minute(-10), "b", "2"), "0", 2, minute(-10)),
		place(order("3", minute(1), "a", "4"), "0", 3, minute(1)),
		place(order("4", minute(2), "a", "8"), "0", 4, minute(2)),
	)
	l.Add(
		place(order("3", minute(3), "a", "4"), "0", 5, minute(1)),
		place(order("5", minute(31), "a", "16"), "0", 6, minute(31)),
		place(order("6", minute(32), "b", "32"), "1", 7, minute(32)),
		place(order("7", minute(33), "a", "64"), "1", 8, minute(33)),
	)
	l.Mark(recount.Mark{Seq: 5, Kind: recount.MarkRepeat, ID: "3", Time: minute(3)})
	return l
}

func states(t *testing.T, h Harness) {
	l := running(t, h).input(everything)
	q := engine.StatesQuery{Keys: keysOf("nobody", "b", "a", "b")}
	want(t, "the right logic", l.states(variant(), q),
		"a@4 0:4/4 last 0:4/4 n=3: 13.00,3 mixed", "a@6 0:6/5 last 0:6/5 n=4: 29.00,4 mixed", "a@8 1:8/7 last 1:8/7 n=5: 93.00,5 newest mixed",
		"b@7 1:7/6 last 1:7/6 n=2: 34.00,2 newest")
	a := engine.StatesQuery{Keys: keysOf("a")}
	under := func(options ...func(*engine.Variant)) []string {
		t.Helper()
		return l.states(variant(options...), a)
	}
	missed := func(v *engine.Variant) { v.Missed = []recount.EventList{{Where: "id = '4'"}} }
	want(t, "missed", under(missed), "a@4 0:4/4 last 0:3/3 n=2: 5.00,2 mixed", "a@6 0:6/5 last 0:6/5 n=3: 21.00,3 mixed", "a@8 1:8/7 last 1:8/7 n=4: 85.00,4 newest mixed")
	want(t, "again", under(func(v *engine.Variant) {
		v.Again = []recount.Again{{EventList: recount.EventList{IDs: idList("3")}, Times: 3}}
	}), "a@4 0:4/4 last 0:4/4 n=5: 21.00,5 mixed", "a@6 0:6/5 last 0:6/5 n=6: 37.00,6 mixed", "a@8 1:8/7 last 1:8/7 n=7: 101.00,7 newest mixed")
	want(t, "twice", under(func(v *engine.Variant) { v.Twice = true }),
		"a@5 0:5/3 last 0:5/3 n=4: 17.00,4 mixed", "a@6 0:6/5 last 0:6/5 n=5: 33.00,5 mixed", "a@8 1:8/7 last 1:8/7 n=6: 97.00,6 newest mixed")
	want(t, "what is hit alone", under(func(v *engine.Variant) { v.See = engine.SeeHit }),
		"a@4 0:4/4 last 0:4/4 n=2: 12.00,2 mixed", "a@6 0:6/5 last 0:4/4 n=2: 12.00,2 mixed", "a@8 1:8/7 last 0:4/4 n=2: 12.00,2 newest mixed")
	want(t, "nothing processed", under(func(v *engine.Variant) { v.Only = []int64{} }),
		"a@4 0:4/4 last :/ n=0: no row mixed", "a@6 0:6/5 last :/ n=0: no row mixed", "a@8 1:8/7 last :/ n=0: no row newest mixed")
	a.Most = 2
	want(t, "at most two", under(missed), "a@6 0:6/5 last 0:6/5 n=3: 21.00,3 mixed cut", "a@8 1:8/7 last 1:8/7 n=4: 85.00,4 newest mixed cut")
	a.Most = 0
	a.Touching = []engine.Variant{query("SELECT 'a' AS k, count(*) AS v FROM events WHERE user_id = 'b'", []string{"k"}, "v")}
	want(t, "what another logic touches", under(func(v *engine.Variant) { v.Columns = []string{"n"} }), "a@4 0:4/4 last 0:4/4 n=3: 3 mixed", "a@6 0:6/5 last 0:6/5 n=4: 4 mixed",
		"a@7 1:7/6 last 0:6/5 n=4: 4 mixed", "a@8 1:8/7 last 1:8/7 n=5: 5 newest mixed")
	want(t, "no key", l.states(variant(), engine.StatesQuery{}))
	l.input(everything, func(in *engine.Input) { in.Until = map[string]string{"1": pos(8), "0": pos(4)} })
	want(t, "until", l.states(variant(), engine.StatesQuery{Keys: keysOf("a", "b")}), "a@3 0:3/3 last 0:3/3 n=2: 5.00,2 newest", "b@7 1:7/6 last 1:7/6 n=2: 34.00,2 newest")
	if !h.folds() {
		sqlStates(t, h, running(t, h).input(everything))
	}
}

func sqlStates(t *testing.T, h Harness, l *lab) {
	// A part that looks at the row round it.
	v := query("SELECT e.user_id AS k, (SELECT sum(b.value) FROM events b WHERE b.user_id = e.user_id) AS v FROM events e GROUP BY ALL", []string{"k"}, "v")
	want(t, "correlated logic", l.states(v, engine.StatesQuery{Keys: keysOf("a", "b")}), "a@4 0:4/4 last 0:4/4 n=3: 13.00 mixed", "a@6 0:6/5 last 0:6/5 n=4: 29.00 mixed",
		"a@8 1:8/7 last 1:8/7 n=5: 93.00 newest mixed", "b@7 1:7/6 last 1:7/6 n=2: 34.00 newest")
	got, err := l.tryEach(v)
	if err != nil || len(got) != 7 || got[0] != "0:1@1/1 false a|1.00" {
		t.Errorf("correlated logic over single events: got %q, %v", got, err)
	}
	t.Run("what cannot be followed", func(t *testing.T) { notKeyed(t, h) })
	t.Run("with opening rows", func(t *testing.T) {
		path := writeOpening(t, [3]string{"a", "1000", "100"}, [3]string{"z", "5", "1"})
		l := running(t, h).input(everything, func(in *engine.Input) { in.Opening = path })
		want(t, "states", l.states(variant(withOpening), engine.StatesQuery{Keys: keysOf("a", "b", "z")}),
			"a@4 0:4/4 last 0:4/4 n=3: 1013.00,103 mixed", "a@6 0:6/5 last 0:6/5 n=4: 1029.00,104 mixed", "a@8 1:8/7 last 1:8/7 n=5: 1093.00,105 newest mixed",
			"b@7 1:7/6 last 1:7/6 n=2: 34.00,2 newest")
		got, err := l.tryEach(variant(withOpening))
		if err != nil || len(got) != 7 || got[0] != "0:1@1/1 false a|1.00,1" {
			t.Errorf("each without opening rows: got %q, %v", got, err)
		}
	})
}

func notKeyed(t *testing.T, h Harness) {
	l := running(t, h).input(everything)
	for _, c := range []struct{ name, text, key string }{
		{"a row that needs several events", "SELECT user_id AS k, count(*) AS v FROM events GROUP BY 1 HAVING count(*) > 3", "a"},
		{"a row that depends on other keys", "SELECT user_id AS k, count(*) + (SELECT count(*) FROM events) AS v FROM events GROUP BY 1", "b"},
		{"a key that depends on other events", "SELECT max(user_id) AS k, count(*) AS v FROM events", "b"},
	} {
		_, err := l.tryStates(query(c.text, []string{"k"}, "v"), engine.StatesQuery{Keys: keysOf("b", c.key)})
		e := refused(t, c.name, err, recount.CodeNotKeyed)
		if !strings.Contains(e.Why, "k="+c.key) && !strings.Contains(e.Why, "k=a") {
			t.Errorf("%s: the error does not name the key: %s", c.name, e.Why)
		}
	}
	many := newLab(t, h)
	var list []Event
	for i := range 5001 {
		list = append(list, order(fmt.Sprint(i), noon, "a", "1"))
	}
	many.Add(list...)
	_, err := many.input().tryEach(query("SELECT e.id AS k, (SELECT count(*) FROM events b WHERE b.n = e.n) AS v FROM (SELECT *, price AS n FROM events) e, (SELECT price AS n FROM events) b", []string{"k"}, "v"))
	wantCode(t, "too many single runs", err, recount.CodeUnsupported)
	_, err = l.tryStates(query("SELECT unnest([user_id, user_id]) AS k, 1 AS v FROM events", []string{"k"}, "v"), engine.StatesQuery{Keys: keysOf("a")})
	wantCode(t, "a key twice", err, recount.CodeResultKey)
	_, err = l.tryStates(variant(), engine.StatesQuery{Keys: keysOf("a"), Touching: []engine.Variant{query("SELECT random() AS k, 1 AS v FROM events", []string{"k"}, "v")}})
	wantCode(t, "other logic that is not checked", err, recount.CodeSQLRefused)
	_, err = l.tryStates(engine.Variant{Logic: recount.Logic{Kind: "worker"}}, engine.StatesQuery{})
	wantCode(t, "another kind of logic", err, recount.CodeUnsupported)
}
