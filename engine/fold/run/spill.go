package run

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/s2"
)

// stored is a chunk in a spill file.
type stored struct {
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

// write adds a chunk.
func (f *spillFile) write(c *chunk, scratch *scratch) (stored, error) {
	scratch.raw = c.encode(scratch.raw[:0])
	scratch.packed = s2.Encode(scratch.packed[:cap(scratch.packed)], scratch.raw)
	f.mu.Lock()
	at := f.end
	f.end += int64(len(scratch.packed))
	f.mu.Unlock()
	if _, err := f.file.WriteAt(scratch.packed, at); err != nil {
		return stored{}, fmt.Errorf("spill events: %w", err)
	}
	return stored{file: f, offset: at, size: len(scratch.packed), rows: c.n, bytes: c.bytes(), order: c.order, ranked: c.ranked}, nil
}

// scratch is memory that is used again.
type scratch struct{ raw, packed []byte }

// read reads a chunk back into to.
func (s stored) read(to *chunk, scratch *scratch) (err error) {
	if cap(scratch.packed) < s.size {
		scratch.packed = make([]byte, s.size)
	}
	packed := scratch.packed[:s.size]
	if _, err := s.file.file.ReadAt(packed, s.offset); err != nil {
		return fmt.Errorf("read spilled events: %w", err)
	}
	if scratch.raw, err = s2.Decode(scratch.raw[:cap(scratch.raw)], packed); err != nil {
		return fmt.Errorf("read spilled events: %w", err)
	}
	to.order, to.ranked = s.order, s.ranked
	return to.decode(scratch.raw)
}

// encode adds the chunk's rows as bytes.
func (c *chunk) encode(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(c.n)) //nolint:gosec // a count
	for i := range c.columns {
		col := &c.columns[i]
		b = binary.AppendUvarint(b, uint64(col.n)) //nolint:gosec // a count
		b = binary.AppendUvarint(b, uint64(len(col.data)))
		b = append(b, col.data...)
		for _, end := range col.ends {
			b = binary.LittleEndian.AppendUint32(b, end)
		}
		b = binary.AppendUvarint(b, uint64(len(col.valid)))
		b = append(b, col.valid...)
	}
	return b
}

var errSpill = errors.New("read spilled events: they are damaged")

// decode replaces the chunk's rows by those that encode wrote. They are copied.
func (c *chunk) decode(b []byte) error {
	take := func(n int) (v []byte) {
		if n < 0 || n > len(b) {
			b = nil
			return nil
		}
		v, b = b[:n], b[n:]
		return v
	}
	length := func() int {
		n, used := binary.Uvarint(b)
		if used <= 0 || n > uint64(len(b)) {
			b = nil
			return 0
		}
		b = b[used:]
		return int(n) //nolint:gosec // at most a length
	}
	n := length()
	for i := range c.columns {
		col := &c.columns[i]
		col.reset()
		rows := length()
		col.data = append(col.data, take(length())...)
		if col.width == 0 {
			for ends := take(4 * rows); len(ends) > 0; ends = ends[4:] {
				col.ends = append(col.ends, binary.LittleEndian.Uint32(ends))
			}
		}
		if valid := take(length()); len(valid) > 0 {
			col.valid = append(col.valid, valid...)
		}
		col.n = rows
		if col.width > 0 && len(col.data) != rows*col.width || col.width == 0 && len(col.ends) != rows {
			return errSpill
		}
	}
	c.n = n
	return nil
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
