package config

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"recount"
	"recount/adapter"
)

var durationType = reflect.TypeFor[time.Duration]()

// keyOf is a struct field's key in YAML; empty where it has none.
func keyOf(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	if name == "-" || !f.IsExported() {
		return ""
	}
	return name
}

// decode fills an adapter's block from v. Texts keep their references: Resolve
// replaces them later. places learns where each text stands.
func decode(v value, into reflect.Value, path string, places map[string]pos) {
	if v.gone() {
		return
	}
	places[path] = v.at()
	switch {
	case into.Type() == durationType:
		if d, ok := v.duration(); ok {
			into.SetInt(int64(d))
		}
		return
	case into.Kind() == reflect.Pointer:
		if into.IsNil() {
			into.Set(reflect.New(into.Type().Elem()))
		}
		decode(v, into.Elem(), path, places)
		return
	}
	switch into.Kind() { //nolint:exhaustive // every other kind is the adapter's mistake
	case reflect.Struct:
		decodeStruct(v, into, path, places)
	case reflect.Slice:
		items := v.items()
		into.Set(reflect.MakeSlice(into.Type(), len(items), len(items)))
		for i, item := range items {
			decode(item, into.Index(i), fmt.Sprintf("%s[%d]", path, i+1), places)
		}
	case reflect.Map:
		into.Set(reflect.MakeMap(into.Type()))
		for _, e := range v.entries() {
			elem := reflect.New(into.Type().Elem()).Elem()
			decode(e.value, elem, join(path, e.key), places)
			into.SetMapIndex(reflect.ValueOf(e.key).Convert(into.Type().Key()), elem)
		}
	default:
		decodeScalar(v, into)
	}
}

func decodeStruct(v value, into reflect.Value, path string, places map[string]pos) {
	fields, names := map[string][]int{}, []string{}
	for _, f := range reflect.VisibleFields(into.Type()) {
		if key := keyOf(f); key != "" {
			fields[key] = f.Index
			names = append(names, key)
		}
	}
	for _, e := range v.entries() {
		index, known := fields[e.key]
		if !known {
			v.r.problem(e.at, "%s", unknownKey(v.path, e.key, names))
			continue
		}
		decode(e.value, into.FieldByIndex(index), join(path, e.key), places)
	}
}

func decodeScalar(v value, into reflect.Value) {
	switch into.Kind() { //nolint:exhaustive // see default
	case reflect.String:
		if text, ok := v.raw(); ok {
			into.SetString(text)
		}
	case reflect.Bool:
		if is, ok := v.boolean(); ok {
			into.SetBool(is)
		}
	case reflect.Int, reflect.Int32, reflect.Int64:
		if n, ok := v.integer(math.MinInt64, math.MaxInt64); ok {
			if into.OverflowInt(n) {
				v.problem("%d is too large", n)
				return
			}
			into.SetInt(n)
		}
	case reflect.Float64:
		switch n := v.node.(type) {
		case *ast.FloatNode:
			into.SetFloat(n.Value)
		case *ast.IntegerNode:
			if f, err := strconv.ParseFloat(n.GetToken().Value, 64); err == nil {
				into.SetFloat(f)
			}
		default:
			v.problem("a number is needed, not %s", kindOf(v.node))
		}
	default:
		v.problem("the adapter declares this key as %s, which no file can hold", into.Type())
	}
}

// setDefaults gives the fields of a new block what their default tags say.
func setDefaults(into reflect.Value) {
	for _, f := range reflect.VisibleFields(into.Type()) {
		text, ok := f.Tag.Lookup("default")
		field := into.FieldByIndex(f.Index)
		if !ok || !field.CanSet() {
			continue
		}
		switch {
		case field.Type() == durationType:
			if d, err := time.ParseDuration(text); err == nil {
				field.SetInt(int64(d))
			}
		case field.Kind() == reflect.String:
			field.SetString(text)
		case field.Kind() == reflect.Bool:
			field.SetBool(text == "true")
		case field.CanInt():
			if n, err := strconv.ParseInt(text, 10, 64); err == nil {
				field.SetInt(n)
			}
		}
	}
}

// adapterBlock reads an adapter's block v, and overlay on top of it where it is
// not nil, and remembers where its texts stand.
func (l *loader) adapterBlock(spec adapter.Spec, v value, overlay *value) any {
	config := spec.NewConfig()
	places := map[string]pos{}
	into := reflect.ValueOf(config).Elem()
	setDefaults(into)
	decode(v, into, "", places)
	if overlay != nil {
		decode(*overlay, into, "", places)
	}
	l.project.places[config] = places
	return config
}

// pickAdapter finds the one key of a block that names an adapter of the port;
// every other key must be one of b's.
func (l *loader) pickAdapter(port adapter.Port, v value, b Block, found map[string]entry) (adapter.Spec, entry, bool) {
	names := l.reg.Names(port)
	known := slices.Concat(b.names(), names)
	var picked, unknown []entry
	for _, e := range found {
		if slices.Contains(b.names(), e.key) {
			continue
		}
		if _, ok := l.reg.Lookup(port, e.key); ok {
			picked = append(picked, e)
			continue
		}
		unknown = append(unknown, e)
		if e.isMapping() && recount.Nearest(e.key, known) == "" {
			l.r.problemAs(recount.CodeUnsupported, nextMend, e.at, "%s: there is no %s adapter %q; there is: %s",
				v.path, port, clip(e.key), strings.Join(names, ", "))
			continue
		}
		l.r.problem(e.at, "%s", unknownKey(v.path, e.key, known))
	}
	slices.SortFunc(picked, func(a, b entry) int { return strings.Compare(a.key, b.key) })
	switch {
	case len(picked) == 1:
		spec, _ := l.reg.Lookup(port, picked[0].key)
		return spec, picked[0], true
	case len(picked) > 1:
		l.r.problem(picked[1].at, "%s: %q and %q are both adapters; a %s has one", v.path, picked[0].key, picked[1].key, port)
	case len(unknown) == 0 && !v.gone():
		v.problem("the adapter is missing: a %s needs one of %s", port, strings.Join(names, ", "))
	}
	return adapter.Spec{}, entry{}, false
}
