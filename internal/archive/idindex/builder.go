package idindex

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"os"
)

// Builder gathers entries in any order and makes a run of them. It holds at most
// mostInMemory of them, of 16 bytes each, and as much room to sort them; more go into scratch files. The zero
// value is empty and ready; it is used by one goroutine.
type Builder struct {
	recent []Entry // with whole hashes
	spare  []Entry // for sorting them
	parts  []*Scratch
	n      int64
	most   int // 0: mostInMemory
}

const (
	mostInMemory = 1 << 18
	mostParts    = 16
)

// Len counts the entries.
func (b *Builder) Len() int64 { return b.n }

// Add adds an entry.
func (b *Builder) Add(hash uint64, seq int64) error {
	most := b.most
	if most == 0 {
		most = mostInMemory
	}
	if len(b.recent) >= most {
		if err := b.spill(); err != nil {
			return err
		}
	}
	b.recent = append(b.recent, Entry{hash, seq})
	b.n++
	return nil
}

// spill moves the entries in memory to a scratch file; when there are many files,
// they become one.
func (b *Builder) spill() error {
	from := []cursor{b.sorted()}
	if len(b.parts) == mostParts {
		from = append(from, b.spilled()...)
	}
	part, err := scratch(0, 1<<62, from)
	if err != nil {
		return err
	}
	if len(from) > 1 {
		b.dropParts()
	}
	b.parts, b.recent = append(b.parts, part), b.recent[:0]
	return nil
}

func (b *Builder) sorted() cursor {
	width := bits.Len(uint(len(b.recent) / perBucket))
	b.recent, b.spare = spread(b.recent, b.spare, 1<<width-1, func(e Entry) int { return int(e.Hash >> (64 - width)) }, compare)
	return &sliceCursor{b.recent}
}

func (b *Builder) spilled() []cursor {
	var list []cursor
	for _, p := range b.parts {
		list = append(list, &runCursor{run: p.Run})
	}
	return list
}

// Find hands the sequence numbers of the entries in scratch files with one of the
// hashes, which are growing and made by Short, to hit.
func (b *Builder) Find(short []uint64, hit func(seq int64)) error {
	for _, p := range b.parts {
		if err := p.Find(short, hit); err != nil {
			return err
		}
	}
	return nil
}

// FindRecent is Find among the entries in memory.
func (b *Builder) FindRecent(has func(hash uint64) bool, hit func(seq int64)) {
	for _, e := range b.recent {
		if has(e.Hash) {
			hit(e.Seq)
		}
	}
}

// Build makes one run, in a scratch file, of the entries and of other runs.
// Together they hold all events from first to last. The builder stays as it is.
func (b *Builder) Build(first, last int64, others []*Run) (*Scratch, error) {
	from := append(b.spilled(), b.sorted())
	for _, r := range others {
		from = append(from, &runCursor{run: r})
	}
	return scratch(first, last, from)
}

// Close forgets the entries and gives the scratch files back.
func (b *Builder) Close() {
	b.dropParts()
	*b = Builder{most: b.most}
}

func (b *Builder) dropParts() {
	for _, p := range b.parts {
		p.Close()
	}
	b.parts = nil
}

// Scratch is a run in a file that ends with its process.
type Scratch struct {
	*Run
	file *os.File
}

// scratchFile makes a file without a name, so that nothing is left of it however
// the process ends; where that cannot be, Close removes it.
func scratchFile() (*os.File, error) {
	f, err := os.CreateTemp("", "recount-ids-")
	if err != nil {
		return nil, fmt.Errorf("make a scratch file: %w", err)
	}
	_ = os.Remove(f.Name())
	return f, nil
}

func scratch(first, last int64, from []cursor) (s *Scratch, err error) {
	return fill(func(w io.Writer) (Ref, error) { return write(w, first, last, from) })
}

// Copy makes a scratch file of a run's bytes, which copyTo writes.
func Copy(ref Ref, copyTo func(io.Writer) error) (*Scratch, error) {
	return fill(func(w io.Writer) (Ref, error) { return ref, copyTo(w) })
}

func fill(write func(io.Writer) (Ref, error)) (s *Scratch, err error) {
	f, err := scratchFile()
	if err != nil {
		return nil, err
	}
	s = &Scratch{file: f}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	const buffer = 256 << 10
	w := bufio.NewWriterSize(f, buffer)
	ref, err := write(w)
	if err := errors.Join(err, w.Flush()); err != nil {
		return nil, fmt.Errorf("write a scratch file: %w", err)
	}
	s.Run, err = Open(f, ref)
	return s, err
}

// WriteTo writes the run's bytes.
func (s *Scratch) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, io.NewSectionReader(s.file, 0, s.Bytes))
}

// Close gives the file back.
func (s *Scratch) Close() {
	_ = s.file.Close()
	_ = os.Remove(s.file.Name())
}
