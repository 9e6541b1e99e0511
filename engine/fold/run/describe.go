package run

import "recount"

// Description is what a fold says of itself before it sees an event.
type Description struct {
	// Columns are those of its rows, in its own order.
	Columns []recount.Column `json:"columns"`
	// Reads are the columns that it looks at, of the envelope, `hit`, and fields;
	// the fields of Logic.By need not be among them. Nil: all fields, id, type,
	// partition, position and time.
	Reads []string `json:"reads"`
	// State says that the state of a key can be taken out and given back: without
	// it no replay of it begins at a checkpoint.
	State bool `json:"state"`
	// Effects says that it would send something.
	Effects bool `json:"effects"`
}
