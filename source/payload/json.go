package payload

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"recount"
)

// step is one step of a JSON path: a key, or an index where key is empty and
// isIndex is set.
type step struct {
	key     string
	index   int
	isIndex bool
}

// bindPaths reads the mapping's paths.
func (d *Decoder) bindPaths() error {
	for i := range d.wants {
		steps, err := parsePath(d.wants[i].path)
		if err != nil {
			return &recount.Error{
				Code: recount.CodeConfig, What: fmt.Sprintf("path %q cannot be read", d.wants[i].path), Why: err.Error(),
				Next: "write a top-level key, or a path such as $.order.id, $.items[0].id or $['a key']",
			}
		}
		d.wants[i].steps = steps
	}
	return nil
}

// Keys lists the top-level keys that the mapping asks of a JSON payload, each
// once.
func Keys(m recount.Mapping) ([]string, error) {
	d := &Decoder{wants: wantsOf(m)}
	if err := d.bindPaths(); err != nil {
		return nil, err
	}
	var keys []string
	for _, w := range d.wants {
		if len(w.steps) > 0 && !w.steps[0].isIndex && !slices.Contains(keys, w.steps[0].key) {
			keys = append(keys, w.steps[0].key)
		}
	}
	return keys, nil
}

// parsePath reads a path: $ with .key, ['key'], ["key"] and [0] after it. A text
// that does not begin with "$." or "$[" is a top-level key as it stands. A path
// into what wraps a payload is spelled envelope:key.key.
func parsePath(path string) ([]step, error) {
	if inside, ok := strings.CutPrefix(path, "envelope:"); ok {
		path = "$." + inside
	}
	if path == "$" {
		return nil, nil
	}
	if !strings.HasPrefix(path, "$.") && !strings.HasPrefix(path, "$[") {
		return []step{{key: path}}, nil
	}
	var steps []step
	for rest := path[1:]; rest != ""; {
		var st step
		var err error
		if rest[0] == '.' {
			st, rest, err = dotStep(rest[1:])
		} else {
			st, rest, err = bracketStep(rest)
		}
		if err != nil {
			return nil, err
		}
		steps = append(steps, st)
	}
	return steps, nil
}

func dotStep(s string) (step, string, error) {
	end := strings.IndexAny(s, ".[")
	if end < 0 {
		end = len(s)
	}
	if end == 0 {
		return step{}, "", errors.New("a key is empty")
	}
	return step{key: s[:end]}, s[end:], nil
}

func bracketStep(s string) (step, string, error) {
	if s[0] != '[' {
		return step{}, "", fmt.Errorf("%q does not begin with . or [", s)
	}
	if len(s) > 1 && (s[1] == '\'' || s[1] == '"') {
		key, rest, ok := strings.Cut(s[2:], s[1:2]+"]")
		if !ok {
			return step{}, "", errors.New("a bracket is not closed")
		}
		return step{key: key}, rest, nil
	}
	inner, rest, ok := strings.Cut(s[1:], "]")
	n, err := strconv.Atoi(inner)
	if !ok || err != nil || n < 0 {
		return step{}, "", fmt.Errorf("%q is no index such as [0]", s)
	}
	return step{index: n, isIndex: true}, rest, nil
}

// readJSON fills s.raw from an object. Its syntax is checked first, so that finding
// values in it need not.
func (d *Decoder) readJSON(s *Scratch, data []byte, text string) {
	f := s.finder()
	top, err := f.open(data, text)
	if err == nil && text[f.documents[top].from] != '{' {
		err = errors.New("it is no object")
	}
	if err != nil {
		s.blame("the line is broken: %s", err)
		for i := range d.wants {
			s.raw[i] = raw{kind: rawUnknown}
		}
		return
	}
	for i := range d.wants {
		s.raw[i] = f.find(s, top, &d.wants[i], &s.hints[i])
		s.raw[i].json = s.raw[i].json || d.format == JSON
	}
}

func checkJSON(data []byte) error {
	if json.Valid(data) {
		return nil
	}
	var v json.RawMessage
	return json.Unmarshal(data, &v)
}

// member is one member of an object: its key and where its value begins. end and
// plain are known where a scanner found it: where the value ends, and that it is a
// string whose text stands between its quotes, in ASCII.
type member struct {
	key     string
	at, end int
	plain   bool
}

// findMember returns the member of that key; nil: there is none. hint is where the
// last one of it stood: producers write members in one order.
func findMember(members []member, key string, hint *int) *member {
	if at := *hint; at < len(members) && members[at].key == key {
		return &members[at]
	}
	for i := range members {
		if members[i].key == key {
			*hint = i
			return &members[i]
		}
	}
	return nil
}

// walker finds values in JSON text that is known to be sound. members is the
// stack of the objects that are open.
type walker struct {
	text    string
	members []member
}

func (w *walker) space(i int) int {
	for i < len(w.text) && (w.text[i] == ' ' || w.text[i] == '\t' || w.text[i] == '\n' || w.text[i] == '\r') {
		i++
	}
	return i
}

// value returns the index after the value at i. It refuses objects with a key
// twice, at any depth: readers disagree on which of the two counts.
func (w *walker) value(i int) (int, error) {
	switch w.text[i] {
	case '"':
		return w.skipString(i), nil
	case '{':
		base := len(w.members)
		i, err := w.object(i)
		w.members = w.members[:base]
		return i, err
	case '[':
		return w.array(i)
	}
	for i < len(w.text) {
		switch w.text[i] {
		case ',', ']', '}', ' ', '\t', '\r', '\n':
			return i, nil
		}
		i++
	}
	return i, nil
}

// object pushes the members of the object at i.
func (w *walker) object(i int) (int, error) {
	base := len(w.members)
	i = w.space(i + 1)
	for w.text[i] != '}' {
		end := w.skipString(i)
		key, ok := unquoteJSON(w.text[i:end])
		if !ok {
			return i, errors.New("a key is no valid Unicode")
		}
		at := w.space(w.space(end) + 1)
		w.members = append(w.members, member{key: key, at: at})
		next, err := w.value(at)
		if err != nil {
			return next, err
		}
		i = w.space(next)
		if w.text[i] == ',' {
			i = w.space(i + 1)
		}
	}
	return i + 1, twice(w.members[base:])
}

func twice(members []member) error {
	const few = 24
	if len(members) <= few {
		met := uint64(0) // of the keys before, by length and ends
		for i := range members {
			key := members[i].key
			bit := uint64(1) << (mixed(key) % 64)
			if hint := 0; met&bit != 0 && findMember(members[:i], key, &hint) != nil {
				return fmt.Errorf("the key %s stands twice", quote(key))
			}
			met |= bit
		}
		return nil
	}
	seen := make(map[string]bool, len(members))
	for _, m := range members {
		if seen[m.key] {
			return fmt.Errorf("the key %s stands twice", quote(m.key))
		}
		seen[m.key] = true
	}
	return nil
}

// mixed tells most keys of an object apart.
func mixed(key string) uint64 {
	if key == "" {
		return 0
	}
	const odd = 0x9e3779b97f4a7c15
	n := uint64(len(key))<<16 | uint64(key[0])<<8 | uint64(key[len(key)-1])
	return n * odd >> 32
}

func (w *walker) array(i int) (int, error) {
	i = w.space(i + 1)
	for w.text[i] != ']' {
		next, err := w.value(i)
		if err != nil {
			return next, err
		}
		i = w.space(next)
		if w.text[i] == ',' {
			i = w.space(i + 1)
		}
	}
	return i + 1, nil
}

func (w *walker) skipString(i int) int {
	for i++; w.text[i] != '"'; i++ {
		if w.text[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// step returns where the value begins that st leads to; -1: nowhere.
func (w *walker) step(at int, st step) int {
	switch {
	case !st.isIndex && w.text[at] == '{':
		base := len(w.members)
		_, _ = w.object(at) // the whole text was checked before
		found, hint := -1, 0
		if m := findMember(w.members[base:], st.key, &hint); m != nil {
			found = m.at
		}
		w.members = w.members[:base]
		return found
	case st.isIndex && w.text[at] == '[':
		i := w.space(at + 1)
		for n := 0; w.text[i] != ']'; n++ {
			if n == st.index {
				return i
			}
			next, _ := w.value(i) // the whole text was checked before
			i = w.space(next)
			if w.text[i] == ',' {
				i = w.space(i + 1)
			}
		}
	}
	return -1
}

func (w *walker) raw(at int) raw {
	end, _ := w.value(at) // the whole text was checked before
	text := w.text[at:end]
	switch text[0] {
	case '"':
		plain, ok := unquoteJSON(text)
		if !ok {
			return raw{kind: rawBadText, text: text}
		}
		return raw{kind: rawText, text: plain, sound: true}
	case '{', '[':
		return raw{kind: rawNested, text: text}
	case 't', 'f':
		return raw{kind: rawBool, text: text}
	case 'n':
		return raw{}
	}
	return raw{kind: rawNumber, text: text}
}

// unquoteJSON returns the text of a JSON string; false for one that is no
// Unicode: encoding/json would put U+FFFD there, and two keys could become one.
func unquoteJSON(quoted string) (string, bool) {
	s := quoted[1 : len(quoted)-1]
	if strings.IndexByte(s, '\\') < 0 {
		return s, utf8.ValidString(s)
	}
	var b strings.Builder
	b.Grow(len(s))
	for {
		i := strings.IndexByte(s, '\\')
		if i < 0 {
			b.WriteString(s)
			return b.String(), utf8.ValidString(b.String())
		}
		b.WriteString(s[:i])
		if s[i+1] != 'u' {
			b.WriteByte(unescape(s[i+1]))
			s = s[i+2:]
			continue
		}
		r := hexRune(s[i+2:])
		s = s[i+6:]
		if utf16.IsSurrogate(r) {
			if !strings.HasPrefix(s, `\u`) {
				return "", false
			}
			if r = utf16.DecodeRune(r, hexRune(s[2:])); r == utf8.RuneError {
				return "", false
			}
			s = s[6:]
		}
		b.WriteRune(r)
	}
}

func unescape(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}

func hexRune(s string) rune {
	n, err := strconv.ParseUint(s[:4], 16, 32)
	if err != nil {
		return utf8.RuneError
	}
	return rune(n)
}
