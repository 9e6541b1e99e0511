package run_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"pgregory.net/rapid"

	"recount"
	"recount/engine/fold/run"
	"recount/engine/result"
	"recount/internal/archive/eventfile"
)

var testFields = []recount.Field{
	{Name: "user", Type: recount.Type{Kind: recount.KindString}},
	{Name: "n", Type: recount.Type{Kind: recount.KindInt64}},
	{Name: "amount", Type: recount.Decimal(18, 2)},
	{Name: "small", Type: recount.Decimal(7, 2)},
	{Name: "huge", Type: recount.Decimal(38, 10)},
	{Name: "ok", Type: recount.Type{Kind: recount.KindBool}},
	{Name: "at", Type: recount.Type{Kind: recount.KindTimestamp}},
	{Name: "day", Type: recount.Type{Kind: recount.KindDate}},
	{Name: "x", Type: recount.Type{Kind: recount.KindDouble}},
	{Name: "j", Type: recount.Type{Kind: recount.KindJSON}},
}

var samples = map[string][]string{
	"user": {"", "a", "ä", "b\x00c", "b"}, "n": {"0", "-5", "9223372036854775807"}, "amount": {"0.00", "-0.01", "9999999999999999.99"},
	"small": {"12.34", "-99999.99"}, "huge": {"0.0000000000", "-9999999999999999999999999999.9999999999", "1.0000000001"}, "ok": {"true", "false"},
	"at": {"1969-12-31T23:59:59.999999Z", "2024-06-10T12:00:00Z"}, "day": {"0001-01-01", "2024-02-29"}, "x": {"0", "1.5", "NaN", "-Infinity"}, "j": {`{"a":1}`, "null"},
}

// event is one event as the archive has it.
type event struct {
	recount.Event
	seq  int64
	mark recount.MarkKind // empty: none
}

var epoch = time.Date(2024, 6, 10, 0, 0, 0, 0, time.UTC)

func drawEvents(t *rapid.T, most int) []event {
	n := rapid.IntRange(0, most).Draw(t, "events")
	events := make([]event, n)
	odd := rapid.Bool().Draw(t, "odd positions") // without any, places are numbers
	seq := int64(0)
	for i := range events {
		seq += int64(rapid.IntRange(1, 3).Draw(t, "gap"))
		e := &events[i]
		e.seq = seq
		e.ID = fmt.Sprintf("e%d", i)
		e.Type = rapid.SampledFrom([]string{"", "order", "refund"}).Draw(t, "type")
		e.Partition = rapid.SampledFrom([]string{"p0", "p1", "p10", "p2"}).Draw(t, "partition")
		e.Position = recount.PadPosition(fmt.Sprint(rapid.IntRange(0, 50).Draw(t, "position")))
		if odd && rapid.IntRange(0, 20).Draw(t, "odd position") == 0 {
			e.Position = "x" + e.Position
		}
		e.Time = epoch.Add(time.Duration(rapid.IntRange(-100, 100).Draw(t, "time")) * 10 * time.Minute)
		e.Data = []byte(fmt.Sprintf("{%d}", i))
		if rapid.IntRange(0, 3).Draw(t, "headers") == 0 {
			e.Headers = []recount.Header{{Name: "h", Value: []byte{0, 1}}, {Name: "none"}}
		}
		for _, f := range testFields {
			v := recount.Null
			if rapid.IntRange(0, 5).Draw(t, "null") > 0 {
				v = recount.Text(rapid.SampledFrom(samples[f.Name]).Draw(t, f.Name))
			}
			e.Fields = append(e.Fields, v)
		}
		e.mark = rapid.SampledFrom([]recount.MarkKind{"", "", "", "", recount.MarkRepeat, recount.MarkFault, recount.MarkConflict}).Draw(t, "mark")
	}
	return events
}

// writeFiles writes events to files of the archive, and their marks.
func writeFiles(t *rapid.T, dir string, events []event) (files []run.File, marks []string) {
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	for n := 0; len(events) > 0; n++ {
		size := rapid.IntRange(1, len(events)).Draw(t, "file")
		mine := events[:size]
		events = events[size:]
		path := filepath.Join(dir, fmt.Sprintf("%d.parquet", n))
		f, err := os.Create(path)
		must(err)
		file := run.File{Path: path, Rows: int64(size), FirstSeq: mine[0].seq, LastSeq: mine[size-1].seq}
		var w *eventfile.Writer
		var judged []recount.Mark
		for len(mine) > 0 {
			group := rapid.IntRange(1, len(mine)).Draw(t, "group")
			rows := eventfile.NewRows(testFields)
			for _, e := range mine[:group] {
				must(rows.Append(e.seq, &e.Event, true))
				if e.mark != "" {
					judged = append(judged, recount.Mark{Seq: e.seq, Kind: e.mark, Time: e.Time, Why: "so"})
				}
			}
			if w == nil {
				w, err = eventfile.NewWriter(f, eventfile.Meta{Stream: "orders", Format: "json", Fields: testFields}, rows)
				must(err)
			}
			must(w.Write(rows))
			mine = mine[group:]
		}
		must(w.Close())
		files = append(files, file)
		m, err := os.Create(filepath.Join(dir, fmt.Sprintf("%d.marks.parquet", n)))
		must(err)
		mw := eventfile.NewMarksWriter(m, "orders")
		must(mw.Write(judged))
		must(mw.Close())
		marks = append(marks, m.Name())
	}
	return files, marks
}

func typeOf(name string) recount.Type {
	for _, f := range testFields {
		if f.Name == name {
			return f.Type
		}
	}
	switch name {
	case "time", "ingest_time":
		return recount.Type{Kind: recount.KindTimestamp}
	case "hit":
		return recount.Type{Kind: recount.KindBool}
	}
	return recount.Type{Kind: recount.KindString}
}

// value is what a fold is to see of an event.
func (e *event) value(s *run.Spec, name string) recount.Value {
	text := func(s string) recount.Value {
		if s == "" {
			return recount.Null
		}
		return recount.Text(s)
	}
	switch name {
	case "stream":
		return recount.Text(s.Stream)
	case "id":
		return text(e.ID)
	case "type":
		return text(e.Type)
	case "partition":
		return recount.Text(e.Partition)
	case "position":
		return recount.Text(e.Position)
	case "time":
		return recount.Text(recount.FormatTimestamp(e.Time))
	case "ingest_time", "key":
		return recount.Null
	case "data":
		return recount.Text(string(e.Data))
	case "hit":
		return recount.Text(fmt.Sprint(inside(s.Hit, e.Time)))
	case "headers":
		if e.Headers == nil {
			return recount.Null
		}
		var b strings.Builder
		for _, h := range e.Headers {
			fmt.Fprintf(&b, "%s=%q,%t;", h.Name, h.Value, h.Value == nil)
		}
		return recount.Text(b.String())
	}
	i := slices.IndexFunc(testFields, func(f recount.Field) bool { return f.Name == name })
	return e.Fields[i]
}

// textOf is value out of a batch.
func textOf(values arrow.Array, t recount.Type, at int) (recount.Value, error) {
	if values.IsNull(at) {
		return recount.Null, nil
	}
	switch v := values.(type) {
	case *array.Binary:
		return recount.Text(string(v.Value(at))), nil
	case *array.List:
		pairs := v.ListValues().(*array.Struct)
		from, to := v.ValueOffsets(at)
		var b strings.Builder
		for i := int(from); i < int(to); i++ {
			var value []byte
			if parts := pairs.Field(1).(*array.Binary); !parts.IsNull(i) {
				value = parts.Value(i)
			}
			fmt.Fprintf(&b, "%s=%q,%t;", pairs.Field(0).(*array.String).Value(i), value, value == nil)
		}
		return recount.Text(b.String()), nil
	}
	return result.ValueOf(values, t, at)
}

func inside(w recount.Window, t time.Time) bool {
	return (w.From.IsZero() || !t.Before(w.From)) && (w.To.IsZero() || t.Before(w.To))
}

// writeTexts writes rows of texts to a Parquet file.
func writeTexts(t *rapid.T, path string, names []string, rows [][]recount.Value) {
	var fields []arrow.Field
	var columns []arrow.Array
	for i, name := range names {
		fields = append(fields, arrow.Field{Name: name, Type: arrow.BinaryTypes.String, Nullable: true})
		b := array.NewStringBuilder(memory.DefaultAllocator)
		for _, row := range rows {
			if row[i].Null {
				b.AppendNull()
			} else {
				b.Append(row[i].Text)
			}
		}
		columns = append(columns, b.NewArray())
	}
	schema := arrow.NewSchema(fields, nil)
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w, err := pqarrow.NewFileWriter(schema, f, parquet.NewWriterProperties(), pqarrow.DefaultWriterProps())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(array.NewRecordBatch(schema, columns, int64(len(rows)))); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// check is rapid.Check for properties that take long: at most so many times.
func check(t *testing.T, most int, property func(*rapid.T)) {
	t.Helper()
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		if n++; n <= most {
			property(rt)
		}
	})
}
