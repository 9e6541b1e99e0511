package enginetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"recount"
	"recount/engine"
)

// shaped is an event of the tests of upcasts: a kind, a user, a value, and a
// payload that is JSON.
func shaped(n int, kind, user, value, data string) Event {
	e := place(order(strconv.Itoa(n), noon.Add(time.Duration(n)*time.Second), user, value), "0", n, noon)
	e.Seq, e.Type, e.Data = int64(n), kind, []byte(data)
	if value == "NULL" {
		e.Fields[1] = recount.Null
	}
	e.Fields[2] = recount.Null
	return e
}

const shapes = "SELECT id AS k, user_id, value FROM events"

func (l *lab) shapes() []string { return l.rows(query(shapes, []string{"k"}, "user_id", "value")) }

// quarantined lists the marks of a session: "seq broken: why".
func (l *lab) quarantined() (list []string) {
	l.t.Helper()
	marks, err := l.session.Quarantined(l.t.Context())
	if err != nil {
		l.t.Fatal(err)
	}
	for _, m := range marks {
		list = append(list, fmt.Sprintf("%d %s: %s", m.Seq, strings.Join(m.Broken, ","), m.Why))
	}
	return list
}

var cents = engine.Upcast{Name: "cents", When: "type = 'v1'", Set: map[string]string{"value": "CAST(CAST(payload ->> '$.cents' AS BIGINT) * 0.01 AS DECIMAL(18,2))"}}

func upcasts(t *testing.T, h Harness) {
	t.Run("steps follow one another, and see what was before them", func(t *testing.T) {
		l := newLab(t, h)
		l.Add(shaped(1, "v1", "a", "0", `{"cents": 150}`), shaped(2, "v2", "b", "2", `{"amount": 2}`), shaped(3, "v1", "c", "0", `{"cents": null}`))
		l.input(func(in *engine.Input) {
			in.Upcasts = []engine.Upcast{cents, {Name: "swap", Set: map[string]string{"user_id": "user_id || value", "value": "length(user_id)"}}}
		})
		want(t, "rows", l.shapes(), "1|a1.50,1.00", "2|b2.00,1.00", "3|NULL,1.00")
		want(t, "a condition of a list sees them too", l.rows(query(shapes, []string{"k"}, "value"), func(v *engine.Variant) {
			v.Missed = []recount.EventList{{Where: "user_id = 'a1.50'"}}
		}), "2|1.00", "3|1.00")
	})
	t.Run("an event that a step fails for is quarantined", func(t *testing.T) {
		l := newLab(t, h)
		l.Add(shaped(1, "v1", "a", "7", `{"cents": "x"}`), shaped(2, "v1", "b", "7", `no json`), shaped(3, "v1", "c", "7", `{"cents": 100}`), shaped(4, "v1", "d", "7", `{"cents": 9223372036854775807}`))
		l.input(func(in *engine.Input) {
			big := cents
			big.Set = map[string]string{"value": "CAST(payload ->> '$.cents' AS BIGINT)"}
			in.Upcasts = []engine.Upcast{big}
		})
		want(t, "rows", l.shapes(), "3|c,100.00")
		got := l.quarantined()
		for i, says := range []string{`1 value: upcast cents: value cannot be made: Could not convert string 'x' to INT64`, "2 value: upcast cents: value cannot be made: its payload is no JSON", "4 value: upcast cents: value cannot be made: Could not cast value 9223372036854775807 to DECIMAL(18,2)"} {
			if i >= len(got) || !strings.HasPrefix(got[i], says) {
				t.Errorf("quarantined: got %q, want one that begins with %q", got, says)
			}
		}
		c, err := l.session.Count(t.Context(), true)
		if err != nil || c != (recount.EventCounts{Read: 4, Used: 1, Quarantined: 3, Hit: 1}) {
			t.Errorf("count: got %+v, %v", c, err)
		}
		want(t, "named and probed", l.rows(query(shapes, []string{"k"}, "value"), func(v *engine.Variant) { v.Only, v.Probe = []int64{1}, 1 }), "1|0.00")
		want(t, "named", l.rows(query(shapes, []string{"k"}, "value"), func(v *engine.Variant) { v.Only = []int64{1} }), "1|NULL")
		events, err := l.session.Events(t.Context(), engine.Query{Quarantined: true, Seqs: []int64{1, 3}})
		if err != nil || len(events) != 2 || events[0].Mark != recount.MarkFault || !strings.Contains(events[0].Fault, "upcast cents") || events[1].Fault != "" || events[1].Fields[1] != recount.Text("100.00") {
			t.Errorf("events: got %+v, %v", events, err)
		}
	})
	t.Run("a fault of replaced fields is mended", func(t *testing.T) {
		l := newLab(t, h)
		broken := shaped(1, "v1", "a", "NULL", `{"cents": 150}`)
		broken.Fault = `field "value": "1,50" is no decimal`
		other := shaped(2, "v1", "b", "NULL", `{"cents": 150}`)
		other.Fault = `field "value": "1,50" is no decimal; id: there is none in "id"`
		l.Add(broken, other)
		l.Mark(recount.Mark{Seq: 1, Kind: recount.MarkFault, ID: "1", Time: broken.Time, Broken: []string{"value"}, Why: broken.Fault},
			recount.Mark{Seq: 2, Kind: recount.MarkFault, ID: "2", Time: other.Time, Broken: []string{"value"}, Why: other.Fault})
		l.input(func(in *engine.Input) { in.Upcasts = []engine.Upcast{cents} })
		want(t, "rows", l.shapes(), "1|a,1.50")
		want(t, "quarantined", l.quarantined(), "2 value: "+other.Fault)
	})
	t.Run("refusals", func(t *testing.T) { upcastRefusals(t, h) })
	t.Run("against an oracle", func(t *testing.T) {
		for seed := range uint64(12) {
			shapeHistory(t, h, seed)
		}
	})
}

func upcastRefusals(t *testing.T, h Harness) {
	l := newLab(t, h)
	l.Add(shaped(1, "v1", "a", "1", `{}`), shaped(2, "v1", "a", "1", `{}`), shaped(3, "v1", "a", "1", `{}`))
	try := func(u engine.Upcast, faults int64) error {
		in := l.Input(noon, noon.Add(time.Hour))
		in.Upcasts, in.Faults = []engine.Upcast{u}, faults
		s, err := l.engine.Open(t.Context(), in)
		if err == nil {
			err = s.Close()
		}
		return err
	}
	for _, c := range []struct {
		name string
		u    engine.Upcast
		code recount.Code
	}{
		{"chance", engine.Upcast{Name: "u", Set: map[string]string{"price": "random()"}}, recount.CodeSQLRefused},
		{"chance before an arrow", engine.Upcast{Name: "u", When: "CAST(random() AS VARCHAR)::JSON -> '$' IS NULL"}, recount.CodeSQLRefused},
		{"the clock", engine.Upcast{Name: "u", When: "time < now()"}, recount.CodeSQLRefused},
		{"an aggregate", engine.Upcast{Name: "u", Set: map[string]string{"value": "sum(value)"}}, recount.CodeSQLRefused},
		{"a subquery", engine.Upcast{Name: "u", Set: map[string]string{"user_id": "(SELECT max(user_id) FROM events)"}}, recount.CodeSQLRefused},
		{"the window", engine.Upcast{Name: "u", When: "time < $from"}, recount.CodeSQLRefused},
		{"hit", engine.Upcast{Name: "u", When: "hit"}, recount.CodeSQL},
		{"a condition that is none", engine.Upcast{Name: "u", When: "value"}, recount.CodeSQL},
		{"a wrong type", engine.Upcast{Name: "u", Set: map[string]string{"value": "user_id"}}, recount.CodeSQL},
		{"digits that would be cut", engine.Upcast{Name: "u", Set: map[string]string{"value": "CAST(1 AS DECIMAL(18,3))"}}, recount.CodeSQL},
		{"JSON in a text", engine.Upcast{Name: "u", Set: map[string]string{"user_id": "payload -> '$.user'"}}, recount.CodeSQL},
		{"a list", engine.Upcast{Name: "u", Set: map[string]string{"user_id": "[user_id]"}}, recount.CodeSQL},
		{"no such field", engine.Upcast{Name: "u", Set: map[string]string{"amount": "1"}}, recount.CodeNoColumn},
		{"no such column", engine.Upcast{Name: "u", Set: map[string]string{"value": "amount"}}, recount.CodeSQL},
		{"two statements", engine.Upcast{Name: "u", Set: map[string]string{"value": "1; DROP TABLE x"}}, recount.CodeSQLRefused},
		{"a parenthesis that closes ours", engine.Upcast{Name: "u", Set: map[string]string{"value": "1) OR (true"}}, recount.CodeSQL},
	} {
		e := refused(t, c.name, try(c.u, 0), c.code)
		if !strings.Contains(e.Where, "upcast u") {
			t.Errorf("%s: where is %q", c.name, e.Where)
		}
	}
	failing := engine.Upcast{Name: "u", Set: map[string]string{"value": "CAST(user_id AS INTEGER)"}}
	if err := try(failing, 3); err != nil {
		t.Errorf("as many faults as may be: %v", err)
	}
	if e := refused(t, "too many faults", try(failing, 2), recount.CodeUpcast); !strings.Contains(e.Why, "event 1: ") || !strings.Contains(e.What, "3 events") {
		t.Errorf("too many faults: %+v", e)
	}
}

// change is an upcast, and what it does to a user and a value; false: it fails.
type change struct {
	engine.Upcast
	when func(kind, n string, value *int) (is, ok bool)
	set  func(n string, user *string, value **int) bool
}

var changes = []change{
	{
		engine.Upcast{Name: "more", When: "type = 'old'", Set: map[string]string{"value": "CAST(value + 1 AS DECIMAL(18,2))"}},
		func(kind, _ string, _ *int) (bool, bool) { return kind == "old", true },
		func(_ string, _ *string, value **int) bool {
			if *value != nil {
				*value = new(**value + 1)
			}
			return true
		},
	},
	{
		engine.Upcast{Name: "louder", Set: map[string]string{"user_id": "user_id || '!'"}},
		func(string, string, *int) (bool, bool) { return true, true },
		func(_ string, user *string, _ **int) bool { *user += "!"; return true },
	},
	{
		engine.Upcast{Name: "none", When: "value > 2", Set: map[string]string{"value": "CAST(NULL AS DECIMAL(18,2))"}},
		func(_, _ string, value *int) (bool, bool) { return value != nil && *value > 2, true },
		func(_ string, _ *string, value **int) bool { *value = nil; return true },
	},
	{
		engine.Upcast{Name: "read", When: "type = 'old'", Set: map[string]string{"value": "CAST(payload ->> '$.n' AS DECIMAL(18,2))", "user_id": "'read'"}},
		func(kind, _ string, _ *int) (bool, bool) { return kind == "old", true },
		func(n string, user *string, value **int) bool {
			*user = "read"
			parsed, err := strconv.Atoi(n)
			*value = nil
			if err == nil {
				*value = &parsed
			}
			return err == nil
		},
	},
	{
		engine.Upcast{Name: "big", When: "CAST(payload ->> '$.n' AS BIGINT) > 3", Set: map[string]string{"user_id": "'big'"}},
		func(_, n string, _ *int) (bool, bool) { parsed, err := strconv.Atoi(n); return parsed > 3, err == nil },
		func(_ string, user *string, _ **int) bool { *user = "big"; return true },
	},
	{
		engine.Upcast{Name: "huge", When: "value IS NOT NULL", Set: map[string]string{"value": "CAST(CAST(value AS DECIMAL(30,2)) * 10000000000000000 AS DECIMAL(38,2))"}},
		func(_, _ string, value *int) (bool, bool) { return value != nil, true },
		func(_ string, _ *string, value **int) bool {
			ok := **value == 0
			*value = map[bool]*int{true: new(int)}[ok]
			return ok
		},
	},
}

// shapeHistory holds random steps over random events against going through them
// one by one.
func shapeHistory(t *testing.T, h Harness, seed uint64) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 2))
	var steps []change
	for range 1 + r.IntN(4) {
		steps = append(steps, changes[r.IntN(len(changes))])
	}
	l := newLab(t, h)
	var file []Event
	var rows, bad []string
	for i := range 30 {
		kind, n := []string{"old", "new"}[r.IntN(2)], []string{"1", "5", "x"}[r.IntN(3)]
		var value *int
		text, user := "NULL", string(rune('a'+r.IntN(3)))
		if r.IntN(4) > 0 {
			value = new(r.IntN(5))
			text = strconv.Itoa(*value)
		}
		e := shaped(100+i, kind, user, text, `{"n": "`+n+`"}`)
		faulty := value == nil && r.IntN(2) == 0
		if faulty {
			e.Fault = `field "value": it is none`
			l.Mark(recount.Mark{Seq: e.Seq, Kind: recount.MarkFault, ID: e.ID, Time: e.Time, Broken: []string{"value"}, Why: e.Fault})
		}
		failed, mended := false, false
		for _, s := range steps {
			is, ok := s.when(kind, n, value)
			_, sets := s.Set["value"]
			if !ok {
				failed, mended = true, mended && !sets
				continue
			}
			if is {
				ok = s.set(n, &user, &value)
				failed = failed || !ok
				if sets {
					mended = ok
				}
			}
		}
		if failed || faulty && !mended {
			bad = append(bad, e.ID)
		} else {
			shown := "NULL"
			if value != nil {
				shown = strconv.Itoa(*value) + ".00"
			}
			rows = append(rows, e.ID+"|"+user+","+shown)
		}
		file = append(file, e)
	}
	l.Add(file[:11]...)
	l.Add(file[11:]...)
	l.input(func(in *engine.Input) {
		for i, s := range steps {
			s.Name += strconv.Itoa(i)
			in.Upcasts = append(in.Upcasts, s.Upcast)
		}
	})
	what := fmt.Sprintf("seed %d, steps %v", seed, steps)
	want(t, what, l.shapes(), rows...)
	for range 3 { // files that a session writes are not written over
		if _, err := l.session.Events(t.Context(), engine.Query{Quarantined: true}); err != nil {
			t.Fatal(err)
		}
	}
	want(t, "again: "+what, l.shapes(), rows...)
	marks, err := l.session.Quarantined(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range marks {
		got = append(got, m.ID)
	}
	slices.Sort(bad)
	want(t, "quarantined: "+what, got, bad...)
}
