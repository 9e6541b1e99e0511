// Package avrojson turns Avro values into canonical JSON under the schema that they
// were written with, by the rules of package derive. It reads the bytes straight
// on, without a value in between, so that nothing is lost on the way (a decimal's
// scale, a timestamp's unit, the order of fields) and memory is bounded whatever
// the bytes say. It does no I/O.
//
//	null, boolean, int, float, double   as derive has them
//	long, decimal                       a string of digits
//	bytes, fixed                        a string where it is UTF-8, else {"base64": "…"}
//	string, enum                        a string
//	array, record                       an array, an object
//	map                                 an object
//	union                               the value of the branch that was chosen
//	date, time-millis, time-micros      2024-06-10, 12:09:24.053
//	timestamp-millis, -micros, -nanos   RFC 3339 with Z
//	local-timestamp-…                   RFC 3339 without an offset
//	uuid                                a string, also of fixed(16)
//	duration                            {"months": 1, "days": 2, "milliseconds": 3}
//
// The types that Kafka Connect and Debezium mark by "connect.name" are read by
// that mark where no logicalType says more.
package avrojson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"recount/source/payload/derive"
)

// Schema is a schema that values can be read with. It is safe for concurrent use.
type Schema struct{ root *node }

type kind uint8

const (
	kindNull kind = iota
	kindBoolean
	kindInt
	kindLong
	kindFloat
	kindDouble
	kindBytes
	kindString
	kindFixed
	kindEnum
	kindArray
	kindMap
	kindUnion
	kindRecord
)

var primitives = map[string]kind{
	"null": kindNull, "boolean": kindBoolean, "int": kindInt, "long": kindLong,
	"float": kindFloat, "double": kindDouble, "bytes": kindBytes, "string": kindString,
}

// node is one type of a schema.
type node struct {
	kind    kind
	logical logical
	size    int // of a fixed
	scale   int // of a decimal
	symbols []string
	fields  []field
	of      []*node // the branches of a union; the one item of an array or map
}

type field struct {
	key string // as JSON, with its colon
	typ *node
}

// Parse reads a schema. references are schemas that it names types of, each after
// those that it needs itself.
func Parse(text string, references ...string) (*Schema, error) {
	p := parser{names: map[string]*node{}}
	for i, r := range references {
		if _, err := p.text(r); err != nil {
			return nil, fmt.Errorf("reference %d: %w", i+1, err)
		}
	}
	root, err := p.text(text)
	if err != nil {
		return nil, err
	}
	return &Schema{root}, nil
}

type parser struct {
	names map[string]*node // by full name
}

func (p *parser) text(text string) (*node, error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		// A registry may hold the bare name of a primitive type.
		if k, ok := primitives[strings.TrimSpace(text)]; ok {
			return &node{kind: k}, nil
		}
		return nil, fmt.Errorf("it is no JSON: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("text follows the schema")
	}
	return p.schema(v, "")
}

// schema reads a type that stands in a namespace.
func (p *parser) schema(v any, space string) (*node, error) {
	switch v := v.(type) {
	case string:
		if k, ok := primitives[v]; ok {
			return &node{kind: k}, nil
		}
		for _, name := range []string{full(v, space), v} {
			if n, ok := p.names[name]; ok {
				return n, nil
			}
		}
		return nil, fmt.Errorf("no type %q is known", v)
	case []any:
		n := &node{kind: kindUnion}
		for _, branch := range v {
			b, err := p.schema(branch, space)
			if err != nil {
				return nil, err
			}
			n.of = append(n.of, b)
		}
		return n, nil
	case map[string]any:
		return p.object(v, space)
	}
	return nil, fmt.Errorf("%v is no type", v)
}

func full(name, space string) string {
	if space == "" || strings.Contains(name, ".") {
		return name
	}
	return space + "." + name
}

func (p *parser) object(o map[string]any, space string) (*node, error) {
	name, ok := o["type"].(string)
	if !ok { // {"type": {"type": …}}: a type in brackets
		if o["type"] == nil {
			return nil, errors.New("an object has no type")
		}
		return p.schema(o["type"], space)
	}
	n := &node{}
	var err error
	switch name {
	case "record", "error":
		n.kind = kindRecord
		err = p.record(n, o, space)
	case "enum":
		n.kind = kindEnum
		if _, err = p.declare(n, o, space); err == nil {
			err = n.readSymbols(o)
		}
	case "fixed":
		n.kind = kindFixed
		if _, err = p.declare(n, o, space); err == nil {
			n.size, err = number(o, "size")
		}
	case "array":
		n.kind = kindArray
		err = p.item(n, o["items"], space)
	case "map":
		n.kind = kindMap
		err = p.item(n, o["values"], space)
	default:
		k, ok := primitives[name]
		if !ok {
			return p.schema(name, space)
		}
		n.kind = k
	}
	if err != nil {
		return nil, err
	}
	n.mark(o)
	return n, nil
}

func (p *parser) item(n *node, v any, space string) error {
	of, err := p.schema(v, space)
	n.of = []*node{of}
	return err
}

// declare makes n known by its name and returns the namespace of what is in it.
func (p *parser) declare(n *node, o map[string]any, space string) (string, error) {
	name, _ := o["name"].(string)
	if name == "" {
		return "", fmt.Errorf("a type %v has no name", o["type"])
	}
	if own, ok := o["namespace"].(string); ok {
		space = own
	}
	name = full(name, space)
	p.names[name] = n
	space = ""
	if dot := strings.LastIndexByte(name, '.'); dot >= 0 {
		space = name[:dot]
	}
	return space, nil
}

func (p *parser) record(n *node, o map[string]any, space string) error {
	space, err := p.declare(n, o, space)
	if err != nil {
		return err
	}
	list, ok := o["fields"].([]any)
	if !ok {
		return fmt.Errorf("record %v has no fields", o["name"])
	}
	for _, item := range list {
		f, _ := item.(map[string]any)
		name, _ := f["name"].(string)
		if name == "" {
			return fmt.Errorf("record %v has a field without a name", o["name"])
		}
		typ, err := p.schema(f["type"], space)
		if err != nil {
			return fmt.Errorf("field %q: %w", name, err)
		}
		n.fields = append(n.fields, field{key: string(derive.String(nil, name)) + ":", typ: typ})
	}
	return nil
}

func (n *node) readSymbols(o map[string]any) error {
	list, _ := o["symbols"].([]any)
	for _, item := range list {
		s, ok := item.(string)
		if !ok {
			return fmt.Errorf("enum %v has a symbol that is no text", o["name"])
		}
		n.symbols = append(n.symbols, string(derive.String(nil, s)))
	}
	return nil
}

func number(o map[string]any, key string) (int, error) {
	const most = 1 << 30
	text, ok := o[key].(json.Number)
	if !ok {
		return 0, fmt.Errorf("%v has no %s", o["name"], key)
	}
	n, err := text.Int64()
	if err != nil || n < 0 || n > most {
		return 0, fmt.Errorf("%v has the %s %s", o["name"], key, text)
	}
	return int(n), nil
}

// Compact returns a schema's text without white space; one that is no JSON, as it
// is.
func Compact(text string) string {
	var b bytes.Buffer
	if json.Compact(&b, []byte(text)) != nil {
		return text
	}
	return b.String()
}
