package record

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"recount"
	"recount/source/payload/derive"
)

// operations are the names of Debezium's letters.
var operations = map[string]string{
	"c": "create", "r": "read", "u": "update", "d": "delete", "t": "truncate", "m": "message",
}

// tombstone is the type of the record without a value that follows a deletion.
const tombstone = "tombstone"

// change finds what a Debezium change event says: the row after it, or before it
// where it is a deletion, and the envelope around.
func (s *session) change(e *recount.Event, key []byte) (opened, error) {
	if e.Data == nil {
		return opened{gone: true}, nil
	}
	list, err := s.debezium(e.Data)
	if err != nil {
		return opened{}, err
	}
	op := list.text("op")
	operation, known := operations[op]
	switch {
	case op == "":
		return opened{}, errors.New("it is no change event of Debezium: it has no op")
	case !known:
		return opened{}, fmt.Errorf("it is a change event of the unknown op %q", op)
	}
	o := opened{derived: true}
	switch op {
	case "c", "r", "u":
		o.body = unwrapped(list.get("after"))
	case "m":
		o.body = list.get("message")
	case "d":
		if o.body = unwrapped(list.get("before")); o.body == nil {
			o.body = s.keyRow(key)
		}
	}
	doc := []byte{'{'}
	for _, m := range list {
		if s.envelope.names(m.Key) {
			doc = append(append(append(derive.String(doc, m.Key), ':'), m.Value...), ',')
		}
	}
	doc = append(append(doc, `"operation":`...), derive.String(nil, operation)...)
	o.envelope = endEnvelope(append(doc, ','), s.changeTime(list))
	return o, nil
}

// debezium returns the members of an envelope, or of a key, that is written as
// JSON with its schema, as JSON alone, or in the wire format of a registry. Where
// the schema is there, values have the text that it gives them.
func (s *session) debezium(value []byte) (members, error) {
	doc, _, err := s.decode(value)
	if err != nil {
		return nil, err
	}
	list, err := object(doc)
	if err != nil || s.values.needsRegistry() || list.get("payload") == nil || list.get("op") != nil {
		return list, err
	}
	payload, text := list.get("payload"), list.get("schema")
	if text != nil {
		schema, err := s.connect(text)
		if err != nil {
			return nil, fmt.Errorf("the schema beside its payload cannot be read: %w", err)
		}
		if payload, err = schema.append(nil, payload, 0); err != nil {
			return nil, fmt.Errorf("its payload does not follow the schema beside it: %w", err)
		}
	}
	return object(payload)
}

// keyRow is the row of a deletion of which nothing but the key is known; nil where
// the key says nothing either.
func (s *session) keyRow(key []byte) []byte {
	if key == nil {
		return nil
	}
	list, err := s.debezium(key)
	if err != nil || len(list) == 0 {
		return nil
	}
	doc := []byte{'{'}
	for i, m := range list {
		if i > 0 {
			doc = append(doc, ',')
		}
		doc = append(append(derive.String(doc, m.Key), ':'), m.Value...)
	}
	return append(doc, '}')
}

// changeTime is when the database made the change, as fine as it is known; else
// when Debezium saw it, or the record's time.
func (s *session) changeTime(list members) []byte {
	source, _ := object(list.get("source")) // one that is no object has no time
	for _, from := range []struct {
		in   members
		name string
		unit time.Duration
	}{
		{source, "ts_us", time.Microsecond},
		{source, "ts_ms", time.Millisecond},
		{list, "ts_us", time.Microsecond},
		{list, "ts_ms", time.Millisecond},
	} {
		n, err := strconv.ParseInt(strings.Trim(string(from.in.get(from.name)), `"`), 10, 64)
		if err != nil {
			continue
		}
		at := time.UnixMicro(n)
		if from.unit == time.Millisecond {
			at = time.UnixMilli(n)
		}
		return derive.Stamp(nil, at, false)
	}
	return derive.Stamp(nil, s.at, false)
}
