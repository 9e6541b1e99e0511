package enginetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"recount"
	"recount/engine"
)

// foldSplits holds that what a log orders decides a fold, and nothing else.
func foldSplits(t *testing.T, h Harness) {
	l := newLab(t, h)
	for f := range 4 {
		var list []Event
		for i := range 300 {
			n := f*300 + i
			list = append(list, place(order(fmt.Sprint(n), noon.Add(time.Duration(n%1000)*time.Second), fmt.Sprint("user", n*7919%97), fmt.Sprint(n%5)), fmt.Sprint(n*7919%97%3), n, noon))
		}
		l.Add(list...)
	}
	// One user's events come from two partitions.
	l.Add(place(order("x", noon, "torn", "1"), "0", 5000, noon), place(order("y", noon, "torn", "1"), "1", 5000, noon))
	l.open()
	same := func(what string, want bool, v engine.Variant, split int, keys ...string) {
		t.Helper()
		v = l.spell(v)
		if keys != nil {
			v.Keys = keysOf(keys...)
		}
		first, err := l.session.Run(t.Context(), v)
		if err != nil {
			t.Fatal(err)
		}
		v.Split = split
		if got, err := l.session.Same(t.Context(), v, first); err != nil || got != want {
			t.Errorf("%s, split %d: same is %t, %v, want %t", what, split, got, err, want)
		}
		if err := first.Close(); err != nil {
			t.Error(err)
		}
	}
	for split := range 5 {
		same("sums", true, variant(), split)
		same("the order of a partition", true, seen(), split, "user1", "user2", "user3", "user17")
		same("the order between partitions", split%2 == 0, seen(), split)
		fed := seen()
		fed.Within.From = noon.Add(-time.Hour)
		same("the order between partitions, of a feed", split%2 == 0, fed, split)
	}
	v := l.spell(seen())
	first, err := l.session.Run(t.Context(), v)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = first.Close() }()
	v.Shake.Interleave = true
	if got, err := l.session.Same(t.Context(), v, first); err != nil || got {
		t.Errorf("the order between partitions alone: same is %t, %v", got, err)
	}
	v.Shake = engine.Shake{Files: true, Batches: true, Threads: true, Seed: true}
	if got, err := l.session.Same(t.Context(), v, first); err != nil || !got {
		t.Errorf("files, batches, threads and seed: same is %t, %v", got, err)
	}
}

// foldsAsSQL holds folds over random histories against SQL over the same session,
// and runs over the archive's files against those over a feed.
func foldsAsSQL(t *testing.T, h Harness) {
	for seed := range uint64(8) {
		AsSQL(t, h, seed)
	}
}

// AsSQL makes a random history and holds the totals of a fold against those of
// SQL, under random variants.
func AsSQL(t *testing.T, h Harness, seed uint64) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 2))
	l := newLab(t, h)
	w := newWorld(l, r)
	run := func(v engine.Variant) []string {
		t.Helper()
		rows, err := l.session.Run(t.Context(), v)
		if err != nil {
			t.Fatal(err)
		}
		list, err := list(rows)
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	var together []engine.Variant
	var rows [][]string
	for range 6 {
		v := randomVariant(r, len(w.events))
		v.Logic, v.Key, v.Columns = logic(totals), []string{"user_id"}, []string{"total", "n"}
		together, rows = append(together, l.spell(v)), append(rows, run(v))
		want(t, fmt.Sprintf("seed %d, %+v", seed, v), run(l.spell(v)), rows[len(rows)-1]...)
	}
	wantSeveral(t, l, together, rows)
	plain := l.spell(seen(func(v *engine.Variant) { v.Dedupe = r.IntN(2) == 0 }))
	fed := plain
	fed.Within.From = noon.Add(-1000 * time.Hour)
	want(t, fmt.Sprintf("seed %d: the archive's files and a feed", seed), run(plain), run(fed)...)
}

func list(r engine.Rows) (list []string, err error) {
	defer func() { err = errors.Join(err, r.Close()) }()
	for row, ok := r.Next(); ok; row, ok = r.Next() {
		list = append(list, join(row.Key)+"|"+join(row.Values))
	}
	return list, r.Err()
}

// foldBuckets holds that a bucket is a part of a fold's key.
func foldBuckets(t *testing.T, h Harness) {
	l := newLab(t, h)
	day := 24 * time.Hour
	l.Add(order("1", noon, "a", "1"), order("2", noon.Add(day), "a", "1"), order("3", noon.Add(day), "b", "1"))
	l.Add(order("4", noon.Add(time.Hour), "a", "1"), order("5", noon.Add(day+11*time.Hour), "a", "1"))
	v := l.fold(Days, []string{"user_id", "day"}, "n")
	v.Logic.Bucket = recount.Bucket{Size: day, Zone: time.UTC}
	l.input(everything)
	rows := []string{"a,2024-06-10|2", "a,2024-06-11|2", "b,2024-06-11|1"}
	want(t, "by day", l.rows(v), rows...)
	fed := v
	fed.Within.From = noon.Add(-1000 * day)
	want(t, "by day, of a feed", l.rows(fed), rows...)
	q := engine.StatesQuery{Keys: [][]recount.Value{{recount.Text("a"), recount.Text("2024-06-11")}}, Unhit: 9}
	want(t, "states of a day", l.states(v, q), "a,2024-06-11@2 0:2/2 last 0:2/2 n=1: 1", "a,2024-06-11@5 0:5/5 last 0:5/5 n=2: 2 newest")
}

// foldStates holds that a state can be taken out as a column and given back.
func foldStates(t *testing.T, h Harness) {
	l := newLab(t, h)
	l.Add(order("1", noon, "a", "1"), order("2", noon, "b", "2"), order("3", noon, "z", "32"))
	l.Add(order("4", noon.Add(time.Hour), "a", "4"), order("5", noon.Add(time.Hour), "c", "8"), order("6", noon.Add(time.Hour), "a", "16"))
	fields := []recount.Field{{Name: "user_id", Type: recount.Type{Kind: recount.KindString}}, {Name: recount.StateColumn, Type: recount.Type{Kind: recount.KindString}}}
	v := l.spell(variant())
	l.input(everything)
	whole := l.rows(v)
	states := v
	states.Columns = []string{recount.StateColumn}
	l.input(func(in *engine.Input) { in.Read = recount.Window{To: noon.Add(time.Minute), By: recount.ByEvent} })
	r, err := l.session.Run(t.Context(), states)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "states.parquet")
	if n, err := writeStates(path, r); err != nil || n != 3 {
		t.Fatalf("states: %d, %v", n, err)
	}
	v.Logic.Opening = fields
	rest := func(in *engine.Input) {
		in.Opening, in.Read = path, recount.Window{From: noon.Add(time.Minute), By: recount.ByEvent}
	}
	l.input(rest)
	want(t, "rows from opening states", l.rows(v), whole...)
	want(t, "states from opening states", l.states(v, engine.StatesQuery{Keys: keysOf("a", "c", "z"), Unhit: 5}),
		"a@4 0:4/4 last 0:4/4 n=1: 5.00,2", "a@6 0:6/6 last 0:6/6 n=2: 21.00,3 newest", "c@5 0:5/5 last 0:5/5 n=1: 8.00,1 newest")
	l.input(rest, func(in *engine.Input) { in.Window.From, in.Window.To = noon.Add(time.Minute), noon.Add(2*time.Hour) })
	alone := func(edit func(*engine.Variant)) []string { return l.rows(v, edit) }
	want(t, "what is hit, without opening states", alone(func(v *engine.Variant) { v.See = engine.SeeHit }), "a|20.00,2", "c|8.00,1")
	want(t, "what is not hit, from opening states", alone(func(v *engine.Variant) { v.See = engine.SeeUnhit }), "a|1.00,1", "b|2.00,1", "z|32.00,1")
	want(t, "one event, without opening states", alone(func(v *engine.Variant) { v.Only = []int64{5} }), "c|8.00,1")
	l.input(rest)
	got, err := l.tryEach(v)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "each without opening states", got, "0:4@4/4 false a|4.00,1", "0:5@5/5 false c|8.00,1", "0:6@6/6 false a|16.00,1")
	if err := os.WriteFile(path, []byte("no Parquet"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := l.input(rest).try(v); err == nil {
		t.Error("a damaged file of opening states: got no error")
	}
}

// writeStates writes rows as texts, as a checkpoint has them.
func writeStates(path string, r engine.Rows) (n int, err error) {
	defer func() { err = errors.Join(err, r.Close()) }()
	var fields []arrow.Field
	for _, c := range slices.Concat(r.Shape().Key, r.Shape().Values) {
		fields = append(fields, arrow.Field{Name: c.Name, Type: arrow.BinaryTypes.String, Nullable: true})
	}
	schema := arrow.NewSchema(fields, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for row, ok := r.Next(); ok; row, ok = r.Next() {
		n++
		for i, v := range slices.Concat(row.Key, row.Values) {
			b.Field(i).(*array.StringBuilder).Append(v.Text) //nolint:forcetypeassert // the schema says so
		}
	}
	return n, errors.Join(r.Err(), writeParquet(path, schema, b))
}

// foldPoison holds that an event which ends a fold costs its key alone.
func foldPoison(t *testing.T, h Harness) {
	l := newLab(t, h)
	l.Add(order("1", noon, "a", "1"), order("2", noon, "b", "2"), order("3", noon.Add(time.Minute), "b", "13"), order("4", noon.Add(2*time.Minute), "b", "4"), order("5", noon, "c", "5"))
	v := l.fold(Poison, []string{"user_id"}, "total", "n")
	l.input(everything)
	for _, from := range []time.Time{{}, noon.Add(-time.Hour)} { // the archive's files, then a feed
		v.Within.From = from
		want(t, "rows of the other keys", l.rows(v), "a|1.00,1", "c|5.00,1")
	}
	marks, err := l.session.Quarantined(t.Context())
	if err != nil || len(marks) != 1 {
		t.Fatalf("quarantined: got %v, %v, want one mark", marks, err)
	}
	if m := marks[0]; m.Seq != 3 || m.ID != "3" || m.Kind != recount.MarkFault || m.Why == "" || len(m.Key) != 1 || m.Key[0].Text != "b" || !m.Time.Equal(noon.Add(time.Minute)) {
		t.Errorf("quarantined: got %+v", m)
	}
	if c, err := l.session.Count(t.Context(), true); err != nil || c != (recount.EventCounts{Read: 5, Used: 4, Quarantined: 1, Hit: 4}) {
		t.Errorf("count: got %+v, %v", c, err)
	}
	v.Within.From = time.Time{}
	v.Missed = []recount.EventList{{IDs: idList("3")}}
	want(t, "without the event", l.rows(v), "a|1.00,1", "b|6.00,2", "c|5.00,1")
}

// foldEffects holds what a fold would have sent.
func foldEffects(t *testing.T, h Harness) {
	l := newLab(t, h)
	l.Add(place(order("1", noon, "b", "8"), "0", 1, noon), place(order("2", noon.Add(time.Minute), "a", "6"), "0", 2, noon), place(order("3", noon, "a", "1"), "0", 3, noon))
	l.Add(place(order("4", noon.Add(2*time.Minute), "a", "7.5"), "1", 1, noon))
	v := l.fold(Mails, []string{"user_id"}, "total", "n")
	l.input(everything)
	run := func(v engine.Variant) (out []string) {
		t.Helper()
		r, err := l.session.Effects(t.Context(), v)
		if err != nil {
			t.Fatal(err)
		}
		for e, ok := r.Next(); ok; e, ok = r.Next() {
			out = append(out, fmt.Sprintf("%s %s %d %s:%s %s %s %s", e.Kind, e.Key, e.Seq, e.Partition, recount.ShortPosition(e.Position), e.EventID, e.Time.Format("15:04"), e.Payload))
		}
		if err := errors.Join(r.Err(), r.Close()); err != nil {
			t.Fatal(err)
		}
		return out
	}
	all := []string{`mail a 2 0:2 2 12:01 {"value":"6.00"}`, `mail a 4 1:1 4 12:02 {"value":"7.50"}`, `mail b 1 0:1 1 12:00 {"value":"8.00"}`}
	want(t, "by kind, key and event", run(v), all...)
	fed := v
	fed.Within.From = noon.Add(-time.Hour)
	want(t, "of a feed", run(fed), all...)
	v.Missed = []recount.EventList{{IDs: idList("2")}}
	want(t, "under a hypothesis", run(v), all[1:]...)
	want(t, "logic without effects", run(l.spell(variant())))
	want(t, "SQL has none", run(variant()))
}

func foldRefusals(t *testing.T, h Harness) {
	l := marked(t, h).open()
	v := l.spell(variant())
	columns, err := l.engine.Check(t.Context(), v.Logic, Fields)
	if err != nil || len(columns) != 3 {
		t.Errorf("check: got %v, %v", columns, err)
	}
	v.Columns = []string{"nothing"}
	_, err = l.try(v)
	wantCode(t, "a column that is not there", err, recount.CodeNoColumn)
	v = l.spell(variant())
	v.Key, v.Columns = []string{"n"}, []string{"total"}
	_, err = l.tryStates(v, engine.StatesQuery{Keys: keysOf("1")})
	wantCode(t, "a key of the result that does not name the fold's key", err, recount.CodeNotKeyed)
	_, err = l.engine.Check(t.Context(), recount.Logic{Kind: "nothing"}, Fields)
	wantCode(t, "another kind of logic", err, recount.CodeUnsupported)
	if !errors.Is(err, recount.ErrUnsupported) {
		t.Errorf("another kind of logic: got %v, want ErrUnsupported", err)
	}
	lost := l.spell(variant()).Logic
	lost.By = []string{"no_field"}
	_, err = l.engine.Check(t.Context(), lost, Fields)
	wantCode(t, "a key of no field", err, recount.CodeWorkerAnswer)
	want(t, "SQL over the same session", rowsOf(t, l, engine.Variant{Logic: logic("SELECT 'x' AS k, count(*) AS v FROM events"), Key: []string{"k"}, Columns: []string{"v"}, Dedupe: true}), "x|3")
}

func rowsOf(t *testing.T, l *lab, v engine.Variant) []string {
	t.Helper()
	rows, err := l.try(v)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// foldEndless holds that a run ends with its context.
func foldEndless(t *testing.T, h Harness) {
	l := newLab(t, h)
	l.Add(order("1", noon, "a", "13"))
	v := l.fold(Endless, []string{"user_id"}, "total", "n")
	l.open()
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	_, err := l.session.Run(ctx, v)
	if !errors.Is(err, context.DeadlineExceeded) && (err == nil || !strings.Contains(err.Error(), context.DeadlineExceeded.Error())) {
		t.Errorf("a run that is cancelled: got %v, want the context's error", err)
	}
}
