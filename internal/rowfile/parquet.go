package rowfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"recount"
)

// batchRows is how many rows are in memory at once.
const batchRows = 8192

// parquetForm is Parquet.
type parquetForm struct{}

// guarded turns a panic into an error: the library panics on some damaged
// files, and a damaged file must not take the process with it.
func guarded(act func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("it is damaged: %v", p)
		}
	}()
	return act()
}

// with opens the file for act.
func (parquetForm) with(path string, act func(*pqarrow.FileReader, *arrow.Schema) error) error {
	return guarded(func() (err error) {
		f, err := file.OpenParquetFile(path, false)
		if err != nil {
			return fmt.Errorf("it is no whole Parquet file: %w", err)
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		r, err := pqarrow.NewFileReader(f, pqarrow.ArrowReadProperties{BatchSize: batchRows}, memory.DefaultAllocator)
		if err != nil {
			return err
		}
		schema, err := r.Schema()
		if err != nil {
			return err
		}
		return act(r, schema)
	})
}

func (p parquetForm) columns(_ context.Context, path string) (columns []recount.Column, err error) {
	err = p.with(path, func(_ *pqarrow.FileReader, schema *arrow.Schema) error {
		for _, f := range schema.Fields() {
			t, ok := typeOf(f.Type)
			c := recount.Column{Name: f.Name, Type: t, Nullable: true}
			if !ok {
				c.Type, c.Declared = recount.Type{}, f.Type.String()
			}
			columns = append(columns, c)
		}
		return nil
	})
	return columns, err
}

// typeOf is the type whose values those of an Arrow type are; false if they
// cannot be compared with a table's.
func typeOf(t arrow.DataType) (recount.Type, bool) {
	switch t := t.(type) {
	case *arrow.StringType, *arrow.LargeStringType, *arrow.NullType:
		return recount.Type{Kind: recount.KindString}, true
	case *arrow.Int8Type, *arrow.Int16Type, *arrow.Int32Type, *arrow.Int64Type, *arrow.Uint8Type, *arrow.Uint16Type, *arrow.Uint32Type:
		return recount.Type{Kind: recount.KindInt64}, true
	case *arrow.Uint64Type:
		return recount.Decimal(recount.MaxPrecision, 0), true
	case *arrow.Float32Type, *arrow.Float64Type:
		return recount.Type{Kind: recount.KindDouble}, true
	case *arrow.Decimal128Type:
		return recount.Decimal(recount.MaxPrecision, int(t.Scale)), t.Scale >= 0
	case *arrow.BooleanType:
		return recount.Type{Kind: recount.KindBool}, true
	case *arrow.TimestampType:
		return recount.Type{Kind: recount.KindTimestamp}, true
	case *arrow.Date32Type:
		return recount.Type{Kind: recount.KindDate}, true
	case *arrow.DictionaryType:
		inner, ok := typeOf(t.ValueType)
		return inner, ok && inner.Kind == recount.KindString
	}
	return recount.Type{}, false
}

func (p parquetForm) read(ctx context.Context, path string, columns []recount.Column, each func([]recount.Value) error) error {
	return p.with(path, func(r *pqarrow.FileReader, schema *arrow.Schema) error {
		var names []string
		for _, f := range schema.Fields() {
			names = append(names, f.Name)
		}
		at, err := places(names, columns)
		if err != nil {
			return err
		}
		records, err := r.GetRecordReader(ctx, nil, nil)
		if err != nil {
			return err
		}
		defer records.Release()
		var rows int64
		values := make([]recount.Value, len(columns))
		for {
			batch, err := records.Read()
			if errors.Is(err, io.EOF) {
				if want := r.ParquetReader().NumRows(); rows != want {
					return fmt.Errorf("it holds %d rows and says %d", rows, want)
				}
				return nil
			}
			if err != nil {
				return err
			}
			if err := eachOf(batch, at, columns, &rows, values, each); err != nil {
				return err
			}
		}
	})
}

// eachOf calls each with the rows of a batch.
func eachOf(batch arrow.RecordBatch, at []int, columns []recount.Column, rows *int64, values []recount.Value, each func([]recount.Value) error) error {
	for row := range int(batch.NumRows()) {
		*rows++
		for i, c := range columns {
			v := recount.Null
			if column := batch.Column(at[i]); !column.IsNull(row) {
				text, err := textOf(column, row)
				if err != nil {
					return fmt.Errorf("row %d, column %s: %w", *rows, c.Name, err)
				}
				v = recount.Text(text)
			}
			var err error
			if values[i], err = canonical(c, *rows, v); err != nil {
				return err
			}
		}
		if err := each(values); err != nil {
			return err
		}
	}
	return nil
}

// textOf is one value as a text that its type reads.
func textOf(values arrow.Array, row int) (string, error) {
	switch v := values.(type) {
	case *array.String:
		return whole(v.Value(row))
	case *array.LargeString:
		return whole(v.Value(row))
	case *array.Dictionary:
		return textOf(v.Dictionary(), v.GetValueIndex(row))
	case *array.Float32:
		return strconv.FormatFloat(float64(v.Value(row)), 'g', -1, 64), nil
	case *array.Float64:
		return strconv.FormatFloat(v.Value(row), 'g', -1, 64), nil
	case *array.Boolean:
		return strconv.FormatBool(v.Value(row)), nil
	case *array.Decimal128:
		return v.Value(row).ToString(v.DataType().(*arrow.Decimal128Type).Scale), nil
	case *array.Timestamp:
		return timestamp(int64(v.Value(row)), v.DataType().(*arrow.TimestampType).Unit)
	case *array.Date32:
		return v.Value(row).ToTime().Format(time.DateOnly), nil
	case *array.Int8, *array.Int16, *array.Int32, *array.Int64, *array.Uint8, *array.Uint16, *array.Uint32, *array.Uint64:
		return values.ValueStr(row), nil
	}
	return "", fmt.Errorf("its values are %s, which no table's column can be compared with", values.DataType())
}

func whole(text string) (string, error) {
	if !utf8.ValidString(text) {
		return "", errors.New("the text is not UTF-8")
	}
	return string([]byte(text)), nil // the batch's own bytes are used again
}

// timestamp is an instant; one without a zone is UTC. What is finer than a
// microsecond is refused, since no table of the targets holds it.
func timestamp(n int64, unit arrow.TimeUnit) (string, error) {
	per := map[arrow.TimeUnit]int64{arrow.Second: 1_000_000, arrow.Millisecond: 1000, arrow.Microsecond: 1}[unit]
	if unit == arrow.Nanosecond {
		const nanos = 1000
		if n%nanos != 0 {
			return "", errors.New("the time is finer than a microsecond")
		}
		n, per = n/nanos, 1
	}
	if n > math.MaxInt64/per || n < math.MinInt64/per {
		return "", errors.New("the time lies outside the years 0 to 9999")
	}
	at := time.UnixMicro(n * per).UTC()
	if at.Year() < 0 || at.Year() > 9999 {
		return "", errors.New("the time lies outside the years 0 to 9999")
	}
	return recount.FormatTimestamp(at), nil
}
