package main

import (
	"math/rand/v2"
	"slices"

	"recount/internal/solve"
)

// shape is what an incident is like.
type shape struct {
	events, keys, partitions, foreign int
	values                            values
	fault                             fault
}

// values says what events add.
type values int

const (
	amounts values = iota // cents, some negative, some zero, and a count
	totals                // cents alone
	counts                // one each
	prices                // one of few round prices, and a count
	kinds                 // how many there are
)

func (v values) columns() int {
	if v == amounts || v == prices {
		return 2
	}
	return 1
}

// fault says what happened.
type fault int

const (
	lost      fault = iota // one span in each faulty partition
	repeated               // the same, processed up to four times
	mixture                // some lost, some repeated
	none                   // foreign edits alone
	holes                  // a span of which one event in ten was processed, and three in its middle
	alternate              // every second event of a span
	two                    // two spans in one partition
	scattered              // events here and there
)

var (
	solvable   = []fault{lost, repeated, mixture}
	unsolvable = []fault{none, holes, alternate, two, scattered}
)

func (f fault) String() string {
	return []string{"lost", "repeated", "lost and repeated", "no incident", "holes", "every second", "two spans", "scattered"}[f]
}

// incident is an input and what happened to it.
type incident struct {
	shape
	in      solve.Input
	truth   []solve.Span // empty where there is none that can be solved
	foreign map[int32]bool
}

// makeIncident makes a log, processes it wrongly, and edits some keys by another
// hand. Each key lives in one partition.
func makeIncident(s shape, rng *rand.Rand) *incident {
	inc := &incident{shape: s, foreign: map[int32]bool{}}
	inc.in = solve.Input{Partitions: make([]solve.Partition, s.partitions), Keys: s.keys}
	for range s.values.columns() {
		inc.in.Differences = append(inc.in.Differences, make([]int64, s.keys))
	}
	for id := range inc.in.Partitions {
		inc.log(id, rng)
	}
	faulty := 1 + rng.IntN(s.partitions)
	for _, id := range rng.Perm(s.partitions)[:faulty] {
		inc.process(id, rng)
	}
	slices.SortFunc(inc.truth, func(a, b solve.Span) int { return a.Partition - b.Partition })
	for len(inc.foreign) < s.foreign {
		inc.edit(int32(rng.IntN(s.keys)), rng)
	}
	return inc
}

// log makes one partition's events. Half of them are of a tenth of the keys.
func (inc *incident) log(id int, rng *rand.Rand) {
	n := inc.events / inc.partitions
	part := &inc.in.Partitions[id]
	part.Keys = make([]int32, n)
	for range inc.values.columns() {
		part.Amounts = append(part.Amounts, make([]int64, n))
	}
	here := inc.keys / inc.partitions // keys id, id+partitions, …
	for i := range part.Keys {
		k := rng.IntN(here)
		if rng.IntN(2) == 0 {
			k /= 10
		}
		part.Keys[i] = int32(k*inc.partitions + id)
		switch inc.values {
		case amounts:
			part.Amounts[0][i], part.Amounts[1][i] = cents(rng), 1
		case totals:
			part.Amounts[0][i] = cents(rng)
		case counts:
			part.Amounts[0][i] = 1
		case prices:
			part.Amounts[0][i], part.Amounts[1][i] = int64(1+rng.IntN(5))*500, 1
		case kinds:
		}
	}
}

// cents are 0 for one event in ten, and negative for another.
func cents(rng *rand.Rand) int64 {
	switch rng.IntN(10) {
	case 0:
		return 0
	case 1:
		return -rng.Int64N(5000)
	}
	return rng.Int64N(20000)
}

// process has one partition's events processed wrongly.
func (inc *incident) process(id int, rng *rand.Rand) {
	events := len(inc.in.Partitions[id].Keys)
	from, to := stretch(0, events, rng)
	times := 0
	if inc.fault == repeated || inc.fault == mixture && rng.IntN(2) == 0 {
		times = 2 + rng.IntN(3)
	}
	span := solve.Span{Partition: id, From: from, To: to, Kind: solve.Missed, Times: times}
	if times > 0 {
		span.Kind = solve.Again
	}
	every := func(int) bool { return true }
	switch inc.fault {
	case lost, repeated, mixture:
		inc.truth = append(inc.truth, span)
		inc.add(span, every)
	case none:
	case holes:
		middle := (from + to) / 2 // at least three events, of which one adds something
		inc.add(span, func(i int) bool { return rng.IntN(10) > 0 && (i < middle || i >= middle+3) })
	case alternate:
		inc.add(span, func(i int) bool { return i%2 == 0 })
	case two:
		span.From, span.To = stretch(0, events/2, rng)
		inc.add(span, every)
		span.From, span.To = stretch(events/2+1, events, rng)
		inc.add(span, every)
	case scattered:
		inc.add(solve.Span{Partition: id, To: events}, func(int) bool { return rng.IntN(events/200+1) == 0 })
	}
}

// stretch picks a span of 40 events to a tenth of them, short ones as often as
// long ones.
func stretch(lo, hi int, rng *rand.Rand) (from, to int) {
	const least = 40
	most := max(least, (hi-lo)/10)
	length := least
	for length < most && rng.IntN(4) > 0 {
		length = min(most, length+1+rng.IntN(length))
	}
	from = lo + rng.IntN(hi-lo-length)
	return from, from + length
}

// add changes the live rows by the events of a span that keep says.
func (inc *incident) add(span solve.Span, keep func(i int) bool) {
	part := &inc.in.Partitions[span.Partition]
	for i := span.From; i < span.To; i++ {
		if !keep(i) {
			continue
		}
		for c, column := range part.Amounts {
			inc.in.Differences[c][part.Keys[i]] += column[i] * int64(span.Times-1)
		}
	}
}

// edit changes a live row by another hand: the first column, at times all.
func (inc *incident) edit(key int32, rng *rand.Rand) {
	if inc.foreign[key] {
		return
	}
	inc.foreign[key] = true
	all := rng.IntN(3) == 0
	for c, column := range inc.in.Differences {
		if c > 0 && !all {
			break
		}
		by := 1 + rng.Int64N(30)
		if c == 0 && inc.values != counts {
			by = 1 + rng.Int64N(30000)
		}
		if rng.IntN(2) == 0 {
			by = -by
		}
		column[key] += by
	}
}

// right says whether an answer is the truth: the same spans, but for ends that
// add nothing to keys that nobody else edited.
func (inc *incident) right(answer solve.Answer) bool {
	if len(answer.Spans) != len(inc.truth) || len(inc.truth) == 0 {
		return false
	}
	for n, span := range answer.Spans {
		truth := inc.truth[n]
		if span.Partition != truth.Partition || span.Kind != truth.Kind || span.Times != truth.Times ||
			span.From < truth.From || span.To > truth.To {
			return false
		}
		if !inc.nothing(span.Partition, truth.From, span.From, span.To, truth.To) {
			return false
		}
	}
	for _, key := range answer.Foreign {
		if !inc.foreign[key] {
			return false
		}
	}
	return len(answer.Foreign) == len(inc.foreign)
}

// nothing says whether the events of two stretches together add nothing to the
// keys that nobody edited.
func (inc *incident) nothing(id int, from1, to1, from2, to2 int) bool {
	part := &inc.in.Partitions[id]
	sums := map[int32][]int64{}
	for i := from1; i < to2; i++ {
		key := part.Keys[i]
		if i >= to1 && i < from2 || inc.foreign[key] {
			continue
		}
		if sums[key] == nil {
			sums[key] = make([]int64, len(part.Amounts))
		}
		for c, column := range part.Amounts {
			sums[key][c] += column[i]
		}
	}
	for _, list := range sums {
		for _, sum := range list {
			if sum != 0 {
				return false
			}
		}
	}
	return true
}
