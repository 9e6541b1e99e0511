package enginetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"recount"
	"recount/engine"
)

func counts(t *testing.T, h Harness) {
	l := marked(t, h)
	lost := order("8", time.Time{}, "e", "1")
	lost.Fault = "no time"
	l.Add(lost)
	l.Mark(recount.Mark{Seq: 8, Kind: recount.MarkFault, ID: "8", Why: "no time"})
	l.Before = noon.Add(6 * time.Minute)
	l.Add(order("9", noon.Add(-time.Second), "a", "1"), order("10", noon.Add(time.Second), "a", "1"), order("11", noon.Add(6*time.Minute), "a", "1"),
		order("12", noon.Add(30*time.Minute), "a", "1"), order("13", noon.Add(5*time.Minute), "a", "1"))
	l.Mark(recount.Mark{Seq: 13, Kind: recount.MarkRepeat, ID: "12", Time: noon.Add(5 * time.Minute)},
		recount.Mark{Seq: 12, Kind: recount.MarkRepeat, ID: "12", Time: noon.Add(30 * time.Minute)})
	l.open()
	for _, c := range []struct {
		dedupe bool
		want   recount.EventCounts
	}{
		{true, recount.EventCounts{Read: 13, Used: 5, Duplicates: 2, Quarantined: 4, Outside: 2, Late: 1, Hit: 5}},
		{false, recount.EventCounts{Read: 13, Used: 7, Quarantined: 4, Outside: 2, Late: 2, Hit: 7}},
	} {
		got, err := l.session.Count(t.Context(), c.dedupe)
		if err != nil || got != c.want {
			t.Errorf("count, dedupe %t: got %+v, %v, want %+v", c.dedupe, got, err, c.want)
		}
		steps, err := l.session.Minutes(t.Context(), c.dedupe, 60)
		if err != nil || len(steps) != 30 {
			t.Fatalf("minutes: got %d, %v, want 30", len(steps), err)
		}
		var sum int64
		for i, s := range steps {
			sum += s.Events
			if !s.From.Equal(noon.Add(time.Duration(i) * time.Minute)) {
				t.Errorf("step %d begins at %s", i, s.From)
			}
		}
		if sum != c.want.Used {
			t.Errorf("events of all steps: got %d, want %d", sum, c.want.Used)
		}
		touched(t, l, c.dedupe)
	}
	for _, c := range []struct {
		length time.Duration
		most   int
		want   int
	}{{30 * time.Minute, 7, 6}, {30 * time.Minute, 1, 1}, {24 * time.Hour, 60, 60}, {10 * time.Second, 5, 5}, {61 * time.Minute, 60, 31}, {time.Microsecond, 60, 1}} {
		steps, err := l.open(noon, noon.Add(c.length)).session.Minutes(t.Context(), true, c.most)
		if err != nil || len(steps) != c.want {
			t.Errorf("%s in at most %d steps: got %d, %v, want %d", c.length, c.most, len(steps), err, c.want)
		}
	}
}

// compacted holds the late events of one file against those of the files that it
// was made of: each event is late by the watermark before its own commit.
func compacted(t *testing.T, h Harness) {
	one, many := newLab(t, h), newLab(t, h)
	var all []Event
	var arrivals []recount.Arrival
	seq := int64(0)
	for commit, before := range []time.Time{{}, noon, noon.Add(3 * time.Minute), noon.Add(3 * time.Minute), noon.Add(20 * time.Minute), noon.Add(time.Hour)} {
		var events []Event
		for i := range 12 {
			seq++
			e := order(fmt.Sprint(seq), noon.Add(time.Duration((i*7+commit*5)%30)*time.Minute), "a", "1")
			e.Seq = seq
			events = append(events, e)
		}
		many.Before = before
		many.Add(events...)
		all = append(all, events...)
		arrivals = append(arrivals, recount.Arrival{LastSeq: seq, Before: before, Commit: int64(commit + 1)})
	}
	one.Arrivals = arrivals
	one.Add(all...)
	for _, l := range []*lab{one, many} {
		l.Mark(recount.Mark{Seq: 70, Kind: recount.MarkRepeat, ID: "70", Time: all[69].Time})
	}
	want, err := many.open().session.Count(t.Context(), true)
	if err != nil || want.Late < 10 || want.Late == want.Used {
		t.Fatalf("count: %+v, %v", want, err)
	}
	got, err := one.open().session.Count(t.Context(), true)
	if err != nil || got != want {
		t.Errorf("count of a compacted file: got %+v, %v, want %+v", got, err, want)
	}
}

// touched holds Touched against the events themselves.
func touched(t *testing.T, l *lab, dedupe bool) {
	t.Helper()
	want := make([]int64, 30)
	events, err := l.session.Events(t.Context(), engine.Query{Repeats: !dedupe})
	if err != nil {
		t.Fatalf("events: %v", err)
	}
	user := slices.IndexFunc(Fields, func(f recount.Field) bool { return f.Name == "user_id" })
	seen := map[string]bool{}
	keys := [][]recount.Value{{recount.Text("nobody")}}
	for _, e := range events {
		key := e.Fields[user]
		step := int(e.Time.Sub(noon) / time.Minute)
		if id := fmt.Sprint(step, key); !seen[id] {
			seen[id] = true
			want[step]++
		}
		if !seen[key.Text] {
			seen[key.Text] = true
			keys = append(keys, []recount.Value{key})
		}
	}
	got, err := l.session.Touched(t.Context(), dedupe, 60, []string{"user_id"}, keys)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("rows touched per step, dedupe %t: got %v, %v, want %v", dedupe, got, err, want)
	}
	if _, err := l.session.Touched(t.Context(), dedupe, 60, []string{"no_field"}, keys); err == nil {
		t.Error("a field that is not declared was accepted")
	}
}

func refusals(t *testing.T, h Harness) {
	e := h.New(t)
	for _, text := range []string{
		"SELECT user_id, sum(price) AS total FROM events GROUP BY 1", "SELECT user_id, any_value(value) AS total FROM events GROUP BY 1",
		"SELECT random() AS x", "SELECT now() AS x", "SELECT current_timestamp AS x", "SELECT row_number() OVER () AS x FROM events",
		"SELECT id FROM events LIMIT 1", "SELECT id FROM events USING SAMPLE 3", "COPY events TO 'x.csv'", "ATTACH 'x.db'", "SELECT 1; SELECT 2",
		"SELECT * FROM 'x.parquet'", "SELECT * FROM information_schema.tables", "DROP VIEW events",
	} {
		_, err := e.Check(t.Context(), logic(text), Fields)
		wantCode(t, text, err, recount.CodeSQLRefused)
	}
	for _, text := range []string{"SELECT FROM", "SELECT nothing FROM events", "", "SELECT summ(value) AS x FROM events", "SELECT key FROM events"} {
		_, err := e.Check(t.Context(), logic(text), Fields)
		wantCode(t, text, err, recount.CodeSQL)
	}
	_, err := e.Check(t.Context(), recount.Logic{Kind: "worker"}, Fields)
	wantCode(t, "another kind of logic", err, recount.CodeUnsupported)
	if !errors.Is(err, recount.ErrUnsupported) {
		t.Errorf("another kind of logic: got %v, want ErrUnsupported", err)
	}
	if err := e.CheckCondition(t.Context(), "now() > time", Fields); err == nil {
		t.Error("a condition with a clock: got no error")
	}
	if err := e.CheckCondition(t.Context(), "partition = '3'", Fields); err != nil {
		t.Errorf("a sound condition: %v", err)
	}
	l := marked(t, h).open()
	_, err = l.try(query("SELECT random() AS k, 1 AS v", []string{"k"}, "v"))
	wantCode(t, "a run checks again", err, recount.CodeSQLRefused)
}

// runaway is a query that would not end while anybody waits.
const runaway = "SELECT a.range % 7 AS user_id, sum(a.range * b.range % 11) AS total, 1 AS n FROM range(100000000) a, range(100000000) b GROUP BY 1"

// slow takes long for a single event.
const slow = "SELECT user_id AS k, sum(a.range * b.range % 11) AS v FROM events, range(100000000) a, range(100000000) b GROUP BY 1"

func wantsEngine(err error) error {
	var e *recount.Error
	if !errors.As(err, &e) || e.Code != recount.CodeEngine {
		return fmt.Errorf("got %w, want code %s", err, recount.CodeEngine)
	}
	return nil
}

func failures(t *testing.T, h Harness) {
	t.Run("a runaway query is cancelled in less than a second", func(t *testing.T) {
		l := marked(t, h).open()
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		done := make(chan error, 1)
		go func() {
			_, err := l.session.Run(ctx, variant(func(v *engine.Variant) { v.Logic = logic(runaway) }))
			done <- err
		}()
		wantEnd(t, done, func(err error) error {
			if !errors.Is(err, context.DeadlineExceeded) {
				return fmt.Errorf("got %w, want the context's", err)
			}
			return nil
		})
	})
	for name, call := range map[string]func(context.Context, engine.Session) error{
		"states": func(ctx context.Context, s engine.Session) error {
			_, err := s.States(ctx, query(slow, []string{"k"}, "v"), engine.StatesQuery{Keys: keysOf("a")})
			return err
		},
		"each": func(ctx context.Context, s engine.Session) error {
			_, err := s.Each(ctx, query(slow, []string{"k"}, "v"))
			return err
		},
	} {
		t.Run(name+" are cancelled in less than a second", func(t *testing.T) {
			l := marked(t, h).open()
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			done := make(chan error, 1)
			go func() { done <- call(ctx, l.session) }()
			wantEnd(t, done, func(err error) error {
				if !errors.Is(err, context.DeadlineExceeded) {
					return fmt.Errorf("got %w, want the context's", err)
				}
				return nil
			})
		})
		t.Run("what runs "+name+" dies", func(t *testing.T) {
			if h.Kill == nil {
				t.Skip("nothing can die by itself")
			}
			l := marked(t, h).open()
			done := make(chan error, 1)
			go func() { done <- call(t.Context(), l.session) }()
			time.AfterFunc(200*time.Millisecond, func() { h.Kill(t, l.session) })
			wantEnd(t, done, wantsEngine)
			if _, err := l.session.HitSpan(t.Context(), true); err == nil {
				t.Error("the session goes on after its death")
			}
		})
	}
	t.Run("what runs the SQL dies", func(t *testing.T) {
		if h.Kill == nil {
			t.Skip("nothing can die by itself")
		}
		l := marked(t, h).open()
		done := make(chan error, 1)
		go func() {
			_, err := l.session.Run(t.Context(), variant(func(v *engine.Variant) { v.Logic = logic(runaway) }))
			done <- err
		}()
		time.AfterFunc(200*time.Millisecond, func() { h.Kill(t, l.session) })
		wantEnd(t, done, wantsEngine)
		if _, err := l.session.Count(t.Context(), true); err == nil {
			t.Error("the session goes on after its death")
		}
		want(t, "the next session", marked(t, h).open().rows(variant()), "a|17.00,2", "b|2.00,1")
	})
}

// limits holds engines to their limit.
func limits(t *testing.T, h Harness) {
	t.Run("a limit of memory is an error that names it", func(t *testing.T) {
		l := marked(t, h)
		input := l.Input(noon, noon.Add(time.Hour))
		input.Limits = engine.Limits{MemoryMiB: 32, Threads: 2}
		s, err := l.engine.Open(t.Context(), input)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Close() }()
		// One list cannot be spilled.
		_, err = s.Run(t.Context(), variant(func(v *engine.Variant) {
			v.Logic = logic("SELECT 'a' AS user_id, len(list(repeat(md5(range::VARCHAR), 8) ORDER BY range)) AS total, 1 AS n FROM range(400000)")
		}))
		wantCode(t, "too small a limit", err, recount.CodeMemory)
	})
	t.Run("a result larger than the limit is spilled", func(t *testing.T) {
		l := marked(t, h)
		input := l.Input(noon, noon.Add(time.Hour))
		input.Limits = engine.Limits{MemoryMiB: 128, Threads: 2}
		s, err := l.engine.Open(t.Context(), input)
		if err != nil {
			t.Fatal(err)
		}
		l.session = s
		defer l.close()
		const n = 1_200_000
		r, err := s.Run(t.Context(), query("SELECT md5(range::VARCHAR) AS k, repeat(md5(md5(range::VARCHAR)), 3) AS v, range AS w FROM range(1200000)", []string{"k"}, "v", "w"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = r.Close() }()
		rows := 0
		for _, ok := r.Next(); ok; _, ok = r.Next() {
			rows++
		}
		if r.Err() != nil || rows != n {
			t.Errorf("rows: got %d, %v, want %d", rows, r.Err(), n)
		}
	})
}

// wantEnd waits for the error, for not much longer than it may take.
func wantEnd(t *testing.T, done <-chan error, check func(error) error) {
	t.Helper()
	select {
	case err := <-done:
		if err := check(err); err != nil {
			t.Error(err)
		}
	case <-time.After(1200 * time.Millisecond):
		t.Fatal("it still runs after 1.2 s")
	}
}
