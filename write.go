package recount

// WriteMode says how a plan corrects a row.
type WriteMode string

// The write modes.
const (
	// WriteSet writes the after-image where the row still holds its before-image.
	WriteSet WriteMode = "set"
	// WriteDelta adds the difference between the right logic and one hypothesis,
	// over the hit events, to what the row holds by then.
	WriteDelta WriteMode = "delta"
	// WriteAdjust leaves frozen rows alone and inserts entries beside them.
	WriteAdjust WriteMode = "adjust"
)

// Write is how a calculation's corrections are written.
type Write struct {
	Mode WriteMode
	// Against is the cause of which a delta is taken; empty where one hypothesis
	// is given.
	Against Cause
	// Frozen is a condition of the target's own language: the rows that are never
	// edited. Of WriteAdjust.
	Frozen string
	Adjust *Adjust
	Mark   *Marking
	// OnInsert gives table columns that the calculation does not return the texts
	// that an insert writes.
	OnInsert map[string]string
	// Bump is the table's column that counts a row's versions; empty: none.
	Bump string
}

// Adjust is the table of adjustment entries, in the target's database.
type Adjust struct {
	Table string
	// Columns are the entry's columns by what they hold: a key column of the
	// result, a value column of the result (its amount: right minus live),
	// "reason", "run" and, optionally, "period" and "at".
	Columns map[string]string
}

// Marking is the table in which the worker notes the events that it processed.
type Marking struct {
	Table string
	// Columns are columns of the event's envelope or declared fields, by the
	// table's column.
	Columns map[string]string
}
