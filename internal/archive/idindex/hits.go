package idindex

import "slices"

// Hits is where events may stand that are looked for. It may say yes too often,
// to stay small; it never says no wrongly. The zero value is empty and ready.
type Hits struct {
	blocks []int64 // sequence numbers without their lowest bits
	shift  uint
	sorted bool
}

const mostHits = 1 << 17

// Add adds a sequence number.
func (h *Hits) Add(seq int64) {
	const coarser = 4
	h.blocks, h.sorted = append(h.blocks, seq>>h.shift), false
	for len(h.blocks) >= 2*mostHits {
		if h.sort(); len(h.blocks) < mostHits {
			return
		}
		h.shift += coarser
		for i := range h.blocks {
			h.blocks[i] >>= coarser
		}
		h.blocks = slices.Compact(h.blocks)
	}
}

func (h *Hits) sort() {
	slices.Sort(h.blocks)
	h.blocks, h.sorted = slices.Compact(h.blocks), true
}

// In says whether one may be from first to last.
func (h *Hits) In(first, last int64) bool {
	if !h.sorted {
		h.sort()
	}
	i, _ := slices.BinarySearch(h.blocks, first>>h.shift)
	return i < len(h.blocks) && h.blocks[i] <= last>>h.shift
}
