package payload

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"recount"
)

var (
	errBareQuote = errors.New(`a quote stands inside a field that does not begin with one`)
	errQuote     = errors.New(`a quoted field is not closed, or something follows its closing quote`)
	errTwoLines  = errors.New("a line end stands outside of quotes")
)

// SplitCSV appends the fields of one record to cells. Bytes between quotes are
// kept as they are, carriage returns too; two quotes stand for one. Unquoted
// texts are parts of record.
func SplitCSV(cells []string, record string) ([]string, error) {
	if strings.IndexByte(record, '"') >= 0 {
		return splitQuoted(cells, record)
	}
	if strings.IndexByte(record, '\n') >= 0 {
		return cells, errTwoLines
	}
	for {
		comma := strings.IndexByte(record, ',')
		if comma < 0 {
			return append(cells, record), nil
		}
		cells = append(cells, record[:comma])
		record = record[comma+1:]
	}
}

func splitQuoted(cells []string, record string) ([]string, error) {
	for {
		if !strings.HasPrefix(record, `"`) {
			cell, rest, more := strings.Cut(record, ",")
			switch {
			case strings.IndexByte(cell, '"') >= 0:
				return cells, errBareQuote
			case strings.IndexByte(cell, '\n') >= 0:
				return cells, errTwoLines
			}
			cells = append(cells, cell)
			if !more {
				return cells, nil
			}
			record = rest
			continue
		}
		cell, rest, err := unquote(record[1:])
		if err != nil {
			return cells, err
		}
		cells = append(cells, cell)
		if rest == "" {
			return cells, nil
		}
		record = rest[1:]
	}
}

// unquote reads a quoted field up to its closing quote; rest is empty or begins
// with the comma that follows.
func unquote(s string) (cell, rest string, err error) {
	var b strings.Builder // stays empty while there is nothing to unescape
	for {
		q := strings.IndexByte(s, '"')
		if q < 0 {
			return "", "", errQuote
		}
		after := s[q+1:]
		switch {
		case after == "" || after[0] == ',':
			if b.Len() == 0 {
				return s[:q], after, nil
			}
			b.WriteString(s[:q])
			return b.String(), after, nil
		case after[0] != '"':
			return "", "", errQuote
		}
		b.WriteString(s[:q+1])
		s = after[1:]
	}
}

// bindColumns finds the mapping's columns in the header.
func (d *Decoder) bindColumns(header string) error {
	names, err := Header(header)
	if err != nil {
		return err
	}
	d.columns = len(names)
	for i := range d.wants {
		w := &d.wants[i]
		name := w.path
		w.column = slices.Index(names, name)
		if w.column < 0 { // a path leads into a column that holds JSON
			steps, err := parsePath(w.path)
			if err != nil || len(steps) < 2 || steps[0].isIndex {
				return MissingColumn(w.path, names)
			}
			name, w.steps = steps[0].key, steps[1:]
			w.column = slices.Index(names, name)
		}
		if w.column < 0 {
			return MissingColumn(name, names)
		}
		if slices.Contains(names[w.column+1:], name) {
			return &recount.Error{
				Code: recount.CodeSourceFile, What: fmt.Sprintf("column %q stands twice in the header", name),
				Why: "it is unknown which of the two is meant", Next: "rename one of them in the file",
			}
		}
	}
	return nil
}

// Header returns the column names of a CSV header record, or a *recount.Error
// without Where.
func Header(record string) ([]string, error) {
	fault := func(why, next string) error {
		return &recount.Error{Code: recount.CodeSourceFile, What: "the header cannot be read", Why: why, Next: next}
	}
	switch {
	case strings.HasPrefix(record, "\xff\xfe") || strings.HasPrefix(record, "\xfe\xff"):
		return nil, fault("the file is UTF-16", "convert it to UTF-8, for example: iconv -f UTF-16 -t UTF-8")
	case !utf8.ValidString(record):
		return nil, fault("it is not valid UTF-8: "+quote(record), "convert the file to UTF-8")
	case strings.IndexByte(record, 0) >= 0:
		return nil, fault("it holds NUL bytes; this is no CSV text", "check the file, or set format:")
	}
	names, err := SplitCSV(nil, record)
	if err != nil {
		return nil, fault(err.Error()+": "+quote(record), "mend the file's first line")
	}
	return names, nil
}

// MissingColumn is the error of a file that lacks a column which the mapping
// names; it has no Where.
func MissingColumn(name string, names []string) error {
	why := "its columns are " + list(names)
	if near := recount.Nearest(name, names); near != "" {
		why = fmt.Sprintf("the nearest is %q; %s", near, why)
	}
	if len(names) == 1 {
		for _, separator := range []string{";", "\t", "|"} {
			if strings.Contains(names[0], separator) {
				why = fmt.Sprintf("the header seems to be separated by %q; only commas are read", separator)
			}
		}
	}
	return &recount.Error{
		Code: recount.CodeSourceFile, What: fmt.Sprintf("there is no column %q", name), Why: why,
		Next: "correct the column's name under event: or fields: in recount.yaml, or mend the file",
	}
}

func list(names []string) string {
	const most = 12
	quoted := make([]string, 0, most)
	for _, n := range names[:min(len(names), most)] {
		quoted = append(quoted, quote(n))
	}
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(quoted, ", "), len(names)-most)
	}
	return strings.Join(quoted, ", ")
}

// readCSV fills s.raw from a record.
//
// A record that is too short was cut, most likely, so that what stands before
// its last comma is sound and what follows is not known. In one that is too
// long, nobody knows where it went wrong: no part of it is believed, since a
// wrong key or time would point the repair at the wrong row.
func (d *Decoder) readCSV(s *Scratch, record string) {
	cells, err := SplitCSV(s.cells[:0], record)
	s.cells = cells
	sound := len(cells)
	switch {
	case err != nil:
		s.blame("the line is broken: %s", err)
		sound = 0
	case len(cells) < d.columns:
		s.blame("the line has %s where the header has %d", count(len(cells), "field"), d.columns)
		sound--
	case len(cells) > d.columns:
		s.blame("the line has %s where the header has %d", count(len(cells), "field"), d.columns)
		sound = 0
	}
	f := s.finder()
	for i := range d.wants {
		w := &d.wants[i]
		switch {
		case w.column >= sound:
			s.raw[i] = raw{kind: rawUnknown}
		case len(w.steps) == 0:
			s.raw[i] = raw{kind: rawText, text: cells[w.column]}
		case cells[w.column] != "":
			s.raw[i] = f.inCell(s, w, cells[w.column])
		}
	}
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
