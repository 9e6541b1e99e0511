package enginetest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"recount"
	"recount/engine"
)

// Event is an event with its place in the archive. A zero Seq is numbered.
type Event struct {
	Seq int64
	recount.Event
}

// Builder makes inputs: Parquet files as docs/archive.md lays them out.
type Builder struct {
	tb     testing.TB
	dir    string
	fields []recount.Field
	files  []engine.File
	marks  []string
	next   int64
	commit int64
	// Before is the archive watermark before the next file's commit.
	Before time.Time
	// Arrivals makes the next file a compacted one.
	Arrivals []recount.Arrival
	// Stream is the stream's name.
	Stream string
}

// NewBuilder returns a builder whose files lie in a folder of the test's own.
func NewBuilder(tb testing.TB, fields ...recount.Field) *Builder {
	tb.Helper()
	return &Builder{tb: tb, dir: tb.TempDir(), fields: fields, next: 1, Stream: "orders"}
}

// Add writes events into one file and returns their sequence numbers.
func (b *Builder) Add(events ...Event) []int64 {
	b.tb.Helper()
	b.commit++
	var seqs []int64
	for i := range events {
		if events[i].Seq == 0 {
			events[i].Seq = b.next
		}
		b.next = max(b.next, events[i].Seq) + 1
		seqs = append(seqs, events[i].Seq)
	}
	folder := filepath.Join(b.dir, b.Stream, "date=2024-06-10", "hour=12")
	if err := os.MkdirAll(folder, 0o750); err != nil {
		b.tb.Fatal(err)
	}
	path := filepath.Join(folder, fmt.Sprintf("%06d.parquet", b.commit))
	if err := WriteEvents(path, b.fields, events); err != nil {
		b.tb.Fatal(err)
	}
	b.files = append(b.files, engine.File{Path: path, Data: b.describe(path, events)})
	return seqs
}

func (b *Builder) describe(path string, events []Event) recount.DataFile {
	f := recount.DataFile{Name: path, Rows: int64(len(events)), Commit: b.commit, Before: b.Before, Arrivals: b.Arrivals, Fields: b.fields, Format: "csv"}
	for i, e := range events {
		if i == 0 {
			f.FirstSeq, f.LastSeq = e.Seq, e.Seq
		}
		f.FirstSeq, f.LastSeq = min(f.FirstSeq, e.Seq), max(f.LastSeq, e.Seq)
		if e.Time.IsZero() {
			continue
		}
		if !f.TimeKnown || e.Time.Before(f.FirstTime) {
			f.FirstTime = e.Time
		}
		if e.Time.After(f.LastTime) {
			f.LastTime = e.Time
		}
		f.TimeKnown = true
	}
	return f
}

// Mark writes marks into one file.
func (b *Builder) Mark(marks ...recount.Mark) {
	b.tb.Helper()
	path := filepath.Join(b.dir, fmt.Sprintf("marks-%d.parquet", len(b.marks)))
	if err := WriteMarks(path, marks); err != nil {
		b.tb.Fatal(err)
	}
	b.marks = append(b.marks, path)
}

// Input returns the input so far, with a scratch folder of its own.
func (b *Builder) Input(from, to time.Time) engine.Input {
	b.tb.Helper()
	return engine.Input{
		Stream: b.Stream, Fields: b.fields, Files: b.files, Marks: b.marks, Scratch: b.tb.TempDir(),
		Window: recount.Window{From: from, To: to, By: recount.ByEvent},
	}
}

var timestamp = &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}

var headersType = arrow.ListOf(arrow.StructOf(
	arrow.Field{Name: "name", Type: arrow.BinaryTypes.String},
	arrow.Field{Name: "value", Type: arrow.BinaryTypes.Binary, Nullable: true},
))

// WriteEvents writes one Parquet file of events. A zero time and an empty id or
// type are NULL.
func WriteEvents(path string, fields []recount.Field, events []Event) error {
	list := []arrow.Field{
		{Name: "seq", Type: arrow.PrimitiveTypes.Int64},
		{Name: "id", Type: arrow.BinaryTypes.String, Nullable: true},
		{Name: "type", Type: arrow.BinaryTypes.String, Nullable: true},
		{Name: "partition", Type: arrow.BinaryTypes.String},
		{Name: "position", Type: arrow.BinaryTypes.String},
		{Name: "time", Type: timestamp, Nullable: true},
		{Name: "ingest_time", Type: timestamp, Nullable: true},
		{Name: "key", Type: arrow.BinaryTypes.Binary, Nullable: true},
		{Name: "data", Type: arrow.BinaryTypes.Binary},
		{Name: "headers", Type: headersType, Nullable: true},
		{Name: "fault", Type: arrow.BinaryTypes.String, Nullable: true},
	}
	for _, f := range fields {
		list = append(list, arrow.Field{Name: f.Name, Type: arrowType(f.Type), Nullable: true})
	}
	schema := arrow.NewSchema(list, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for _, e := range events {
		for i := range list {
			if err := appendColumn(b.Field(i), i, e, fields); err != nil {
				return fmt.Errorf("event %d, column %s: %w", e.Seq, list[i].Name, err)
			}
		}
	}
	return writeParquet(path, schema, b)
}

// envelopeColumns is how many columns stand before the fields.
const envelopeColumns = 11

func appendColumn(b array.Builder, i int, e Event, fields []recount.Field) error {
	if i >= envelopeColumns {
		v := recount.Null
		if n := i - envelopeColumns; n < len(e.Fields) {
			v = e.Fields[n]
		}
		return appendValue(b, fields[i-envelopeColumns].Type, v)
	}
	switch b := b.(type) {
	case *array.Int64Builder:
		b.Append(e.Seq)
	case *array.StringBuilder:
		s := map[int]string{1: e.ID, 2: e.Type, 3: e.Partition, 4: e.Position, 10: e.Fault}[i]
		if s == "" && i != 3 && i != 4 {
			b.AppendNull()
		} else {
			b.Append(s)
		}
	case *array.TimestampBuilder:
		at := map[int]time.Time{5: e.Time, 6: e.IngestTime}[i]
		if at.IsZero() {
			b.AppendNull()
		} else {
			b.Append(arrow.Timestamp(at.UnixMicro()))
		}
	case *array.BinaryBuilder:
		if v := map[int][]byte{7: e.Key, 8: e.Data}[i]; v == nil && i == 7 {
			b.AppendNull()
		} else {
			b.Append(v)
		}
	case *array.ListBuilder:
		appendHeaders(b, e.Headers)
	}
	return nil
}

func appendHeaders(b *array.ListBuilder, headers []recount.Header) {
	if headers == nil {
		b.AppendNull()
		return
	}
	b.Append(true)
	parts := b.ValueBuilder().(*array.StructBuilder)
	for _, h := range headers {
		parts.Append(true)
		parts.FieldBuilder(0).(*array.StringBuilder).Append(h.Name)
		if value := parts.FieldBuilder(1).(*array.BinaryBuilder); h.Value == nil {
			value.AppendNull()
		} else {
			value.Append(h.Value)
		}
	}
}

func arrowType(t recount.Type) arrow.DataType {
	switch t.Kind {
	case recount.KindInt64:
		return arrow.PrimitiveTypes.Int64
	case recount.KindDouble:
		return arrow.PrimitiveTypes.Float64
	case recount.KindDecimal:
		return &arrow.Decimal128Type{Precision: int32(t.Precision), Scale: int32(t.Scale)}
	case recount.KindBool:
		return arrow.FixedWidthTypes.Boolean
	case recount.KindTimestamp:
		return timestamp
	case recount.KindDate:
		return arrow.FixedWidthTypes.Date32
	case recount.KindString, recount.KindJSON:
	}
	return arrow.BinaryTypes.String
}

func appendValue(b array.Builder, t recount.Type, v recount.Value) error {
	if v.Null {
		b.AppendNull()
		return nil
	}
	text, err := recount.Canonical(t, v.Text)
	if err != nil {
		return err
	}
	switch b := b.(type) {
	case *array.StringBuilder:
		b.Append(text)
	case *array.Int64Builder:
		n, err := strconv.ParseInt(text, 10, 64)
		b.Append(n)
		return err
	case *array.Float64Builder:
		n, err := strconv.ParseFloat(text, 64)
		b.Append(n)
		return err
	case *array.Decimal128Builder:
		n, err := decimal128.FromString(text, int32(t.Precision), int32(t.Scale))
		b.Append(n)
		return err
	case *array.BooleanBuilder:
		b.Append(text == "true")
	case *array.TimestampBuilder:
		at, err := recount.ParseTimestamp(text)
		b.Append(arrow.Timestamp(at.UnixMicro()))
		return err
	case *array.Date32Builder:
		at, err := time.Parse(time.DateOnly, text)
		b.Append(arrow.Date32FromTime(at))
		return err
	default:
		return fmt.Errorf("no column of type %T", b)
	}
	return nil
}

// WriteMarks writes one Parquet file of marks.
func WriteMarks(path string, marks []recount.Mark) error {
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "seq", Type: arrow.PrimitiveTypes.Int64},
		{Name: "kind", Type: arrow.BinaryTypes.String},
		{Name: "id", Type: arrow.BinaryTypes.String, Nullable: true},
		{Name: "time", Type: timestamp, Nullable: true},
		{Name: "broken", Type: arrow.BinaryTypes.String, Nullable: true},
		{Name: "why", Type: arrow.BinaryTypes.String, Nullable: true},
	}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for _, m := range marks {
		b.Field(0).(*array.Int64Builder).Append(m.Seq)
		b.Field(1).(*array.StringBuilder).Append(string(m.Kind))
		b.Field(2).(*array.StringBuilder).Append(m.ID)
		if at := b.Field(3).(*array.TimestampBuilder); m.Time.IsZero() {
			at.AppendNull()
		} else {
			at.Append(arrow.Timestamp(m.Time.UnixMicro()))
		}
		if broken := b.Field(4).(*array.StringBuilder); len(m.Broken) == 0 {
			broken.AppendNull()
		} else {
			broken.Append(strings.Join(m.Broken, ","))
		}
		b.Field(5).(*array.StringBuilder).Append(m.Why)
	}
	return writeParquet(path, schema, b)
}

func writeParquet(path string, schema *arrow.Schema, b *array.RecordBuilder) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("create %q: %w", path, err)
	}
	w, err := pqarrow.NewFileWriter(schema, f, parquet.NewWriterProperties(parquet.WithCompression(compress.Codecs.Zstd)), pqarrow.DefaultWriterProps())
	if err != nil {
		return fmt.Errorf("write %q: %w", path, err)
	}
	record := b.NewRecordBatch()
	defer record.Release()
	if err := w.Write(record); err != nil {
		return fmt.Errorf("write %q: %w", path, err)
	}
	if err := w.Close(); err != nil { // closes the file too
		return fmt.Errorf("write %q: %w", path, err)
	}
	return nil
}
