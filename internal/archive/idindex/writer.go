package idindex

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/zeebo/xxh3"
)

// writer writes a run.
type writer struct {
	w      io.Writer
	ref    Ref
	places []byte
	block  []byte
	first  uint64 // hash of the block
	last   uint64 // hash before
	n      int    // entries of the block
}

// write merges cursors into one run.
func write(w io.Writer, first, last int64, from []cursor) (Ref, error) {
	out := &writer{w: w, ref: Ref{First: first, Last: last}}
	heads := make([]Entry, 0, len(from))
	left := make([]cursor, 0, len(from))
	for _, c := range from {
		e, ok, err := c.next()
		if err != nil {
			return Ref{}, err
		}
		if ok {
			heads, left = append(heads, e), append(left, c)
		}
	}
	for len(left) > 0 {
		least := 0
		for i := 1; i < len(heads); i++ {
			if compare(heads[i], heads[least]) < 0 {
				least = i
			}
		}
		if err := out.add(heads[least]); err != nil {
			return Ref{}, err
		}
		e, ok, err := left[least].next()
		if err != nil {
			return Ref{}, err
		}
		if heads[least] = e; !ok {
			end := len(left) - 1
			heads[least], left[least] = heads[end], left[end]
			heads, left = heads[:end], left[:end]
		}
	}
	return out.close()
}

func (w *writer) add(e Entry) error {
	if e.Seq < w.ref.First || e.Seq > w.ref.Last {
		return fmt.Errorf("event %d is not one of %d to %d", e.Seq, w.ref.First, w.ref.Last)
	}
	if w.n == 0 {
		w.first, w.last = e.Hash, e.Hash
	}
	w.block = binary.AppendUvarint(w.block, e.Hash-w.last)
	w.block = binary.AppendUvarint(w.block, uint64(e.Seq-w.ref.First))
	w.last = e.Hash
	w.ref.Entries++
	if w.n++; w.n == blockEntries {
		return w.flush()
	}
	return nil
}

func (w *writer) flush() error {
	if w.n == 0 {
		return nil
	}
	if _, err := w.w.Write(w.block); err != nil {
		return err
	}
	w.ref.Bytes += int64(len(w.block))
	w.places = binary.LittleEndian.AppendUint64(w.places, w.first)
	w.places = binary.LittleEndian.AppendUint64(w.places, uint64(w.ref.Bytes))
	w.places = binary.LittleEndian.AppendUint64(w.places, xxh3.Hash(w.block))
	w.block, w.n = w.block[:0], 0
	return nil
}

func (w *writer) close() (Ref, error) {
	if err := w.flush(); err != nil {
		return Ref{}, err
	}
	tail := append(w.places, magic...)
	for _, v := range []int64{w.ref.Entries, w.ref.First, w.ref.Last, 0} {
		tail = binary.LittleEndian.AppendUint64(tail, uint64(v))
	}
	if _, err := w.w.Write(tail); err != nil {
		return Ref{}, err
	}
	w.ref.Bytes += int64(len(tail))
	sum := sha256.Sum256(tail)
	w.ref.SHA256 = hex.EncodeToString(sum[:])
	return w.ref, nil
}
