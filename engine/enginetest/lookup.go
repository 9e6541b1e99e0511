package enginetest

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"recount"
	"recount/engine"
)

// valid is a row of reference data: what holds for a user from a time on.
type valid struct {
	user string // empty: NULL
	from time.Time
	rate string
}

// writeTable writes reference data with the columns who, since and rate.
func writeTable(t *testing.T, rows ...valid) string {
	t.Helper()
	fields := []recount.Field{
		{Name: "who", Type: recount.Type{Kind: recount.KindString}}, {Name: "since", Type: recount.Type{Kind: recount.KindTimestamp}}, {Name: "rate", Type: recount.Decimal(9, 3)},
	}
	var list []Event
	for i, r := range rows {
		values := []recount.Value{recount.Text(r.user), recount.Text(recount.FormatTimestamp(r.from)), recount.Text(r.rate)}
		if r.user == "" {
			values[0] = recount.Null
		}
		if r.from.IsZero() {
			values[1] = recount.Null
		}
		if r.rate == "NULL" {
			values[2] = recount.Null
		}
		list = append(list, Event{Seq: int64(i), Event: recount.Event{Partition: "0", Position: "0", Data: []byte{}, Fields: values}})
	}
	path := filepath.Join(t.TempDir(), "table.parquet")
	if err := WriteEvents(path, fields, list); err != nil {
		t.Fatal(err)
	}
	return path
}

// rated lays a table of rates beside the events of an input.
func rated(file string, missing bool) func(*engine.Input) {
	return func(in *engine.Input) {
		in.Fields = append(append([]recount.Field{}, in.Fields...), recount.Field{Name: "rate", Type: recount.Decimal(18, 4)})
		in.Lookups = []engine.Lookup{{
			Name: "rates", File: file, Key: []string{"who"}, On: []string{"user_id"}, Time: "since", Take: map[string]string{"rate": "rate"}, Missing: missing,
		}}
	}
}

func lookups(t *testing.T, h Harness) {
	rates := query("SELECT id AS k, rate FROM events", []string{"k"}, "rate")
	minute := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Minute) }
	t.Run("the row that was valid at the event's time, and never a later one", func(t *testing.T) {
		l := newLab(t, h)
		l.Add(order("1", minute(0), "a", "1"), order("2", minute(5), "a", "1"), order("3", minute(5).Add(-time.Microsecond), "a", "1"), order("4", minute(29), "b", "1"))
		table := writeTable(t, valid{"a", minute(-60), "1"}, valid{"a", minute(5), "2"}, valid{"a", minute(6), "99"}, valid{"b", minute(0), "NULL"}, valid{"b", minute(30), "99"})
		l.input(rated(table, false))
		want(t, "rows", l.rows(rates), "1|1.0000", "2|2.0000", "3|1.0000", "4|NULL")
		want(t, "a condition sees it", l.rows(rates, func(v *engine.Variant) { v.Missed = []recount.EventList{{Where: "rate = 2"}} }), "1|1.0000", "3|1.0000", "4|NULL")
		f, err := l.session.Feed(t.Context(), rates, engine.FeedQuery{Columns: []string{"id", "rate"}})
		if err != nil {
			t.Fatal(err)
		}
		fedRows, types, err := readRows(t.Context(), f.Path)
		if err != nil || len(fedRows) != 4 || types["rate"] != "decimal(18, 4)" {
			t.Errorf("feed: got %v of types %v, %v", fedRows, types, err)
		}
	})
	t.Run("an event without a row", func(t *testing.T) {
		l := newLab(t, h)
		e := order("4", minute(3), "a", "1")
		e.Fields[0] = recount.Null
		l.Add(order("1", minute(0), "a", "1"), order("2", minute(1), "b", "1"), order("3", minute(2), "c", "1"), e)
		table := writeTable(t, valid{"b", minute(1), "1"}, valid{"a", minute(1), "2"}, valid{"", minute(-1), "7"})
		_, err := l.input(rated(table, false)).try(rates)
		got := refused(t, "refused", err, recount.CodeLookup)
		if !strings.Contains(got.What, "3 events of 3 keys") || !strings.Contains(got.Why, "event 1 (a) of 2024-06-10T12:00:00Z; 3 (c) of 2024-06-10T12:02:00Z; 4 (NULL)") {
			t.Errorf("refused: %+v", got)
		}
		want(t, "missing: null", l.input(rated(table, true)).rows(rates), "1|NULL", "2|1.0000", "3|NULL", "4|NULL")
		if c, err := l.session.Count(t.Context(), true); err != nil || c.Used != 4 {
			t.Errorf("count: got %+v, %v", c, err)
		}
		_, err = l.input(rated(writeTable(t), false)).try(rates)
		wantCode(t, "an empty table", err, recount.CodeLookup)
	})
	t.Run("two rows of one key and time, and a row without a time", func(t *testing.T) {
		l := newLab(t, h)
		l.Add(order("1", minute(0), "a", "1"))
		_, err := l.input(rated(writeTable(t, valid{"a", minute(-1), "1"}, valid{"a", minute(-1), "1"}, valid{"z", minute(-1), "1"}), true)).try(rates)
		if e := refused(t, "a tie", err, recount.CodeLookup); !strings.Contains(e.Why, "key a ") {
			t.Errorf("a tie: %+v", e)
		}
		_, err = l.input(rated(writeTable(t, valid{"a", time.Time{}, "1"}), true)).try(rates)
		wantCode(t, "no time", err, recount.CodeLookup)
	})
	t.Run("what was upcast is looked up", func(t *testing.T) {
		l := newLab(t, h)
		l.Add(order("1", minute(0), "A", "1"))
		l.input(rated(writeTable(t, valid{"a", minute(-1), "3"}), false), func(in *engine.Input) {
			in.Upcasts = []engine.Upcast{{Name: "small", When: "user_id = upper(user_id)", Set: map[string]string{"user_id": "lower(user_id)"}}}
		})
		want(t, "rows", l.rows(rates), "1|3.0000")
	})
	t.Run("quarantined events need no row", func(t *testing.T) {
		l := marked(t, h).input(rated(writeTable(t, valid{"a", minute(-1), "1"}, valid{"b", minute(-1), "2"}), false))
		want(t, "rows", l.rows(query("SELECT user_id AS k, sum(value * rate) AS v FROM events GROUP BY 1", []string{"k"}, "v")), "a|17.000000", "b|4.000000")
		want(t, "named", l.rows(query("SELECT user_id AS k, rate FROM events", []string{"k"}, "rate"), func(v *engine.Variant) { v.Only = []int64{6} }), "d|NULL")
	})
	t.Run("against an oracle", func(t *testing.T) {
		for seed := range uint64(8) {
			lookupHistory(t, h, seed)
		}
	})
}

// lookupHistory holds random reference data against a search through all rows.
func lookupHistory(t *testing.T, h Harness, seed uint64) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 3))
	at := func() time.Time { return noon.Add(time.Duration(r.IntN(30)) * time.Minute) }
	user := func() string { return string(rune('a' + r.IntN(4))) }
	var table []valid
	seen := map[string]bool{}
	for range r.IntN(40) {
		row := valid{user(), at(), strconv.Itoa(r.IntN(9))}
		if key := row.user + row.from.String(); !seen[key] {
			seen[key] = true
			table = append(table, row)
		}
	}
	l := newLab(t, h)
	var rows []string
	for file := range 3 {
		var events []Event
		for i := range 20 {
			e := order(fmt.Sprintf("%03d", 100*file+i), at(), user(), "1")
			rate, since := "NULL", time.Time{}
			for _, v := range table {
				if v.user == string(e.Key) && !v.from.After(e.Time) && !v.from.Before(since) {
					rate, since = v.rate+".0000", v.from
				}
			}
			rows = append(rows, e.ID+"|"+rate)
			events = append(events, e)
		}
		l.Add(events...)
	}
	l.input(rated(writeTable(t, table...), true))
	want(t, fmt.Sprintf("seed %d", seed), l.rows(query("SELECT id AS k, rate FROM events", []string{"k"}, "rate")), rows...)
}
