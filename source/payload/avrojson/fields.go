package avrojson

import (
	"encoding/json"
	"strings"
)

// Fields returns the names of a record's fields; false where the schema is of no
// record.
func (s *Schema) Fields() ([]string, bool) {
	if s.root.kind != kindRecord {
		return nil, false
	}
	names := make([]string, len(s.root.fields))
	for i, f := range s.root.fields {
		if json.Unmarshal([]byte(strings.TrimSuffix(f.key, ":")), &names[i]) != nil {
			return nil, false
		}
	}
	return names, true
}
