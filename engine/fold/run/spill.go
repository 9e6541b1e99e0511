package run

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
)

// stored is a packed chunk, in memory or in a spill file.
type stored struct {
	packed []byte // nil: it is in the file
	file   *spillFile
	offset int64
	size   int
	rows   int
	bytes  int // in memory
	order  int
	ranked bool
}

// spillFile holds chunks that did not fit into memory. It has no name: its space
// is free as soon as it is closed, whatever becomes of the process.
type spillFile struct {
	mu   sync.Mutex
	file *os.File
	end  int64
}

func newSpillFile(folder string) (*spillFile, error) {
	f, err := os.CreateTemp(folder, "fold-*.spill")
	if err != nil {
		return nil, fmt.Errorf("make a spill file: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(fmt.Errorf("make a spill file: %w", err), f.Close())
	}
	return &spillFile{file: f}, nil
}

func (f *spillFile) close() error { return f.file.Close() }

// stored packs a chunk. What is packed belongs to scratch until it is kept or
// written.
func (c *chunk) stored(scratch *scratch) stored {
	scratch.out = c.pack(scratch.out[:0], scratch)
	return stored{packed: scratch.out, size: len(scratch.out), rows: c.n, bytes: c.bytes(), order: c.order, ranked: c.ranked}
}

// kept is the packed chunk with memory of its own.
func (s stored) kept() stored {
	s.packed = bytes.Clone(s.packed)
	return s
}

// write adds a packed chunk.
func (f *spillFile) write(s stored) (stored, error) {
	f.mu.Lock()
	s.file, s.offset = f, f.end
	f.end += int64(s.size)
	f.mu.Unlock()
	if _, err := f.file.WriteAt(s.packed, s.offset); err != nil {
		return stored{}, fmt.Errorf("spill events: %w", err)
	}
	s.packed = nil
	return s, nil
}

// scratch is memory that is used again.
type scratch struct {
	out, raw, packed []byte
	numbers, low     []uint64
}

// read adds the rows of a packed chunk to a chunk.
func (s stored) read(to *chunk, scratch *scratch) error {
	packed := s.packed
	if packed == nil {
		scratch.out = slices.Grow(scratch.out[:0], s.size)[:s.size]
		packed = scratch.out
		if _, err := s.file.file.ReadAt(packed, s.offset); err != nil {
			return fmt.Errorf("read spilled events: %w", err)
		}
	}
	to.order, to.ranked = s.order, s.ranked
	return to.unpack(packed, scratch)
}

const (
	// defaultMemory is what a run may use where nobody says.
	defaultMemory = 256 << 20
	// leastChunk and mostChunk bound how many rows a chunk has before it is spilled
	// or kept: small ones cost a call each, large ones cost memory.
	leastChunk, mostChunk = 64, 8192
	textGuess             = 24
)

// leastShare is what a thread needs to group anything at all.
var leastShare int64 = 64 << 10

// budget divides Spec.Memory among what a run holds. Two thirds are left to the Go
// runtime, whose heap grows beyond what is in use before it is cleared.
type budget struct {
	chunkRows  int
	chunkBytes int
	kept       int64 // of chunks that wait for their part's turn
	gather     int64 // of one thread's part
	records    int64 // of rows that are to be written

	held    atomic.Int64 // of kept
	written atomic.Int64 // of records
	spilled atomic.Int64

	mu     sync.Mutex
	free   []*chunk
	wholes []*chunk // as large as parts
}

// mostPart bounds a part that is grouped in memory: offsets in it have 32 bits.
const mostPart = 1 << 31

func (r *runner) divide() *budget {
	total := r.spec.Memory
	if total <= 0 {
		total = defaultMemory
	}
	const runtimes, chunks, kept, gather, records = 3, 8, 2, 4, 8
	use := total / runtimes
	row := 0
	for _, s := range r.plan.slots {
		if !s.kept {
			continue
		}
		row += s.width
		if s.width == 0 {
			row += textGuess
		}
	}
	open := int(use/chunks) / (r.threads * len(r.parts))
	return &budget{
		chunkRows:  min(max(open/max(row, 1), leastChunk), mostChunk),
		chunkBytes: max(open, leastChunk*row),
		kept:       use / kept,
		gather:     max(use/gather/int64(r.threads), leastShare),
		records:    use / records,
	}
}

// keep says whether a packed chunk may stay in memory, and counts it then.
func (m *budget) keep(s stored) bool {
	if m.held.Add(int64(s.size)) <= m.kept {
		return true
	}
	m.held.Add(-int64(s.size))
	return false
}

// release counts a packed chunk no more.
func (m *budget) release(s stored) {
	if s.packed != nil {
		m.held.Add(-int64(s.size))
	}
}

// chunk returns an empty chunk of the plan.
func (m *budget) chunk(p *plan) *chunk { return m.take(&m.free, p) }

// take returns one of the chunks that are kept, or a new one.
func (m *budget) take(kept *[]*chunk, p *plan) *chunk {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := len(*kept); n > 0 {
		c := (*kept)[n-1]
		*kept = (*kept)[:n-1]
		return c
	}
	return p.newChunk()
}

// give takes a chunk that nobody uses any more.
func (m *budget) give(c *chunk) {
	c.reset()
	m.mu.Lock()
	defer m.mu.Unlock()
	const most = 64
	if len(m.free) < most {
		m.free = append(m.free, c)
	}
}

// block is how many bytes of each file of rows are in memory while they are
// merged.
func (m *budget) block(parts int) int {
	const least, most = 1 << 10, 32 << 10
	return min(max(int(m.records)/(2*parts), least), most)
}

// whole returns an empty chunk for a part.
func (m *budget) whole(p *plan) *chunk { return m.take(&m.wholes, p) }

// giveWhole takes a part's chunk that nobody uses any more.
func (m *budget) giveWhole(c *chunk) {
	c.reset()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.wholes = append(m.wholes, c)
}
