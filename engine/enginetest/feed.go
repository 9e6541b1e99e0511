package enginetest

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"recount"
	"recount/engine"
)

// fed are the columns that the suite's feeds ask for.
var fed = []string{"id", "type", "partition", "position", "time", "ingest_time", "key", "data", "headers", "hit", "user_id", "value", "price"}

// parquetRow is one row of a file: its columns as text, and their types.
type parquetRow struct {
	seq    int64
	order  string
	values map[string]string
}

// readRows reads a Parquet file whole, with the types of its columns.
func readRows(ctx context.Context, path string) (list []parquetRow, types map[string]string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = f.Close() }()
	r, err := file.NewParquetReader(f)
	if err != nil {
		return nil, nil, err
	}
	p, err := pqarrow.NewFileReader(r, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		return nil, nil, err
	}
	t, err := p.ReadTable(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer t.Release()
	types = map[string]string{}
	for _, c := range t.Schema().Fields() {
		types[c.Name] = typeName(c.Type)
	}
	batches := array.NewTableReader(t, 0)
	defer batches.Release()
	for batches.Next() {
		record := batches.RecordBatch()
		for i := range int(record.NumRows()) {
			row := parquetRow{values: map[string]string{}}
			for c, name := range record.Schema().Fields() {
				switch column := record.Column(c); name.Name {
				case "seq":
					row.seq = column.(*array.Int64).Value(i)
				case "recount_order":
					row.order = column.(*array.String).Value(i)
				default:
					row.values[name.Name] = column.ValueStr(i)
				}
			}
			list = append(list, row)
		}
	}
	return list, types, batches.Err()
}

// typeName is a type without the names that writers give the parts of a list.
func typeName(t arrow.DataType) string {
	if l, ok := t.(*arrow.ListType); ok {
		return "list of " + typeName(l.Elem())
	}
	if s, ok := t.(*arrow.StructType); ok {
		var parts []string
		for _, f := range s.Fields() {
			parts = append(parts, f.Name+" "+typeName(f.Type))
		}
		return "struct of " + strings.Join(parts, ", ")
	}
	return t.String()
}

// feed lists what a feed holds, in the order of recount_order: "id@seq hit". All
// else is held against the archive's own files.
func (l *lab) feed(v engine.Variant) (list []string) {
	l.t.Helper()
	v.Logic = recount.Logic{Kind: "go", Path: "of another engine"}
	f, err := l.session.Feed(l.t.Context(), v, engine.FeedQuery{Columns: fed})
	if err != nil {
		l.t.Fatalf("feed: %v", err)
	}
	rows, types, err := readRows(l.t.Context(), f.Path)
	if err != nil {
		l.t.Fatalf("read feed: %v", err)
	}
	if f.Rows != int64(len(rows)) {
		l.t.Errorf("feed: it says %d rows and has %d", f.Rows, len(rows))
	}
	l.asArchived(rows, types)
	slices.SortFunc(rows, func(a, b parquetRow) int { return cmp.Or(cmp.Compare(a.order, b.order), cmp.Compare(a.seq, b.seq)) })
	for _, r := range rows {
		list = append(list, fmt.Sprintf("%s@%d %s", r.values["id"], r.seq, r.values["hit"]))
	}
	return list
}

// asArchived holds the rows of a feed against the files that they come from.
func (l *lab) asArchived(rows []parquetRow, types map[string]string) {
	l.t.Helper()
	archived := map[int64]map[string]string{}
	for _, f := range l.files {
		there, want, err := readRows(l.t.Context(), f.Path)
		if err != nil {
			l.t.Fatalf("read archive: %v", err)
		}
		for _, r := range there {
			archived[r.seq] = r.values
		}
		want["hit"], want["recount_order"] = "bool", "utf8"
		delete(want, "fault")
		if !maps.Equal(types, want) {
			l.t.Errorf("types of the feed: got %v, want %v", types, want)
		}
	}
	for _, r := range rows {
		for _, name := range fed {
			if got, want := r.values[name], archived[r.seq][name]; name != "hit" && got != want {
				l.t.Errorf("event %d, column %s: got %q, want %q", r.seq, name, got, want)
			}
		}
	}
}

// feed is what lab.feed is to list.
func (w *world) feed(v engine.Variant) (list []string) {
	events := slices.Clone(w.events)
	slices.SortStableFunc(events, func(a, b known) int {
		byValue := 0
		if w.order && !v.Arrival {
			byValue = cmp.Compare(a.value, b.value)
		}
		return cmp.Or(byValue, cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Position, b.Position), cmp.Compare(a.Seq, b.Seq))
	})
	for _, e := range events {
		for range w.times(v, e) {
			list = append(list, fmt.Sprintf("%s@%d %t", e.ID, e.Seq, w.hit(e)))
		}
	}
	return list
}

func feeds(t *testing.T, h Harness) {
	l := clocks(t, h).input(everything)
	want(t, "all", l.feed(variant()), "a@1 false", "b@2 true", "d@4 false", "c@3 true", "(null)@7 true")
	want(t, "named", l.feed(variant(func(v *engine.Variant) { v.Only = []int64{2, 5} })), "b@2 true", "b@5 true")
	want(t, "in a split", l.feed(variant(func(v *engine.Variant) { v.Split = 3 })), l.feed(variant())...)
	want(t, "nothing", l.feed(variant(func(v *engine.Variant) { v.Only = []int64{} })))
	if _, err := l.session.Feed(t.Context(), variant(), engine.FeedQuery{Columns: []string{"nothing"}}); err == nil {
		t.Error("a column that is not there: got no error")
	}
	_, err := l.session.Feed(t.Context(), variant(func(v *engine.Variant) { v.Missed = []recount.EventList{{Where: "random() < 1"}} }), engine.FeedQuery{})
	wantCode(t, "a condition that is not checked", err, recount.CodeSQLRefused)
	t.Run("a partition's name that begins another's", func(t *testing.T) {
		l := newLab(t, h)
		l.Add(place(order("3", noon, "a", "1"), "t-1", 1, noon), place(order("2", noon, "a", "1"), "t 1", 1, noon), place(order("1", noon, "a", "1"), "t", 9, noon))
		want(t, "in order", l.input().feed(variant()), "1@3 true", "2@2 true", "3@1 true")
	})
	t.Run("probed", func(t *testing.T) {
		l := marked(t, h).input()
		f, err := l.session.Feed(t.Context(), variant(func(v *engine.Variant) { v.Only, v.Probe = []int64{6}, 1 }), engine.FeedQuery{Columns: []string{"value"}})
		if err != nil {
			t.Fatal(err)
		}
		if rows, _, err := readRows(t.Context(), f.Path); err != nil || len(rows) != 1 || rows[0].values["value"] != "0" {
			t.Errorf("got %v, %v, want one row of value 0", rows, err)
		}
	})
}

// spansOfTime holds Variant.Within.
func spansOfTime(t *testing.T, h Harness) {
	l := clocks(t, h).input(everything)
	minute := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Minute) }
	within := func(from, to time.Time) []string {
		return sorted(l.rows(seen(), func(v *engine.Variant) { v.Within = recount.Window{From: from, To: to} }))
	}
	want(t, "all", within(time.Time{}, time.Time{}), "a|a b c d,b c", "b|NULL,NULL")
	want(t, "from", within(minute(10), time.Time{}), "a|c d,c", "b|NULL,NULL")
	want(t, "to", within(time.Time{}, minute(10)), "a|a b,b")
	want(t, "both", within(minute(0), minute(30)), "a|b c,b c", "b|NULL,NULL")
	want(t, "edges are half open", within(minute(0), minute(10)), "a|b,b")
	want(t, "nothing", within(minute(40), minute(50)))
}

// randomWithin is a span whose edges are open now and then.
func randomWithin(r interface{ IntN(int) int }) (w recount.Window) {
	if r.IntN(3) == 0 {
		w.From = noon.Add(time.Duration(r.IntN(60)-30) * time.Minute)
	}
	if r.IntN(3) == 0 {
		w.To = noon.Add(time.Duration(r.IntN(60)) * time.Minute)
	}
	return w
}
