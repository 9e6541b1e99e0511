package replay

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"recount"
)

// kept are rows in a file, in the order in which they came, to be read as often
// as is needed: there may be more than fit into memory.
type kept struct {
	path  string
	shape recount.Shape
}

// keeping writes rows; the first error is told by close.
type keeping struct {
	f *os.File
	w *bufio.Writer
	b []byte
}

func (k *kept) create() (*keeping, error) {
	f, err := os.Create(k.path)
	if err != nil {
		return nil, fmt.Errorf("keep rows: %w", err)
	}
	return &keeping{f: f, w: bufio.NewWriterSize(f, 1<<16)}, nil
}

// add writes a row: by value its length and one, 0 for NULL, then its text.
func (k *keeping) add(row recount.Row) {
	k.b = k.b[:0]
	for _, values := range [][]recount.Value{row.Key, row.Values} {
		for _, v := range values {
			if v.Null {
				k.b = append(k.b, 0)
				continue
			}
			k.b = binary.AppendUvarint(k.b, uint64(len(v.Text))+1)
			k.b = append(k.b, v.Text...)
		}
	}
	_, _ = k.w.Write(k.b) // Flush tells
}

func (k *keeping) close() error {
	if err := errors.Join(k.w.Flush(), k.f.Close()); err != nil {
		return fmt.Errorf("keep rows: %w", err)
	}
	return nil
}

// reading gives kept rows.
type reading struct {
	shape recount.Shape
	f     *os.File
	r     *bufio.Reader
	fault error
}

func (k *kept) open() (*reading, error) {
	f, err := os.Open(k.path)
	if err != nil {
		return nil, fmt.Errorf("read kept rows: %w", err)
	}
	return &reading{shape: k.shape, f: f, r: bufio.NewReaderSize(f, 1<<16)}, nil
}

func (r *reading) Next() (recount.Row, bool) {
	if r.fault != nil {
		return recount.Row{}, false
	}
	if _, err := r.r.Peek(1); err == io.EOF {
		return recount.Row{}, false
	}
	row := recount.Row{Key: make([]recount.Value, len(r.shape.Key)), Values: make([]recount.Value, len(r.shape.Values))}
	for _, values := range [][]recount.Value{row.Key, row.Values} {
		for i := range values {
			if values[i], r.fault = r.value(); r.fault != nil {
				return recount.Row{}, false
			}
		}
	}
	return row, true
}

func (r *reading) value() (recount.Value, error) {
	n, err := binary.ReadUvarint(r.r)
	if err != nil {
		return recount.Null, err
	}
	if n == 0 {
		return recount.Null, nil
	}
	text := make([]byte, n-1)
	if _, err := io.ReadFull(r.r, text); err != nil {
		return recount.Null, err
	}
	return recount.Text(string(text)), nil
}

func (r *reading) err() error {
	if r.fault != nil {
		return fmt.Errorf("read kept rows: %w", r.fault)
	}
	return nil
}

func (r *reading) close() error { return r.f.Close() }
