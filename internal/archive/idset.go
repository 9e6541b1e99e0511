package archive

import "github.com/zeebo/xxh3"

// idSet is a set of 64-bit hashes of ids, of 9 to 18 bytes an id. It finds
// candidates for repeats; whether two events share an id is decided by the ids
// themselves.
type idSet struct {
	slots  []uint64 // 0: free
	marked []uint64 // one bit a slot: more than one event may have this id
	count  int
	twice  int // additions that found their hash there
	hits   int // marked slots
}

const firstSlots = 1 << 12

func hashID(id string) uint64 { return max(xxh3.HashString(id), 1) }

func hashIDBytes(id []byte) uint64 { return max(xxh3.Hash(id), 1) }

// add adds a hash, or marks it if it is there already.
func (s *idSet) add(h uint64) {
	const mostQuarters = 3 // of the slots in use
	if s.slots == nil {
		s.resize(firstSlots)
	} else if 4*s.count >= mostQuarters*len(s.slots) {
		s.resize(2 * len(s.slots))
	}
	i := s.find(h)
	if s.slots[i] == h {
		s.twice++
		s.setMark(i)
		return
	}
	s.slots[i] = h
	s.count++
}

func (s *idSet) find(h uint64) int {
	mask := uint64(len(s.slots) - 1)
	i := h & mask
	for s.slots[i] != 0 && s.slots[i] != h {
		i = (i + 1) & mask
	}
	return int(i)
}

func (s *idSet) setMark(i int) {
	const wordBits = 64
	word, bit := i/wordBits, uint64(1)<<(i%wordBits)
	if s.marked[word]&bit == 0 {
		s.marked[word] |= bit
		s.hits++
	}
}

func (s *idSet) isMarked(i int) bool {
	const wordBits = 64
	return s.marked[i/wordBits]>>(i%wordBits)&1 == 1
}

func (s *idSet) resize(n int) {
	const wordBits = 64
	old := *s
	s.slots, s.marked = make([]uint64, n), make([]uint64, n/wordBits)
	s.hits = 0
	for i, h := range old.slots {
		if h == 0 {
			continue
		}
		j := s.find(h)
		s.slots[j] = h
		if old.isMarked(i) {
			s.setMark(j)
		}
	}
}

// has says whether a hash is in the set, and its slot.
func (s *idSet) has(h uint64) (slot int, ok bool) {
	if s.count == 0 {
		return 0, false
	}
	i := s.find(h)
	return i, s.slots[i] == h
}

// candidate says whether several events may have the id of this hash.
func (s *idSet) candidate(h uint64) bool {
	i, ok := s.has(h)
	return ok && s.isMarked(i)
}
