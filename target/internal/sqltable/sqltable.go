// Package sqltable is what the targets with an SQL database share: the
// condition of recount.yaml with its window, the description that makes a
// fingerprint, the grouping of changes and the ledger's row forms. It speaks to
// no database; each target runs the statements itself.
package sqltable

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"recount"
	"recount/target/internal/refusal"
)

// Quote returns name as an identifier of standard SQL: no name breaks out of it.
func Quote(name string) string {
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// Canon returns the canonical text of a stored value under t. What has none,
// such as 0.30000000000000004 under decimal(18,2), keeps its own text, so that a
// guard still names what is stored.
func Canon(t recount.Type, stored string) recount.Value {
	if text, err := recount.Canonical(t, stored); err == nil {
		return recount.Text(text)
	}
	return recount.Text(stored)
}

// Description is all of a table that would make a plan wrong if it changed.
type Description struct {
	Columns []ColumnLine
	Unique  [][]string
	// Rules holds everything else as the database spells it: triggers, foreign
	// keys, checks, policies. The order does not count.
	Rules []string
}

// ColumnLine is one column of a Description.
type ColumnLine struct {
	Name, Declared, Default, Collation string
	Nullable, Generated                bool
}

// Fingerprint is the SHA-256 of the description, hex.
func (d Description) Fingerprint() (string, error) {
	d.Rules = slices.Sorted(slices.Values(d.Rules))
	d.Unique = slices.Clone(d.Unique)
	slices.SortFunc(d.Unique, slices.Compare)
	text, err := json.Marshal(d)
	if err != nil {
		return "", fmt.Errorf("describe table: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// Pick returns the columns of those names, in that order, or the refusal that
// names the one which is not there.
func Pick(info recount.TableInfo, names []string) ([]recount.Column, error) {
	picked := make([]recount.Column, 0, len(names))
	for _, name := range names {
		c, ok := info.Column(name)
		if !ok {
			have := make([]string, 0, len(info.Columns))
			for _, c := range info.Columns {
				have = append(have, c.Name)
			}
			return nil, refusal.NoColumn(info.Identity.Place, info.Identity.Table, name, have)
		}
		picked = append(picked, c)
	}
	return picked, nil
}

// Group is the changes that set the same columns.
type Group struct {
	Columns []int // places in the plan's columns; never empty
	Changes []int // places in the list of changes
}

// Groups puts updates together by the columns that they change. A change whose
// images are equal is in none: it writes nothing.
func Groups(changes []recount.Change) []Group {
	var groups []Group
	at := map[string]int{}
	for i, c := range changes {
		var columns []int
		var name []byte
		for j := range c.After {
			if c.After[j] != c.Before[j] {
				columns = append(columns, j)
				name = fmt.Appendf(name, "%d,", j)
			}
		}
		if len(columns) == 0 {
			continue
		}
		g, ok := at[string(name)]
		if !ok {
			g = len(groups)
			at[string(name)] = g
			groups = append(groups, Group{Columns: columns})
		}
		groups[g].Changes = append(groups[g].Changes, i)
	}
	return groups
}

// Holds says whether the values of a row are those of an image.
func Holds(values, image []recount.Value) bool { return slices.Equal(values, image) }

// CheckChanges refuses a list that no Write can carry out: mixed actions, ones
// that write nothing, images of another width. It returns the one action.
func CheckChanges(key, columns []string, changes []recount.Change) (recount.Action, error) {
	if len(changes) == 0 {
		return "", nil
	}
	action := changes[0].Action
	if !action.Writes() {
		return "", fmt.Errorf("write changes: action %q writes nothing", action)
	}
	for i, c := range changes {
		before, after := len(columns), len(columns)
		if action == recount.ActionInsert {
			before = 0
		}
		if action == recount.ActionDelete {
			after = 0
		}
		if c.Action != action || len(c.Key) != len(key) || len(c.Before) != before || len(c.After) != after {
			return "", fmt.Errorf("write changes: change %d of %d is %q with %d key, %d before and %d after values, in a list of %q",
				i+1, len(changes), c.Action, len(c.Key), len(c.Before), len(c.After), action)
		}
	}
	return action, nil
}
