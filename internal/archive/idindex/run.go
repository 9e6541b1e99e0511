// Package idindex finds where in an archive an id may stand, without reading the
// archive. It holds hashes and sequence numbers alone: whether two events share
// an id is decided by the events. It is made from the archive, and all of it is
// checked by digests as it is read, so that it can be thrown away but not lie.
package idindex

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/zeebo/xxh3"
)

// Entry says that an event has an id of a hash.
type Entry struct {
	Hash uint64 // of the id: what Short makes of it, in a run
	Seq  int64  // the event's sequence number
}

// dropped bits of a hash: 48 bits of it take four bytes less in a run, and among
// a billion ids a foreign one is taken for another once in 280,000.
const dropped = 16

// Ref names a run and says what it holds: all ids of events with a sequence
// number from First to Last.
type Ref struct {
	Name    string `json:"name"`
	SHA256  string `json:"sha256"` // of its directory, which proves its blocks
	Bytes   int64  `json:"bytes"`
	Entries int64  `json:"entries"`
	First   int64  `json:"first_seq"`
	Last    int64  `json:"last_seq"`
}

// A run is blocks of entries by growing hash, then a directory of them, then a
// foot. A block's entry is two varints: how far its hash is from the one before,
// the first from that of the directory, and how far its sequence number is from
// the run's first.
const (
	blockEntries = 1024
	placeBytes   = 24 // of a block in the directory: hash, end, checksum
	footBytes    = 40
	magic        = "RCIDS001"
	mostBlock    = blockEntries * 2 * binary.MaxVarintLen64
)

// place is where a block lies.
type place struct {
	hash uint64 // its smallest, 48 bits
	end  int64
	sum  uint64 // XXH3 of its bytes
}

// ErrDamaged says that a run is not as it was written.
var ErrDamaged = errors.New("the index of ids is damaged")

// Run reads one run. Its directory is kept, which takes 24 bytes for 1,024 ids.
// It is used by one goroutine.
type Run struct {
	Ref

	r      io.ReaderAt
	places []place
	buf    []byte
	loaded int // block in entries, or -1
	now    []Entry
}

// Open proves a run's directory and returns the run; ErrDamaged if it is not the
// one that ref names. Blocks are proved as they are read.
func Open(r io.ReaderAt, ref Ref) (*Run, error) {
	blocks := (ref.Entries + blockEntries - 1) / blockEntries
	size := blocks*placeBytes + footBytes
	if ref.Entries < 0 || size > ref.Bytes || ref.First > ref.Last+1 {
		return nil, fmt.Errorf("%w: it has %d bytes for %d ids", ErrDamaged, ref.Bytes, ref.Entries)
	}
	tail := make([]byte, size)
	if n, err := r.ReadAt(tail, ref.Bytes-size); n < len(tail) {
		return nil, fmt.Errorf("%w: read its directory: %w", ErrDamaged, err)
	}
	if sum := sha256.Sum256(tail); hex.EncodeToString(sum[:]) != ref.SHA256 {
		return nil, fmt.Errorf("%w: its directory is another", ErrDamaged)
	}
	run := &Run{Ref: ref, r: r, places: make([]place, blocks), loaded: -1}
	for i := range run.places {
		b := tail[i*placeBytes:]
		run.places[i] = place{binary.LittleEndian.Uint64(b), int64(binary.LittleEndian.Uint64(b[8:])), binary.LittleEndian.Uint64(b[16:])}
	}
	foot := tail[blocks*placeBytes:]
	if string(foot[:len(magic)]) != magic || int64(binary.LittleEndian.Uint64(foot[8:])) != ref.Entries ||
		int64(binary.LittleEndian.Uint64(foot[16:])) != ref.First || int64(binary.LittleEndian.Uint64(foot[24:])) != ref.Last {
		return nil, fmt.Errorf("%w: its foot is another", ErrDamaged)
	}
	return run, nil
}

// load proves and decodes a block.
func (r *Run) load(block int) error {
	if r.loaded == block {
		return nil
	}
	r.loaded = -1
	start := int64(0)
	if block > 0 {
		start = r.places[block-1].end
	}
	p := r.places[block]
	if p.end < start || p.end-start > mostBlock {
		return fmt.Errorf("%w: block %d", ErrDamaged, block)
	}
	if cap(r.buf) < int(p.end-start) {
		r.buf = make([]byte, p.end-start, mostBlock/2)
	}
	b := r.buf[:p.end-start]
	if n, err := r.r.ReadAt(b, start); n < len(b) {
		return fmt.Errorf("%w: read block %d: %w", ErrDamaged, block, err)
	}
	if xxh3.Hash(b) != p.sum {
		return fmt.Errorf("%w: block %d has other bytes", ErrDamaged, block)
	}
	r.now = r.now[:0]
	for h := p.hash; len(b) > 0; {
		step, n := binary.Uvarint(b)
		if n <= 0 {
			return fmt.Errorf("%w: block %d", ErrDamaged, block)
		}
		seq, m := binary.Uvarint(b[n:])
		if m <= 0 {
			return fmt.Errorf("%w: block %d", ErrDamaged, block)
		}
		h += step
		r.now = append(r.now, Entry{h, r.First + int64(seq)})
		b = b[n+m:]
	}
	r.loaded = block
	return nil
}

// Find hands the sequence numbers of all entries with one of the hashes, which
// are growing and made by Short, to hit.
func (r *Run) Find(short []uint64, hit func(seq int64)) error {
	block, at := 0, 0 // at: in the block; what stands before it is smaller
	for _, h := range short {
		// Entries of one hash can begin at the end of the block before.
		next := max(first(r.places, block, func(p place) bool { return p.hash < h })-1, block)
		if next != block {
			block, at = next, 0
		}
		for i := block; i < len(r.places) && r.places[i].hash <= h; i++ {
			if err := r.load(i); err != nil {
				return err
			}
			if i != block {
				block, at = i, 0
			}
			at = first(r.now, at, func(e Entry) bool { return e.Hash < h })
			for j := at; j < len(r.now) && r.now[j].Hash == h; j++ {
				hit(r.now[j].Seq)
			}
		}
	}
	return nil
}

// Short is what of a hash a run knows.
func Short(hash uint64) uint64 { return hash >> dropped }

// cursor reads entries in order; ok is false after the last.
type cursor interface {
	next() (e Entry, ok bool, err error)
}

type runCursor struct {
	run   *Run
	block int
	at    int
}

func (c *runCursor) next() (Entry, bool, error) {
	for {
		if c.block >= len(c.run.places) {
			return Entry{}, false, nil
		}
		if err := c.run.load(c.block); err != nil {
			return Entry{}, false, err
		}
		if c.at < len(c.run.now) {
			c.at++
			return c.run.now[c.at-1], true, nil
		}
		c.block, c.at = c.block+1, 0
	}
}

// sliceCursor reads entries in memory, sorted, whose hashes are whole.
type sliceCursor struct{ entries []Entry }

func (c *sliceCursor) next() (Entry, bool, error) {
	if len(c.entries) == 0 {
		return Entry{}, false, nil
	}
	e := c.entries[0]
	c.entries = c.entries[1:]
	return Entry{Short(e.Hash), e.Seq}, true, nil
}
