package files

import (
	"bytes"
)

// Format json is JSON objects one after another, whatever white space stands
// between them, or none: Firehose joins records without a line end, others write
// one a line or spread them over several. A record is an object's own bytes.
//
// Where the syntax breaks, what is read as one broken record ends with its first
// line, or where the next object seems to begin ("}{"), so that a broken record
// costs itself and not all that follow. What is cut off at the end of the file is
// one record.

// recordJSON measures the record at the beginning of b as record does.
func recordJSON(b []byte, last bool) (length, next int, open string) {
	if blank := len(b) - len(bytes.TrimLeft(b, " \t\r\n")); blank > 0 {
		return 0, blank, ""
	}
	end, broken := 0, len(b) > 0 && b[0] != '{'
	if !broken {
		end, broken = object(b)
	}
	switch {
	case !broken && end > 0:
		return end, end, ""
	case broken:
		if length, next := broke(b, end); next > 0 {
			return length, next, ""
		}
	}
	if !last {
		return 0, 0, ""
	}
	return len(bytes.TrimRight(b, " \t\r\n")), len(b), openObject
}

// broke measures a record whose syntax breaks at index at; next is 0 where more
// must be read.
func broke(b []byte, at int) (length, next int) {
	nl := bytes.IndexByte(b, '\n')
	if nl < 0 || nl >= at {
		from := max(at-1, 0)
		if i := bytes.Index(b[from:], []byte("}{")); i >= 0 && (nl < 0 || from+i < nl) {
			return from + i + 1, from + i + 1
		}
	}
	if nl < 0 {
		return 0, 0
	}
	length, next, _ = line(b, nl, false)
	return length, next
}

// What may come next inside of an object.
type expected uint8

const (
	expectValue  expected = iota
	expectFirst           // a value, or the end of an empty array
	expectKey             // a key
	expectMember          // a key, or the end of an empty object
	expectColon
	expectMore // a comma, or the end
)

// object scans the JSON object at the beginning of b and returns the index after
// it; 0 where b ends inside of it. Where its syntax breaks, broken is set and the
// index is that place. What is between commas and brackets is looked at loosely:
// the decoder reads it again.
func object(b []byte) (end int, broken bool) {
	open := make([]byte, 0, 16)
	want := expectValue
	for i := 0; i < len(b); {
		switch c := b[i]; {
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			i++
		case (c == '{' || c == '[') && (want == expectValue || want == expectFirst):
			open = append(open, c)
			want = map[byte]expected{'{': expectMember, '[': expectFirst}[c]
			i++
		case c == '}' || c == ']':
			if !closes(open[len(open)-1], c, want) {
				return i, true
			}
			open = open[:len(open)-1]
			i++
			if len(open) == 0 {
				return i, false
			}
			want = expectMore
		case c == ',' && want == expectMore:
			want = map[byte]expected{'{': expectKey, '[': expectValue}[open[len(open)-1]]
			i++
		case c == ':' && want == expectColon:
			want = expectValue
			i++
		case c == '"' && want != expectColon && want != expectMore:
			n, ok := quoted(b[i:])
			switch {
			case !ok && n == 0:
				return 0, false
			case !ok:
				return i + n, true
			}
			i += n
			want = after(want)
		case literal(c) && (want == expectValue || want == expectFirst):
			for i < len(b) && literal(b[i]) {
				i++
			}
			want = expectMore
		default:
			return i, true
		}
	}
	return 0, false
}

// closes says whether c may close what open began, where want was expected.
func closes(open, c byte, want expected) bool {
	if open == '{' {
		return c == '}' && (want == expectMember || want == expectMore)
	}
	return c == ']' && (want == expectFirst || want == expectMore)
}

// after says what follows a text that stood where want was expected.
func after(want expected) expected {
	if want == expectKey || want == expectMember {
		return expectColon
	}
	return expectMore
}

func literal(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-' || c == '+' || c == '.'
}

// quoted measures the JSON string at the beginning of b. If it is not whole, n is
// where a control character breaks it, or 0 where b ends.
func quoted(b []byte) (n int, ok bool) {
	for i := 1; i < len(b); i++ {
		switch {
		case b[i] == '"':
			return i + 1, true
		case b[i] == '\\':
			i++
		case b[i] < 0x20:
			return i, false
		}
	}
	return 0, false
}
