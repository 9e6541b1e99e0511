package run

import (
	"encoding/binary"
	"errors"
)

// A place in the log is one number where positions are numbers, which they mostly
// are: the number of the partition above, the position below.
const (
	placeBits      = 48
	mostPlace      = 1<<placeBits - 1
	mostPartitions = 1 << (64 - placeBits)
)

// errOddPosition says that a position is no number that fits: then positions are
// kept as the texts that they are.
var errOddPosition = errors.New("a position is no number")

// fillPlaces makes the places of a block.
func (s *scatterer) fillPlaces(block *chunk) error {
	p := s.plan
	places, partitions, positions := &block.columns[p.place], &block.columns[p.partition], &block.columns[p.position]
	for row := range block.n {
		at, ok := parsePosition(positions.at(row))
		partition := binary.LittleEndian.Uint32(partitions.data[row*4:])
		if !ok || partition >= mostPartitions {
			return errOddPosition
		}
		places.data = binary.LittleEndian.AppendUint64(places.data, uint64(partition)<<placeBits|at)
	}
	places.n = block.n
	return nil
}

// parsePosition reads a position of fixed width that is a number.
func parsePosition(text []byte) (n uint64, ok bool) {
	const width = 20 // recount.PositionWidth
	if len(text) != width {
		return 0, false
	}
	for _, c := range text {
		d := c - '0'
		if d > 9 || n > mostPlace {
			return 0, false
		}
		n = n*10 + uint64(d)
	}
	return n, n <= mostPlace
}

// rank replaces the numbers of partitions in places by their ranks.
func (p *plan) rank(c *chunk, ranks []uint32) {
	if p.place == none || c.ranked {
		return
	}
	c.ranked = true
	sorted := true
	for i, r := range ranks {
		sorted = sorted && int(r) == i
	}
	if sorted {
		return
	}
	data := c.columns[p.place].data
	for i := 0; i < len(data); i += 8 {
		at := binary.LittleEndian.Uint64(data[i:])
		binary.LittleEndian.PutUint64(data[i:], uint64(ranks[at>>placeBits])<<placeBits|at&mostPlace)
	}
}
