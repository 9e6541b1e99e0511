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
		if !l.explains(int32(k), p.columns) {
			l.keys = append(l.keys, int32(k))
		}
	}
	return l
}

// of returns what is left of one key, by column.
func (l leftover) of(key int32, columns int) []wide {
	return l.rest[int(key)*columns : (int(key)+1)*columns]
}

// explains says whether nothing is left of a key.
func (l leftover) explains(key int32, columns int) bool {
	for _, w := range l.of(key, columns) {
		if !w.zero() {
			return false
		}
	}
	return true
}

// verify compares every key with what the spans do, and looks at what they
// leave: it must be little, and must not look like events.
func (p *problem) verify(ctx context.Context, spans []Span) (*Refusal, error) {
	p.left = p.remaining(spans)
	if n := p.left.count(); n > p.in.maxForeign() {
		worst, at := p.crowd()
		return &Refusal{ReasonForeign, worst, fmt.Sprintf("%d keys remain unexplained, of which most (%d) in one partition; at most %d may", n, at, p.in.maxForeign())}, nil
	}
	if refusal := p.doubt(spans); refusal != nil {
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
