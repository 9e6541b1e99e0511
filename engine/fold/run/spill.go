package run

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"

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
