package solve

import (
	"context"
	"fmt"
	"slices"
)

// leftover is what spans leave of the differences.
type leftover struct {
	keys []int32 // in ascending order
	rest []wide  // of key k and column c at k*columns+c
}

func (l leftover) count() int { return len(l.keys) }

// remaining computes what is left of every key, whichever partitions it is in.
func (p *problem) remaining(spans []Span) leftover {
	rest := make([]wide, p.in.Keys*p.columns)
	for c, column := range p.in.Differences {
		for k, d := range column {
			rest[k*p.columns+c] = widen(d)
		}
	}
	for _, span := range spans {
		part := &p.in.Partitions[span.Partition]
		for c, column := range part.Amounts {
			for i := span.From; i < span.To; i++ {
				at := int(part.Keys[i])*p.columns + c
				rest[at] = rest[at].sub(widen(column[i]).times(span.factor()))
			}
		}
	}
	l := leftover{rest: rest}
	for k := range p.in.Keys {
		if slices.ContainsFunc(l.of(int32(k), p.columns), func(w wide) bool { return !w.zero() }) {
			l.keys = append(l.keys, int32(k))
		}
	}
	return l
}

// of returns what is left of one key, by column.
func (l leftover) of(key int32, columns int) []wide {
	return l.rest[int(key)*columns : (int(key)+1)*columns]
}

// verify compares every key with what the spans do, and looks at what they
// leave: it must be little, and must not look like events.
func (p *problem) verify(ctx context.Context, spans []Span) (*Refusal, error) {
	p.left = p.remaining(spans)
	if n := p.left.count(); n > p.in.maxForeign() {
		worst, at := p.crowd()
		return &Refusal{ReasonForeign, worst, fmt.Sprintf("%d keys remain unexplained, of which most (%d) in one partition; at most %d may", n, at, p.in.maxForeign())}, nil
	}
	if refusal := p.looksLikeEvents(spans); refusal != nil {
		return refusal, nil
	}
	for i := range spans {
		p.describe(&spans[i])
		refusal, err := p.second(ctx, spans[i])
		if err != nil || refusal != nil {
			return refusal, err
		}
	}
	return nil, nil
}

// crowd returns the partition in which most keys remain, -1 for those of none.
func (p *problem) crowd() (partition, keys int) {
	counts := map[int32]int{}
	worst := nobody
	for _, key := range p.left.keys {
		owner := max(p.owner[key], nobody)
		counts[owner]++
		if counts[owner] > counts[worst] {
			worst = owner
		}
	}
	return int(worst), counts[worst]
}

// describe counts what a span holds and explains.
func (p *problem) describe(span *Span) {
	part := &p.in.Partitions[span.Partition]
	seen := map[int32]bool{}
	for i := span.From; i < span.To; i++ {
		adds := slices.ContainsFunc(part.Amounts, func(column []int64) bool { return column[i] != 0 })
		if !adds {
			continue
		}
		span.Events++
		seen[part.Keys[i]] = true
	}
	for key := range seen {
		_, foreign := slices.BinarySearch(p.left.keys, key)
		differs := slices.ContainsFunc(p.in.Differences, func(column []int64) bool { return column[key] != 0 })
		if differs && !foreign {
			span.Keys++
		}
	}
}

// second looks for another span in what one leaves of its partition.
func (p *problem) second(ctx context.Context, span Span) (*Refusal, error) {
	diff := make([][]int64, p.columns)
	for c := range diff {
		diff[c] = make([]int64, p.in.Keys)
	}
	for _, key := range p.left.keys {
		for c, rest := range p.left.of(key, p.columns) {
			// One that does not fit is no sum of events of any span found here.
			if n, ok := rest.narrow(); ok {
				diff[c][key] = n
			}
		}
	}
	v := p.look(span.Partition, diff, func(key int32) bool { return p.owner[key] == int32(span.Partition) || p.owner[key] == shared })
	other, refusal, err := p.find(ctx, v)
	if err != nil || other == nil && refusal == nil {
		return nil, err
	}
	why := fmt.Sprintf("events %d to %d (%s) explain most keys, and what they leave looks like another span", span.From, span.To, span.Kind)
	if other != nil {
		why += fmt.Sprintf(", events %d to %d (%s)", other.From, other.To, other.Kind)
	}
	return &Refusal{ReasonSeveral, span.Partition, why}, nil
}

// looksLikeEvents says whether the keys that remain look like single events lost
// or repeated, rather than like edits: then the incident was no contiguous span.
//
// Inside a span: what is left undoes the span for one event, a hole. Elsewhere:
// what is left is what one event adds. Where amounts are alike, as in a count,
// edits look like events too; what another key's difference looks like tells how
// often that is.
func (p *problem) looksLikeEvents(spans []Span) *Refusal {
	const (
		hole  = 1 << iota // the key is inside a span, and would be explained but for one event
		alike             // the key is outside, and one event explains it
		other             // the key is outside, and one event explains what is left of another key
		inside
	)
	found := make(map[int32]int, len(p.left.keys))
	next := make(map[int32]int32, len(p.left.keys))
	for n, key := range p.left.keys {
		found[key] = 0
		next[key] = p.left.keys[(n+1)%len(p.left.keys)]
	}
	for id := range p.in.Partitions {
		part := &p.in.Partitions[id]
		at := slices.IndexFunc(spans, func(s Span) bool { return s.Partition == id })
		for i, key := range part.Keys {
			neighbour, foreign := next[key]
			if !foreign {
				continue
			}
			if at >= 0 && spans[at].From <= i && i < spans[at].To {
				found[key] |= inside
				if p.adds(part, i, key, -spans[at].factor()) {
					found[key] |= hole
				}
				continue
			}
			if p.adds(part, i, key, 1) || p.adds(part, i, key, -1) {
				found[key] |= alike
			}
			if p.adds(part, i, neighbour, 1) || p.adds(part, i, neighbour, -1) {
				found[key] |= other
			}
		}
	}
	var insides, holes, outsides, alikes, others int
	for _, what := range found {
		if what&inside != 0 {
			insides++
			holes += what & hole / hole
			continue
		}
		outsides++
		alikes += what & alike / alike
		others += what & other / other
	}
	if holes > 0 && 2*holes >= insides {
		return &Refusal{ReasonScattered, -1, fmt.Sprintf("%d keys would be explained but for one event inside of the span found", holes)}
	}
	explained := len(p.differing()) - len(p.left.keys)
	if alikes > 1 && 2*alikes >= outsides && (alikes > 2*others || explained < outsides) {
		return &Refusal{ReasonScattered, -1, fmt.Sprintf("a span explains %d keys, and of %d others the differences of %d are those of single events elsewhere", explained, outsides, alikes)}
	}
	return nil
}

// adds says whether event i, so many times over, is what is left of a key.
func (p *problem) adds(part *Partition, i int, key int32, times int64) bool {
	for c, rest := range p.left.of(key, p.columns) {
		if rest != widen(part.Amounts[c][i]).times(times) {
			return false
		}
	}
	return true
}
