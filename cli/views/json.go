package views

import (
	"bytes"
	"encoding/json"
	"io"
	"time"

	"recount"
)

// schema is the version of every JSON type; fields are only ever added to one.
const schema = 1

// head begins every object.
type head struct {
	Type   string `json:"type"`
	Schema int    `json:"schema"`
}

func typed(name string) head { return head{Type: name, Schema: schema} }

// member is a name with its value, object an object whose members keep their
// order.
type member struct {
	name  string
	value any
}

type object []member

// MarshalJSON writes the members in order.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := encode(m.name)
		if err != nil {
			return nil, err
		}
		value, err := encode(m.value)
		if err != nil {
			return nil, err
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// encode is json.Marshal without the escapes that are meant for HTML.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// emit writes one object as one line.
func emit(w io.Writer, v any) error {
	b, err := encode(v)
	if err != nil {
		return err
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

// stamp is an instant in JSON: RFC 3339 in UTC, null where there is none.
type stamp time.Time

// MarshalJSON writes the instant.
func (s stamp) MarshalJSON() ([]byte, error) {
	if time.Time(s).IsZero() {
		return []byte("null"), nil
	}
	return json.Marshal(recount.FormatTimestamp(time.Time(s)))
}

// span of time in JSON.
type windowJSON struct {
	From stamp         `json:"from"`
	To   stamp         `json:"to"`
	By   recount.Clock `json:"by"`
}

func jsonWindow(w recount.Window) windowJSON {
	by := w.By
	if by == "" {
		by = recount.ByEvent
	}
	return windowJSON{From: stamp(w.From), To: stamp(w.To), By: by}
}

// named joins values with their columns' names; nil stays null.
func named(cols []recount.PlanColumn, values []recount.Value) any {
	if values == nil {
		return nil
	}
	o := make(object, 0, len(values))
	for i, v := range values {
		if i < len(cols) {
			o = append(o, member{name: cols[i].Name, value: v})
		}
	}
	return o
}

// list is s, or an empty list for none: JSON has no null where a list belongs.
func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// orNull is null for an empty text.
func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}
