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

// part is one single hypothesis. Parts are tried in the order in which they are
// listed and written in the order of place.
type part struct {
	name  string
	place int
	apply func(*engine.Variant)
}

// The places of the parts in a cause's name.
const (
	placePrevious = iota
	placeMissed
	placeAgain
	placeLate
	placeTwice
	placeOrder
)

// Hypotheses lists the combinations of what the calculation's configuration
// names and of `twice`, where the window holds repeats: those with the fewest
// parts first, then in the order missed, again, late, twice, order, previous.
// Rows that something else made (Logic.Brought) fit no other events than they were
// made of, so they are tried alone.
// processed, where not nil, is the list of the ids that the worker noted as
// processed: what is not on it was missed. cut counts those that were left out.
func Hypotheses(calc recount.Calculation, right engine.Variant, repeats bool, processed *recount.IDList) (list []Hypothesis, cut int) {
	parts := partsOf(calc, repeats, processed)
	total := countAll(calc, len(parts))
	for size := 1; size <= len(parts) && len(list) < MostHypotheses; size++ {
		list = combine(list, parts, right, nil, 0, size)
	}
	return list, total - len(list)
}

// countAll counts the combinations of n parts that can be replayed.
func countAll(calc recount.Calculation, n int) int {
	const mostParts = 20 // 2^20 combinations are counted, never made
	events := n          // the parts that change events
	if calc.Previous != nil {
		events--
	}
	combined := 1 << min(events, mostParts)
	total := combined - 1
	if calc.Logic.Brought() {
		total = 0
	}
	switch {
	case calc.Previous == nil:
	case calc.Previous.Brought():
		total++
	default:
		total += combined
	}
	return total
}

// replayable says whether a variant can be run: rows that something else made
// fit no other events.
func replayable(v engine.Variant, right engine.Variant) bool {
	same := len(v.Missed) == len(right.Missed) && len(v.Again) == len(right.Again) && v.Late == right.Late && v.Twice == right.Twice && v.Arrival == right.Arrival
	return same || !v.Logic.Brought()
}

// partsOf lists the single hypotheses in the order in which they are tried.
func partsOf(calc recount.Calculation, repeats bool, processed *recount.IDList) []part {
	var parts []part
	missed := slices.Clone(calc.Missed)
	if processed != nil {
		missed = append(missed, recount.EventList{Except: processed})
	}
	for i, m := range missed {
		parts = append(parts, part{numbered("missed", i, len(missed)), placeMissed, func(v *engine.Variant) { v.Missed = append(slices.Clone(v.Missed), m) }})
	}
	for i, a := range calc.Again {
		parts = append(parts, part{numbered("again", i, len(calc.Again)), placeAgain, func(v *engine.Variant) { v.Again = append(slices.Clone(v.Again), a) }})
	}
	if calc.Late != nil {
		parts = append(parts, part{"late", placeLate, func(v *engine.Variant) { v.Late = calc.Late }})
	}
	if repeats && calc.Dedupe {
		parts = append(parts, part{"twice", placeTwice, func(v *engine.Variant) { v.Twice = true }})
	}
	if calc.Arrival {
		parts = append(parts, part{"order", placeOrder, func(v *engine.Variant) { v.Arrival = true }})
	}
	if calc.Previous != nil {
		parts = append(parts, part{"previous", placePrevious, func(v *engine.Variant) { v.Logic = *calc.Previous }})
	}
	return parts
}

// numbered is the name of the ith of several lists of a kind.
func numbered(name string, i, of int) string {
	if of == 1 {
		return name
	}
	return fmt.Sprintf("%s.%d", name, i+1)
}

// combine appends the combinations of size parts in lexical order.
func combine(list []Hypothesis, parts []part, right engine.Variant, chosen []part, from, size int) []Hypothesis {
	if len(list) >= MostHypotheses {
		return list
	}
	if len(chosen) == size {
		if h := join(chosen, right); replayable(h.Variant, right) {
			return append(list, h)
		}
		return list
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
