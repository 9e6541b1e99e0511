package enginetest

import (
	"slices"
	"strings"
	"testing"

	"recount"
	"recount/engine"
)

// Meaning is a logic of the suite by what it computes; SQL is one spelling of it.
// All but Odd are keyed by user_id, and their folds are too (Logic.By).
type Meaning string

// The meanings. Columns stand behind them; the key is user_id, a string.
const (
	// Totals sums up: total, the decimal(18,2) sum of value, NULL where it is of
	// nothing but NULL, and n, the int64 number of events.
	Totals Meaning = "totals"
	// IDs shows which events a row is made of: ids and hits, strings, the ids of
	// all and of the hit events that have one, in the order of processing,
	// with a space between; NULL where there is none.
	IDs Meaning = "ids"
	// Followed is IDs with hits the int64 number of hit events.
	Followed Meaning = "history"
	// Days gives a row for each UTC day of a user's events: user_id, day (a date, a
	// part of the key), n.
	Days Meaning = "days"
	// Poison is Totals that does not survive an event whose value is 13.
	Poison Meaning = "poison"
	// Mails is Totals that would send, at each event whose value is above 5, an
	// effect of kind mail, key user_id and payload {"value":"8.00"}.
	Mails Meaning = "mails"
	// Endless is Totals that never comes back from an event whose value is 13.
	Endless Meaning = "endless"
)

// sqlOf spells the meanings that SQL can have.
var sqlOf = map[Meaning]string{Totals: totals, IDs: ids, Followed: follow}

// folds says that the suite runs folds.
func (h Harness) folds() bool { return h.Logic != nil }

// spell gives a variant whose SQL has a meaning the harness's own logic.
func (l *lab) spell(v engine.Variant) engine.Variant {
	if !l.harness.folds() || v.Logic.Kind != recount.LogicSQL {
		return v
	}
	for m, text := range sqlOf {
		if v.Logic.Text != text {
			continue
		}
		fold, ok := l.harness.Logic(m)
		if !ok {
			l.t.Skipf("the harness has no logic for %s", m)
		}
		v.Logic = fold
		if m == Followed { // in SQL each event has a part in two rows
			v.Key = []string{"user_id"}
		}
	}
	return v
}

// fold is a variant of a meaning that SQL does not have.
func (l *lab) fold(m Meaning, key []string, columns ...string) engine.Variant {
	l.t.Helper()
	logic, ok := l.harness.Logic(m)
	if !ok {
		l.t.Skipf("the harness has no logic for %s", m)
	}
	return engine.Variant{Logic: logic, Key: key, Columns: columns, Dedupe: true}
}

// only runs a case of SQL, or of folds, alone.
func only(folds bool, run func(*testing.T, Harness)) func(*testing.T, Harness) {
	return func(t *testing.T, h Harness) {
		if h.folds() != folds {
			t.Skip("it is about logic of another kind")
		}
		run(t, h)
	}
}

// sorted sorts the words of each column: of what is shown without an order.
func sorted(rows []string) []string {
	out := make([]string, len(rows))
	for i, row := range rows {
		key, values, _ := strings.Cut(row, "|")
		columns := strings.Split(values, ",")
		for c := range columns {
			words := strings.Fields(columns[c])
			slices.Sort(words)
			columns[c] = strings.Join(words, " ")
		}
		out[i] = key + "|" + strings.Join(columns, ",")
	}
	return out
}
