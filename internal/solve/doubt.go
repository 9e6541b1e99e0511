package solve

import (
	"fmt"
	"math"
	"slices"
)

// remnant is what is known of a key that no span explains: whether it looks like
// an edit by another hand, or like events that a span does not tell of.
type remnant struct {
	key, next int32 // next is another such key, to tell how often chance agrees
	events    int   // those inside of a span
	// hole: the span's effect would be right but for one of its events.
	hole bool
	// alike: one event outside of spans explains the key; other: one explains next.
	alike, other bool
}

// doubt refuses spans whose remnants look like events lost or repeated: then the
// incident was no contiguous span. Inside of a span, a remnant may be a hole.
// Outside, it may be one event. Where amounts are alike, as in a count, edits look
// like events too; so each likeness counts by how seldom chance would make it.
func (p *problem) doubt(spans []Span) *Refusal {
	var inside, outside []*remnant
	alikes, others := 0, 0
	for _, r := range p.remnants(spans) {
		if r.events > 0 {
			inside = append(inside, r)
			continue
		}
		outside = append(outside, r)
		if r.alike {
			alikes++
		}
		if r.other {
			others++
		}
	}
	if refusal := p.doubtInside(inside); refusal != nil {
		return refusal
	}
	explained := len(p.differing()) - len(p.left.keys)
	few := explained >= len(outside)
	switch {
	case alikes > 1 && 2*alikes >= len(outside) && (alikes > 2*others || !few),
		alikes > 1 && 4*alikes >= len(outside) && !few:
		return &Refusal{ReasonScattered, -1, fmt.Sprintf("of %d keys that no span touches, the differences of %d are those of single events", len(outside), alikes)}
	}
	return nil
}

// doubtInside looks for holes.
func (p *problem) doubtInside(inside []*remnant) *Refusal {
	const (
		enough = 4    // bits, from which holes are no chance
		seldom = 1e-3 // the chance from which signs are none
	)
	holes, parts, bits := 0, 0, 0.0
	for _, r := range inside {
		if r.hole {
			holes++
			bits += max(0, p.surprise(r.key)-math.Log2(float64(r.events)))
		}
		if p.partly(r.key) {
			parts++
		}
	}
	if holes > 0 && (2*holes >= len(inside) || bits-choose(len(inside), holes) >= enough) {
		return &Refusal{ReasonScattered, -1, fmt.Sprintf("%d keys would be explained but for an event inside of the span found, which seems to have been processed", holes)}
	}
	// An edit goes either way, events that were processed after all only back.
	if tail(len(inside), parts) < seldom {
		return &Refusal{ReasonScattered, -1, fmt.Sprintf("of %d keys inside of the span found that it does not explain, %d show a part of what it would do", len(inside), parts)}
	}
	return nil
}

// tail is the chance that at least k of n coins show heads.
func tail(n, k int) float64 {
	sum := 0.0
	for ; k <= n; k++ {
		sum += math.Exp2(choose(n, k) - float64(n))
	}
	return sum
}

// surprise returns, in bits, how unlikely an edit is to be just what it is: one
// of all from minus to plus its size, in the column where those are most.
func (p *problem) surprise(key int32) float64 {
	most := 0.0
	for c, rest := range p.left.of(key, p.columns) {
		if unit := p.unit(c); unit > 0 {
			most = max(most, math.Log2(1+2*math.Abs(rest.float())/unit))
		}
	}
	return most
}

// unit is the greatest common divisor of a column's differences.
func (p *problem) unit(c int) float64 {
	var unit uint64
	for _, d := range p.in.Differences[c] {
		unit = gcd(unit, magnitude(d))
	}
	return float64(unit)
}

// partly says whether a key differs by no more than the spans do to it, in the
// same direction, in each column.
func (p *problem) partly(key int32) bool {
	for c, rest := range p.left.of(key, p.columns) {
		difference := widen(p.in.Differences[c][key])
		effect := difference.sub(rest)
		if difference.sign()*effect.sign() < 0 || rest.sign()*effect.sign() > 0 {
			return false
		}
	}
	return true
}

// remnants looks at the events of the keys that remain.
func (p *problem) remnants(spans []Span) []*remnant {
	list := make([]*remnant, len(p.left.keys))
	of := make(map[int32]*remnant, len(list))
	for n, key := range p.left.keys {
		list[n] = &remnant{key: key, next: p.left.keys[(n+1)%len(list)]}
		of[key] = list[n]
	}
	for id := range p.in.Partitions {
		part := &p.in.Partitions[id]
		at := slices.IndexFunc(spans, func(s Span) bool { return s.Partition == id })
		for i, key := range part.Keys {
			// A look at what is left is far cheaper than one at the map.
			if p.left.explains(key, p.columns) {
				continue
			}
			r := of[key]
			if at >= 0 && spans[at].From <= i && i < spans[at].To {
				r.events++
				r.hole = r.hole || p.right(key) || p.adds(part, i, key, -spans[at].factor())
				continue
			}
			r.alike = r.alike || p.adds(part, i, key, 1) || p.adds(part, i, key, -1)
			r.other = r.other || p.adds(part, i, r.next, 1) || p.adds(part, i, r.next, -1)
		}
	}
	return list
}

// right says whether a key does not differ at all.
func (p *problem) right(key int32) bool {
	return !slices.ContainsFunc(p.in.Differences, func(column []int64) bool { return column[key] != 0 })
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
