package duckdb_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"recount"
	"recount/engine"
	"recount/engine/enginetest"
)

// benchFields are those of the seed's case.
var benchFields = []recount.Field{
	{Name: "user_id", Type: recount.Type{Kind: recount.KindString}},
	{Name: "value", Type: recount.Decimal(18, 2)},
}

var benchNoon = time.Date(2024, 6, 10, 12, 0, 0, 0, time.UTC)

// benchInput has so many events of so many users in one hour, in four files.
func benchInput(tb testing.TB, count, users int) engine.Input {
	tb.Helper()
	b := enginetest.NewBuilder(tb, benchFields...)
	const files = 4
	for f := range files {
		list := make([]enginetest.Event, 0, count/files)
		for i := f; i < count; i += files {
			list = append(list, enginetest.Event{Event: recount.Event{
				ID: fmt.Sprint(i), Partition: "0", Position: fmt.Sprintf("%012d", i), Data: []byte("x"),
				Time:   benchNoon.Add(time.Duration(i) * time.Hour / time.Duration(count)),
				Fields: []recount.Value{recount.Text(fmt.Sprint("user-", i%users)), recount.Text(fmt.Sprintf("%d.%02d", i%100, i%97))},
			}})
		}
		b.Add(list...)
	}
	return b.Input(benchNoon, benchNoon.Add(time.Hour))
}

var benchVariant = engine.Variant{
	Logic: recount.Logic{Kind: "sql", Text: "SELECT user_id, sum(value) AS total FROM events GROUP BY user_id"},
	Key:   []string{"user_id"}, Columns: []string{"total"}, Dedupe: true,
}

func drain(tb testing.TB, s engine.Session, v engine.Variant) int {
	tb.Helper()
	r, err := s.Run(tb.Context(), v)
	if err != nil {
		tb.Fatal(err)
	}
	rows := 0
	for _, ok := r.Next(); ok; _, ok = r.Next() {
		rows++
	}
	if err := r.Err(); err != nil {
		tb.Fatal(err)
	}
	if err := r.Close(); err != nil {
		tb.Fatal(err)
	}
	return rows
}

// BenchmarkRun runs a sum of 200,000 keys over 800,000 events and reads all rows.
func BenchmarkRun(b *testing.B) {
	e := newEngine(b)
	s, err := e.Open(b.Context(), benchInput(b, 800_000, 200_000))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for b.Loop() {
		if n := drain(b, s, benchVariant); n != 200_000 {
			b.Fatalf("rows: got %d", n)
		}
	}
}

// BenchmarkRows reads 200,000 rows of two columns: the way from the child's
// tables to canonical text in the parent, without the calculation.
func BenchmarkRows(b *testing.B) {
	e := newEngine(b)
	s, err := e.Open(b.Context(), benchInput(b, 4, 4))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	v := benchVariant
	v.Logic.Text = "SELECT 'user-' || range AS user_id, CAST(range % 1000 AS DECIMAL(18,2)) AS total FROM range(200000)"
	for b.Loop() {
		if n := drain(b, s, v); n != 200_000 {
			b.Fatalf("rows: got %d", n)
		}
	}
}

// BenchmarkPlan does what a small plan asks of the engine, from its start to its
// end: a check, two runs, the counts.
func BenchmarkPlan(b *testing.B) {
	input := benchInput(b, 1000, 100)
	for i := 0; b.Loop(); i++ {
		e := newEngine(b)
		if _, err := e.Check(b.Context(), benchVariant.Logic, benchFields); err != nil {
			b.Fatal(err)
		}
		in := input
		in.Scratch = filepath.Join(input.Scratch, fmt.Sprint(i))
		if err := os.Mkdir(in.Scratch, 0o700); err != nil {
			b.Fatal(err)
		}
		s, err := e.Open(b.Context(), in)
		if err != nil {
			b.Fatal(err)
		}
		for split := range 2 {
			v := benchVariant
			v.Split = split
			drain(b, s, v)
		}
		if _, err := s.Count(b.Context(), true); err != nil {
			b.Fatal(err)
		}
		if _, err := s.Minutes(b.Context(), true, 60); err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		if err := e.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCheck checks one text again and again; the child remembers none of
// them, since each is another.
func BenchmarkCheck(b *testing.B) {
	e := newEngine(b)
	for i := 0; b.Loop(); i++ {
		logic := benchVariant.Logic
		logic.Text += fmt.Sprint(" HAVING count(*) > ", i)
		if _, err := e.Check(b.Context(), logic, benchFields); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkStates follows 1,000 keys of 1,000 events each over their 50 newest
// states; BenchmarkEach runs all of those events alone.
func BenchmarkStates(b *testing.B) {
	in := benchInput(b, 1_000_000, 1000)
	in.Hits.Window = recount.Window{From: in.Window.From, To: in.Window.From.Add(50 * time.Minute), By: recount.ByEvent}
	var q engine.StatesQuery
	for i := range 1000 {
		q.Keys = append(q.Keys, []recount.Value{recount.Text(fmt.Sprint("user-", i))})
	}
	q.Most = 50
	e := newEngine(b)
	for b.Loop() {
		in.Scratch = b.TempDir()
		s, err := e.Open(b.Context(), in)
		if err != nil {
			b.Fatal(err)
		}
		r, err := s.States(b.Context(), benchVariant, q)
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		for _, ok := r.Next(); ok; _, ok = r.Next() {
			n++
		}
		if err := r.Err(); err != nil || n != 50_000 {
			b.Fatalf("states: got %d, %v", n, err)
		}
		_ = r.Close()
		_ = s.Close()
	}
}

// BenchmarkEach runs a million events alone.
func BenchmarkEach(b *testing.B) {
	in := benchInput(b, 1_000_000, 1000)
	e := newEngine(b)
	s, err := e.Open(b.Context(), in)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for b.Loop() {
		r, err := s.Each(b.Context(), benchVariant)
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		for _, ok := r.Next(); ok; _, ok = r.Next() {
			n++
		}
		if err := r.Err(); err != nil || n != 1_000_000 {
			b.Fatalf("contributions: got %d, %v", n, err)
		}
		_ = r.Close()
	}
}
