package main

import (
	"bytes"
	"encoding/csv"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/rogpeppe/go-internal/testscript"
)

// parquetTypes are the types that `parquet` writes, as programs spell them.
var parquetTypes = map[string]arrow.DataType{
	"string": arrow.BinaryTypes.String, "int32": arrow.PrimitiveTypes.Int32, "double": arrow.PrimitiveTypes.Float64,
	"decimal": &arrow.Decimal128Type{Precision: 18, Scale: 2}, "date": arrow.FixedWidthTypes.Date32,
	"instant": &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}, "nanos": &arrow.TimestampType{Unit: arrow.Nanosecond},
	"list": arrow.ListOf(arrow.BinaryTypes.String),
}

// writeParquet writes a CSV file as Parquet; each column is named with its type,
// and an empty text is NULL:
//
//	parquet rows.csv rows.parquet shop:string total:decimal
func writeParquet(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: parquet CSV OUT COLUMN:TYPE…")
	}
	records, err := csv.NewReader(strings.NewReader(ts.ReadFile(args[0]))).ReadAll()
	ts.Check(err)
	var fields []arrow.Field
	var from []int
	for _, arg := range args[2:] {
		name, kind, _ := strings.Cut(arg, ":")
		t, ok := parquetTypes[kind]
		at := -1
		for i, have := range records[0] {
			if have == name {
				at = i
			}
		}
		if !ok || at < 0 {
			ts.Fatalf("parquet: %s has no column %s, or %s is no type", args[0], name, kind)
		}
		fields, from = append(fields, arrow.Field{Name: name, Type: t, Nullable: true}), append(from, at)
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema(fields, nil))
	defer b.Release()
	for _, record := range records[1:] {
		for i, at := range from {
			ts.Check(appendText(b.Field(i), record[at]))
		}
	}
	batch := b.NewRecordBatch()
	defer batch.Release()
	var out bytes.Buffer
	w, err := pqarrow.NewFileWriter(batch.Schema(), &out, parquet.NewWriterProperties(), pqarrow.DefaultWriterProps())
	ts.Check(err)
	ts.Check(w.Write(batch))
	ts.Check(w.Close())
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), out.Bytes(), 0o600))
}

func appendText(to array.Builder, text string) error {
	if text == "" {
		to.AppendNull()
		return nil
	}
	switch b := to.(type) {
	case *array.Float64Builder:
		n, err := strconv.ParseFloat(text, 64)
		b.Append(n)
		return err
	case *array.TimestampBuilder:
		at, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			return err
		}
		n, err := arrow.TimestampFromTime(at, b.Type().(*arrow.TimestampType).Unit)
		b.Append(n)
		return err
	case *array.ListBuilder:
		b.Append(true)
		return b.ValueBuilder().AppendValueFromString(text)
	}
	return to.AppendValueFromString(text)
}
