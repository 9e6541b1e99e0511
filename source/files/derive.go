package files

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/extensions"

	"recount/source/payload/derive"
)

// A row of Parquet becomes canonical JSON by the rules of package derive; the
// columns of its folders come after its own.

// deriveRows writes each row as a record of a block, with tail at its end.
func deriveRows(batch arrow.RecordBatch, tail []byte) (block, error) {
	writers := make([]valueWriter, batch.NumCols())
	keys := make([]string, batch.NumCols())
	for i, column := range batch.Columns() {
		writers[i] = writerOf(column)
		keys[i] = string(derive.String(nil, batch.ColumnName(i))) + ":"
	}
	rows := int(batch.NumRows())
	b := block{spans: make([]span, rows)}
	var err error
	for row := range rows {
		from := len(b.data)
		b.data = append(b.data, '{')
		for i, write := range writers {
			if i > 0 {
				b.data = append(b.data, ',')
			}
			b.data = append(b.data, keys[i]...)
			if b.data, err = write(b.data, row); err != nil {
				return block{}, fmt.Errorf("column %q: %w", batch.ColumnName(i), err)
			}
		}
		b.data = append(append(b.data, tail...), '}')
		if len(b.data) > math.MaxInt32 {
			return block{}, fmt.Errorf("%d rows take more than 2 GiB", rows)
		}
		b.spans[row] = span{int32(from), int32(len(b.data))} //nolint:gosec // checked above
	}
	return b, nil
}

// valueWriter appends the JSON of one row's value.
type valueWriter func(b []byte, row int) ([]byte, error)

// always makes a writer of one that cannot fail, and NULL null.
func always(a arrow.Array, write func(b []byte, row int) []byte) valueWriter {
	return func(b []byte, row int) ([]byte, error) {
		if a.IsNull(row) {
			return append(b, "null"...), nil
		}
		return write(b, row), nil
	}
}

func writerOf(column arrow.Array) valueWriter {
	if w := numberWriter(column); w != nil {
		return w
	}
	if w := timeWriter(column); w != nil {
		return w
	}
	switch a := column.(type) {
	case *array.Boolean:
		return always(a, func(b []byte, row int) []byte { return strconv.AppendBool(b, a.Value(row)) })
	case *array.String:
		return always(a, func(b []byte, row int) []byte { return derive.String(b, a.Value(row)) })
	case *array.LargeString:
		return always(a, func(b []byte, row int) []byte { return derive.String(b, a.Value(row)) })
	case *array.Binary:
		return always(a, func(b []byte, row int) []byte { return derive.Binary(b, a.Value(row)) })
	case *array.LargeBinary:
		return always(a, func(b []byte, row int) []byte { return derive.Binary(b, a.Value(row)) })
	case *array.FixedSizeBinary:
		return always(a, func(b []byte, row int) []byte { return derive.Binary(b, a.Value(row)) })
	case *extensions.UUIDArray:
		return always(a, func(b []byte, row int) []byte { return derive.String(b, a.Value(row).String()) })
	case array.ExtensionArray:
		return writerOf(a.Storage())
	case *array.Dictionary:
		write := writerOf(a.Dictionary())
		return func(b []byte, row int) ([]byte, error) {
			if a.IsNull(row) {
				return append(b, "null"...), nil
			}
			return write(b, a.GetValueIndex(row))
		}
	case *array.Struct:
		return structWriter(a)
	case array.ListLike:
		return listWriter(a)
	}
	return func(b []byte, row int) ([]byte, error) {
		text, err := json.Marshal(column.GetOneForMarshal(row))
		return append(b, text...), err
	}
}

func numberWriter(column arrow.Array) valueWriter {
	switch a := column.(type) {
	case *array.Int8:
		return always(a, func(b []byte, row int) []byte { return strconv.AppendInt(b, int64(a.Value(row)), 10) })
	case *array.Int16:
		return always(a, func(b []byte, row int) []byte { return strconv.AppendInt(b, int64(a.Value(row)), 10) })
	case *array.Int32:
		return always(a, func(b []byte, row int) []byte { return strconv.AppendInt(b, int64(a.Value(row)), 10) })
	case *array.Uint8:
		return always(a, func(b []byte, row int) []byte { return strconv.AppendUint(b, uint64(a.Value(row)), 10) })
	case *array.Uint16:
		return always(a, func(b []byte, row int) []byte { return strconv.AppendUint(b, uint64(a.Value(row)), 10) })
	case *array.Uint32:
		return always(a, func(b []byte, row int) []byte { return strconv.AppendUint(b, uint64(a.Value(row)), 10) })
	case *array.Int64:
		return always(a, func(b []byte, row int) []byte {
			return derive.Int64(b, a.Value(row))
		})
	case *array.Uint64:
		return always(a, func(b []byte, row int) []byte {
			return derive.Uint64(b, a.Value(row))
		})
	case *array.Float16:
		return always(a, func(b []byte, row int) []byte { return derive.Float(b, float64(a.Value(row).Float32()), 32) })
	case *array.Float32:
		return always(a, func(b []byte, row int) []byte { return derive.Float(b, float64(a.Value(row)), 32) })
	case *array.Float64:
		return always(a, func(b []byte, row int) []byte { return derive.Float(b, a.Value(row), 64) })
	}
	return decimalWriter(column)
}

func decimalWriter(column arrow.Array) valueWriter {
	t, ok := column.DataType().(arrow.DecimalType)
	if !ok {
		return nil
	}
	scale := t.GetScale()
	switch a := column.(type) {
	case *array.Decimal32:
		return always(a, func(b []byte, row int) []byte { return derive.String(b, a.Value(row).ToString(scale)) })
	case *array.Decimal64:
		return always(a, func(b []byte, row int) []byte { return derive.String(b, a.Value(row).ToString(scale)) })
	case *array.Decimal128:
		return always(a, func(b []byte, row int) []byte { return derive.String(b, a.Value(row).ToString(scale)) })
	case *array.Decimal256:
		return always(a, func(b []byte, row int) []byte { return derive.String(b, a.Value(row).ToString(scale)) })
	}
	return nil
}

func timeWriter(column arrow.Array) valueWriter {
	stamp := func(b []byte, at time.Time, layout string) []byte {
		return append(at.AppendFormat(append(b, '"'), layout), '"')
	}
	switch a := column.(type) {
	case *array.Timestamp:
		t, ok := a.DataType().(*arrow.TimestampType)
		if !ok {
			return nil
		}
		layout := "2006-01-02T15:04:05.999999999"
		if t.TimeZone != "" {
			layout += "Z"
		}
		return always(a, func(b []byte, row int) []byte { return stamp(b, a.Value(row).ToTime(t.Unit), layout) })
	case *array.Date32:
		return always(a, func(b []byte, row int) []byte { return stamp(b, a.Value(row).ToTime(), time.DateOnly) })
	case *array.Date64:
		return always(a, func(b []byte, row int) []byte { return stamp(b, a.Value(row).ToTime(), time.DateOnly) })
	case *array.Time32:
		unit := a.DataType().(*arrow.Time32Type).Unit //nolint:forcetypeassert // an array of this type has this type
		return always(a, func(b []byte, row int) []byte { return stamp(b, a.Value(row).ToTime(unit), "15:04:05.999999999") })
	case *array.Time64:
		unit := a.DataType().(*arrow.Time64Type).Unit //nolint:forcetypeassert // an array of this type has this type
		return always(a, func(b []byte, row int) []byte { return stamp(b, a.Value(row).ToTime(unit), "15:04:05.999999999") })
	}
	return nil
}

func structWriter(a *array.Struct) valueWriter {
	t, ok := a.DataType().(*arrow.StructType)
	writers := make([]valueWriter, a.NumField())
	for i := range writers {
		writers[i] = writerOf(a.Field(i))
	}
	return func(b []byte, row int) (_ []byte, err error) {
		if a.IsNull(row) || !ok {
			return append(b, "null"...), nil
		}
		b = append(b, '{')
		for i, write := range writers {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(derive.String(b, t.Field(i).Name), ':')
			if b, err = write(b, row); err != nil {
				return b, err
			}
		}
		return append(b, '}'), nil
	}
}

func listWriter(a array.ListLike) valueWriter {
	write := writerOf(a.ListValues())
	return func(b []byte, row int) (_ []byte, err error) {
		if a.IsNull(row) {
			return append(b, "null"...), nil
		}
		from, to := a.ValueOffsets(row)
		b = append(b, '[')
		for i := from; i < to; i++ {
			if i > from {
				b = append(b, ',')
			}
			if b, err = write(b, int(i)); err != nil {
				return b, err
			}
		}
		return append(b, ']'), nil
	}
}
