package guess

import (
	"math/big"
	"slices"
	"strings"
	"time"

	"recount"
)

// numbers are a column's values in whole units of 10^-scale; nil where there is
// none. Sums of them are exact.
type numbers struct {
	scale  int
	values []*big.Int
}

// number reads a column that can be added up.
func (f *Fitting) number(e Column) (numbers, bool) {
	if e.Type.Kind != recount.KindInt64 && e.Type.Kind != recount.KindDecimal || e.Time() {
		return numbers{}, false
	}
	if known, ok := f.values[e.Name]; ok {
		return known, true
	}
	n := numbers{scale: e.Type.Scale, values: make([]*big.Int, len(f.events.Rows))}
	for i, text := range f.text(e.Name) {
		n.values[i] = scaled(text, n.scale)
	}
	f.values[e.Name] = n
	return n, true
}

// scaled reads a number in units of 10^-scale; nil if it is none, or finer.
func scaled(text string, scale int) *big.Int {
	plain, err := recount.Canonical(recount.Decimal(recount.MaxPrecision, scale), text)
	if err != nil {
		return nil
	}
	n, ok := new(big.Int).SetString(strings.Replace(plain, ".", "", 1), 10)
	if !ok {
		return nil
	}
	return n
}

// right counts the rows whose value of c the aggregate reproduces.
func (f *Fitting) right(c Column, a Aggregate) int {
	at := slices.Index(f.results.Columns, c.Name)
	n := 0
	for row, group := range f.groups {
		if len(group) > 0 && f.gives(c, a, group, f.results.Rows[row][at]) {
			n++
		}
	}
	return n
}

// gives says whether the aggregate of the events is the value.
func (f *Fitting) gives(c Column, a Aggregate, group []int, want string) bool {
	if a.If != "" && !a.Minus {
		is := f.text(a.If)
		group = slices.DeleteFunc(slices.Clone(group), func(i int) bool { return is[i] != a.Is })
	}
	switch a.Kind {
	case Count:
		return equal(big.NewInt(int64(len(group))), 0, want)
	case Distinct:
		seen := map[string]bool{}
		for _, i := range group {
			seen[f.text(a.Over[0])[i]] = true
		}
		delete(seen, "")
		return equal(big.NewInt(int64(len(seen))), 0, want)
	case Sum:
		sum, scale := f.sum(a, group)
		return sum != nil && equal(sum, scale, want)
	case Max, Min, Latest, Earliest:
	}
	return f.picks(c, a, group, want)
}

func equal(n *big.Int, scale int, text string) bool {
	want := scaled(text, scale)
	return want != nil && n.Cmp(want) == 0
}

// sum adds up; nil where there is nothing to add.
func (f *Fitting) sum(a Aggregate, group []int) (*big.Int, int) {
	var factors []numbers
	scale := 0
	for _, name := range a.Over {
		c, _ := column(f.columns, name)
		n, ok := f.number(c)
		if !ok {
			return nil, 0
		}
		factors, scale = append(factors, n), scale+n.scale
	}
	var sum *big.Int
	for _, i := range group {
		x := big.NewInt(1)
		for _, n := range factors {
			if n.values[i] == nil {
				x = nil
				break
			}
			x.Mul(x, n.values[i])
		}
		switch {
		case x == nil:
			continue
		case sum == nil:
			sum = new(big.Int)
		}
		if a.Minus && f.text(a.If)[i] == a.Is {
			sum.Sub(sum, x)
		} else {
			sum.Add(sum, x)
		}
	}
	return sum, min(scale, recount.MaxPrecision-1)
}

// picks says whether the event that the aggregate picks has the value.
func (f *Fitting) picks(c Column, a Aggregate, group []int, want string) bool {
	e, _ := column(f.columns, a.Over[0])
	texts := f.text(e.Name)
	group = slices.DeleteFunc(slices.Clone(group), func(i int) bool { return texts[i] == "" })
	if len(group) == 0 {
		return want == ""
	}
	got := group[len(group)-1]
	switch a.Kind { //nolint:exhaustive // those that pick
	case Earliest:
		got = group[0]
	case Max:
		got = slices.MaxFunc(group, f.order(e, texts))
	case Min:
		got = slices.MinFunc(group, f.order(e, texts))
	}
	return f.same(e, texts[got], c, want)
}

// order compares two events by a column.
func (f *Fitting) order(e Column, texts []string) func(a, b int) int {
	if n, ok := f.number(e); ok {
		return func(a, b int) int {
			if n.values[a] == nil || n.values[b] == nil {
				return 0
			}
			return n.values[a].Cmp(n.values[b])
		}
	}
	if e.Time() {
		return func(a, b int) int {
			x, _ := Instant(e, texts[a], f.zone) // what is no time is the first
			y, _ := Instant(e, texts[b], f.zone)
			return x.Compare(y)
		}
	}
	return func(a, b int) int { return strings.Compare(texts[a], texts[b]) }
}

// same compares an event's value with that of a row.
func (f *Fitting) same(e Column, got string, c Column, want string) bool {
	switch {
	case got == want:
		return true
	case e.Time() && c.Time():
		x, okX := Instant(e, got, f.zone)
		y, okY := Instant(c, want, time.UTC)
		return okX && okY && x.Truncate(time.Microsecond).Equal(y.Truncate(time.Microsecond))
	case e.Numeric() && c.Numeric():
		const fine = 12
		x, y := scaled(got, fine), scaled(want, fine)
		return x != nil && y != nil && x.Cmp(y) == 0
	}
	return false
}
