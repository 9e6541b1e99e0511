package worker

import (
	"bytes"
	"encoding/json"
)

// MarshalJSON writes the value, or null.
func (n Null[T]) MarshalJSON() ([]byte, error) {
	if !n.Valid {
		return []byte("null"), nil
	}
	return json.Marshal(n.V)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (n *Null[T]) UnmarshalJSON(b []byte) error {
	*n = Null[T]{}
	if bytes.Equal(b, []byte("null")) {
		return nil
	}
	n.Valid = true
	return json.Unmarshal(b, &n.V)
}
