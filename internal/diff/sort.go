package diff

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"recount"
)

// DefaultSortBytes is how much memory a Sorter fills before it spills.
const DefaultSortBytes = 128 << 20

// rowOverhead is about what a row costs besides its texts: headers of slices
// and strings.
const rowOverhead = 160

// Sorter puts live rows in key order, in bounded memory: what does not fit goes
// to files in Dir, which must exist.
type Sorter struct {
	Shape recount.Shape // the result's types
	Dir   string
	Bytes int64 // 0: DefaultSortBytes
	// Place names the table, for messages.
	Place string
	// EmptyIsNull reads an empty text as NULL where the result's type is no
	// string: a CSV file cannot say it otherwise.
	EmptyIsNull bool
	// Keep, where set, drops the rows for which it is false; it sees the key
	// under the result's types.
	Keep func(key []recount.Value) bool

	rows  []liveRow
	used  int64
	files []string
}

type liveRow struct {
	text string
	key  []recount.Value
	seen []recount.Value
	row  recount.Row
}

// Add takes one live row as stored; it belongs to the sorter from then on. A
// key with a NULL is an error: such a row cannot be named.
func (s *Sorter) Add(row recount.Row) error {
	l := s.read(row)
	for i, v := range l.key {
		if v.Null {
			return s.badKey(fmt.Sprintf("column %s is NULL in a row", s.Shape.Key[i].Name))
		}
	}
	if s.Keep != nil && !s.Keep(l.key) {
		return nil
	}
	s.rows = append(s.rows, l)
	s.used += int64(rowOverhead + 2*len(l.text))
	for _, v := range row.Values {
		s.used += int64(len(v.Text))
	}
	if s.used > cmp.Or(s.Bytes, DefaultSortBytes) {
		return s.spill()
	}
	return nil
}

func (s *Sorter) read(row recount.Row) liveRow {
	l := liveRow{row: row}
	under := make([]recount.Value, len(row.Key)+len(row.Values))
	for i, v := range row.Key {
		under[i] = s.under(s.Shape.Key[i].Type, v)
	}
	for i, v := range row.Values {
		under[len(row.Key)+i] = s.under(s.Shape.Values[i].Type, v)
	}
	l.key, l.seen = under[:len(row.Key):len(row.Key)], under[len(row.Key):]
	l.text = recount.KeyText(l.key)
	return l
}

func (s *Sorter) under(t recount.Type, v recount.Value) recount.Value {
	if s.EmptyIsNull && v.Text == "" && t.Kind != recount.KindString {
		return recount.Null
	}
	return Under(t, v)
}

func (s *Sorter) badKey(why string) error {
	return &recount.Error{
		Code: recount.CodeLiveKey, What: "the live table cannot be compared", Where: s.Place, Why: why,
		Next: "name in key: the columns that make a row unique, or mend the table; a correction needs to know which row it changes",
	}
}

func (s *Sorter) order() {
	slices.SortFunc(s.rows, func(a, b liveRow) int { return strings.Compare(a.text, b.text) })
}

// Sorted ends the adding and returns the rows in key order. It must be closed.
func (s *Sorter) Sorted() (*Sorted, error) {
	if len(s.files) == 0 {
		s.order()
		return &Sorted{sorter: s, memory: s.rows}, nil
	}
	if err := s.spill(); err != nil {
		return nil, err
	}
	out := &Sorted{sorter: s}
	for _, name := range s.files {
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("open sorted rows: %w", errors.Join(err, out.Close()))
		}
		r := &run{file: f, in: bufio.NewReaderSize(f, 1<<18)}
		out.runs = append(out.runs, r)
		if err := r.advance(s); err != nil {
			return nil, errors.Join(err, out.Close())
		}
	}
	return out, nil
}

func (s *Sorter) spill() error {
	s.order()
	name := filepath.Join(s.Dir, fmt.Sprintf("live-%06d.rows", len(s.files)))
	f, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("spill live rows: %w", err)
	}
	w := bufio.NewWriterSize(f, 1<<18)
	for _, l := range s.rows {
		writeValues(w, l.row.Key)
		writeValues(w, l.row.Values)
	}
	if err := errors.Join(w.Flush(), f.Close()); err != nil {
		return fmt.Errorf("spill live rows to %q: %w", name, err)
	}
	s.files = append(s.files, name)
	s.rows, s.used = nil, 0
	return nil
}

// writeValues leaves errors to the writer's Flush, which repeats the first.
func writeValues(w *bufio.Writer, values []recount.Value) {
	var b [binary.MaxVarintLen64]byte
	for _, v := range values {
		n := uint64(len(v.Text)) + 1
		if v.Null {
			n = 0
		}
		_, _ = w.Write(b[:binary.PutUvarint(b[:], n)])
		_, _ = w.WriteString(v.Text)
	}
}

func readValues(r *bufio.Reader, count int) ([]recount.Value, error) {
	values := make([]recount.Value, count)
	for i := range values {
		n, err := binary.ReadUvarint(r)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			values[i] = recount.Null
			continue
		}
		text := make([]byte, n-1)
		if _, err := io.ReadFull(r, text); err != nil {
			return nil, err
		}
		values[i].Text = string(text)
	}
	return values, nil
}

// Sorted gives live rows in key order. A key that comes twice ends it with an
// error.
type Sorted struct {
	sorter *Sorter
	memory []liveRow
	runs   []*run
	last   string
	any    bool
	seen   int64
	err    error
}

// Seen counts the rows that were read so far.
func (s *Sorted) Seen() int64 { return s.seen }

type run struct {
	file *os.File
	in   *bufio.Reader
	head liveRow
	done bool
}

func (r *run) advance(s *Sorter) error {
	key, err := readValues(r.in, len(s.Shape.Key))
	if errors.Is(err, io.EOF) {
		r.done = true
		return nil
	}
	if err != nil {
		return fmt.Errorf("read sorted rows: %w", err)
	}
	values, err := readValues(r.in, len(s.Shape.Values))
	if err != nil {
		return fmt.Errorf("read sorted rows: %w", err)
	}
	r.head = s.read(recount.Row{Key: key, Values: values})
	return nil
}

func (s *Sorted) next() (liveRow, bool) {
	if s.err != nil {
		return liveRow{}, false
	}
	l, ok := s.pop()
	if !ok {
		return l, false
	}
	if s.any && l.text == s.last {
		s.err = s.sorter.badKey(fmt.Sprintf("the key %s stands in more than one row", showKey(s.sorter.Shape, l.key)))
		return liveRow{}, false
	}
	s.last, s.any = l.text, true
	s.seen++
	return l, true
}

func showKey(shape recount.Shape, key []recount.Value) string {
	parts := make([]string, len(key))
	for i, v := range key {
		parts[i] = shape.Key[i].Name + "=" + v.String()
	}
	return strings.Join(parts, " ")
}

func (s *Sorted) pop() (liveRow, bool) {
	if s.runs == nil {
		if len(s.memory) == 0 {
			return liveRow{}, false
		}
		l := s.memory[0]
		s.memory = s.memory[1:]
		return l, true
	}
	var least *run
	for _, r := range s.runs { // few runs: a heap would not pay
		if !r.done && (least == nil || r.head.text < least.head.text) {
			least = r
		}
	}
	if least == nil {
		return liveRow{}, false
	}
	l := least.head
	if err := least.advance(s.sorter); err != nil {
		s.err = err
		return liveRow{}, false
	}
	return l, true
}

// Err returns what ended the rows early, if anything did.
func (s *Sorted) Err() error { return s.err }

// Close removes the spilled rows.
func (s *Sorted) Close() error {
	var errs []error
	for _, r := range s.runs {
		errs = append(errs, r.file.Close())
	}
	for _, name := range s.sorter.files {
		errs = append(errs, os.Remove(name))
	}
	return errors.Join(errs...)
}
