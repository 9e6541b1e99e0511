package result

import (
	"fmt"
	"strconv"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"recount"
)

// Appender appends the canonical text of one value of a batch's column.
type Appender struct {
	values arrow.Array
	add    func(b []byte, row int) ([]byte, error)
}

// Null says whether a row has no value.
func (a Appender) Null(row int) bool { return a.values.IsNull(row) }

// Append appends the text of a row's value, which is not NULL.
func (a Appender) Append(b []byte, row int) ([]byte, error) { return a.add(b, row) }

// ValueOf returns one value of a column.
func ValueOf(values arrow.Array, t recount.Type, row int) (recount.Value, error) {
	if values.IsNull(row) {
		return recount.Null, nil
	}
	a, err := NewAppender(values, t)
	if err != nil {
		return recount.Null, err
	}
	b, err := a.add(nil, row)
	return recount.Text(string(b)), err
}

// NewAppender returns the appender of a column: of its type's own form, or of
// canonical texts.
func NewAppender(values arrow.Array, t recount.Type) (Appender, error) {
	a := Appender{values: values}
	switch v := values.(type) {
	case *array.String:
		a.add = func(b []byte, row int) ([]byte, error) { return append(b, v.Value(row)...), nil }
		if t.Kind == recount.KindJSON {
			a.add = func(b []byte, row int) ([]byte, error) { return appendCanonical(b, t, v.Value(row)) }
		}
	case *array.Int64:
		a.add = func(b []byte, row int) ([]byte, error) { return strconv.AppendInt(b, v.Value(row), 10), nil }
	case *array.Float64:
		a.add = func(b []byte, row int) ([]byte, error) {
			return appendCanonical(b, t, strconv.FormatFloat(v.Value(row), 'g', -1, 64))
		}
	case *array.Boolean:
		a.add = func(b []byte, row int) ([]byte, error) { return strconv.AppendBool(b, v.Value(row)), nil }
	case *array.Decimal128:
		a.add = func(b []byte, row int) ([]byte, error) { return appendDecimal(b, v, row, t.Scale), nil }
	case *array.Timestamp:
		a.add = func(b []byte, row int) ([]byte, error) { return appendTimestamp(b, int64(v.Value(row))) }
	case *array.Date32:
		a.add = func(b []byte, row int) ([]byte, error) { return appendDate(b, int64(v.Value(row))) }
	default:
		return a, fmt.Errorf("values of type %s", values.DataType())
	}
	return a, nil
}

func appendCanonical(b []byte, t recount.Type, text string) ([]byte, error) {
	s, err := recount.Canonical(t, text)
	return append(b, s...), err
}

// appendDecimal has a fast way for what fits 64 bits: nearly all there is.
func appendDecimal(b []byte, v *array.Decimal128, row, scale int) []byte {
	n := v.Value(row)
	low := int64(n.LowBits())
	if n.HighBits() != low>>63 {
		return append(b, n.ToString(int32(scale))...)
	}
	magnitude := uint64(low)
	if low < 0 {
		b = append(b, '-')
		magnitude = -magnitude
	}
	var digits [20]byte
	d := strconv.AppendUint(digits[:0], magnitude, 10)
	if scale == 0 {
		return append(b, d...)
	}
	if len(d) <= scale {
		b = append(b, '0', '.')
		for range scale - len(d) {
			b = append(b, '0')
		}
		return append(b, d...)
	}
	b = append(b, d[:len(d)-scale]...)
	b = append(b, '.')
	return append(b, d[len(d)-scale:]...)
}

// Instants outside the years 0 to 9999 have no RFC 3339 text. DuckDB's infinity
// lies there too.
const (
	firstSecond = -62167219200
	lastSecond  = 253402300799
)

func appendTimestamp(b []byte, micros int64) ([]byte, error) {
	at := time.UnixMicro(micros)
	if s := at.Unix(); s < firstSecond || s > lastSecond {
		return b, fmt.Errorf("a timestamp lies outside the years 0 to 9999")
	}
	return append(b, recount.FormatTimestamp(at)...), nil
}

func appendDate(b []byte, days int64) ([]byte, error) {
	const day = 24 * 60 * 60
	if s := days * day; s < firstSecond || s > lastSecond {
		return b, fmt.Errorf("a date lies outside the years 0 to 9999")
	}
	return time.Unix(days*day, 0).UTC().AppendFormat(b, time.DateOnly), nil
}
