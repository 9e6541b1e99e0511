package effects

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"recount"
	"recount/engine"
	"recount/internal/config"
)

// Query reads a log of effects by SQL: its rows have what names an effect, then what
// its payload is made of.
type Query struct {
	Variant engine.Variant
	log     config.EffectLog
	types   map[string]recount.Type
}

// ReadLog makes the query of a log whose source declares the fields.
func ReadLog(log config.EffectLog, fields []recount.Field) *Query {
	q := &Query{log: log, types: map[string]recount.Type{}}
	for _, f := range fields {
		q.types[f.Name] = f.Type
	}
	shown := []string{"\"partition\"", "\"position\"", "time", "coalesce(id, '') AS recount_id"}
	q.Variant = engine.Variant{Key: []string{"partition", "position"}, Columns: []string{"time", "recount_id"}, Dedupe: true}
	add := func(expression string) {
		name := fmt.Sprintf("recount_%d", len(q.Variant.Columns))
		shown = append(shown, expression+" AS "+name)
		q.Variant.Columns = append(q.Variant.Columns, name)
	}
	for _, name := range append([]string{log.Kind, log.Key, log.EventID}, log.Payload...) {
		switch name {
		case "":
			add("''")
		case "key":
			add("to_base64(\"key\")")
		default:
			add(`"` + strings.ReplaceAll(name, `"`, `""`) + `"`)
		}
	}
	if len(log.Payload) == 0 {
		add("to_base64(data)")
	}
	text := "SELECT " + strings.Join(shown, ", ") + " FROM events"
	if log.Where != "" {
		text += " WHERE (\n" + log.Where + "\n)"
	}
	q.Variant.Logic = recount.Logic{Kind: recount.LogicSQL, Text: text, Path: "the log of effects, source " + log.Source}
	return q
}

// Sent makes one row what was sent; false where it has no kind or key.
func (q *Query) Sent(row recount.Row) (e Sent, ok bool, err error) {
	e = Sent{ID: row.Values[1].Text, Partition: row.Key[0].Text, Position: row.Key[1].Text}
	if e.Time, err = recount.ParseTimestamp(row.Values[0].Text); err != nil {
		return e, false, err
	}
	const first = 2
	name := func(i int, field string) (text string, there bool) {
		v := row.Values[first+i]
		if field == "key" {
			return bytesText(v.Text), !v.Null
		}
		return v.Text, !v.Null
	}
	kind, hasKind := name(0, q.log.Kind)
	key, hasKey := name(1, q.log.Key)
	e.Kind, e.Key = kind, key
	if q.log.Is != "" {
		e.Kind = q.log.Is
	}
	e.EventID, _ = name(2, q.log.EventID)
	const payload = first + 3
	values := row.Values[payload:]
	switch {
	case len(q.log.Payload) == 0:
		b, err := base64.StdEncoding.DecodeString(values[0].Text)
		if err != nil {
			return e, false, err
		}
		e.Payload = Canonical(b)
	case !q.log.Members:
		e.Payload = Canonical(q.json(q.log.Payload[0], values[0]))
	default:
		members := map[string]json.RawMessage{}
		for i, name := range q.log.Payload {
			members[name] = q.json(name, values[i])
		}
		text, err := json.Marshal(members)
		if err != nil {
			return e, false, err
		}
		e.Payload = Canonical(text)
	}
	return e, hasKind && hasKey, nil
}

// json spells the value of a field as JSON.
func (q *Query) json(name string, v recount.Value) []byte {
	if v.Null {
		return []byte("null")
	}
	if name == "key" {
		v.Text = bytesText(v.Text)
	}
	kind := q.types[name].Kind
	plain := kind == recount.KindInt64 || kind == recount.KindDecimal || kind == recount.KindDouble || kind == recount.KindBool || kind == recount.KindJSON
	if raw := []byte(v.Text); json.Valid(raw) && (plain || !q.log.Members) {
		return raw
	}
	text, err := json.Marshal(v.Text)
	if err != nil {
		return []byte("null")
	}
	return text
}

// bytesText is base64 as text; bytes that are none stay as they are.
func bytesText(encoded string) string {
	b, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || !utf8.Valid(b) {
		return encoded
	}
	return string(b)
}
