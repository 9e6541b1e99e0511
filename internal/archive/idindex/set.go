package idindex

import (
	"cmp"
	"slices"

	"github.com/zeebo/xxh3"
)

// Hash returns the hash of an id; it is never 0.
func Hash(id string) uint64 { return max(xxh3.HashString(id), 1) }

// HashBytes is Hash of an id that is no string yet.
func HashBytes(id []byte) uint64 { return max(xxh3.Hash(id), 1) }

// hashTable is an open table of 64-bit hashes, 0 standing for a free slot.
type hashTable struct {
	slots []uint64
	count int
}

const firstSlots = 1 << 12

// reserve makes room for n more hashes.
func (t *hashTable) reserve(n int) {
	const mostQuarters = 3 // of the slots in use
	need := max(len(t.slots), firstSlots)
	for 4*(t.count+n) > mostQuarters*need {
		need *= 2
	}
	if need == len(t.slots) {
		return
	}
	old := t.slots
	t.slots = make([]uint64, need)
	for _, h := range old {
		if h != 0 {
			t.slots[t.find(h)] = h
		}
	}
}

func (t *hashTable) find(h uint64) uint64 {
	mask := uint64(len(t.slots) - 1)
	i := h & mask
	for t.slots[i] != 0 && t.slots[i] != h {
		i = (i + 1) & mask
	}
	return i
}

// add says whether the hash was not there yet. There must be room.
func (t *hashTable) add(h uint64) bool {
	i := t.find(h)
	if t.slots[i] == h {
		return false
	}
	t.slots[i] = h
	t.count++
	return true
}

func (t *hashTable) has(h uint64) bool { return t.count > 0 && t.slots[t.find(h)] == h }

// Set is the ids of a batch as hashes, of 8 to 22 bytes an id. It finds
// candidates for repeats; whether two events share an id is decided by the ids
// themselves.
type Set struct {
	all     hashTable
	pending []uint64 // not in all yet
	twice   int      // additions that found their hash there
	// candidates are the hashes that more than one event may have.
	candidates hashTable
}

// Add adds a hash. Hashes enter the table a few hundred at a time: each is a
// miss of the cache, and the misses of a loop overlap.
func (s *Set) Add(h uint64) {
	const together = 512
	if s.pending == nil {
		s.pending = make([]uint64, 0, together)
	}
	if s.pending = append(s.pending, h); len(s.pending) == together {
		s.Settle()
	}
}

// Settle brings the pending hashes into the table; before it, the set is not to
// be asked.
func (s *Set) Settle() {
	s.all.reserve(len(s.pending))
	mask := uint64(len(s.all.slots) - 1)
	warm := uint64(0)
	for _, h := range s.pending {
		warm |= s.all.slots[h&mask]
	}
	for _, h := range s.pending {
		if !s.all.add(h) {
			s.twice++
			s.Mark(h)
		}
	}
	s.pending = s.pending[:0]
	if warm == 0 && s.all.count < 0 { // keeps the first loop from being dropped
		s.twice = 0
	}
}

// Mark makes a hash a candidate.
func (s *Set) Mark(h uint64) {
	s.candidates.reserve(1)
	s.candidates.add(h)
}

// Empty says that no hash was added.
func (s *Set) Empty() bool { return s.all.count == 0 && len(s.pending) == 0 }

// Has says whether a hash was added.
func (s *Set) Has(h uint64) bool { return s.all.has(h) }

// Twice counts the hashes that were there when they were added.
func (s *Set) Twice() int { return s.twice }

// Candidates counts the candidates.
func (s *Set) Candidates() int { return s.candidates.count }

// Candidate says whether a hash is a candidate.
func (s *Set) Candidate(h uint64) bool { return s.candidates.has(h) }

// EachShort hands all hashes, by growing Short, to use: some hundred thousand at a
// time, which takes 16 bytes each.
func (s *Set) EachShort(use func(short []uint64) error) error {
	const together = 1 << 18
	parts := uint64(s.all.count/together + 1)
	width := Short(^uint64(0))/parts + 1
	const buckets = together / perBucket
	step := width/buckets + 1
	var list, spare []uint64
	for part := range parts {
		list = list[:0]
		for _, h := range s.all.slots {
			if h != 0 && Short(h)/width == part {
				list = append(list, Short(h))
			}
		}
		list, spare = spread(list, spare, buckets, func(h uint64) int { return int((h - part*width) / step) }, cmp.Compare[uint64])
		if err := use(slices.Compact(list)); err != nil {
			return err
		}
	}
	return nil
}
