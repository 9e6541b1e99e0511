package recount

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Identity says which live table a plan is for. It holds no secret.
type Identity struct {
	Adapter string `json:"adapter"` // "sqlite", "postgres", "files"
	Place   string `json:"place"`   // path in the project, or host and database as shown to a person
	Server  string `json:"server"`  // what tells this database from a copy of it; empty where nothing does
	Table   string `json:"table"`
	Ledger  string `json:"ledger"` // the ledger's uuid; empty until it exists
}

// TableInfo is what a target says about its table.
type TableInfo struct {
	Identity Identity
	Columns  []Column
	// Unique lists the sets of columns that the database holds unique.
	Unique [][]string
	// Fingerprint is a digest of all that would make a plan wrong if it changed:
	// columns, types, keys, triggers.
	Fingerprint string
	// Hazards names what a write sets off besides the row itself: triggers,
	// cascades, generated columns, row-level security.
	Hazards []string
	// References lists the tables, as the target names them, to which foreign
	// keys of this one lead, itself left out.
	References []string
	// LastRun is the ledger's newest run on this table; empty: none.
	LastRun string
	// LedgerHidden says that there is a ledger which the role may not read.
	LedgerHidden bool
}

// Column returns the column of that name.
func (t TableInfo) Column(name string) (Column, bool) {
	for _, c := range t.Columns {
		if c.Name == name {
			return c, true
		}
	}
	return Column{}, false
}

// ErrDoesNotFit says that a column cannot hold a value unchanged.
var ErrDoesNotFit = errors.New("the column cannot hold it")

// Fit returns the text under which the column stores the recalculated value v
// of type from, or ErrDoesNotFit: nothing is rounded, cut or wrapped.
func (c Column) Fit(from Type, v Value) (Value, error) {
	if v.Null {
		if !c.Nullable {
			return v, fmt.Errorf("NULL in column %s: %w", c.Name, ErrDoesNotFit)
		}
		return v, nil
	}
	if c.Type.Kind == KindString {
		if c.Type.MaxLen > 0 && utf8.RuneCountInString(v.Text) > c.Type.MaxLen {
			return v, fmt.Errorf("%q in column %s of %d characters: %w", clip(v.Text), c.Name, c.Type.MaxLen, ErrDoesNotFit)
		}
		return Text(c.Type.Formed(v.Text)), nil
	}
	text, ok := c.Type.take(from, v.Text)
	if !ok {
		return v, fmt.Errorf("%q in date column %s: %w", clip(text), c.Name, ErrDoesNotFit)
	}
	canonical, err := Canonical(c.Type, text)
	if err != nil {
		return v, fmt.Errorf("%w in column %s %s: %w", err, c.Name, c.Declared, ErrDoesNotFit)
	}
	if !c.Type.within(canonical) {
		return v, fmt.Errorf("%q in column %s %s: %w", clip(canonical), c.Name, c.Declared, ErrDoesNotFit)
	}
	return Text(c.Type.Formed(canonical)), nil
}

// take returns a canonical text of type from as a column of another kind spells
// the same value; false: a date column cannot hold the time of day.
func (t Type) take(from Type, text string) (string, bool) {
	switch {
	case t.Kind == KindDate && from.Kind == KindTimestamp:
		at, err := ParseTimestamp(text)
		if err != nil || !at.Equal(at.Truncate(24*time.Hour)) {
			return text, false
		}
		return at.Format(time.DateOnly), true
	case t.Kind == KindTimestamp && from.Kind == KindDate: // a day stored as its midnight
		if at, err := time.Parse(time.DateOnly, text); err == nil {
			return FormatTimestamp(at), true
		}
	case t.Kind == KindInt64 && from.Kind == KindDecimal: // 7.00 is a whole number
		whole, frac, _ := strings.Cut(text, ".")
		if strings.Trim(frac, "0") == "" {
			return whole, true
		}
	case from.Kind == KindBool && (t.Kind == KindInt64 || t.Kind == KindDecimal):
		return map[string]string{"true": "1", "false": "0"}[text], true
	}
	return text, true
}
