package recount

import "strings"

// Action says what a plan does with one row.
type Action string

// The actions. Only update, insert and delete write.
const (
	ActionUpdate   Action = "update"
	ActionInsert   Action = "insert"
	ActionDelete   Action = "delete"
	ActionExtra    Action = "extra"    // live only: reported
	ActionHeld     Action = "held"     // no given hypothesis explains it: not written
	ActionExcluded Action = "excluded" // touched by a quarantined event: not written
)

// Actions lists all actions in the order in which they are shown.
var Actions = []Action{ActionUpdate, ActionInsert, ActionDelete, ActionExtra, ActionHeld, ActionExcluded}

// Writes says whether the action writes.
func (a Action) Writes() bool {
	return a == ActionUpdate || a == ActionInsert || a == ActionDelete
}

// Sign is the mark of the action in lists: ~ + - or !.
func (a Action) Sign() string {
	switch a {
	case ActionUpdate:
		return "~"
	case ActionInsert:
		return "+"
	case ActionDelete:
		return "-"
	case ActionExtra, ActionHeld, ActionExcluded:
		return "!"
	}
	return "?"
}

// Row is one row of a result or of a live table: the values of the key columns
// and those of the other named columns, each in the order of its Shape.
type Row struct {
	Key    []Value
	Values []Value
}

// Shape names the columns of rows.
type Shape struct {
	Key    []Column
	Values []Column
}

// Change is one row of a plan. Before and After hold the texts that the table
// stores, unrounded, in the order of the plan's columns; Before is nil for an
// insert, After for a delete and for what is not written.
type Change struct {
	Action Action
	Key    []Value
	Before []Value
	After  []Value
	Cause  Cause
	// Delta, of WriteDelta, is what is added to each column, NULL where nothing
	// is; Before and After show it on the row as it was planned.
	Delta []Value
	// Adjusted, of a held row, says that it is frozen and that an entry of the
	// same plan, beside it, makes it right.
	Adjusted bool
	// At is the position up to which the row had absorbed events, for a person;
	// empty where the plan has one cut for all.
	At string
	// Event names the event of a cause that is a single one (Cause.Single): its id,
	// or PARTITION:POSITION where it has none.
	Event string
}

// Cause is the hypothesis that explains a row: names joined by "+".
type Cause string

// CauseUnknown stands where no hypothesis fits.
const CauseUnknown Cause = "unknown"

// The causes of a row that is explained if one of its events, and no other, was
// left out or repeated. They were found, not given.
const (
	CauseMissedEvent   Cause = "missed event"
	CauseRepeatedEvent Cause = "repeated event"
)

// Single says that the cause is a single event, which Change.Event names.
func (c Cause) Single() bool { return c == CauseMissedEvent || c == CauseRepeatedEvent }

// Parts lists the hypotheses that the cause joins.
func (c Cause) Parts() []string { return strings.Split(string(c), "+") }

// KeyText is a key as one text, for sorting and for maps: each part framed so
// that no two keys share a text.
func KeyText(key []Value) string {
	if len(key) == 1 && !key[0].Null && !strings.Contains(key[0].Text, "\x00") {
		return key[0].Text
	}
	var b strings.Builder
	for _, v := range key {
		if v.Null {
			b.WriteString("\x00N")
			continue
		}
		b.WriteString(strings.ReplaceAll(v.Text, "\x00", "\x00\x01"))
		b.WriteString("\x00\x00")
	}
	return b.String()
}
