package replay

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"recount"
	"recount/engine"
)

// MostHypotheses bounds how many combinations are tried; what is cut is said in
// the plan.
const MostHypotheses = 16

// Hypothesis is one account of what may have happened, and how to replay it.
type Hypothesis struct {
	Cause   recount.Cause
	Variant engine.Variant
}

// part is one single hypothesis. Parts are tried in the order of rank and
// written in the order of place.
type part struct {
	name  string
	place int
	apply func(*engine.Variant)
}

// Hypotheses lists the combinations of what the calculation's configuration
// names and of `twice`, where the window holds repeats: those with the fewest
// parts first, then in the order missed, twice, previous. cut counts those that
// were left out.
func Hypotheses(calc recount.Calculation, right engine.Variant, repeats bool) (list []Hypothesis, cut int) {
	var parts []part
	for i, m := range calc.Missed {
		name := "missed"
		if len(calc.Missed) > 1 {
			name = fmt.Sprintf("missed.%d", i+1)
		}
		parts = append(parts, part{name, 1, func(v *engine.Variant) { v.Missed = append(slices.Clone(v.Missed), m) }})
	}
	if repeats && calc.Dedupe {
		parts = append(parts, part{"twice", 2, func(v *engine.Variant) { v.Dedupe = false }})
	}
	if calc.Previous != nil {
		parts = append(parts, part{"previous", 0, func(v *engine.Variant) { v.Logic = *calc.Previous }})
	}
	const mostParts = 20 // 2^20 combinations are counted, never made
	total := 1<<min(len(parts), mostParts) - 1
	for size := 1; size <= len(parts) && len(list) < MostHypotheses; size++ {
		list = combine(list, parts, right, nil, 0, size)
	}
	return list, total - len(list)
}

// combine appends the combinations of size parts in lexical order.
func combine(list []Hypothesis, parts []part, right engine.Variant, chosen []part, from, size int) []Hypothesis {
	if len(list) >= MostHypotheses {
		return list
	}
	if len(chosen) == size {
		return append(list, join(chosen, right))
	}
	for i := from; i < len(parts); i++ {
		list = combine(list, parts, right, append(slices.Clone(chosen), parts[i]), i+1, size)
	}
	return list
}

func join(chosen []part, variant engine.Variant) Hypothesis {
	for _, p := range chosen {
		p.apply(&variant)
	}
	slices.SortStableFunc(chosen, func(a, b part) int { return cmp.Compare(a.place, b.place) })
	names := make([]string, len(chosen))
	for i, p := range chosen {
		names[i] = p.name
	}
	return Hypothesis{Cause: recount.Cause(strings.Join(names, "+")), Variant: variant}
}
