package record

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"recount/source/payload/derive"
)

// connectSchema is a schema of Kafka Connect as its JSON converter writes it beside
// each payload.
type connectSchema struct {
	Type       string            `json:"type"`
	Name       string            `json:"name"`
	Field      string            `json:"field"` // its name, where it is a field of a struct
	Fields     []*connectSchema  `json:"fields"`
	Items      *connectSchema    `json:"items"`
	Keys       *connectSchema    `json:"keys"`
	Values     *connectSchema    `json:"values"`
	Parameters map[string]string `json:"parameters"`

	byName map[string]*connectSchema
}

// connectMeanings say what whole numbers mean. The timestamps of io.debezium.time
// know no zone; those of Connect are instants.
var connectMeanings = map[string]func(b []byte, n int64) []byte{
	"org.apache.kafka.connect.data.Date":      derive.Date,
	"org.apache.kafka.connect.data.Time":      clock(time.Millisecond),
	"org.apache.kafka.connect.data.Timestamp": stamp(time.Millisecond, false),
	"io.debezium.time.Date":                   derive.Date,
	"io.debezium.time.Time":                   clock(time.Millisecond),
	"io.debezium.time.MicroTime":              clock(time.Microsecond),
	"io.debezium.time.NanoTime":               clock(time.Nanosecond),
	"io.debezium.time.Timestamp":              stamp(time.Millisecond, true),
	"io.debezium.time.MicroTimestamp":         stamp(time.Microsecond, true),
	"io.debezium.time.NanoTimestamp":          stamp(time.Nanosecond, true),
}

const (
	connectDecimal  = "org.apache.kafka.connect.data.Decimal"
	variableDecimal = "io.debezium.data.VariableScaleDecimal"
)

func clock(unit time.Duration) func(b []byte, n int64) []byte {
	return func(b []byte, n int64) []byte {
		if n > math.MaxInt64/int64(unit) || n < math.MinInt64/int64(unit) {
			return derive.Int64(b, n) // no time of any clock
		}
		return derive.Clock(b, time.Duration(n)*unit)
	}
}

func stamp(unit time.Duration, local bool) func(b []byte, n int64) []byte {
	return func(b []byte, n int64) []byte {
		perSecond := int64(time.Second / unit)
		return derive.Stamp(b, time.Unix(n/perSecond, n%perSecond*int64(unit)), local)
	}
}

// connect reads a schema. The one before it is remembered: the records of a table
// repeat theirs.
func (s *session) connect(text []byte) (*connectSchema, error) {
	if last := s.lastConnect.Load(); last != nil && bytes.Equal(last.text, text) {
		return last.schema, nil
	}
	schema := &connectSchema{}
	if err := json.Unmarshal(text, schema); err != nil {
		return nil, err
	}
	if err := schema.index(0); err != nil {
		return nil, err
	}
	s.lastConnect.Store(&connectText{bytes.Clone(text), schema})
	return schema, nil
}

type connectText struct {
	text   []byte
	schema *connectSchema
}

func (c *connectSchema) index(depth int) error {
	if depth > maxDepth {
		return errors.New("types lie too deep in each other")
	}
	c.byName = map[string]*connectSchema{}
	for _, f := range c.Fields {
		if f == nil {
			return errors.New("a field is null")
		}
		c.byName[f.Field] = f
		if err := f.index(depth + 1); err != nil {
			return err
		}
	}
	for _, in := range []*connectSchema{c.Items, c.Keys, c.Values} {
		if in != nil {
			if err := in.index(depth + 1); err != nil {
				return err
			}
		}
	}
	return nil
}

// append appends the canonical JSON of a value; one of a type that has no other
// text stays as it is.
func (c *connectSchema) append(b []byte, value []byte, depth int) ([]byte, error) {
	value = bytes.TrimSpace(value)
	switch {
	case depth > maxDepth:
		return b, errors.New("values lie too deep in each other")
	case c == nil || string(value) == "null":
		return append(b, value...), nil
	}
	switch c.Type {
	case "struct":
		return c.object(b, value, depth)
	case "array":
		return c.array(b, value, depth)
	case "map":
		return c.mapping(b, value, depth)
	case "bytes":
		plain, err := base64.StdEncoding.DecodeString(textOf(value))
		if err != nil || value[0] != '"' {
			return b, errors.New("bytes are no Base64")
		}
		if c.Name == connectDecimal {
			return c.decimal(b, plain)
		}
		return derive.Binary(b, plain), nil
	case "int8", "int16", "int32", "int64":
		return c.whole(b, value)
	}
	return append(b, value...), nil
}

func (c *connectSchema) whole(b []byte, value []byte) ([]byte, error) {
	n, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil {
		return b, fmt.Errorf("%.40s is no %s", value, c.Type)
	}
	if means := connectMeanings[c.Name]; means != nil {
		return means(b, n), nil
	}
	if c.Type == "int64" {
		return derive.Int64(b, n), nil
	}
	return strconv.AppendInt(b, n, 10), nil
}

func (c *connectSchema) decimal(b, unscaled []byte) ([]byte, error) {
	scale, err := strconv.Atoi(c.Parameters["scale"])
	if err != nil {
		return b, errors.New("a decimal has no scale")
	}
	return derive.DecimalBytes(b, unscaled, scale)
}

func (c *connectSchema) object(b []byte, value []byte, depth int) ([]byte, error) {
	list, err := object(value)
	if err != nil {
		return b, err
	}
	if c.Name == variableDecimal {
		plain, err := base64.StdEncoding.DecodeString(list.text("value"))
		if err != nil {
			return b, errors.New("bytes are no Base64")
		}
		scale, err := strconv.Atoi(string(list.get("scale")))
		if err != nil {
			return b, errors.New("a decimal has no scale")
		}
		return derive.DecimalBytes(b, plain, scale)
	}
	b = append(b, '{')
	for i, m := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(derive.String(b, m.Key), ':')
		if b, err = c.byName[m.Key].append(b, m.Value, depth+1); err != nil {
			return b, fmt.Errorf("%s: %w", m.Key, err)
		}
	}
	return append(b, '}'), nil
}

func (c *connectSchema) array(b []byte, value []byte, depth int) ([]byte, error) {
	var items []json.RawMessage
	err := json.Unmarshal(value, &items)
	if err != nil {
		return b, err
	}
	b = append(b, '[')
	for i, item := range items {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = c.Items.append(b, item, depth+1); err != nil {
			return b, err
		}
	}
	return append(b, ']'), nil
}

// mapping appends a map: an object where its keys are texts. Connect writes any
// other as an array of pairs, which stays as it is.
func (c *connectSchema) mapping(b []byte, value []byte, depth int) ([]byte, error) {
	if len(value) == 0 || value[0] != '{' {
		return append(b, value...), nil
	}
	list, err := object(value)
	if err != nil {
		return b, err
	}
	b = append(b, '{')
	for i, m := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(derive.String(b, m.Key), ':')
		if b, err = c.Values.append(b, m.Value, depth+1); err != nil {
			return b, err
		}
	}
	return append(b, '}'), nil
}
