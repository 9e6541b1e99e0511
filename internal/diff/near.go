package diff

import (
	"math/big"
	"strings"

	"recount"
)

// Tolerances are the differences that rounding is looked for in, from the
// smallest.
var Tolerances = []string{"0.000001", "0.0001", "0.001", "0.01", "0.1", "1"}

// Nearness says, column by column, how near a row comes to the live one: 0 where
// they are equal under the rules, else which of Tolerances, counted from 1, they
// are equal within. Nil: they are further apart than rounding explains.
type Nearness []int8

// Exact says that the rows are equal.
func (n Nearness) Exact() bool { return n != nil && n.most() == 0 }

func (n Nearness) most() int8 {
	most := int8(0)
	for _, step := range n {
		most = max(most, step)
	}
	return most
}

// Nearest says for every pair how near the rows of one replay come to what is
// live. Rows must be in key order, under the types of shape.
func Nearest(shape recount.Shape, rules []recount.Rule, pairs []Pair, rows Rows) ([]Nearness, error) {
	out := make([]Nearness, len(pairs))
	exact := make(Nearness, len(shape.Values))
	row, have := rows.Next()
	for i, p := range pairs {
		for have && recount.KeyText(row.Key) < p.Text {
			row, have = rows.Next()
		}
		made := have && recount.KeyText(row.Key) == p.Text
		switch {
		case p.Live == nil && !made:
			out[i] = exact
		case p.Live != nil && made:
			out[i] = near(shape, rules, row.Values, p.Seen)
		}
	}
	for have { // to the end, so that a late error is seen
		_, have = rows.Next()
	}
	return out, rows.Err()
}

func near(shape recount.Shape, rules []recount.Rule, made, seen []recount.Value) Nearness {
	out := make(Nearness, len(made))
	for i := range made {
		t := shape.Values[i].Type
		if Equal(t, rules[i], made[i], seen[i]) {
			continue
		}
		if out[i] = within(t, made[i], seen[i]); out[i] == 0 {
			return nil
		}
	}
	return out
}

// within is the place of the smallest tolerance that makes two numbers equal, 0
// where rounding does not explain how far they are apart: counts are never
// rounded, and what differs by more than one in the last digit is rounding only
// where it is little of the value.
func within(t recount.Type, a, b recount.Value) int8 {
	if t.Kind != recount.KindDecimal && t.Kind != recount.KindDouble || a.Null || b.Null {
		return 0
	}
	x, okX := number(t, a)
	y, okY := number(t, b)
	if !okX || !okY {
		return 0
	}
	apart := new(big.Rat).Sub(x, y)
	apart.Abs(apart)
	const little = 1000 // of the value
	share := new(big.Rat).Mul(apart, big.NewRat(little, 1))
	if apart.Cmp(lastDigit(t, b)) > 0 && share.Cmp(new(big.Rat).Abs(x)) > 0 {
		return 0
	}
	for i, text := range Tolerances {
		if most, ok := new(big.Rat).SetString(text); ok && apart.Cmp(most) <= 0 {
			return int8(i + 1) //nolint:gosec // few tolerances
		}
	}
	return 0
}

// lastDigit is one in the last digit of a type, or, where that is coarser, of
// what is live. A double is taken to have six.
func lastDigit(t recount.Type, live recount.Value) *big.Rat {
	digits := t.Scale
	if t.Kind == recount.KindDouble {
		const assumed = 6
		digits = assumed
	}
	if _, fraction, ok := strings.Cut(live.Text, "."); ok && !strings.ContainsAny(fraction, "eE") {
		const fewest = 2 // 12.3 may well be 12.30
		digits = min(digits, max(len(strings.TrimRight(fraction, "0")), fewest))
	}
	one := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(digits)), nil)
	return new(big.Rat).SetFrac(big.NewInt(1), one)
}

// Same says whether a row, under the types of shape, is the live one.
func Same(shape recount.Shape, rules []recount.Rule, made, seen []recount.Value) bool {
	return made != nil && seen != nil && EqualRows(shape, rules, rounded(shape, made), seen)
}
