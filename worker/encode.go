package worker

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"recount"
)

// output is a column of the rows: a field of Row, or one of the key's.
type output struct {
	field
	column recount.Column
	key    int // the value of the key that it is; -1: a field of Row
}

// outputsOf lists a row's columns: the fields of the key that Row does not
// have, then those of Row.
func outputsOf(t reflect.Type, fields []recount.Field, by []string) ([]output, error) {
	list, err := fieldsOf(t, "Row")
	if err != nil {
		return nil, err
	}
	var outputs []output
	for i, name := range by {
		if slices.ContainsFunc(list, func(f field) bool { return f.column == name }) {
			continue
		}
		at := slices.IndexFunc(fields, func(f recount.Field) bool { return f.Name == name })
		if at < 0 {
			return nil, fmt.Errorf("the source has no field %s, which by names", name)
		}
		outputs = append(outputs, output{key: i, column: recount.Column{Name: name, Type: fields[at].Type, Nullable: true}})
	}
	var misfits []error
	for _, f := range list {
		typ, err := rowType(f)
		if err != nil {
			misfits = append(misfits, err)
		}
		outputs = append(outputs, output{field: f, key: -1, column: recount.Column{Name: f.column, Type: typ, Nullable: f.null != nullNever}})
	}
	if len(outputs) == 0 {
		misfits = append(misfits, errors.New("type Row has no field, so that its rows have no column"))
	}
	return outputs, errors.Join(misfits...)
}

// rowType is the type of a column, from its field's Go type and tag.
func rowType(f field) (recount.Type, error) {
	kind := family(f.base)
	if f.column == recount.StateColumn {
		return recount.Type{}, fmt.Errorf("%s: the column %s is the state's own; call it otherwise", f.name, f.column)
	}
	if kind == kindBinary && f.base.Name() == "RawMessage" {
		kind = recount.KindJSON
	}
	if kind == "" || kind == kindHeaders || kind == kindBinary {
		return recount.Type{}, fmt.Errorf("%s is a %s; a column of a row is a string, a whole number, float64, bool, time.Time, worker.Decimal or json.RawMessage", f.name, f.typ)
	}
	if f.words == "" {
		if kind == recount.KindDecimal {
			return recount.Type{}, fmt.Errorf("%s: a Decimal needs its digits: `%s:\"%s,decimal(18,2)\"`", f.name, tag, f.column)
		}
		return recount.Type{Kind: kind}, nil
	}
	typ, err := recount.ParseType(f.words)
	if err != nil {
		return recount.Type{}, fmt.Errorf("%s: %w", f.name, err)
	}
	same := typ.Kind == kind || typ.Kind == recount.KindJSON && kind == recount.KindString ||
		typ.Kind == recount.KindDate && kind == recount.KindTimestamp || typ.Kind == recount.KindDecimal && kind == recount.KindInt64
	if !same {
		return recount.Type{}, fmt.Errorf("%s is a %s, which is no %s: make it %s", f.name, f.typ, typ, nullable(wanted[typ.Kind], f.null))
	}
	return typ, nil
}

// encoder spells a field of a row that is used again and again.
type encoder struct {
	key   int
	value func() (recount.Value, error)
}

func encoderOf(out output, row reflect.Value) encoder {
	if out.key >= 0 {
		return encoder{key: out.key}
	}
	v := row.FieldByIndex(out.index)
	e := encoder{key: -1}
	switch out.null {
	case nullPointer:
		value := reflect.New(out.base).Elem()
		text := texter(out, value)
		e.value = func() (recount.Value, error) {
			if v.IsNil() {
				return recount.Null, nil
			}
			value.Set(v.Elem())
			return spelled(text())
		}
	case nullStruct:
		valid, text := pointer[bool](v.Field(1)), texter(out, v.Field(0))
		e.value = func() (recount.Value, error) {
			if !*valid {
				return recount.Null, nil
			}
			return spelled(text())
		}
	case nullNever:
		text := texter(out, v)
		e.value = func() (recount.Value, error) { return spelled(text()) }
	}
	return e
}

func spelled(text string, err error) (recount.Value, error) { return recount.Text(text), err }

// texter makes what spells a value under its column's type, canonical.
func texter(out output, v reflect.Value) func() (string, error) {
	typ := out.column.Type
	fail := func(err error) error { return fmt.Errorf("%s: %w", out.name, err) }
	switch family(out.base) { //nolint:exhaustive // families stand for all kinds
	case recount.KindString, kindBinary:
		return func() (string, error) { return textOf(typ, v, fail) }
	case recount.KindBool:
		p := pointer[bool](v)
		return func() (string, error) { return strconv.FormatBool(*p), nil }
	case recount.KindDouble:
		p := pointer[float64](v)
		return func() (string, error) { return recount.Canonical(typ, strconv.FormatFloat(*p, 'g', -1, 64)) }
	case recount.KindDecimal:
		p := pointer[Decimal](v)
		return func() (string, error) {
			d, ok := p.rescaled(typ.Scale)
			if !ok {
				return "", fail(fmt.Errorf("%s as %s: %w; Round it in Rows", p, typ, recount.ErrInexact))
			}
			text, err := recount.Canonical(typ, d.String())
			if err != nil {
				return "", fail(err)
			}
			return text, nil
		}
	case recount.KindTimestamp:
		p := pointer[time.Time](v)
		return func() (string, error) { return timeText(typ, *p, fail) }
	default:
		return func() (string, error) { return intText(typ, v, fail) }
	}
}

func textOf(typ recount.Type, v reflect.Value, fail func(error) error) (string, error) {
	var s string
	if v.Kind() == reflect.String {
		s = v.String()
	} else {
		s = string(v.Bytes())
	}
	if !utf8.ValidString(s) {
		return "", fail(fmt.Errorf("%q is no UTF-8 text", clip(s)))
	}
	if typ.Kind != recount.KindJSON {
		return s, nil
	}
	text, err := recount.Canonical(typ, s)
	if err != nil {
		return "", fail(err)
	}
	return text, nil
}

func timeText(typ recount.Type, at time.Time, fail func(error) error) (string, error) {
	if year := at.UTC().Year(); year < 1 || year > 9999 {
		return "", fail(fmt.Errorf("the year %d is outside 1 to 9999", year))
	}
	if typ.Kind == recount.KindTimestamp {
		if at.Nanosecond()%int(time.Microsecond) != 0 {
			return "", fail(fmt.Errorf("%s: %w: a timestamp has microseconds", at.Format(time.RFC3339Nano), recount.ErrInexact))
		}
		return recount.FormatTimestamp(at), nil
	}
	// A date is that of the author's own zone: midnight of it is the value.
	if hour, minute, second := at.Clock(); hour+minute+second+at.Nanosecond() != 0 {
		return "", fail(fmt.Errorf("%s is no midnight, so that it is no date", at.Format(time.RFC3339Nano)))
	}
	return at.Format(time.DateOnly), nil
}

func intText(typ recount.Type, v reflect.Value, fail func(error) error) (string, error) {
	var text string
	if v.CanInt() {
		text = strconv.FormatInt(v.Int(), 10)
	} else {
		if typ.Kind == recount.KindInt64 && v.Uint() > math.MaxInt64 {
			return "", fail(fmt.Errorf("%d does not fit int64", v.Uint()))
		}
		text = strconv.FormatUint(v.Uint(), 10)
	}
	if typ.Kind == recount.KindInt64 {
		return text, nil
	}
	text, err := recount.Canonical(typ, text)
	if err != nil {
		return "", fail(err)
	}
	return text, nil
}
