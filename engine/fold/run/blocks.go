package run

import (
	"bytes"
	"cmp"
	"container/heap"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/s2"
)

// blocks are records in a file: blocks of bytes, each packed, with its length
// before it.
type blocks struct {
	file     io.ReaderAt
	from, to int64
}

// blockWriter writes records one after the other. Nobody else writes to the file
// meanwhile.
type blockWriter struct {
	to          *spillFile
	from        int64
	block       int
	raw, packed []byte
}

func (w *blockWriter) add(uid, key int64, sort, values []byte) error {
	w.raw = binary.AppendUvarint(w.raw, uint64(uid)) //nolint:gosec // a count
	w.raw = binary.AppendUvarint(w.raw, uint64(key)) //nolint:gosec // a count
	w.raw = appendTextKey(w.raw, sort)
	w.raw = appendTextKey(w.raw, values)
	if len(w.raw) < w.block {
		return nil
	}
	return w.flush()
}

func (w *blockWriter) flush() error {
	const length = 4
	w.packed = s2.Encode(w.packed[:cap(w.packed)], w.raw)
	b := binary.LittleEndian.AppendUint32(make([]byte, 0, length+len(w.packed)), uint32(len(w.packed))) //nolint:gosec // a block is small
	b = append(b, w.packed...)
	if _, err := w.to.file.WriteAt(b, w.to.end); err != nil {
		return fmt.Errorf("spill rows: %w", err)
	}
	w.to.end += int64(len(b))
	w.raw = w.raw[:0]
	return nil
}

func (w *blockWriter) finish() (blocks, error) {
	if len(w.raw) > 0 {
		if err := w.flush(); err != nil {
			return blocks{}, err
		}
	}
	return blocks{w.to.file, w.from, w.to.end}, nil
}

var errBlocks = errors.New("read spilled rows: they are damaged")

// reader returns what reads the records, for a source.
func (b blocks) reader() func(*source) (bool, error) {
	at := b.from
	var raw, rest, packed []byte
	return func(s *source) (bool, error) {
		if len(rest) == 0 {
			if at == b.to {
				return false, nil
			}
			var length [4]byte
			if _, err := b.file.ReadAt(length[:], at); err != nil {
				return false, fmt.Errorf("read spilled rows: %w", err)
			}
			n := int64(binary.LittleEndian.Uint32(length[:]))
			at += int64(len(length))
			if n > b.to-at {
				return false, errBlocks
			}
			if int64(cap(packed)) < n {
				packed = make([]byte, n)
			}
			packed = packed[:n]
			if _, err := b.file.ReadAt(packed, at); err != nil {
				return false, fmt.Errorf("read spilled rows: %w", err)
			}
			at += n
			var err error
			if raw, err = s2.Decode(raw[:cap(raw)], packed); err != nil {
				return false, fmt.Errorf("read spilled rows: %w", err)
			}
			rest = raw
		}
		var ok bool
		rest, ok = s.parse(rest)
		if !ok {
			return false, errBlocks
		}
		return true, nil
	}
}

// parse reads one record and returns what follows it.
func (s *source) parse(b []byte) (rest []byte, ok bool) {
	number := func() uint64 {
		n, used := binary.Uvarint(b)
		if used <= 0 {
			b, ok = nil, false
			return 0
		}
		b = b[used:]
		return n
	}
	text := func() (v []byte) {
		n := number()
		if n > uint64(len(b)) {
			ok = false
			return nil
		}
		v, b = b[:n], b[n:]
		return v
	}
	ok = true
	s.uid, s.key = int64(number()), int64(number()) //nolint:gosec // counts of ours
	s.sort = text()
	s.values = text()
	return b, ok
}

// merge hands the records of sources to use, in order of their sort texts; those
// of one text in order of parts.
func merge(ctx context.Context, sources []*source, use func(*source) error) error {
	var h merging
	for _, s := range sources {
		ok, err := s.step()
		if err != nil {
			return err
		}
		if ok {
			h = append(h, s)
		}
	}
	heap.Init(&h)
	const between = 1 << 14
	for n := 0; len(h) > 0; n++ {
		if n%between == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		if err := use(h[0]); err != nil {
			return err
		}
		ok, err := h[0].step()
		if err != nil {
			return err
		}
		if ok {
			heap.Fix(&h, 0)
		} else {
			heap.Pop(&h)
		}
	}
	return nil
}

// merging are sources by their present record.
type merging []*source

func (m merging) Len() int { return len(m) }

func (m merging) Less(i, j int) bool {
	return cmp.Or(bytes.Compare(m[i].sort, m[j].sort), cmp.Compare(m[i].part, m[j].part), cmp.Compare(m[i].run, m[j].run)) < 0
}

func (m merging) Swap(i, j int) { m[i], m[j] = m[j], m[i] }

// Push is heap's.
func (m *merging) Push(x any) {
	if s, ok := x.(*source); ok {
		*m = append(*m, s)
	}
}

// Pop is heap's.
func (m *merging) Pop() any {
	last := (*m)[len(*m)-1]
	*m = (*m)[:len(*m)-1]
	return last
}
