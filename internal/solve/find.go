package solve

import (
	"context"
	"fmt"
	"slices"
)

const (
	leastGroups = 256
	// mostGroups bounds the groups that are looked at. With four groups for each
	// foreign key, four of five are clean, and so many of them decide.
	mostGroups = 64
	// mostRects bounds what repetitive logs allow; a group beyond its share
	// abstains.
	mostRects = 1 << 18
	// mostRounds bounds the cells that are looked at in full.
	mostRounds = 48
)

// find returns the span that leaves the fewest keys of v unexplained, nil where
// there is none to speak of, or why it cannot be told.
func (p *problem) find(ctx context.Context, v *view) (*Span, *Refusal, error) {
	const least = 2 // a single key that differs is a foreign edit as well
	if len(v.hit) < least {
		return nil, nil, nil
	}
	rects := p.rects(v)
	best, crowded, err := p.candidates(ctx, v, rects)
	if err != nil || !best.found {
		return nil, nil, err
	}
	bits := evidence(v, len(p.factors), best.unexplained)
	if bits < weakBits {
		return nil, nil, nil
	}
	span := spanOf(v.id, best.from, best.to, best.factor)
	if bits < enoughBits {
		return nil, &Refusal{ReasonWeak, v.id, fmt.Sprintf(
			"of %d keys that differ, events %d to %d (%s) explain all but %d, which chance could have made", len(v.hit), span.From, span.To, span.Kind, best.unexplained)}, nil
	}
	if !few(v, best.unexplained) {
		return nil, &Refusal{ReasonForeign, v.id, fmt.Sprintf(
			"of %d keys that differ, events %d to %d (%s) leave %d unexplained, which are not few", len(v.hit), span.From, span.To, span.Kind, best.unexplained)}, nil
	}
	if crowded || best.mixed || !p.stands(v, best) {
		return nil, &Refusal{ReasonAmbiguous, v.id, fmt.Sprintf(
			"several spans leave %d keys unexplained each; one is events %d to %d (%s)", best.unexplained, best.any[0], best.any[1], span.Kind)}, nil
	}
	return &span, nil, nil
}

// few says whether keys that remain are few beside those explained, or beside all
// keys: where a third of the rows have been edited, nothing is known of the rest.
func few(v *view, unexplained int) bool {
	const ofExplained, ofKeys = 4, 20
	return ofExplained*unexplained <= len(v.hit)-unexplained || ofKeys*unexplained <= v.keys
}

// stands says whether the smallest span of all that agree is one of them.
func (p *problem) stands(v *view, b best) bool {
	if b.from >= b.to {
		return false
	}
	p.state.begin(v, b.factor, b.from, b.to)
	return p.state.unexplained == b.unexplained && p.state.mark == b.mark
}

// candidates searches the cells in which many groups agree, the deepest first,
// until the rest is less than half as deep. Whether more remain is crowded.
func (p *problem) candidates(ctx context.Context, v *view, rects [][]rect) (b best, crowded bool, err error) {
	b.unexplained = len(v.hit)
	depths := make([]int, len(rects))
	cells := make([]rect, len(rects))
	for f := range rects {
		depths[f], cells[f] = deepest(rects[f])
	}
	first := slices.Max(depths)
	for range mostRounds {
		if err := ctx.Err(); err != nil {
			return b, false, err
		}
		f := 0
		for i, d := range depths {
			if d > depths[f] {
				f = i
			}
		}
		const least = 2 // groups that agree, to be more than one key's edit
		if depths[f] < least || 2*depths[f] < first {
			return b, false, nil
		}
		cell := cells[f]
		p.state.search(v, p.factors[f], cell, &b)
		rects[f] = slices.DeleteFunc(rects[f], func(r rect) bool { return r.holds(cell.fromLo, cell.toLo) })
		depths[f], cells[f] = deepest(rects[f])
	}
	return b, true, nil
}

// buckets is the scratch of rects: the events of the groups that are looked at,
// one group after another, each in order.
type buckets struct {
	at    []int32  // ordinals
	sums  []uint64 // weighted amounts, then their prefix sums
	heads []int32  // of the hash table
	next  []int32
}

// rects lists, for each factor, what each group allows.
func (p *problem) rects(v *view) [][]rect {
	groups := leastGroups
	for groups < 4*p.in.maxForeign() {
		groups *= 2
	}
	group := func(key int32) int { return int(mix(p.weights[int(key)*p.columns]) % uint64(groups)) }
	slot := make([]int, groups) // 1 and up for the groups looked at
	looked := 0
	for _, key := range v.hit {
		if g := group(key); slot[g] == 0 && looked < mostGroups {
			looked++
			slot[g] = looked
		}
	}
	slots := make([]uint8, p.in.Keys)
	for k, counts := range v.counts {
		if counts {
			slots[k] = uint8(slot[group(int32(k))])
		}
	}
	targets := p.targets(v, slots, looked)
	bounds := p.fill(v, slots, looked)
	out := make([][]rect, len(p.factors))
	for s := 1; s <= looked; s++ {
		lo, hi := bounds[s-1], bounds[s]
		p.join(p.buckets.at[lo:hi], p.buckets.sums[lo:hi], int32(len(v.part.Keys)), targets[s], mostRects/looked, out)
	}
	return out
}

// target is what a group's prefix sums must differ by, under one factor.
type target struct {
	sum uint64
	any bool // false where some difference is no multiple of the factor
}

// targets returns them by slot and factor.
func (p *problem) targets(v *view, slots []uint8, looked int) [][]target {
	out := make([][]target, looked+1)
	for s := range out {
		out[s] = make([]target, len(p.factors))
		for f := range out[s] {
			out[s][f].any = true
		}
	}
	for _, key := range v.hit {
		for f, factor := range p.factors {
			t := &out[slots[key]][f]
			for c, column := range v.diff {
				d := column[key]
				if d%factor != 0 {
					t.any = false
				}
				t.sum += p.weights[int(key)*p.columns+c] * uint64(d/factor)
			}
		}
	}
	return out
}

// fill gathers the events of the groups; those of slot s lie from bounds[s-1] to
// bounds[s]. Events that add nothing are left out.
func (p *problem) fill(v *view, slots []uint8, looked int) (bounds []int) {
	counts := make([]int, looked+1)
	for _, key := range v.part.Keys {
		counts[slots[key]]++
	}
	starts := make([]int, looked+1)
	total := 0
	for s := 1; s <= looked; s++ {
		starts[s] = total
		total += counts[s]
	}
	b := &p.buckets
	b.at, b.sums = grow(b.at, total), grow(b.sums, total)
	ends := slices.Clone(starts)
	for i, key := range v.part.Keys {
		s := slots[key]
		if s == 0 {
			continue
		}
		var sum uint64
		any := false
		for c, column := range v.part.Amounts {
			any = any || column[i] != 0
			sum += p.weights[int(key)*p.columns+c] * uint64(column[i])
		}
		if any {
			b.at[ends[s]], b.sums[ends[s]] = int32(i), sum
			ends[s]++
		}
	}
	// Close the holes that events left which add nothing.
	bounds = make([]int, looked+1)
	for s := 1; s <= looked; s++ {
		n := copy(b.at[bounds[s-1]:], b.at[starts[s]:ends[s]])
		copy(b.sums[bounds[s-1]:], b.sums[starts[s]:ends[s]])
		bounds[s] = bounds[s-1] + n
	}
	return bounds
}

func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// join finds the pairs of cuts between a group's events whose prefix sums differ
// by a target, and appends what they allow. A group that allows more than most
// says too little, and abstains.
func (p *problem) join(at []int32, sums []uint64, events int32, targets []target, most int, out [][]rect) {
	size := 4
	for size < 2*(len(at)+1) {
		size *= 2
	}
	b := &p.buckets
	b.heads, b.next = grow(b.heads, size), grow(b.next, len(at)+1)
	clear(b.heads)
	prefix := func(n int32) uint64 {
		if n == 0 {
			return 0
		}
		return sums[n-1]
	}
	find := func(sum uint64) int {
		for h := int(mix(sum)) & (size - 1); ; h = (h + 1) & (size - 1) {
			if b.heads[h] == 0 || prefix(b.heads[h]-1) == sum {
				return h
			}
		}
	}
	before := make([]int, len(out))
	for f := range out {
		before[f] = len(out[f])
	}
	var sum uint64
	for n := int32(0); n <= int32(len(at)); n++ {
		if n > 0 {
			sum += sums[n-1]
			sums[n-1] = sum
		}
		fromLo, fromHi := cuts(at, n, events)
		for f, t := range targets {
			if !t.any || t.sum == 0 || len(out[f])-before[f] > most {
				continue
			}
			for m := b.heads[find(sum-t.sum)]; m > 0 && len(out[f])-before[f] <= most; m = b.next[m-1] {
				lo, hi := cuts(at, m-1, events)
				out[f] = append(out[f], rect{lo, hi, fromLo, fromHi})
			}
		}
		h := find(sum)
		b.next[n] = b.heads[h]
		b.heads[h] = n + 1
	}
	for f := range out {
		if len(out[f])-before[f] > most {
			out[f] = out[f][:before[f]]
		}
	}
}

// cuts returns where the log can be cut so that n events of the group lie before.
func cuts(at []int32, n, events int32) (lo, hi int32) {
	hi = events
	if n > 0 {
		lo = at[n-1] + 1
	}
	if int(n) < len(at) {
		hi = at[n]
	}
	return lo, hi
}
