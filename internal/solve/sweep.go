package solve

import (
	"cmp"
	"slices"
)

// rect is what one group allows: spans that begin in [fromLo, fromHi] and end in
// [toLo, toHi], both as cuts between events. All bounds are included.
type rect struct {
	fromLo, fromHi, toLo, toHi int32
}

func (r rect) holds(from, to int32) bool {
	return r.fromLo <= from && from <= r.fromHi && r.toLo <= to && to <= r.toHi
}

// deepest returns the point that most rectangles hold, how many, and the cell
// around it: what all of those have in common.
func deepest(rects []rect) (depth int, cell rect) {
	if len(rects) == 0 {
		return 0, rect{}
	}
	depth, from, to := sweep(rects)
	first := true
	for _, r := range rects {
		switch {
		case !r.holds(from, to):
		case first:
			cell, first = r, false
		default:
			cell = rect{
				max(cell.fromLo, r.fromLo), min(cell.fromHi, r.fromHi),
				max(cell.toLo, r.toLo), min(cell.toHi, r.toHi),
			}
		}
	}
	return depth, cell
}

// sweep moves a line over the beginnings and counts, for each end, how many
// rectangles hold it. The most is reached at a rectangle's lowest beginning and a
// rectangle's lowest end.
func sweep(rects []rect) (depth int, from, to int32) {
	ends := make([]int32, len(rects))
	for i, r := range rects {
		ends[i] = r.toLo
	}
	slices.Sort(ends)
	ends = slices.Compact(ends)
	opening := slices.SortedFunc(slices.Values(rects), func(a, b rect) int { return cmp.Compare(a.fromLo, b.fromLo) })
	closing := slices.SortedFunc(slices.Values(rects), func(a, b rect) int { return cmp.Compare(a.fromHi, b.fromHi) })
	counts := newDepths(len(ends))
	add := func(r rect, by int32) {
		lo, _ := slices.BinarySearch(ends, r.toLo)
		hi, _ := slices.BinarySearch(ends, r.toHi+1)
		counts.add(1, 0, counts.size, lo, hi, by)
	}
	closed := 0
	for i := 0; i < len(opening); {
		at := opening[i].fromLo
		for ; closing[closed].fromHi < at; closed++ {
			add(closing[closed], -1)
		}
		for ; i < len(opening) && opening[i].fromLo == at; i++ {
			add(opening[i], 1)
		}
		if most := int(counts.most[1]); most > depth {
			depth, from, to = most, at, ends[counts.argmost()]
		}
	}
	return depth, from, to
}

// depths is a tree over ends: adding to a stretch of them, and the most, take
// logarithmic time.
type depths struct {
	size int
	most []int32 // of a node, its own additions included
	own  []int32 // what was added to all below a node
}

func newDepths(ends int) *depths {
	size := 1
	for size < ends {
		size *= 2
	}
	return &depths{size, make([]int32, 2*size), make([]int32, 2*size)}
}

func (d *depths) add(node, lo, hi, from, to int, by int32) {
	if to <= lo || hi <= from {
		return
	}
	if from <= lo && hi <= to {
		d.most[node] += by
		d.own[node] += by
		return
	}
	mid := (lo + hi) / 2
	d.add(2*node, lo, mid, from, to, by)
	d.add(2*node+1, mid, hi, from, to, by)
	d.most[node] = max(d.most[2*node], d.most[2*node+1]) + d.own[node]
}

func (d *depths) argmost() int {
	node := 1
	for node < d.size {
		node *= 2
		if d.most[node+1] > d.most[node] {
			node++
		}
	}
	return node - d.size
}
