package duckdb_test

import (
	"testing"
	"time"

	"recount"
	"recount/engine"
	"recount/engine/duckdb"
	"recount/engine/enginetest"
)

func TestSmoke(t *testing.T) {
	e := duckdb.New()
	defer e.Close()
	user := recount.Field{Name: "user_id", Type: recount.Type{Kind: recount.KindString}}
	value := recount.Field{Name: "value", Type: recount.Decimal(18, 2)}
	b := enginetest.NewBuilder(t, user, value)
	at := time.Date(2024, 6, 10, 12, 0, 0, 0, time.UTC)
	ev := func(id, u, v string, at time.Time) enginetest.Event {
		return enginetest.Event{Event: recount.Event{ID: id, Partition: "0", Position: id, Time: at, Data: []byte("x"), Fields: []recount.Value{recount.Text(u), recount.Text(v)}}}
	}
	b.Add(ev("1", "a", "1.50", at), ev("2", "b", "2.25", at.Add(time.Minute)), ev("3", "a", "3", at.Add(time.Hour)), ev("4", "a", "4", at.Add(2*time.Minute)))
	b.Add(ev("4", "a", "4", at.Add(2*time.Minute)))
	b.Mark(recount.Mark{Seq: 5, Kind: recount.MarkRepeat, ID: "4", Time: at.Add(2 * time.Minute)})
	t0 := time.Now()
	logic := recount.Logic{Kind: "sql", Path: "a.sql", Text: "SELECT user_id, sum(value) AS total, count(*) n, max(time) m FROM events WHERE time >= $from AND time < $to GROUP BY user_id -- x"}
	cols, err := e.Check(t.Context(), logic, []recount.Field{user, value})
	t.Log(cols, err, time.Since(t0))
	s, err := e.Open(t.Context(), b.Input(at, at.Add(30*time.Minute)))
	if err != nil {
		t.Fatal(err)
	}
	t.Log(time.Since(t0))
	for split := range 3 {
		for _, dedupe := range []bool{true, false} {
			r, err := s.Run(t.Context(), engine.Variant{Logic: logic, Key: []string{"user_id"}, Columns: []string{"total", "n", "m"}, Dedupe: dedupe, Split: split})
			if err != nil {
				t.Fatal(err)
			}
			for row, ok := r.Next(); ok; row, ok = r.Next() {
				t.Log(row)
			}
			t.Log(r.Err(), r.Close(), time.Since(t0))
		}
	}
	t.Log(s.Count(t.Context(), true))
	t.Log(s.Count(t.Context(), false))
	t.Log(s.Minutes(t.Context(), true, 10))
	t.Log(s.Quarantined(t.Context()))
	evs, err := s.Events(t.Context(), engine.Query{Repeats: true})
	t.Log(len(evs), err)
	t.Logf("%+v", evs)
	t.Log(s.Close())
	t.Log(time.Since(t0))
}
