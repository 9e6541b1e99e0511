package worker

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"

	"recount"
)

// tag is the key of the struct tags that Recount reads.
const tag = "recount"

// What a column holds besides the kinds that can be declared.
const (
	kindBinary  recount.Kind = "binary"
	kindHeaders recount.Kind = "headers"
)

// field is a struct field that is a column.
type field struct {
	name  string // as Go spells it, with its struct: Event.UserID
	index []int
	typ   reflect.Type // with its pointer or Null
	base  reflect.Type // without
	null  nullness
	// column and words are what the tag says: a name, and what follows the comma.
	column string
	words  string
}

// nullness is how a Go type says NULL.
type nullness int

const (
	nullNever nullness = iota
	nullPointer
	nullStruct // Null
)

// fieldsOf lists the columns of a struct type, in its order.
func fieldsOf(t reflect.Type, what string) ([]field, error) {
	if t.Kind() != reflect.Struct || isScalar(t) {
		return nil, fmt.Errorf("%s is a %s; it must be a struct whose fields are columns", what, t)
	}
	var list []field
	seen := map[string]string{}
	for _, f := range reflect.VisibleFields(t) {
		name := what + "." + f.Name
		text, tagged := f.Tag.Lookup(tag)
		if text == "-" {
			continue
		}
		if f.Anonymous && !tagged && f.Type.Kind() == reflect.Struct && !isScalar(f.Type) {
			continue // its fields come by themselves
		}
		if f.Anonymous && f.Type.Kind() == reflect.Pointer {
			return nil, fmt.Errorf("%s is an embedded pointer; embed the struct itself", name)
		}
		if len(f.Index) > 1 && leftOut(t, f.Index) {
			continue
		}
		if !f.IsExported() {
			return nil, fmt.Errorf("%s is not exported, so that nothing can reach it; write it with a capital, or with the tag `%s:\"-\"` if it is no column", name, tag)
		}
		column, words, _ := strings.Cut(text, ",")
		if column == "" {
			column = snake(f.Name)
		}
		if other, taken := seen[column]; taken {
			return nil, fmt.Errorf("%s and %s are both column %s", other, name, column)
		}
		seen[column] = name
		base, null := unwrap(f.Type)
		list = append(list, field{name: name, index: f.Index, typ: f.Type, base: base, null: null, column: column, words: strings.TrimSpace(words)})
	}
	return list, nil
}

// leftOut says that a struct around the field is no column.
func leftOut(t reflect.Type, index []int) bool {
	for n := 1; n < len(index); n++ {
		if t.FieldByIndex(index[:n]).Tag.Get(tag) == "-" {
			return true
		}
	}
	return false
}

var (
	timeType     = reflect.TypeFor[time.Time]()
	decimalType  = reflect.TypeFor[Decimal]()
	bytesType    = reflect.TypeFor[[]byte]()
	headersType  = reflect.TypeFor[[]recount.Header]()
	nullableType = reflect.TypeFor[interface{ nullable() }]()
)

// isScalar says that a struct type is one value.
func isScalar(t reflect.Type) bool {
	return t == timeType || t == decimalType || t.Implements(nullableType)
}

// unwrap takes off a pointer or Null.
func unwrap(t reflect.Type) (reflect.Type, nullness) {
	switch {
	case t.Kind() == reflect.Pointer:
		return t.Elem(), nullPointer
	case t.Kind() == reflect.Struct && t.Implements(nullableType):
		return t.Field(0).Type, nullStruct
	}
	return t, nullNever
}

func isBytes(t reflect.Type) bool { return t.Kind() == reflect.Slice && t.ConvertibleTo(bytesType) }

// family is the kind of column that a Go type is by itself; "" for none.
func family(t reflect.Type) recount.Kind {
	switch {
	case t == timeType:
		return recount.KindTimestamp
	case t == decimalType:
		return recount.KindDecimal
	case t == headersType:
		return kindHeaders
	case isBytes(t):
		return kindBinary
	}
	switch t.Kind() { //nolint:exhaustive // all others are no column
	case reflect.String:
		return recount.KindString
	case reflect.Bool:
		return recount.KindBool
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return recount.KindInt64
	case reflect.Float64:
		return recount.KindDouble
	}
	return ""
}

// takes are the kinds of columns that a field of a family can hold.
var takes = map[recount.Kind][]recount.Kind{
	recount.KindString:    {recount.KindString, recount.KindJSON, kindBinary},
	kindBinary:            {recount.KindString, recount.KindJSON, kindBinary},
	recount.KindInt64:     {recount.KindInt64},
	recount.KindDouble:    {recount.KindDouble},
	recount.KindDecimal:   {recount.KindDecimal, recount.KindInt64},
	recount.KindBool:      {recount.KindBool},
	recount.KindTimestamp: {recount.KindTimestamp, recount.KindDate},
	kindHeaders:           {kindHeaders},
}

// wanted says which Go type a column needs.
var wanted = map[recount.Kind]string{
	recount.KindString: "string", recount.KindJSON: "string or json.RawMessage", recount.KindInt64: "int64", recount.KindDouble: "float64",
	recount.KindDecimal: "worker.Decimal", recount.KindBool: "bool", recount.KindTimestamp: "time.Time", recount.KindDate: "time.Time",
	kindBinary: "[]byte", kindHeaders: "[]recount.Header",
}

// envelope are the columns that each event has. Absent values of them are zero.
var envelope = map[string]recount.Type{
	"id": {Kind: recount.KindString}, "stream": {Kind: recount.KindString}, "type": {Kind: recount.KindString},
	"partition": {Kind: recount.KindString}, "position": {Kind: recount.KindString},
	"time": {Kind: recount.KindTimestamp}, "ingest_time": {Kind: recount.KindTimestamp},
	"key": {Kind: kindBinary}, "data": {Kind: kindBinary}, "headers": {Kind: kindHeaders}, "hit": {Kind: recount.KindBool},
}

// input is a field of Event with its column.
type input struct {
	field
	column recount.Type
	zero   bool // NULL is the zero value
}

// inputsOf fits Event to a stream's fields. All misfits are told at once.
func inputsOf(t reflect.Type, fields []recount.Field) ([]input, error) {
	list, err := fieldsOf(t, "Event")
	if err != nil {
		return nil, err
	}
	var inputs []input
	var misfits []error
	for _, f := range list {
		in, err := inputOf(f, fields)
		if err != nil {
			misfits = append(misfits, err)
		}
		inputs = append(inputs, in)
	}
	return inputs, errors.Join(misfits...)
}

func inputOf(f field, fields []recount.Field) (input, error) {
	in := input{field: f}
	typ, enveloped := envelope[f.column]
	if !enveloped {
		i := slices.IndexFunc(fields, func(d recount.Field) bool { return d.Name == f.column })
		if i < 0 {
			return in, fmt.Errorf("%s: the source has no field %s%s", f.name, f.column, suggestion(f.column, fields))
		}
		typ = fields[i].Type
	}
	in.column = typ
	switch f.words {
	case "":
		in.zero = enveloped
	case "zero":
		if f.null != nullNever {
			return in, fmt.Errorf("%s can say NULL already; drop zero from its tag", f.name)
		}
		in.zero = true
	default:
		return in, fmt.Errorf("%s: its tag ends with %q; after the column of an event there can only be zero", f.name, clip(f.words))
	}
	if !slices.Contains(takes[family(f.base)], typ.Kind) {
		return in, fmt.Errorf("%s is a %s, but %s is a column of type %s: make it %s", f.name, f.typ, f.column, typ, nullable(wanted[typ.Kind], f.null))
	}
	return in, nil
}

// nullable spells a Go type with what makes it so.
func nullable(name string, n nullness) string {
	switch n {
	case nullPointer:
		return "*" + name
	case nullStruct:
		return "worker.Null[" + name + "]"
	case nullNever:
	}
	return name
}

func suggestion(name string, fields []recount.Field) string {
	var names []string
	for _, f := range fields {
		names = append(names, f.Name)
	}
	for e := range envelope {
		names = append(names, e)
	}
	if near := recount.Nearest(name, names); near != "" {
		return "; did you mean " + near + "?"
	}
	if len(fields) == 0 {
		return "; it declares none"
	}
	return "; it has " + strings.Join(names[:len(fields)], ", ")
}

// snake spells a Go name as a column: UserID is user_id, HTTPStatus http_status.
func snake(name string) string {
	runes := []rune(name)
	var b strings.Builder
	for i, r := range runes {
		if unicode.IsUpper(r) && i > 0 && runes[i-1] != '_' {
			next := i+1 < len(runes) && unicode.IsLower(runes[i+1])
			if !unicode.IsUpper(runes[i-1]) || next {
				b.WriteByte('_')
			}
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
