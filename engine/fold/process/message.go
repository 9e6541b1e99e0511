package process

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"recount"
)

// What a worker says with a line.
type says string

const (
	saysRow    says = "row"
	saysEffect says = "effect"
	saysState  says = "state"
	saysShown  says = "shown"
	saysDone   says = "done"
	saysFailed says = "failed"
	// saysRefused is an answer that the worker's own library would not write.
	saysRefused says = "refused"
)

// message is one line of a worker.
type message struct {
	kind  says
	body  []byte // of row, effect and state: JSON
	group int64  // of shown, done and failed
	seq   int64  // of effect and failed; 0: it names none
	why   string // of failed and refused
}

// readMessage reads a line. What is no message of the protocol is errProtocol.
func readMessage(line []byte) (message, error) {
	var m message
	if !utf8.Valid(line) || !json.Valid(line) {
		return m, errProtocol
	}
	line = bytes.TrimSpace(line)
	err := members(line, func(name, value []byte) error {
		word := says(name)
		switch word {
		case saysRow, saysEffect, saysState:
			m.body = value
		case saysShown, saysDone, saysFailed:
			n, err := strconv.ParseInt(string(value), 10, 64)
			if err != nil {
				return errProtocol
			}
			m.group = n
		case saysRefused:
			if json.Unmarshal(value, &m.why) != nil {
				return errProtocol
			}
		default:
			return m.detail(string(name), value)
		}
		if m.kind != "" {
			return errProtocol
		}
		m.kind = word
		return nil
	})
	if err != nil || m.kind == "" {
		return m, errProtocol
	}
	return m, nil
}

// detail reads what stands beside the word that says what a line is.
func (m *message) detail(name string, value []byte) error {
	switch name {
	case "seq":
		n, err := strconv.ParseInt(strings.Trim(string(value), `"`), 10, 64)
		if err != nil || n < 0 {
			return errProtocol
		}
		m.seq = n
		return nil
	case "why":
		if json.Unmarshal(value, &m.why) == nil {
			return nil
		}
	}
	return errProtocol
}

// members calls f with each member of an object: its name without quotes, and its
// value. The object must be valid JSON.
func members(object []byte, f func(name, value []byte) error) error {
	if len(object) < 2 || object[0] != '{' {
		return errors.New("it is no object")
	}
	i := space(object, 1)
	for object[i] != '}' {
		end := skip(object, i)
		name := object[i+1 : end-1]
		if bytes.IndexByte(name, '\\') >= 0 {
			var s string
			if err := json.Unmarshal(object[i:end], &s); err != nil {
				return err
			}
			name = []byte(s)
		}
		i = space(object, space(object, end)+1) // over the colon
		end = skip(object, i)
		if err := f(name, object[i:end]); err != nil {
			return err
		}
		if i = space(object, end); object[i] == ',' {
			i = space(object, i+1)
		}
	}
	return nil
}

func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\r' || b[i] == '\n') {
		i++
	}
	return i
}

// skip returns the end of the value of valid JSON that begins at i.
func skip(b []byte, i int) int {
	switch b[i] {
	case '"':
		for i++; b[i] != '"'; i++ {
			if b[i] == '\\' {
				i++
			}
		}
		return i + 1
	case '{', '[':
		depth := 0
		for {
			switch b[i] {
			case '"':
				i = skip(b, i)
				continue
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
			i++
		}
	}
	for i < len(b) && !bytes.ContainsRune([]byte(",]} \t\r\n"), rune(b[i])) {
		i++
	}
	return i
}

// taken says how the columns of a worker become those that are wanted.
type taken struct {
	columns []recount.Column
	at      map[string]int // column: its number
	to      []int          // number of the column: its place in a row; -1: not wanted
	width   int
}

func takenOf(columns, wanted []recount.Column) (taken, error) {
	t := taken{columns: columns, at: map[string]int{}, to: make([]int, len(columns)), width: len(wanted)}
	for i, c := range columns {
		t.at[c.Name], t.to[i] = i, -1
	}
	for place, w := range wanted {
		i, ok := t.at[w.Name]
		if !ok {
			return t, fmt.Errorf("the worker has no column %q", w.Name)
		}
		t.to[i] = place
	}
	return t, nil
}

// row reads a row. All columns are checked, also those that are not wanted.
func (t taken) row(body []byte) ([]recount.Value, error) {
	values := make([]recount.Value, t.width)
	seen := make([]bool, len(t.columns))
	err := members(body, func(name, text []byte) error {
		i, ok := t.at[string(name)]
		if !ok {
			return fmt.Errorf("its row has the column %q, which its first line does not name", clip(string(name)))
		}
		if seen[i] {
			return fmt.Errorf("its row has the column %q twice", clip(string(name)))
		}
		seen[i] = true
		v, err := readValue(t.columns[i].Type, text)
		if err != nil {
			return fmt.Errorf("column %s: %w", t.columns[i].Name, err)
		}
		if t.to[i] >= 0 {
			values[t.to[i]] = v
		}
		return nil
	})
	if err != nil {
		if len(body) == 0 || body[0] != '{' {
			return nil, errors.New("its row is no object")
		}
		return nil, err
	}
	for i, ok := range seen {
		if !ok {
			return nil, fmt.Errorf("its row lacks the column %q: where there is no value, it is null", t.columns[i].Name)
		}
	}
	return values, nil
}

// readValue reads a value of JSON as one of a type: no other type is taken for it.
func readValue(t recount.Type, text []byte) (recount.Value, error) {
	if string(text) == "null" {
		return recount.Null, nil
	}
	if t.Kind == recount.KindJSON {
		canonical, err := recount.Canonical(t, string(text))
		return recount.Text(canonical), err
	}
	wrong := fmt.Errorf("%s is no %s", clip(string(text)), t)
	spelled := string(text)
	switch text[0] {
	case '{', '[':
		return recount.Value{}, wrong
	case 't', 'f':
		if t.Kind != recount.KindBool {
			return recount.Value{}, wrong
		}
		return recount.Text(spelled), nil
	case '"':
		if t.Kind == recount.KindBool {
			return recount.Value{}, wrong
		}
		if bytes.IndexByte(text, '\\') < 0 {
			spelled = spelled[1 : len(spelled)-1]
		} else if err := json.Unmarshal(text, &spelled); err != nil {
			return recount.Value{}, err
		}
	default:
		if t.Kind != recount.KindInt64 && t.Kind != recount.KindDecimal && t.Kind != recount.KindDouble {
			return recount.Value{}, wrong
		}
	}
	canonical, err := recount.Canonical(t, spelled)
	if err != nil {
		return recount.Value{}, err
	}
	return recount.Text(canonical), nil
}

// readEffect reads an effect: its kind and key are texts, its payload any JSON.
func readEffect(m message) (recount.Effect, error) {
	e := recount.Effect{Seq: m.seq}
	fault := errors.New(`its effect is not {"kind":…,"key":…,"payload":…}`)
	var payload []byte
	err := members(m.body, func(name, value []byte) error {
		switch string(name) {
		case "kind":
			return json.Unmarshal(value, &e.Kind)
		case "key":
			return json.Unmarshal(value, &e.Key)
		case "payload":
			payload = value
			return nil
		}
		return fault
	})
	if err != nil || e.Kind == "" {
		return e, fault
	}
	if payload == nil {
		payload = []byte("null")
	}
	e.Payload, err = canonicalJSON(payload)
	return e, err
}

// canonicalJSON sorts keys and takes out spaces; numbers keep their digits.
func canonicalJSON(text []byte) ([]byte, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var value any
	if err := dec.Decode(&value); err != nil {
		return nil, err
	}
	return compactJSON(value)
}

func compactJSON(value any) ([]byte, error) {
	line, err := jsonLine(value)
	return bytes.TrimSuffix(line, []byte("\n")), err
}

// jsonLine is a value as a line of JSON, without escapes that no reader needs.
func jsonLine(value any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(value)
	return b.Bytes(), err
}
