package process

import (
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"recount"
)

// readerOf returns what reads the values of an array as those of a declared type.
// A type that holds other values is refused, and so is a single value that would
// lose digits.
func readerOf(t recount.Type, a arrow.Array) (valueReader, error) {
	if d, ok := a.(*array.Dictionary); ok {
		read, err := readerOf(t, d.Dictionary())
		if err != nil {
			return nil, err
		}
		return func(i int) (recount.Value, error) {
			if d.IsNull(i) {
				return recount.Null, nil
			}
			return read(d.GetValueIndex(i))
		}, nil
	}
	if _, ok := a.(*array.Null); ok {
		return func(int) (recount.Value, error) { return recount.Null, nil }, nil
	}
	text := speller(t, a)
	if text == nil {
		return nil, fmt.Errorf("it is declared as %s, and its Arrow type is %s", t, a.DataType())
	}
	return func(i int) (recount.Value, error) {
		if a.IsNull(i) {
			return recount.Null, nil
		}
		s, err := text(i)
		if err != nil {
			return recount.Value{}, err
		}
		canonical, err := recount.Canonical(t, s)
		return recount.Text(canonical), err
	}, nil
}

// speller returns what spells the values of an array; nil where values of the
// type are not held by such arrays.
func speller(t recount.Type, a arrow.Array) func(i int) (string, error) {
	switch t.Kind {
	case recount.KindString, recount.KindJSON, recount.KindDate, recount.KindTimestamp:
		if s := textOf(a); s != nil {
			return s
		}
		return instantOf(t, a)
	case recount.KindBool:
		if b, ok := a.(*array.Boolean); ok {
			return func(i int) (string, error) { return strconv.FormatBool(b.Value(i)), nil }
		}
	case recount.KindInt64:
		if s := textOf(a); s != nil {
			return s
		}
		return wholeOf(a)
	case recount.KindDouble, recount.KindDecimal:
		for _, of := range []func(arrow.Array) func(int) (string, error){textOf, wholeOf, doubleOf, decimalOf} {
			if s := of(a); s != nil {
				return s
			}
		}
	}
	return nil
}

func textOf(a arrow.Array) func(int) (string, error) {
	var value func(int) string
	switch a := a.(type) {
	case *array.String:
		value = a.Value
	case *array.LargeString:
		value = a.Value
	case *array.StringView:
		value = a.Value
	default:
		return nil
	}
	return func(i int) (string, error) {
		s := value(i)
		if !utf8.ValidString(s) {
			return "", fmt.Errorf("%q is no UTF-8", clip(s))
		}
		// The batch's memory is used again for the next one.
		return string([]byte(s)), nil
	}
}

func wholeOf(a arrow.Array) func(int) (string, error) {
	signed := func(value func(int) int64) func(int) (string, error) {
		return func(i int) (string, error) { return strconv.FormatInt(value(i), 10), nil }
	}
	switch a := a.(type) {
	case *array.Int64:
		return signed(a.Value)
	case *array.Int32:
		return signed(func(i int) int64 { return int64(a.Value(i)) })
	case *array.Int16:
		return signed(func(i int) int64 { return int64(a.Value(i)) })
	case *array.Int8:
		return signed(func(i int) int64 { return int64(a.Value(i)) })
	case *array.Uint32:
		return signed(func(i int) int64 { return int64(a.Value(i)) })
	case *array.Uint16:
		return signed(func(i int) int64 { return int64(a.Value(i)) })
	case *array.Uint8:
		return signed(func(i int) int64 { return int64(a.Value(i)) })
	case *array.Uint64:
		return func(i int) (string, error) { return strconv.FormatUint(a.Value(i), 10), nil }
	}
	return nil
}

func doubleOf(a arrow.Array) func(int) (string, error) {
	switch a := a.(type) {
	case *array.Float64:
		return func(i int) (string, error) { return strconv.FormatFloat(a.Value(i), 'g', -1, 64), nil }
	case *array.Float32:
		return func(i int) (string, error) { return strconv.FormatFloat(float64(a.Value(i)), 'g', -1, 64), nil }
	}
	return nil
}

func decimalOf(a arrow.Array) func(int) (string, error) {
	switch a := a.(type) {
	case *array.Decimal128:
		scale := a.DataType().(*arrow.Decimal128Type).Scale
		if scale < 0 || scale > recount.MaxPrecision {
			return nil
		}
		return func(i int) (string, error) {
			n := a.Value(i)
			if small := int64(n.LowBits()); n.HighBits() == small>>63 && scale >= 0 && scale < 19 { //nolint:gosec // the same bits
				return spellScaled(small, int(scale)), nil
			}
			return n.ToString(scale), nil
		}
	case *array.Decimal256:
		scale := a.DataType().(*arrow.Decimal256Type).Scale
		if scale < 0 || scale > 2*recount.MaxPrecision {
			return nil
		}
		return func(i int) (string, error) { return a.Value(i).ToString(scale), nil }
	}
	return nil
}

// spellScaled spells n / 10^scale.
func spellScaled(n int64, scale int) string {
	var stack [24]byte
	b := strconv.AppendInt(stack[:0], n, 10)
	if scale == 0 {
		return string(b)
	}
	sign := 0
	if n < 0 {
		sign = 1
	}
	var out [48]byte
	spelled := append(out[:0], b[:sign]...)
	digits := b[sign:]
	for pad := scale + 1 - len(digits); pad > 0; pad-- {
		spelled = append(spelled, '0')
	}
	spelled = append(spelled, digits...)
	spelled = append(spelled, 0)
	point := len(spelled) - 1 - scale
	copy(spelled[point+1:], spelled[point:len(spelled)-1])
	spelled[point] = '.'
	return string(spelled)
}

// instantOf spells times. One without a zone names no instant, and is refused.
func instantOf(t recount.Type, a arrow.Array) func(int) (string, error) {
	switch a := a.(type) {
	case *array.Timestamp:
		unit := a.DataType().(*arrow.TimestampType)
		if t.Kind != recount.KindTimestamp || unit.TimeZone == "" {
			return nil
		}
		return func(i int) (string, error) { return spellInstant(a.Value(i).ToTime(unit.Unit)) }
	case *array.Date32:
		if t.Kind == recount.KindDate {
			return func(i int) (string, error) { return spellDate(a.Value(i).ToTime()) }
		}
	case *array.Date64:
		if t.Kind == recount.KindDate {
			return func(i int) (string, error) { return spellDate(a.Value(i).ToTime()) }
		}
	}
	return nil
}

func spellInstant(at time.Time) (string, error) {
	if at.Year() < 1 || at.Year() > 9999 {
		return "", fmt.Errorf("a time outside the years 1 to 9999")
	}
	if !at.Equal(at.Truncate(time.Microsecond)) {
		return "", fmt.Errorf("%s as a timestamp: %w", at.UTC().Format(time.RFC3339Nano), recount.ErrInexact)
	}
	return recount.FormatTimestamp(at), nil
}

func spellDate(at time.Time) (string, error) {
	if at.Year() < 1 || at.Year() > 9999 {
		return "", fmt.Errorf("a date outside the years 1 to 9999")
	}
	return at.UTC().Format(time.DateOnly), nil
}
