package payload

import (
	"encoding/binary"
	"math/bits"
)

// scanner reads JSON text in one pass: it checks the syntax and finds the members
// of the outermost object. It says no more than that the text is sound; whatever is
// not, or lies too deep for it, is judged by checkJSON and walker, which find the
// words for it. So it must never call sound what those refuse.
type scanner struct {
	data    []byte
	text    string // data as a string
	members []member
}

// deepest is how many values may lie in each other for a scanner; any are sound.
const deepest = 200

// unsound is the index after what is not known to be sound.
const unsound = -1

// document returns where the text's value begins, with the members of an object
// pushed; unsound: not known.
func (s *scanner) document() int {
	base := len(s.members)
	from := s.space(0)
	var end int
	if from < len(s.data) && s.data[from] == '{' {
		end = s.object(from, 0)
	} else {
		end = s.value(from, 0)
	}
	if end < 0 || s.space(end) != len(s.data) {
		s.members = s.members[:base]
		return unsound
	}
	return from
}

func (s *scanner) space(i int) int {
	for i < len(s.data) && (s.data[i] == ' ' || s.data[i] == '\n' || s.data[i] == '\t' || s.data[i] == '\r') {
		i++
	}
	return i
}

// value returns the index after the value at i. Members that it pushes are gone.
func (s *scanner) value(i, depth int) int {
	if i >= len(s.data) || depth > deepest {
		return unsound
	}
	switch s.data[i] {
	case '"':
		end, _ := s.string(i)
		return end
	case '{':
		base := len(s.members)
		i = s.object(i, depth)
		s.members = s.members[:base]
		return i
	case '[':
		return s.array(i, depth)
	case 't':
		return s.word(i, "true")
	case 'f':
		return s.word(i, "false")
	case 'n':
		return s.word(i, "null")
	}
	return s.number(i)
}

// object pushes the members of the object at i.
func (s *scanner) object(i, depth int) int {
	base := len(s.members)
	if i = s.space(i + 1); i < len(s.data) && s.data[i] == '}' {
		return i + 1
	}
	for i < len(s.data) && s.data[i] == '"' {
		end, plain := s.string(i)
		if end < 0 {
			return unsound
		}
		key := s.text[i+1 : end-1]
		if !plain {
			var ok bool
			if key, ok = unquoteJSON(s.text[i:end]); !ok {
				return unsound
			}
		}
		if i = s.space(end); i >= len(s.data) || s.data[i] != ':' {
			return unsound
		}
		at := s.space(i + 1)
		m := member{key: key, at: at}
		if at < len(s.data) && s.data[at] == '"' {
			m.end, m.plain = s.string(at)
		} else {
			m.end = s.value(at, depth+1)
		}
		if m.end < 0 {
			return unsound
		}
		s.members = append(s.members, m)
		if i = s.space(m.end); i >= len(s.data) {
			return unsound
		}
		if s.data[i] == '}' {
			if twice(s.members[base:]) != nil {
				return unsound
			}
			return i + 1
		}
		if s.data[i] != ',' {
			return unsound
		}
		i = s.space(i + 1)
	}
	return unsound
}

func (s *scanner) array(i, depth int) int {
	if i = s.space(i + 1); i < len(s.data) && s.data[i] == ']' {
		return i + 1
	}
	for {
		if i = s.value(i, depth+1); i < 0 {
			return unsound
		}
		if i = s.space(i); i >= len(s.data) {
			return unsound
		}
		switch s.data[i] {
		case ']':
			return i + 1
		case ',':
			i = s.space(i + 1)
		default:
			return unsound
		}
	}
}

func (s *scanner) word(i int, word string) int {
	if end := i + len(word); end <= len(s.text) && s.text[i:end] == word {
		return end
	}
	return unsound
}

func (s *scanner) number(i int) int {
	if s.data[i] == '-' {
		i++
	}
	whole := s.digits(i)
	if whole == i || s.data[i] == '0' && whole > i+1 {
		return unsound
	}
	i = whole
	if i < len(s.data) && s.data[i] == '.' {
		end := s.digits(i + 1)
		if end == i+1 {
			return unsound
		}
		i = end
	}
	if i < len(s.data) && (s.data[i] == 'e' || s.data[i] == 'E') {
		i++
		if i < len(s.data) && (s.data[i] == '+' || s.data[i] == '-') {
			i++
		}
		end := s.digits(i)
		if end == i {
			return unsound
		}
		i = end
	}
	return i
}

func (s *scanner) digits(i int) int {
	for i < len(s.data) && s.data[i]-'0' <= 9 {
		i++
	}
	return i
}

// string returns the index after the string at i. plain says that it is ASCII
// without an escape, so that its text is what stands between the quotes.
func (s *scanner) string(i int) (end int, plain bool) {
	plain = true
	for i++; i < len(s.data); {
		n := ordinary(s.data, i)
		if i += n; n == wordBytes {
			continue
		}
		switch c := s.data[i]; {
		case c == '"':
			return i + 1, plain
		case c == '\\':
			plain = false
			if i = s.escape(i + 1); i < 0 {
				return unsound, false
			}
		case c < ' ':
			return unsound, false
		default:
			plain = plain && c < 0x80
			i++
		}
	}
	return unsound, false
}

const wordBytes = 8

// ordinary counts the bytes from i on, up to eight, that are ASCII and mean
// themselves in a string; 0 also where fewer than eight bytes are left.
func ordinary(data []byte, i int) int {
	const (
		ones  = 0x0101010101010101
		highs = 0x8080808080808080
	)
	if i+wordBytes > len(data) {
		return 0
	}
	// In each byte the high bit says: not ASCII, less than a space, a quote or a
	// backslash. A byte's borrow may reach the ones above it, never those below,
	// so that the lowest is right.
	w := binary.LittleEndian.Uint64(data[i:])
	quote, slash := w^(ones*'"'), w^(ones*'\\')
	special := (w | (w - ones*' ') | (quote - ones) | (slash - ones)) & highs
	return bits.TrailingZeros64(special) / wordBytes
}

// escape returns the index after the escape whose backslash stands before i.
func (s *scanner) escape(i int) int {
	if i >= len(s.data) {
		return unsound
	}
	switch s.data[i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 1
	case 'u':
		const digits = 4
		if i+digits >= len(s.data) {
			return unsound
		}
		for _, c := range s.data[i+1 : i+1+digits] {
			if c-'0' > 9 && c|0x20-'a' > 5 {
				return unsound
			}
		}
		return i + 1 + digits
	}
	return unsound
}
