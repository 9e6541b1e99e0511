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
	// Seen, where not nil, changes what a row of that key is compared as; what it
	// stores stays.
	Seen func(text string, seen []recount.Value) []recount.Value
	// Refuse, where not nil, makes the error for a key that is NULL or stands
	// twice; else it is that of a live table.
	Refuse func(why string) error
	// Keep, where set, drops the rows for which it is false; it sees the key
	// under the result's types.
	Keep func(key []recount.Value) bool

	blocks [][]stored
	used   int64
	files  []string
}

// stored is a row in memory.
type stored struct {
	text string
	row  recount.Row
}

// liveRow is a row with its key's text. key and seen, the values under the
// result's types, are made when the row is taken: few rows need to keep them.
type liveRow struct {
	text string
	row  recount.Row
	key  []recount.Value
	seen []recount.Value
}

// rowBlock is how many rows a block holds: blocks never move while rows come in.
const rowBlock = 4096

// Add takes one live row as stored; it belongs to the sorter from then on. A
// key with a NULL is an error: such a row cannot be named.
func (s *Sorter) Add(row recount.Row) error {
	key := s.all(make([]recount.Value, 0, len(row.Key)), s.Shape.Key, row.Key)
	for i, v := range key {
		if v.Null {
			return s.badKey(fmt.Sprintf("column %s is NULL in a row", s.Shape.Key[i].Name))
		}
	}
	if s.Keep != nil && !s.Keep(key) {
		return nil
	}
	if n := len(s.blocks); n == 0 || len(s.blocks[n-1]) == rowBlock {
		s.blocks = append(s.blocks, make([]stored, 0, rowBlock))
	}
	last := &s.blocks[len(s.blocks)-1]
	*last = append(*last, stored{recount.KeyText(key), row})
	s.used += rowOverhead
	for _, values := range [][]recount.Value{row.Key, row.Values} {
		for _, v := range values {
			s.used += int64(2 * len(v.Text))
		}
	}
	if s.used > cmp.Or(s.Bytes, DefaultSortBytes) {
		return s.spill()
	}
	return nil
}

// all appends values as they read under the types of columns.
func (s *Sorter) all(into []recount.Value, columns []recount.Column, values []recount.Value) []recount.Value {
	for i, v := range values {
		into = append(into, s.under(columns[i].Type, v))
	}
	return into
}

// read makes what a row needs to be compared.
func (s *Sorter) read(st stored) liveRow {
	under := make([]recount.Value, 0, len(st.row.Key)+len(st.row.Values))
	under = s.all(under, s.Shape.Key, st.row.Key)
	under = s.all(under, s.Shape.Values, st.row.Values[:min(len(s.Shape.Values), len(st.row.Values))])
	n := len(st.row.Key)
	out := liveRow{text: st.text, row: st.row, key: under[:n:n], seen: under[n:]}
	if s.Seen != nil {
		out.seen = s.Seen(st.text, out.seen)
	}
	return out
}

func (s *Sorter) under(t recount.Type, v recount.Value) recount.Value {
	if s.EmptyIsNull && v.Text == "" && t.Kind != recount.KindString {
		return recount.Null
	}
	return Under(t, v)
}

func (s *Sorter) badKey(why string) error {
	if s.Refuse != nil {
		return s.Refuse(why)
	}
	return &recount.Error{
		Code: recount.CodeLiveKey, What: "the live table cannot be compared", Where: s.Place, Why: why,
		Next: "name in key: the columns that make a row unique, or mend the table; a correction needs to know which row it changes",
	}
}

// order returns the rows in memory in key order.
func (s *Sorter) order() []stored {
	rows := slices.Concat(s.blocks...)
	less := func(a, b stored) int { return strings.Compare(a.text, b.text) }
	if !slices.IsSortedFunc(rows, less) { // many tables are read in the order of their key
		slices.SortFunc(rows, less)
	}
	return rows
}

// Sorted ends the adding and returns the rows in key order. It must be closed.
func (s *Sorter) Sorted() (*Sorted, error) {
	if len(s.files) == 0 {
		return &Sorted{sorter: s, memory: s.order()}, nil
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
	name := filepath.Join(s.Dir, fmt.Sprintf("live-%06d.rows", len(s.files)))
	f, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("spill live rows: %w", err)
	}
	w := bufio.NewWriterSize(f, 1<<18)
	for _, st := range s.order() {
		writeValues(w, st.row.Key)
		writeValues(w, st.row.Values)
	}
	if err := errors.Join(w.Flush(), f.Close()); err != nil {
		return fmt.Errorf("spill live rows to %q: %w", name, err)
	}
	s.files = append(s.files, name)
	s.blocks, s.used = nil, 0
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
	memory []stored
	runs   []*run
	last   string
	any    bool
	seen   int64
	err    error
}

// Place names the table, for messages.
func (s *Sorted) Place() string { return s.sorter.Place }

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
	r.head = s.read(stored{row: recount.Row{Key: key, Values: values}})
	r.head.text = recount.KeyText(r.head.key)
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
		st := s.memory[0]
		s.memory = s.memory[1:]
		return s.sorter.read(st), true
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

// LiveRow is one live row: as stored, and as it is compared.
type LiveRow struct {
	Text string          // the key's text
	Key  []recount.Value // under the compared types
	Row  recount.Row     // as stored, carried columns last
	Seen []recount.Value // under the compared types
}

// Next returns the next row, which belongs to the receiver; false at the end or
// on an error, which Err tells.
func (s *Sorted) Next() (LiveRow, bool) {
	row, ok := s.next()
	return LiveRow{Text: row.text, Key: row.key, Row: row.row, Seen: row.seen}, ok
}

// Each calls each with the rows that are left, in key order. They belong to the
// receiver.
func (s *Sorted) Each(each func(LiveRow) error) error {
	for {
		row, ok := s.next()
		if !ok {
			return s.err
		}
		if err := each(LiveRow{Text: row.text, Key: row.key, Row: row.row, Seen: row.seen}); err != nil {
			return err
		}
	}
}

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
