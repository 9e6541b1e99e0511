package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"unicode/utf8"

	"recount"
	"recount/target"
)

// Scan reads the rows in the order of the file. A correction replaces the file,
// so that an open one stays as it is; a program that writes into it meanwhile is
// noticed at the end.
func (t *Target) Scan(ctx context.Context, scan target.Scan, each func(recount.Row) error) error {
	if scan.Where != "" && scan.Keys == nil {
		return &recount.Error{
			Code: recount.CodeUnsupported, What: "where: needs a database", Where: t.place,
			Why:  "a file has no language for conditions",
			Next: "leave where: out; a bucketed calculation compares the rows of its window all the same", Err: recount.ErrUnsupported,
		}
	}
	path, err := t.file()
	if err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return t.unreadable(err)
	}
	defer closeQuietly(f)
	before, err := f.Stat()
	if err != nil {
		return t.unreadable(err)
	}
	s := &scanner{t: t, keys: len(scan.Key), wanted: keySet(scan.Keys), each: each}
	if err := s.start(f, append(append([]string{}, scan.Key...), scan.Columns...)); err != nil {
		return err
	}
	if err := s.read(ctx, f); err != nil {
		return err
	}
	after, err := f.Stat()
	if err != nil {
		return t.unreadable(err)
	}
	if !after.ModTime().Equal(before.ModTime()) || after.Size() != before.Size() {
		return t.changed("while it was read")
	}
	return nil
}

// keySet makes a set of keys; nil for all.
func keySet(keys [][]recount.Value) map[string]bool {
	if keys == nil {
		return nil
	}
	set := make(map[string]bool, len(keys))
	for _, k := range keys {
		set[keyText(k)] = true
	}
	return set
}

// keyText is recount.KeyText, but NULL is the empty field that stands for it.
func keyText(key []recount.Value) string {
	for i, v := range key {
		if v.Null {
			shown := append([]recount.Value{}, key...)
			for j := i; j < len(shown); j++ {
				shown[j].Null = false
			}
			return recount.KeyText(shown)
		}
	}
	return recount.KeyText(key)
}

// scanner turns the records of a file into rows. Texts and values of many rows
// share one allocation each.
type scanner struct {
	t       *Target
	d       dialect
	columns []int // the key's, then the others
	keys    int
	wanted  map[string]bool
	each    func(recount.Row) error

	line int // of the record that is read
	rec  record
	text []byte // of the fields that are asked for, one behind the other
	ends []int  // where each of them ends in text
}

// start reads the header and leaves f behind it.
func (s *scanner) start(f *os.File, names []string) (err error) {
	if s.d, err = s.t.readHeader(f); err != nil {
		return err
	}
	if s.columns, err = s.t.columns(s.d, names); err != nil {
		return err
	}
	if _, err := f.Seek(int64(s.d.body), io.SeekStart); err != nil {
		return s.t.unreadable(err)
	}
	s.line = 2
	return nil
}

func (s *scanner) read(ctx context.Context, r io.Reader) error {
	const block = 1 << 16
	buf := make([]byte, 0, 4*block)
	for final := false; !final; {
		if err := ctx.Err(); err != nil {
			return err
		}
		if len(buf) == cap(buf) {
			if len(buf) > maxRecord {
				return s.t.broken(fmt.Sprintf("line %d goes on for more than 64 MiB: is a quote not closed?", s.line))
			}
			buf = append(make([]byte, 0, 2*cap(buf)), buf...)
		}
		n, err := io.ReadFull(r, buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		final = errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !final {
			return s.t.unreadable(err)
		}
		used, err := s.block(buf, final)
		if err != nil {
			return err
		}
		buf = buf[:copy(buf, buf[used:])]
	}
	return nil
}

// block gives the rows that stand whole in b, and returns how many bytes they
// took.
func (s *scanner) block(b []byte, final bool) (int, error) {
	s.text, s.ends = s.text[:0], s.ends[:0]
	used := 0
	for used < len(b) {
		err := s.d.parse(b[used:], final, &s.rec)
		if errors.Is(err, errMore) {
			break
		}
		if err != nil {
			return used, s.t.broken(fmt.Sprintf("line %d: %s", s.line, err))
		}
		raw := b[used : used+s.rec.next]
		if err := s.take(raw); err != nil {
			return used, err
		}
		used += s.rec.next
		s.line += countLines(raw, s.rec)
	}
	return used, s.give()
}

// countLines counts the lines of a record: those in quotes too.
func countLines(raw []byte, rec record) int {
	n := 1
	for _, f := range rec.fields {
		if f.quoted {
			for _, c := range raw[f.start:f.end] {
				if c == '\n' {
					n++
				}
			}
		}
	}
	return n
}

// take keeps the fields of a record that are asked for. A blank line is none.
func (s *scanner) take(raw []byte) error {
	if len(s.rec.fields) == 0 {
		return nil
	}
	if have, want := len(s.rec.fields), len(s.d.names); have != want {
		return s.t.broken(fmt.Sprintf("line %d has %d fields, the header has %d", s.line, have, want))
	}
	for _, c := range s.columns {
		before := len(s.text)
		s.text = appendText(s.text, raw, s.rec.fields[c])
		if !utf8.Valid(s.text[before:]) {
			return s.t.broken(fmt.Sprintf("line %d: column %q holds no text in UTF-8", s.line, s.d.names[c]))
		}
		s.ends = append(s.ends, len(s.text))
	}
	return nil
}

// give hands over the rows that were taken.
func (s *scanner) give() error {
	width := len(s.columns)
	if width == 0 || len(s.ends) == 0 {
		return nil
	}
	text := string(s.text)
	values := make([]recount.Value, len(s.ends))
	start := 0
	for i, end := range s.ends {
		values[i].Text = text[start:end]
		start = end
	}
	for ; len(values) > 0; values = values[width:] {
		row := recount.Row{Key: values[:s.keys:s.keys], Values: values[s.keys:width:width]}
		if s.wanted != nil && !s.wanted[recount.KeyText(row.Key)] {
			continue
		}
		if err := s.each(row); err != nil {
			return err
		}
	}
	return nil
}
