package record

import (
	"encoding/json"
	"unicode/utf8"

	"recount/source/payload"
)

// maxDepth is how deep values of an envelope may lie in each other.
const maxDepth = 200

type members []payload.Member

// object reads a JSON object.
func object(doc []byte) (members, error) { return payload.Members(doc) }

// get returns a member's value; nil where there is none, or null.
func (m members) get(name string) []byte {
	for _, one := range m {
		if one.Key == name && string(one.Value) != "null" {
			return one.Value
		}
	}
	return nil
}

// text returns a member that is a string; "" where there is none.
func (m members) text(name string) string { return textOf(m.get(name)) }

func textOf(value []byte) string {
	var text string
	if len(value) == 0 || value[0] != '"' || !utf8.Valid(value) || json.Unmarshal(value, &text) != nil {
		return ""
	}
	return text
}

// unwrapped returns what is in a text, where a value is one that holds JSON.
func unwrapped(value []byte) []byte {
	if len(value) > 0 && value[0] == '"' {
		return []byte(textOf(value))
	}
	return value
}
