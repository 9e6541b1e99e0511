package sqltable

import (
	"crypto/rand"
	"encoding/json"
	"fmt"

	"recount"
)

// NewUUID makes the uuid of a new ledger. It is the one thing here that chance
// decides: it tells two ledgers apart that hold the same runs.
func NewUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// UndoRow is a change as the ledger keeps it: JSON texts, so that every
// database holds the same. Before and After are nil where the change has none.
type UndoRow struct {
	Action, Key   string
	Before, After *string
}

// EncodeUndo returns the ledger's form of a change.
func EncodeUndo(c recount.Change) (UndoRow, error) {
	key, err := encode(c.Key)
	if err != nil {
		return UndoRow{}, err
	}
	row := UndoRow{Action: string(c.Action), Key: key}
	for _, image := range []struct {
		values []recount.Value
		into   **string
	}{{c.Before, &row.Before}, {c.After, &row.After}} {
		if image.values == nil {
			continue
		}
		text, err := encode(image.values)
		if err != nil {
			return UndoRow{}, err
		}
		*image.into = &text
	}
	return row, nil
}

// Change returns the change that the row keeps.
func (u UndoRow) Change() (recount.Change, error) {
	c := recount.Change{Action: recount.Action(u.Action)}
	if err := json.Unmarshal([]byte(u.Key), &c.Key); err != nil {
		return c, fmt.Errorf("read undo row's key: %w", err)
	}
	if u.Before != nil {
		if err := json.Unmarshal([]byte(*u.Before), &c.Before); err != nil {
			return c, fmt.Errorf("read undo row's before-image: %w", err)
		}
	}
	if u.After != nil {
		if err := json.Unmarshal([]byte(*u.After), &c.After); err != nil {
			return c, fmt.Errorf("read undo row's after-image: %w", err)
		}
	}
	return c, nil
}

// KeyJSON is the text under which the ledger knows a key.
func KeyJSON(key []recount.Value) (string, error) { return encode(key) }

func encode(values []recount.Value) (string, error) {
	b := []byte{'['}
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		text, err := v.MarshalJSON()
		if err != nil {
			return "", fmt.Errorf("encode value: %w", err)
		}
		b = append(b, text...)
	}
	return string(append(b, ']')), nil
}

// EncodeRun returns the ledger's form of a run.
func EncodeRun(run recount.Run) (string, error) {
	text, err := json.Marshal(run)
	if err != nil {
		return "", fmt.Errorf("encode run %s: %w", run.ID, err)
	}
	return string(text), nil
}

// DecodeRun reads a run back; rolledBack is the ledger's own column, which
// changes after the run was written.
func DecodeRun(body, rolledBack string) (recount.Run, error) {
	var run recount.Run
	if err := json.Unmarshal([]byte(body), &run); err != nil {
		return run, fmt.Errorf("read run from the ledger: %w", err)
	}
	run.RolledBack = rolledBack
	return run, nil
}
