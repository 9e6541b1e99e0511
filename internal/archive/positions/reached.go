package positions

import (
	"cmp"
	"maps"
	"slices"

	"recount"
)

// Reached is which positions a stream's commits have read, by partition. A cursor
// leads from one commit to the next, so that what is followed is one stretch;
// what was pulled stands beside it. The zero Reached has nothing.
type Reached struct {
	parts  map[string]*part
	pulled bool // anything stands beside
	list   []recount.Stretch
}

type part struct {
	followed *recount.Stretch
	pulled   []recount.Stretch // sorted, apart from each other
	dense    string            // from it on holes are damages; empty: nowhere
	removed  []recount.Stretch // what retention took out; other events may lie between
}

func (r *Reached) part(partition string) *part {
	if r.parts == nil {
		r.parts = map[string]*part{}
	}
	p := r.parts[partition]
	if p == nil {
		p = &part{}
		r.parts[partition] = p
	}
	return p
}

// Add takes in what one commit has read, at most one stretch of a partition.
// dense says that each position inside is an event's or in a gap.
func (r *Reached) Add(read []recount.Stretch, dense bool) {
	for _, s := range read {
		p := r.part(s.Partition)
		if dense && (p.dense == "" || s.First < p.dense) {
			p.dense = s.First
		}
		switch {
		case s.Pulled:
			r.pulled = true
			p.pulled = joined(append(p.pulled, s))
		case p.followed == nil:
			p.followed = &s
		default:
			p.followed.First, p.followed.Last = min(p.followed.First, s.First), max(p.followed.Last, s.Last)
		}
		r.list = nil
	}
}

// Remove says that a file was taken out for good.
func (r *Reached) Remove(spans []recount.PositionSpan) {
	for _, s := range spans {
		p := r.part(s.Partition)
		p.removed = joined(append(p.removed, recount.Stretch{Partition: s.Partition, First: s.First, Last: s.Last}))
	}
}

// joined joins stretches that touch each other.
func joined(list []recount.Stretch) []recount.Stretch {
	slices.SortFunc(list, func(a, b recount.Stretch) int { return cmp.Compare(a.First, b.First) })
	out := list[:1]
	for _, s := range list[1:] {
		last := &out[len(out)-1]
		if s.First <= After(last.Last) {
			last.Last = max(last.Last, s.Last)
			continue
		}
		out = append(out, s)
	}
	return out
}

// Stretches lists what was read, by partition, then by position.
func (r *Reached) Stretches() []recount.Stretch {
	if r.list != nil {
		return r.list
	}
	list := []recount.Stretch{}
	for _, partition := range slices.Sorted(maps.Keys(r.parts)) {
		p := r.parts[partition]
		from := len(list)
		if p.followed != nil {
			list = append(list, *p.followed)
		}
		list = append(list, p.pulled...)
		slices.SortFunc(list[from:], func(a, b recount.Stretch) int { return cmp.Compare(a.First, b.First) })
	}
	r.list = list
	return list
}

// Dense is the first position of a partition from which on a hole is a damage;
// false where there is none.
func (r *Reached) Dense(partition string) (from string, ok bool) {
	p := r.parts[partition]
	if p == nil || p.dense == "" {
		return "", false
	}
	return p.dense, true
}

// Removed are the stretches of a partition out of which events were taken.
func (r *Reached) Removed(partition string) []recount.Stretch {
	if p := r.parts[partition]; p != nil {
		return p.removed
	}
	return nil
}

// Twice says whether a source may hand over what is archived already: a run that
// pulls may, and one that comes to what was pulled.
func (r *Reached) Twice(pulling bool) bool { return pulling || r.pulled }

// read are the stretches of a partition that count for a run.
func (p *part) read(pulling bool) []recount.Stretch {
	if pulling && p.followed != nil {
		return append([]recount.Stretch{*p.followed}, p.pulled...)
	}
	return p.pulled
}

// Holds says whether what stands at a position was read before.
func (r *Reached) Holds(partition, position string, pulling bool) bool {
	p := r.parts[partition]
	return p != nil && slices.ContainsFunc(p.read(pulling), func(s recount.Stretch) bool { return s.First <= position && position <= s.Last })
}

// Outside returns the parts of a gap that were not read before.
func (r *Reached) Outside(g recount.Gap, pulling bool) []recount.Gap {
	p := r.parts[g.Partition]
	if p == nil {
		return []recount.Gap{g}
	}
	left := []recount.Gap{g}
	for _, s := range p.read(pulling) {
		var next []recount.Gap
		for _, part := range left {
			after := After(s.Last)
			if part.To <= s.First || part.From >= after {
				next = append(next, part)
				continue
			}
			if part.From < s.First {
				next = append(next, recount.Gap{Partition: part.Partition, From: part.From, To: s.First, Reason: part.Reason, Before: part.Before})
			}
			if after < part.To {
				next = append(next, recount.Gap{Partition: part.Partition, From: after, To: part.To, Reason: part.Reason, Before: part.Before})
			}
		}
		left = next
	}
	return left
}
