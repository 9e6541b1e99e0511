package worker

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"time"

	"recount"
)

// decoder writes one column's values into one field of an event that is used
// again and again: it holds a pointer to the field, so that nothing is looked up
// for an event.
type decoder struct {
	set  func(c *Column, i int) error
	null func() error
}

var errNull = errors.New("the event has NULL there")

// decoderOf makes the decoder of a field of event, which can be addressed.
func decoderOf(in input, event reflect.Value) decoder {
	v := event.FieldByIndex(in.index)
	switch in.null {
	case nullPointer:
		return pointerDecoder(in, v)
	case nullStruct:
		valid := pointer[bool](v.Field(1))
		set := setter(in, v.Field(0))
		value := v.Field(0)
		return decoder{
			set:  func(c *Column, i int) error { *valid = true; return set(c, i) },
			null: func() error { *valid = false; value.SetZero(); return nil },
		}
	case nullNever:
	}
	d := decoder{set: setter(in, v)}
	if in.zero {
		d.null = func() error { v.SetZero(); return nil }
	} else {
		d.null = func() error {
			return fmt.Errorf("%s: %w; make the field a %s, or tag it `%s:\"%s,zero\"`", in.name, errNull, nullable(in.typ.String(), nullStruct), tag, in.field.column)
		}
	}
	return d
}

// pointerDecoder makes a new value for each event: the author may keep it.
func pointerDecoder(in input, v reflect.Value) decoder {
	value := reflect.New(in.base).Elem()
	set := setter(in, value)
	return decoder{
		set: func(c *Column, i int) error {
			if err := set(c, i); err != nil {
				return err
			}
			p := reflect.New(in.base)
			p.Elem().Set(value)
			v.Set(p)
			return nil
		},
		null: func() error { v.SetZero(); return nil },
	}
}

// pointer returns the address of a value whose type is, or is made of, T.
func pointer[T any](v reflect.Value) *T {
	return v.Addr().Convert(reflect.TypeFor[*T]()).Interface().(*T)
}

// setter makes what writes a value that is there. The types were fitted before.
func setter(in input, v reflect.Value) func(*Column, int) error {
	switch kind := family(in.base); kind { //nolint:exhaustive // families stand for all kinds
	case recount.KindString:
		p := pointer[string](v)
		return func(c *Column, i int) error { *p = c.text(i); return nil }
	case kindBinary:
		p := pointer[[]byte](v)
		return func(c *Column, i int) error { *p = []byte(c.text(i)); return nil }
	case recount.KindBool:
		p := pointer[bool](v)
		return func(c *Column, i int) error { *p = c.Bools[i]; return nil }
	case recount.KindDouble:
		p := pointer[float64](v)
		return func(c *Column, i int) error { *p = c.Doubles[i]; return nil }
	case recount.KindDecimal:
		p := pointer[Decimal](v)
		if in.column.Kind == recount.KindInt64 {
			return func(c *Column, i int) error { *p = NewDecimal(c.Ints[i], 0); return nil }
		}
		return func(c *Column, i int) error { *p = c.Decimals[i]; return nil }
	case recount.KindTimestamp:
		p := pointer[time.Time](v)
		if in.column.Kind == recount.KindDate {
			const day = 24 * 60 * 60
			return func(c *Column, i int) error { *p = time.Unix(c.Ints[i]*day, 0).UTC(); return nil }
		}
		return func(c *Column, i int) error { *p = time.UnixMicro(c.Ints[i]).UTC(); return nil }
	case kindHeaders:
		p := pointer[[]recount.Header](v)
		return func(c *Column, i int) error { *p = c.Headers[i]; return nil }
	case recount.KindInt64:
		return intSetter(in, v)
	default:
		return func(*Column, int) error { return fmt.Errorf("%s: nothing reads a %s", in.name, kind) }
	}
}

// intSetter writes whole numbers; those that the field cannot hold are errors.
func intSetter(in input, v reflect.Value) func(*Column, int) error {
	switch in.base.Kind() { //nolint:exhaustive // the whole numbers
	case reflect.Int64:
		p := pointer[int64](v)
		return func(c *Column, i int) error { *p = c.Ints[i]; return nil }
	case reflect.Int:
		return narrow[int](in, v, math.MinInt, math.MaxInt)
	case reflect.Int32:
		return narrow[int32](in, v, math.MinInt32, math.MaxInt32)
	case reflect.Int16:
		return narrow[int16](in, v, math.MinInt16, math.MaxInt16)
	case reflect.Int8:
		return narrow[int8](in, v, math.MinInt8, math.MaxInt8)
	case reflect.Uint64:
		return narrow[uint64](in, v, 0, math.MaxInt64)
	case reflect.Uint:
		return narrow[uint](in, v, 0, min(math.MaxInt64, math.MaxUint>>1))
	case reflect.Uint32:
		return narrow[uint32](in, v, 0, math.MaxUint32)
	case reflect.Uint16:
		return narrow[uint16](in, v, 0, math.MaxUint16)
	default:
		return narrow[uint8](in, v, 0, math.MaxUint8)
	}
}

func narrow[T int | int8 | int16 | int32 | uint | uint8 | uint16 | uint32 | uint64](in input, v reflect.Value, least, most int64) func(*Column, int) error {
	p := pointer[T](v)
	return func(c *Column, i int) error {
		n := c.Ints[i]
		if n < least || n > most {
			return fmt.Errorf("%s: the event has %d, which does not fit %s", in.name, n, in.base)
		}
		*p = T(n)
		return nil
	}
}
