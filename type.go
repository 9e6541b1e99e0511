package recount

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Kind names a family of values.
type Kind string

// The kinds of a typed column. They are the words of `fields` in recount.yaml.
const (
	KindString    Kind = "string"
	KindInt64     Kind = "int64"
	KindDouble    Kind = "double"
	KindDecimal   Kind = "decimal"
	KindBool      Kind = "bool"
	KindTimestamp Kind = "timestamp"
	KindDate      Kind = "date"
	KindJSON      Kind = "json"
)

// Type is a kind with its parameters. Precision and Scale count decimal digits
// and belong to KindDecimal alone; MaxLen counts characters and belongs to
// KindString alone (0: no limit). Form and Step belong to columns of a database:
// Step is how finely a time column stores (0: to the microsecond).
type Type struct {
	Kind      Kind
	Precision int
	Scale     int
	MaxLen    int
	Form      Form
	Step      time.Duration
}

// Decimal returns the type decimal(precision,scale).
func Decimal(precision, scale int) Type {
	return Type{Kind: KindDecimal, Precision: precision, Scale: scale}
}

// MaxPrecision is the largest number of digits of a decimal, that of Parquet,
// Arrow and DuckDB.
const MaxPrecision = 38

// ParseType reads a type as recount.yaml spells it: string, int64, double,
// decimal(p,s), bool, timestamp, date or json.
func ParseType(s string) (Type, error) {
	text := strings.ToLower(strings.TrimSpace(s))
	switch k := Kind(text); k {
	case KindString, KindInt64, KindDouble, KindBool, KindTimestamp, KindDate, KindJSON:
		return Type{Kind: k}, nil
	case KindDecimal:
		return Type{}, fmt.Errorf("type %q needs its digits, such as decimal(18,2)", s)
	}
	inner, ok := strings.CutPrefix(text, "decimal(")
	inner, closed := strings.CutSuffix(inner, ")")
	precision, scale, two := strings.Cut(inner, ",")
	if !ok || !closed || !two {
		return Type{}, fmt.Errorf("unknown type %q: use string, int64, double, decimal(p,s), bool, timestamp, date or json", s)
	}
	p, errP := strconv.Atoi(strings.TrimSpace(precision))
	d, errD := strconv.Atoi(strings.TrimSpace(scale))
	if errP != nil || errD != nil || p < 1 || p > MaxPrecision || d < 0 || d > p {
		return Type{}, fmt.Errorf("type %q: decimal(p,s) needs 1 <= p <= %d and 0 <= s <= p", s, MaxPrecision)
	}
	return Decimal(p, d), nil
}

// String returns the type as recount.yaml spells it.
func (t Type) String() string {
	if t.Kind == KindDecimal {
		return fmt.Sprintf("decimal(%d,%d)", t.Precision, t.Scale)
	}
	return string(t.Kind)
}

// Field is one typed column of a stream: what `fields` in recount.yaml declares.
// Path is the payload's column name, or a JSON path that begins with "$.".
type Field struct {
	Name string
	Type Type
	Path string
}

// reservedColumns are those of the envelope and of the archive itself.
var reservedColumns = []string{
	"id", "stream", "type", "partition", "position", "time", "ingest_time", "key", "data", "headers", "seq", "fault", "hit",
}

// ReservedColumn says whether a declared field cannot have that name, since a
// column of the envelope or of the archive has it. Case does not count: SQL
// does not see it.
func ReservedColumn(name string) bool {
	return slices.ContainsFunc(reservedColumns, func(r string) bool { return strings.EqualFold(r, name) })
}

// Column is one column of a result or of a live table.
type Column struct {
	Name     string
	Type     Type
	Declared string // the type as the database spells it; empty for results
	Nullable bool
	// Generated says that the database computes the value, so that nothing
	// may write it.
	Generated bool
}

// Form is the spelling that a database gives the values of a column whose kind
// alone does not say it. Both sides of a comparison are brought to it, so that
// what the database would store alike is no difference.
type Form string

// The forms; a type without one keeps texts as they are.
const (
	FormUUID    Form = "uuid"    // of KindString: lower case, with hyphens
	FormBytes   Form = "bytes"   // of KindString: \x and hex digits in lower case
	FormNumeric Form = "numeric" // of KindString: a number of any length, without an exponent
	FormSingle  Form = "single"  // of KindDouble: as near as 32 bits come
	FormInt16   Form = "int16"   // of KindInt64: a number of 16 bits
	FormInt32   Form = "int32"   // of KindInt64: a number of 32 bits
	FormJSONB   Form = "jsonb"   // of KindJSON: members sorted, the last of equal names, numbers without exponents
)

// Formed returns the canonical text of t as a column of t's Form and Step stores
// it. A text that the form does not know stays as it is.
func (t Type) Formed(text string) string {
	switch t.Form {
	case FormUUID:
		return formedUUID(text)
	case FormBytes:
		if digits, ok := strings.CutPrefix(text, `\x`); ok {
			if b, err := hex.DecodeString(digits); err == nil {
				return `\x` + hex.EncodeToString(b)
			}
		}
	case FormNumeric:
		if plain, ok := plainNumber(text); ok {
			return plain
		}
	case FormSingle:
		if f, err := strconv.ParseFloat(text, single); err == nil && !math.IsNaN(f) && !math.IsInf(f, 0) {
			if f == 0 {
				return "0"
			}
			return strconv.FormatFloat(f, 'g', -1, single)
		}
	case FormInt16, FormInt32:
	case FormJSONB:
		if sorted, err := formedJSON(text, false); err == nil {
			return sorted
		}
	}
	if t.Kind == KindTimestamp && t.Step > 0 {
		if at, err := ParseTimestamp(text); err == nil {
			return FormatTimestamp(at.Round(t.Step))
		}
	}
	return text
}

// single is the width of a FormSingle.
const single = 32

// within says whether a canonical text lies in what t's form can hold.
func (t Type) within(text string) bool {
	var err error
	switch t.Form {
	case FormInt16:
		_, err = strconv.ParseInt(text, 10, 16)
	case FormInt32:
		_, err = strconv.ParseInt(text, 10, 32)
	case FormSingle:
		_, err = strconv.ParseFloat(text, single)
	case FormUUID, FormBytes, FormNumeric, FormJSONB:
	}
	return err == nil
}

// StepOf is the Step of a time column that keeps so many digits of a second.
func StepOf(digits int) time.Duration {
	step := time.Second
	for range digits {
		step /= 10
	}
	return step
}

func formedUUID(text string) string {
	digits := strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(text, "{"), "}"))
	digits = strings.ReplaceAll(digits, "-", "")
	b, err := hex.DecodeString(digits)
	const size = 16
	if err != nil || len(b) != size {
		return text
	}
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// plainNumber spells a number without an exponent, all its digits kept.
func plainNumber(text string) (string, bool) {
	mantissa, exponent, hasExp := strings.Cut(strings.ToLower(text), "e")
	body, neg := strings.CutPrefix(mantissa, "-")
	whole, frac, _ := strings.Cut(body, ".")
	if whole == "" || !allDigits(whole) || !allDigits(frac) {
		return text, false
	}
	if hasExp {
		e, err := strconv.Atoi(exponent)
		if err != nil || e > maxExponent || e < -maxExponent {
			return text, false
		}
		whole, frac = shifted(whole, frac, e)
	}
	whole = strings.TrimLeft(whole, "0")
	if whole == "" {
		whole = "0"
	}
	if frac != "" {
		frac = "." + frac
	}
	if neg && strings.Trim(whole+frac, "0.") != "" {
		whole = "-" + whole
	}
	return whole + frac, true
}

// shifted moves a number's point by e digits.
func shifted(whole, frac string, e int) (string, string) {
	if e >= 0 {
		frac += strings.Repeat("0", max(e-len(frac), 0))
		return whole + frac[:e], frac[e:]
	}
	whole = strings.Repeat("0", max(-e-len(whole), 0)) + whole
	cut := len(whole) + e
	return whole[:cut], whole[cut:] + frac
}

// SameJSON says whether two texts are one JSON value: neither blanks, nor the
// order of an object's members, nor the spelling of a number or of a text count.
func SameJSON(a, b string) bool {
	if a == b {
		return true
	}
	x, errX := formedJSON(a, true)
	y, errY := formedJSON(b, true)
	return errX == nil && errY == nil && x == y
}

// formedJSON writes JSON as jsonb does, without its blanks. trim takes the zeros
// at a number's end away, which jsonb keeps and does not compare.
func formedJSON(text string, trim bool) (string, error) {
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	var b strings.Builder
	if err := writeJSON(&b, dec, trim); err != nil {
		return "", err
	}
	if _, err := dec.Token(); err != io.EOF {
		return "", fmt.Errorf("%q is more than one JSON value", clip(text))
	}
	return b.String(), nil
}

func writeJSON(b *strings.Builder, dec *json.Decoder, trim bool) error {
	token, err := dec.Token()
	if err != nil {
		return fmt.Errorf("read JSON: %w", err)
	}
	switch v := token.(type) {
	case json.Delim:
		if v == '{' {
			return writeObject(b, dec, trim)
		}
		return writeArray(b, dec, trim)
	case json.Number:
		plain, ok := plainNumber(v.String())
		if ok && trim && strings.Contains(plain, ".") {
			plain = strings.TrimSuffix(strings.TrimRight(plain, "0"), ".")
		}
		b.WriteString(plain)
	case string:
		writeText(b, v)
	case bool:
		b.WriteString(strconv.FormatBool(v))
	case nil:
		b.WriteString("null")
	}
	return nil
}

func writeArray(b *strings.Builder, dec *json.Decoder, trim bool) error {
	b.WriteByte('[')
	for i := 0; dec.More(); i++ {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := writeJSON(b, dec, trim); err != nil {
			return err
		}
	}
	b.WriteByte(']')
	_, err := dec.Token()
	return err
}

func writeObject(b *strings.Builder, dec *json.Decoder, trim bool) error {
	members := map[string]string{}
	var names []string
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return fmt.Errorf("read JSON: %w", err)
		}
		name, ok := token.(string)
		if !ok {
			return fmt.Errorf("a member's name is a %T", token)
		}
		var value strings.Builder
		if err := writeJSON(&value, dec, trim); err != nil {
			return err
		}
		if _, known := members[name]; !known {
			names = append(names, name)
		}
		members[name] = value.String()
	}
	if _, err := dec.Token(); err != nil {
		return fmt.Errorf("read JSON: %w", err)
	}
	slices.SortFunc(names, func(x, y string) int { // shorter names first, as jsonb keeps them
		if len(x) != len(y) {
			return len(x) - len(y)
		}
		return strings.Compare(x, y)
	})
	b.WriteByte('{')
	for i, name := range names {
		if i > 0 {
			b.WriteByte(',')
		}
		writeText(b, name)
		b.WriteByte(':')
		b.WriteString(members[name])
	}
	b.WriteByte('}')
	return nil
}

// writeText escapes what PostgreSQL escapes, and nothing else.
func writeText(b *strings.Builder, s string) {
	var out bytes.Buffer
	out.WriteByte('"')
	short := map[rune]string{'"': `\"`, '\\': `\\`, '\b': `\b`, '\f': `\f`, '\n': `\n`, '\r': `\r`, '\t': `\t`}
	for _, r := range s {
		if text, ok := short[r]; ok {
			out.WriteString(text)
			continue
		}
		if r < ' ' {
			fmt.Fprintf(&out, `\u%04x`, r)
			continue
		}
		out.WriteRune(r)
	}
	out.WriteByte('"')
	b.Write(out.Bytes())
}
