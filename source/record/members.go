package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// maxDepth is how deep values of an envelope may lie in each other.
const maxDepth = 200

// member is one member of a JSON object, its value as it stands.
type member struct {
	name  string
	value json.RawMessage
}

type members []member

// membersOf reads a JSON object. A key that stands twice is an error: readers
// disagree on which of the two counts.
func membersOf(doc []byte) (members, error) {
	if !json.Valid(doc) {
		var v json.RawMessage
		return nil, json.Unmarshal(doc, &v)
	}
	d := json.NewDecoder(bytes.NewReader(doc))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("it is no JSON object")
	}
	var list members
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		name, ok := t.(string)
		if !ok {
			return nil, errors.New("a key is no text")
		}
		if seen[name] {
			return nil, fmt.Errorf("the key %q stands twice", name)
		}
		seen[name] = true
		m := member{name: name}
		if err := d.Decode(&m.value); err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	return list, nil
}

// get returns a member's value; nil where there is none, or null.
func (m members) get(name string) json.RawMessage {
	for _, one := range m {
		if one.name == name && string(one.value) != "null" {
			return one.value
		}
	}
	return nil
}

// text returns a member that is a string; "" where there is none.
func (m members) text(name string) string { return textOf(m.get(name)) }

func textOf(value json.RawMessage) string {
	var text string
	if len(value) == 0 || value[0] != '"' || !utf8.Valid(value) || json.Unmarshal(value, &text) != nil {
		return ""
	}
	return text
}

// unwrapped returns what is in a text, where a value is one that holds JSON.
func unwrapped(value json.RawMessage) []byte {
	if len(value) > 0 && value[0] == '"' {
		return []byte(textOf(value))
	}
	return value
}
