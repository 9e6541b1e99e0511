package diff

import (
	"strings"

	"recount"
)

// Explain gives every pair that has no cause yet the cause of the hypothesis
// whose rows are given, if that hypothesis reproduces what is live: the same
// values under the rules, or no row where there is none. Rows must be in key
// order. It returns how many pairs still have no cause.
func Explain(shape recount.Shape, rules []recount.Rule, pairs []Pair, cause recount.Cause, rows Rows) (int, error) {
	row, have := rows.Next()
	text := ""
	if have {
		text = recount.KeyText(row.Key)
	}
	left := 0
	for i := range pairs {
		p := &pairs[i]
		for have && text < p.Text {
			if row, have = rows.Next(); have {
				text = recount.KeyText(row.Key)
			}
		}
		if p.Cause != "" || p.Excluded || p.Hold != "" {
			continue
		}
		var values []recount.Value
		if have && text == p.Text {
			values = row.Values
		}
		if p.fits(shape, rules, values) {
			p.Cause = cause
		} else {
			left++
		}
	}
	for have { // to the end, so that a late error is seen
		_, have = rows.Next()
	}
	return left, rows.Err()
}

// fits says whether what is live is what these values make; nil: no row.
func (p *Pair) fits(shape recount.Shape, rules []recount.Rule, values []recount.Value) bool {
	if p.Live == nil || values == nil {
		return p.Live == nil && values == nil
	}
	return p.reads(shape, rules, values)
}

// Fits says whether what is live is what these values of a result make, read under
// the types of shape; nil: no row.
func (p *Pair) Fits(shape recount.Shape, rules []recount.Rule, values []recount.Value) bool {
	if values != nil {
		values = rounded(shape, values)
	}
	return p.fits(shape, rules, values)
}

// reads says whether the live row holds the values, with or without what earlier
// runs put beside it: a hypothesis over all that happened knows of no entry, one
// over what happened since knows of all.
func (p *Pair) reads(shape recount.Shape, rules []recount.Rule, values []recount.Value) bool {
	return EqualRows(shape, rules, values, p.Seen) || p.Was != nil && EqualRows(shape, rules, values, p.Was)
}

// Unexplained counts the pairs that a hypothesis could still explain.
func Unexplained(pairs []Pair) int {
	n := 0
	for _, p := range pairs {
		if p.Cause == "" && !p.Excluded && p.Hold == "" {
			n++
		}
	}
	return n
}

// Policy says what becomes of the pairs.
type Policy struct {
	// Given: a hypothesis stands in the configuration.
	Given       bool
	Unexplained recount.Unexplained
	Extra       recount.Extra
}

// Decide returns the action of a pair under the policy (semantics: hypotheses
// and causes). Only update, insert and delete write.
func Decide(p Pair, policy Policy) recount.Action {
	known := p.known()
	held := policy.Given && !known && policy.Unexplained == recount.UnexplainedHold
	switch {
	case p.Excluded:
		return recount.ActionExcluded
	case p.Hold != "":
		return recount.ActionHeld
	case p.Right == nil:
		return decideExtra(p, policy)
	case held:
		return recount.ActionHeld
	case p.Live == nil:
		return recount.ActionInsert
	}
	return recount.ActionUpdate
}

// known says that a hypothesis explains the pair. A single event that was found by
// leaving it out names the cause, and lets nothing be written that was held.
func (p Pair) known() bool { return p.Cause != "" && !p.Cause.Single() }

// decideExtra decides a live row that the right logic does not make.
func decideExtra(p Pair, policy Policy) recount.Action {
	explained := p.known() && policy.Given
	switch policy.Extra {
	case recount.ExtraDelete:
		if policy.Given && !p.known() && policy.Unexplained == recount.UnexplainedHold {
			return recount.ActionHeld
		}
		return recount.ActionDelete
	case recount.ExtraExplained:
		if explained {
			return recount.ActionDelete
		}
	case recount.ExtraReport:
		if explained {
			return recount.ActionExtra
		}
	}
	if policy.Given && !p.known() {
		return recount.ActionHeld
	}
	return recount.ActionExtra
}

// CauseOr returns the pair's cause, CauseUnknown where no hypothesis fits.
func (p Pair) CauseOr() recount.Cause {
	if p.Cause == "" {
		return recount.CauseUnknown
	}
	return p.Cause
}

// ShowKey is the pair's key for a message.
func (p Pair) ShowKey(shape recount.Shape) string {
	return strings.TrimSpace(showKey(shape, p.Key))
}

// as reads rows of another logic under the types of shape.
type as struct {
	rows  Rows
	shape recount.Shape
}

// As gives rows whose values read under the types of shape, so that two logics
// that differ in a column's digits can be compared.
func As(rows Rows, shape recount.Shape) Rows { return as{rows, shape} }

func (a as) Err() error { return a.rows.Err() }

func (a as) Next() (recount.Row, bool) {
	row, ok := a.rows.Next()
	if !ok {
		return row, false
	}
	return recount.Row{Key: row.Key, Values: rounded(a.shape, row.Values)}, true
}
