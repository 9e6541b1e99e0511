package diff

import (
	"math/big"
	"time"

	"recount"
)

// Under returns how the stored value v reads under the type t of the result:
// the form in which the two sides are compared. A text that is no value of t
// stays as it is, and so equals nothing recalculated.
func Under(t recount.Type, v recount.Value) recount.Value {
	if v.Null {
		return v
	}
	if text, err := recount.Rounded(t, v.Text); err == nil {
		v.Text = text
		return v
	}
	switch t.Kind {
	case recount.KindTimestamp: // a column without a zone holds UTC
		if at, err := recount.ParseLocal(v.Text, time.UTC); err == nil {
			v.Text = recount.FormatTimestamp(at)
		}
	case recount.KindDate: // a day stored as its midnight
		if at, err := recount.ParseLocal(v.Text, time.UTC); err == nil && at.Equal(at.Truncate(24*time.Hour)) {
			v.Text = at.Format(time.DateOnly)
		}
	case recount.KindInt64: // a count stored as 12.00
		if text, err := recount.Canonical(recount.Decimal(recount.MaxPrecision, 0), v.Text); err == nil {
			v.Text = text
		}
	case recount.KindString, recount.KindDouble, recount.KindDecimal, recount.KindBool, recount.KindJSON:
	}
	return v
}

// EqualRows says whether two rows are equal under the rules, column by column.
func EqualRows(shape recount.Shape, rules []recount.Rule, a, b []recount.Value) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !Equal(shape.Values[i].Type, rules[i], a[i], b[i]) {
			return false
		}
	}
	return true
}

// Equal says whether two canonical values of type t are equal under the rule.
// NULL equals NULL alone.
func Equal(t recount.Type, rule recount.Rule, a, b recount.Value) bool {
	if a.Null || b.Null {
		return a.Null == b.Null
	}
	if a.Text == b.Text {
		return true
	}
	if t.Kind == recount.KindJSON {
		return recount.SameJSON(a.Text, b.Text)
	}
	if rule.Abs == "" || !numeric(t) {
		return false
	}
	x, okX := number(t, a)
	y, okY := number(t, b)
	most, okMost := new(big.Rat).SetString(rule.Abs)
	if !okX || !okY || !okMost {
		return false
	}
	return x.Sub(x, y).Abs(x).Cmp(most) <= 0
}

// number reads v as a number of type t; a live text that is none has no number,
// however large it would be.
func number(t recount.Type, v recount.Value) (*big.Rat, bool) {
	text, err := recount.Rounded(t, v.Text)
	if err != nil {
		return nil, false
	}
	return new(big.Rat).SetString(text)
}

func numeric(t recount.Type) bool {
	switch t.Kind {
	case recount.KindInt64, recount.KindDouble, recount.KindDecimal:
		return true
	case recount.KindString, recount.KindBool, recount.KindTimestamp, recount.KindDate, recount.KindJSON:
	}
	return false
}
