package files

import (
	"bytes"
	"errors"
	"slices"
)

// The ways in which a record can be broken.
var (
	errBareQuote = errors.New("a quote stands inside a field that does not begin with one")
	errAfter     = errors.New("something follows the closing quote of a field")
	errOpen      = errors.New("a quoted field is not closed")
	errReturn    = errors.New("the file ends in a carriage return without a line feed")
)

// errMore says that the record goes on behind the bytes at hand.
var errMore = errors.New("the record goes on")

// bom begins some files that other programs wrote in UTF-8.
const bom = "\xef\xbb\xbf"

// field is the place of one field, its quotes included, in the bytes of its
// record.
type field struct {
	start, end int
	quoted     bool
}

// record is one line of the table: its fields and the length of its bytes
// without and with the line end. A blank line has no field.
type record struct {
	fields []field
	end    int // without the line end
	next   int // with it
}

// parse reads the record at the beginning of b into rec, whose fields are used
// again. final says that nothing follows b; otherwise a record that may go on
// is errMore. b is not empty.
func (d dialect) parse(b []byte, final bool, rec *record) error {
	rec.fields = rec.fields[:0]
	line := b
	n := bytes.IndexByte(b, '\n')
	switch {
	case n >= 0:
		line = b[:n]
	case !final:
		return errMore
	}
	if bytes.IndexByte(line, '"') >= 0 {
		return d.parseQuoted(b, final, rec)
	}
	rec.end, rec.next = len(line), len(line)
	if n >= 0 {
		rec.next = n + 1
		if rec.end > 0 && line[rec.end-1] == '\r' {
			rec.end--
		}
	}
	if rec.end == 0 {
		return nil
	}
	line = line[:rec.end]
	if n < 0 && line[rec.end-1] == '\r' {
		return errReturn // whatever is written behind it would make it a line end
	}
	start := 0
	for {
		i := bytes.IndexByte(line[start:], d.delimiter)
		if i < 0 {
			rec.fields = append(rec.fields, field{start: start, end: rec.end})
			return nil
		}
		rec.fields = append(rec.fields, field{start: start, end: start + i})
		start += i + 1
	}
}

// parseQuoted is parse for a record that holds a quote.
func (d dialect) parseQuoted(b []byte, final bool, rec *record) error {
	start := 0
	for {
		f, err := d.cut(b, start, final)
		if err != nil {
			return err
		}
		rec.fields = append(rec.fields, f)
		switch {
		case f.end == len(b):
			if !final {
				return errMore
			}
			rec.end, rec.next = f.end, f.end
			return nil
		case b[f.end] == d.delimiter:
			start = f.end + 1
		default: // the line end: cut stops nowhere else
			rec.end, rec.next = f.end, f.end+1
			if b[f.end] == '\r' {
				rec.next++
			}
			return nil
		}
	}
}

// cut finds the field at start; it ends before a delimiter, a line end or the
// end of b.
func (d dialect) cut(b []byte, start int, final bool) (field, error) {
	if start == len(b) || b[start] != '"' {
		return d.cutPlain(b, start, final)
	}
	for i := start + 1; ; {
		q := bytes.IndexByte(b[i:], '"')
		if q < 0 {
			return field{}, d.open(final)
		}
		end := i + q + 1
		switch {
		case end == len(b) && !final:
			return field{}, errMore
		case end == len(b), b[end] == d.delimiter, b[end] == '\n':
			return field{start: start, end: end, quoted: true}, nil
		case b[end] == '"':
			i = end + 1
		case b[end] == '\r' && end+1 == len(b) && !final:
			return field{}, errMore
		case b[end] == '\r' && end+1 < len(b) && b[end+1] == '\n':
			return field{start: start, end: end, quoted: true}, nil
		default:
			return field{}, errAfter
		}
	}
}

func (dialect) open(final bool) error {
	if final {
		return errOpen
	}
	return errMore
}

func (d dialect) cutPlain(b []byte, start int, final bool) (field, error) {
	for i := start; i < len(b); i++ {
		switch b[i] {
		case d.delimiter:
			return field{start: start, end: i}, nil
		case '\n':
			end := i
			if end > start && b[end-1] == '\r' {
				end--
			}
			return field{start: start, end: end}, nil
		case '"':
			return field{}, errBareQuote
		}
	}
	if !final {
		return field{}, errMore
	}
	if start < len(b) && b[len(b)-1] == '\r' {
		return field{}, errReturn
	}
	return field{start: start, end: len(b)}, nil
}

// appendText appends the text of a field, without its quotes.
func appendText(dst, rec []byte, f field) []byte {
	if !f.quoted {
		return append(dst, rec[f.start:f.end]...)
	}
	inner := rec[f.start+1 : f.end-1]
	for {
		q := bytes.IndexByte(inner, '"')
		if q < 0 {
			return append(dst, inner...)
		}
		dst = append(dst, inner[:q+1]...)
		inner = inner[q+2:]
	}
}

// sameText says whether a field's text is want.
func sameText(rec []byte, f field, want string) bool {
	if !f.quoted {
		return string(rec[f.start:f.end]) == want
	}
	inner := rec[f.start+1 : f.end-1]
	if bytes.IndexByte(inner, '"') < 0 {
		return string(inner) == want
	}
	return string(appendText(nil, rec, f)) == want
}

// appendField appends text as a field, between quotes where it has to be or is
// asked to be.
func (d dialect) appendField(dst []byte, text string, quoted bool) []byte {
	if !quoted && !d.needsQuotes(text) {
		return append(dst, text...)
	}
	dst = append(dst, '"')
	for i := range len(text) {
		if text[i] == '"' {
			dst = append(dst, '"')
		}
		dst = append(dst, text[i])
	}
	return append(dst, '"')
}

// needsQuotes says whether text would be read differently without quotes. A
// table of one column says an empty field in quotes, since it would be a blank
// line.
func (d dialect) needsQuotes(text string) bool {
	if text == "" {
		return len(d.names) == 1
	}
	for i := range len(text) {
		if c := text[i]; c == '"' || c == '\n' || c == '\r' || c == d.delimiter {
			return true
		}
	}
	return false
}

// replace returns the bytes of a record with other texts in some of its fields.
// All other bytes are those that were there.
func (d dialect) replace(raw []byte, rec record, columns []int, texts []string) []byte {
	out := make([]byte, 0, len(raw)+len(texts))
	last := 0
	for i, f := range rec.fields {
		at := slices.Index(columns, i)
		if at < 0 {
			continue
		}
		out = append(out, raw[last:f.start]...)
		out = d.appendField(out, texts[at], f.quoted)
		last = f.end
	}
	return append(out, raw[last:]...)
}
