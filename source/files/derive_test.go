package files_test

import (
	"encoding/json"
	"math"
	"path/filepath"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"recount"
	"recount/source"
)

// derivedColumn is a column of two rows, a value and NULL, as Arrow's own JSON.
type derivedColumn struct {
	name  string
	typ   arrow.DataType
	value string // as the builder reads JSON; empty: set by hand
	want  string // the derived JSON
}

func derivedColumns() []derivedColumn {
	return []derivedColumn{
		{"event_id", arrow.BinaryTypes.String, `"e\"1\n\u0001é"`, `"e\"1\n\u0001é"`},
		{"big", arrow.PrimitiveTypes.Int64, `9007199254740993`, `"9007199254740993"`},
		{"unsigned", arrow.PrimitiveTypes.Uint64, `18446744073709551615`, `"18446744073709551615"`},
		{"small", arrow.PrimitiveTypes.Int32, `-7`, `-7`},
		{"byte", arrow.PrimitiveTypes.Uint8, `200`, `200`},
		{"float", arrow.PrimitiveTypes.Float64, `0.1`, `0.1`},
		{"half", arrow.PrimitiveTypes.Float32, `0.1`, `0.1`},
		{"money", &arrow.Decimal128Type{Precision: 18, Scale: 2}, `"28.60"`, `"28.60"`},
		{"huge", &arrow.Decimal128Type{Precision: 38, Scale: 10}, `"1234567890123456789012345678.0123456789"`, `"1234567890123456789012345678.0123456789"`},
		{"minus", &arrow.Decimal128Type{Precision: 18, Scale: 2}, `"-0.05"`, `"-0.05"`},
		{"flag", arrow.FixedWidthTypes.Boolean, `true`, `true`},
		{"day", arrow.FixedWidthTypes.Date32, `"2024-06-10"`, `"2024-06-10"`},
		{"at", &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}, `"2024-06-10T12:09:24.053001Z"`, `"2024-06-10T12:09:24.053001Z"`},
		{"nanos", &arrow.TimestampType{Unit: arrow.Nanosecond, TimeZone: "UTC"}, `"2024-06-10T12:09:24.053001002Z"`, `"2024-06-10T12:09:24.053001002Z"`},
		{"local", &arrow.TimestampType{Unit: arrow.Millisecond}, `"2024-06-10 12:09:24.053"`, `"2024-06-10T12:09:24.053"`},
		{"clock", arrow.FixedWidthTypes.Time64us, `"12:09:24.053"`, `"12:09:24.053"`},
		{"bytes", arrow.BinaryTypes.Binary, `"//4="`, `{"base64":"//4="}`},
		{"text_bytes", arrow.BinaryTypes.Binary, `"YWJj"`, `"abc"`},
		{"list", arrow.ListOf(arrow.PrimitiveTypes.Int64), `[1,null,3]`, `["1",null,"3"]`},
		{"nested", arrow.StructOf(arrow.Field{Name: "a", Type: arrow.BinaryTypes.String, Nullable: true}, arrow.Field{Name: "b", Type: arrow.PrimitiveTypes.Int32, Nullable: true}), `{"a":"x","b":null}`, `{"a":"x","b":null}`},
	}
}

func TestParquetIsDerivedWithoutLoss(t *testing.T) {
	columns := derivedColumns()
	var fields []arrow.Field
	values, wants := "{", "{"
	for i, c := range columns {
		fields = append(fields, arrow.Field{Name: c.name, Type: c.typ, Nullable: true})
		if i > 0 {
			values, wants = values+",", wants+","
		}
		values += `"` + c.name + `":` + c.value
		wants += `"` + c.name + `":` + c.want
	}
	schema := arrow.NewSchema(fields, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	if err := json.Unmarshal([]byte(values+"}"), b); err != nil {
		t.Fatal(err)
	}
	for i := range columns {
		b.Field(i).AppendNull()
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "e.parquet"), writeParquet(t, b.NewRecordBatch()))
	m := recount.Mapping{ID: "event_id", Time: "at", Key: "bytes", Zone: time.UTC, Fields: []recount.Field{
		{Name: "big", Type: recount.Type{Kind: recount.KindInt64}},
		{Name: "money", Type: recount.Decimal(18, 2)},
		{Name: "huge", Type: recount.Decimal(38, 10)},
		{Name: "local", Type: recount.Type{Kind: recount.KindTimestamp}},
		{Name: "day", Type: recount.Type{Kind: recount.KindDate}},
		{Name: "float", Type: recount.Type{Kind: recount.KindDouble}},
		{Name: "nested_a", Type: recount.Type{Kind: recount.KindString}, Path: "$.nested.a"},
		{Name: "second", Type: recount.Type{Kind: recount.KindInt64}, Path: "$.list[2]"},
		{Name: "list", Type: recount.Type{Kind: recount.KindJSON}},
	}}
	events, err := read(t, open(t, dir, m, "e.parquet"), source.Cursor{})
	if err != nil || len(events) != 2 {
		t.Fatalf("got %d events, %v; want 2", len(events), err)
	}
	if got := string(events[0].Data); got != wants+"}" {
		t.Errorf("derived:\n got %s\nwant %s", got, wants+"}")
	}
	texts := []string{
		"9007199254740993", "28.60", "1234567890123456789012345678.0123456789", "2024-06-10T12:09:24.053Z", "2024-06-10", "0.1", "x", "3", `["1",null,"3"]`,
	}
	for i, want := range texts {
		if events[0].Fields[i] != recount.Text(want) || !events[1].Fields[i].Null {
			t.Errorf("field %s: got %v and %v, want %s and NULL", m.Fields[i].Name, events[0].Fields[i], events[1].Fields[i], want)
		}
	}
	if string(events[0].Key) != "\xff\xfe" || events[0].Fault != "" || events[1].Key != nil || events[1].Fault == "" {
		t.Errorf("got keys %q and %q, faults %q and %q", events[0].Key, events[1].Key, events[0].Fault, events[1].Fault)
	}
}

func TestParquetOddFloats(t *testing.T) {
	b := array.NewFloat64Builder(memory.DefaultAllocator)
	b.AppendValues([]float64{math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64, 5e-324, math.Copysign(0, -1)}, nil)
	schema := arrow.NewSchema([]arrow.Field{{Name: "f", Type: arrow.PrimitiveTypes.Float64}}, nil)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "e.parquet"), writeParquet(t, array.NewRecordBatch(schema, []arrow.Array{b.NewArray()}, 6)))
	m := recount.Mapping{Fields: []recount.Field{{Name: "f", Type: recount.Type{Kind: recount.KindDouble}}}}
	events, err := read(t, open(t, dir, m, "e.parquet"), source.Cursor{})
	if err != nil || len(events) != 6 {
		t.Fatalf("got %d events, %v; want 6", len(events), err)
	}
	for i, want := range []string{"NaN", "Infinity", "-Infinity", "1.7976931348623157e+308", "5e-324", "0"} {
		if events[i].Fields[0] != recount.Text(want) {
			t.Errorf("got %v (%s), want %s", events[i].Fields[0], events[i].Fault, want)
		}
	}
}

func TestParquetLacksAColumn(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "e.parquet"), parquetFile(t, nil))
	m := recount.Mapping{ID: "idd", Time: "time"}
	s := open(t, dir, m, "e.parquet")
	_, err := read(t, s, source.Cursor{})
	wantCode(t, err, recount.CodeSourceFile, `no column "idd"`, `nearest is "id"`)
	wantCode(t, s.Check(t.Context()), recount.CodeSourceFile, "idd")
}
