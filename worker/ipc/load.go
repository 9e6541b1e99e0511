package ipc

import (
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"recount"
	"recount/worker"
)

// Load takes an Arrow column as plain slices, for engines. Texts are copied once a batch, so
// that what an author keeps of them outlives the batch; the rest is copied as it is
// used.
func Load(a arrow.Array, into *worker.Column) error {
	*into = worker.Column{Bools: into.Bools[:0], Decimals: into.Decimals[:0], Offsets: into.Offsets}
	if a.NullN() > 0 {
		into.Valid, into.Start = a.NullBitmapBytes(), a.Data().Offset()
	}
	switch a := a.(type) {
	case *array.Int64:
		into.Ints = a.Int64Values()
	case *array.Timestamp:
		return loadTimes(a, into)
	case *array.Date32:
		into.Ints = make([]int64, a.Len())
		for i, day := range a.Date32Values() {
			into.Ints[i] = int64(day)
		}
	case *array.Float64:
		into.Doubles = a.Float64Values()
	case *array.Boolean:
		for i := range a.Len() {
			into.Bools = append(into.Bools, a.Value(i))
		}
	case *array.Decimal128:
		scale := int(a.DataType().(*arrow.Decimal128Type).Scale)
		into.Decimals = slices.Grow(into.Decimals, a.Len())[:a.Len()]
		for i, n := range a.Values() {
			into.Decimals[i] = worker.RawDecimal(n.HighBits(), n.LowBits(), scale)
		}
	case *array.String:
		loadTexts(into, a.ValueOffsets(), a.ValueBytes())
	case *array.Binary:
		loadTexts(into, a.ValueOffsets(), a.ValueBytes())
	case *array.List:
		return loadHeaders(a, into)
	default:
		return fmt.Errorf("a column is of type %s, which no fold reads", a.DataType())
	}
	return nil
}

func loadTimes(a *array.Timestamp, into *worker.Column) error {
	if unit := a.DataType().(*arrow.TimestampType).Unit; unit != arrow.Microsecond {
		return fmt.Errorf("a column of times counts %s, not microseconds", unit)
	}
	into.Ints = arrow.Int64Traits.CastFromBytes(arrow.TimestampTraits.CastToBytes(a.TimestampValues()))
	return nil
}

func loadTexts(into *worker.Column, offsets []int32, text []byte) {
	into.Text = string(text)
	if len(offsets) > 0 && offsets[0] == 0 {
		into.Offsets = offsets
		return
	}
	moved := make([]int32, len(offsets))
	for i, o := range offsets {
		moved[i] = o - offsets[0]
	}
	into.Offsets = moved
}

// loadHeaders copies headers: a fold that reads them is rare.
func loadHeaders(a *array.List, into *worker.Column) error {
	parts, ok := a.ListValues().(*array.Struct)
	if !ok || parts.NumField() != 2 {
		return fmt.Errorf("a column is of type %s, which no fold reads", a.DataType())
	}
	names, okName := parts.Field(0).(*array.String)
	values, okValue := parts.Field(1).(*array.Binary)
	if !okName || !okValue {
		return fmt.Errorf("a column is of type %s, which no fold reads", a.DataType())
	}
	into.Headers = make([][]recount.Header, a.Len())
	for i := range into.Headers {
		if a.IsNull(i) {
			continue
		}
		from, to := a.ValueOffsets(i)
		list := make([]recount.Header, 0, to-from)
		for n := int(from); n < int(to); n++ {
			h := recount.Header{Name: string([]byte(names.Value(n)))}
			if !values.IsNull(n) {
				h.Value = append([]byte{}, values.Value(n)...)
			}
			list = append(list, h)
		}
		into.Headers[i] = list
	}
	return nil
}
