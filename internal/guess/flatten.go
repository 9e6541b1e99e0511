package guess

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// The bounds of what is looked for inside of JSON.
const (
	mostColumns = 300
	mostDepth   = 8
)

// collector gathers rows whose columns come to light one by one.
type collector struct {
	t       *Table
	at      map[string]int
	columns []string
	rows    [][]string
	whole   map[string]bool // paths under which something was found
}

func newCollector(t *Table) *collector {
	return &collector{t: t, at: map[string]int{}, whole: map[string]bool{}}
}

func (c *collector) full() bool {
	c.t.Cut = c.t.Cut || len(c.rows) >= mostRows
	return len(c.rows) >= mostRows
}

func (c *collector) row() { c.rows = append(c.rows, make([]string, len(c.columns))) }

func (c *collector) set(column, text string) {
	i, known := c.at[column]
	if !known {
		if len(c.columns) >= mostColumns {
			return
		}
		i = len(c.columns)
		c.at[column] = i
		c.columns = append(c.columns, column)
	}
	last := len(c.rows) - 1
	for len(c.rows[last]) <= i {
		c.rows[last] = append(c.rows[last], "")
	}
	c.rows[last][i] = text
}

// done gives the table its columns, without those that others lie in.
func (c *collector) done() {
	keep := make([]int, 0, len(c.columns))
	c.t.Columns = nil
	for i, name := range c.columns {
		if !c.whole[dollar(name)] && !c.whole[name] {
			keep = append(keep, i)
			c.t.Columns = append(c.t.Columns, name)
		}
	}
	c.t.Rows = make([][]string, len(c.rows))
	for n, row := range c.rows {
		out := make([]string, len(keep))
		for to, from := range keep {
			if from < len(row) {
				out[to] = row[from]
			}
		}
		c.t.Rows[n] = out
	}
}

// dollar is the path of a top-level key; empty if it cannot be one.
func dollar(key string) string {
	if st := pathStep(key); st != "" && !strings.HasPrefix(key, "$") {
		return "$" + st
	}
	return ""
}

func pathStep(key string) string {
	switch {
	case key != "" && !strings.ContainsAny(key, ".["):
		return "." + key
	case !strings.Contains(key, "']"):
		return "['" + key + "']"
	}
	return ""
}

// insideJSON says whether a text holds a JSON object.
func insideJSON(text string) bool {
	text = strings.TrimSpace(text)
	return strings.HasPrefix(text, "{") && json.Valid([]byte(text))
}

// readJSON reads objects, one a line or one after another. What is broken is
// passed over up to the next line or object.
func (t *Table) readJSON(in *bufio.Reader) error {
	data, err := io.ReadAll(io.LimitReader(in, mostBytes))
	if err != nil {
		return fmt.Errorf("read %q: %w", t.Path, err)
	}
	t.Cut = len(data) == mostBytes
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if start := bytes.TrimLeft(data, " \t\r\n"); len(start) > 0 && start[0] == '[' {
		return fmt.Errorf("%s is one JSON array; write one object a line, for example with: jq -c '.[]'", t.Path)
	}
	c := newCollector(t)
	for len(data) > 0 && !c.full() {
		d := json.NewDecoder(bytes.NewReader(data))
		for !c.full() {
			var object json.RawMessage
			if err := d.Decode(&object); err != nil {
				break
			}
			if object[0] == '{' {
				c.object(object)
			}
		}
		data = skip(data[d.InputOffset():])
	}
	if len(c.rows) == 0 {
		return fmt.Errorf("read %q: it holds no JSON object", t.Path)
	}
	c.done()
	return nil
}

// skip passes over the rest of a broken record.
func skip(data []byte) []byte {
	next := len(data)
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		next = i + 1
	}
	if i := bytes.Index(data[:next], []byte("}{")); i >= 0 {
		next = i + 1
	}
	return data[next:]
}

// member is one member of an object, in the object's order.
type member struct {
	key   string
	value json.RawMessage
}

func members(object []byte) []member {
	d := json.NewDecoder(bytes.NewReader(object))
	if token, err := d.Token(); err != nil || token != json.Delim('{') {
		return nil
	}
	var list []member
	for d.More() {
		key, err := d.Token()
		name, ok := key.(string)
		var value json.RawMessage
		if err != nil || !ok || d.Decode(&value) != nil {
			return list
		}
		list = append(list, member{name, value})
	}
	return list
}

// object adds a record as a row.
func (c *collector) object(object []byte) {
	list := members(object)
	c.row()
	if len(c.rows) == 1 {
		c.t.Shape = shapeOf(list)
		c.declared(list)
	}
	for _, m := range list {
		path := dollar(m.key)
		switch {
		case path == "" || c.t.Shape == Connect && m.key == "schema":
			continue
		case c.t.Shape == Kcat && m.key == "payload" && string(m.value) == "null":
			c.t.Tombstones++
		}
		c.value(m.key, path, m.value, 0)
	}
}

// value adds one value, or what lies inside of it.
func (c *collector) value(name, path string, raw json.RawMessage, depth int) {
	text := plainJSON(raw)
	switch {
	case depth < mostDepth && len(raw) > 0 && (raw[0] == '{' || raw[0] == '"' && insideJSON(text)):
		c.nested(path, []byte(text), depth+1)
	default:
		c.set(name, text)
	}
}

func (c *collector) nested(path string, object []byte, depth int) {
	c.whole[path] = true
	for _, m := range members(object) {
		if st := pathStep(m.key); st != "" {
			c.value(path+st, path+st, m.value, depth)
		}
	}
}

// plainJSON is a value as text: strings without quotes, null as nothing.
func plainJSON(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	if string(raw) == "null" {
		return ""
	}
	return string(raw)
}

var errNoSchema = errors.New("there is no schema")

// shapeOf tells by a record's keys who wrote it.
func shapeOf(list []member) Shape {
	has := func(keys ...string) bool {
		for _, key := range keys {
			if !slices.ContainsFunc(list, func(m member) bool { return m.key == key }) {
				return false
			}
		}
		return true
	}
	switch {
	case has("topic", "partition", "offset", "payload"):
		return Kcat
	case len(list) == 2 && has("schema", "payload"):
		return Connect
	case has("detail-type", "source", "time", "detail"):
		return EventBridge
	}
	return Plain
}

// declared notes what a schema of Connect says that a value does not show.
func (c *collector) declared(list []member) {
	if c.t.Shape != Connect {
		return
	}
	schema, err := connectSchema(list)
	if err != nil {
		return
	}
	for _, f := range schema.Fields {
		if f.Name == "org.apache.kafka.connect.data.Decimal" {
			c.t.Notes = append(c.t.Notes, fmt.Sprintf(
				"$.payload.%s is a decimal written as base64, which cannot be read: export with decimal.format=NUMERIC", f.Field))
		}
	}
}

type schema struct {
	Fields []struct{ Field, Type, Name string }
}

func connectSchema(list []member) (s schema, err error) {
	for _, m := range list {
		if m.key == "schema" {
			return s, json.Unmarshal(m.value, &s)
		}
	}
	return s, errNoSchema
}
