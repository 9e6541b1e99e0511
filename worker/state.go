package worker

import (
	"bytes"
	"crypto/sha256"
	"encoding"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// A state is kept as text: the digest of its type, a space, and JSON, or base64
// where the type has a binary form of its own. A state of another type is refused
// by the digest, before anything reads it.

var (
	binaryOut = reflect.TypeFor[encoding.BinaryMarshaler]()
	binaryIn  = reflect.TypeFor[encoding.BinaryUnmarshaler]()
	jsonOut   = reflect.TypeFor[json.Marshaler]()
	jsonIn    = reflect.TypeFor[json.Unmarshaler]()
	textOut   = reflect.TypeFor[encoding.TextMarshaler]()
	textIn    = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// codec writes and reads states of one type.
type codec struct {
	shape  string // a digest; empty: states cannot be kept, for why
	why    string
	binary bool
}

// codecOf finds out how a state can be kept so that it comes back whole.
func codecOf(t reflect.Type) codec {
	c := codec{binary: both(t, binaryOut, binaryIn)}
	shape := &shaper{}
	if c.binary {
		shape.write("binary %s.%s", t.PkgPath(), t.Name())
	} else if err := shape.add(t, "State"); err != nil {
		return codec{why: err.Error()}
	}
	sum := sha256.Sum256([]byte(shape.text.String()))
	c.shape = hex.EncodeToString(sum[:6])
	return c
}

func both(t, out, in reflect.Type) bool {
	return (t.Implements(out) || reflect.PointerTo(t).Implements(out)) && reflect.PointerTo(t).Implements(in)
}

// shaper spells a type as far as JSON sees it.
type shaper struct {
	text strings.Builder
	open []reflect.Type
}

func (s *shaper) write(format string, args ...any) { fmt.Fprintf(&s.text, format, args...) }

// add spells t, or says what of it JSON would lose.
func (s *shaper) add(t reflect.Type, at string) error {
	if slices.Contains(s.open, t) {
		s.write("^%s", t.Name())
		return nil
	}
	if both(t, jsonOut, jsonIn) && !t.Implements(nullableType) || both(t, textOut, textIn) {
		s.write("own %s.%s", t.PkgPath(), t.Name())
		return nil
	}
	s.open = append(s.open, t)
	defer func() { s.open = s.open[:len(s.open)-1] }()
	switch t.Kind() {
	case reflect.Bool, reflect.String, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		s.write("%s", t.Kind())
		return nil
	case reflect.Pointer:
		s.write("*")
		return s.add(t.Elem(), at)
	case reflect.Slice:
		s.write("[]")
		return s.add(t.Elem(), at+"[]")
	case reflect.Array:
		s.write("[%d]", t.Len())
		return s.add(t.Elem(), at+"[]")
	case reflect.Map:
		s.write("map[")
		if err := s.add(t.Key(), at+" (a map's key)"); err != nil {
			return err
		}
		s.write("]")
		return s.add(t.Elem(), at+"[]")
	case reflect.Struct:
		return s.addStruct(t, at)
	case reflect.Invalid, reflect.Uintptr, reflect.Complex64, reflect.Complex128, reflect.Chan, reflect.Func, reflect.Interface, reflect.UnsafePointer:
	}
	return fmt.Errorf("%s is a %s, which JSON cannot bring back", at, t)
}

func (s *shaper) addStruct(t reflect.Type, at string) error {
	s.write("{")
	for f := range t.Fields() {
		name := at + "." + f.Name
		words := f.Tag.Get("json")
		switch {
		case words == "-":
			return fmt.Errorf("%s is left out of JSON by its tag", name)
		case !f.IsExported() && !f.Anonymous:
			return fmt.Errorf("%s is not exported, so that JSON leaves it out", name)
		}
		s.write("%s `%s` ", f.Name, words)
		if err := s.add(f.Type, name); err != nil {
			return err
		}
		s.write(";")
	}
	s.write("}")
	return nil
}

// encode spells a state; s points to it.
func (c codec) encode(s any) ([]byte, error) {
	if c.shape == "" {
		return nil, fmt.Errorf("the state cannot be kept: %s", c.why)
	}
	out := append([]byte(c.shape), ' ')
	if m, ok := s.(encoding.BinaryMarshaler); ok && c.binary {
		raw, err := m.MarshalBinary()
		if err != nil {
			return nil, fmt.Errorf("write the state: %w", err)
		}
		return base64.StdEncoding.AppendEncode(out, raw), nil
	}
	text, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("write the state: %w", err)
	}
	if brokenText(text) {
		return nil, errors.New("the state holds a text that is not UTF-8, which JSON cannot bring back; keep it as []byte")
	}
	return append(out, text...), nil
}

// brokenText says that JSON stands for a text that was no UTF-8: only such is
// escaped as U+FFFD.
func brokenText(text []byte) bool {
	const mark = `\ufffd`
	for {
		i := bytes.Index(text, []byte(mark))
		if i < 0 {
			return false
		}
		before := len(text[:i]) - len(bytes.TrimRight(text[:i], `\`))
		if before%2 == 0 {
			return true
		}
		text = text[i+len(mark):]
	}
}

// ErrState says that a text is no state of the fold, most often since the type of
// its state was changed. It is for engines.
var ErrState = errors.New("it is no state of this fold")

// decode reads what encode wrote into s, which points to a zero state.
func (c codec) decode(text []byte, s any) error {
	shape, body, ok := bytes.Cut(text, []byte(" "))
	if !ok || len(shape) != 12 {
		return fmt.Errorf("%q: %w", clip(string(text)), ErrState)
	}
	if string(shape) != c.shape {
		return fmt.Errorf("%w: the type of the state is another than it was", ErrState)
	}
	if u, ok := s.(encoding.BinaryUnmarshaler); ok && c.binary {
		raw, err := base64.StdEncoding.AppendDecode(nil, body)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrState, err)
		}
		if err := u.UnmarshalBinary(raw); err != nil {
			return fmt.Errorf("%w: %w", ErrState, err)
		}
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(s); err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	return nil
}
