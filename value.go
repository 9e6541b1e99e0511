package recount

import (
	"bytes"
	"crypto/md5" //nolint:gosec // a checksum that databases can compute too, no signature
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Value is one value as text. Which text stands for which value is fixed by its
// column's Type; Canonical gives the one spelling of each.
type Value struct {
	Null bool
	Text string
}

// Null is the absent value.
var Null = Value{Null: true}

// Text returns the value that s spells.
func Text(s string) Value { return Value{Text: s} }

// String shows the value to a person: NULL stands for the absent one.
func (v Value) String() string {
	if v.Null {
		return "NULL"
	}
	return v.Text
}

// MarshalJSON writes null or the text as a string, so that no reader rounds a
// number.
func (v Value) MarshalJSON() ([]byte, error) {
	if v.Null {
		return []byte("null"), nil
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v.Text); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// UnmarshalJSON reads what MarshalJSON writes.
func (v *Value) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*v = Null
		return nil
	}
	v.Null = false
	return json.Unmarshal(b, &v.Text)
}

// ErrInexact says that a value cannot be held without losing digits.
var ErrInexact = errors.New("digits would be lost")

// Canonical returns the one spelling of text under t, or an error if text is no
// value of t. A decimal with more digits after the point than t's scale is
// ErrInexact; zeros do not count. Source of the forms: docs/adr/0003.
func Canonical(t Type, text string) (string, error) {
	switch t.Kind {
	case KindString:
		return text, nil
	case KindInt64:
		if plainInt(text) {
			return text, nil
		}
		n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
		if err != nil {
			return "", fmt.Errorf("%q is no int64", clip(text))
		}
		return strconv.FormatInt(n, 10), nil
	case KindDouble:
		return canonicalDouble(text)
	case KindDecimal:
		if plainDecimal(t, text) {
			return text, nil
		}
		return canonicalDecimal(t, text, false)
	case KindBool:
		return canonicalBool(text)
	case KindTimestamp:
		at, err := ParseTimestamp(text)
		if err != nil {
			return "", err
		}
		return FormatTimestamp(at), nil
	case KindDate:
		at, err := time.Parse(time.DateOnly, strings.TrimSpace(text))
		if err != nil {
			return "", fmt.Errorf("%q is no date such as 2024-06-10", clip(text))
		}
		return at.Format(time.DateOnly), nil
	case KindJSON:
		var b bytes.Buffer
		if err := json.Compact(&b, []byte(text)); err != nil {
			return "", fmt.Errorf("%q is no JSON", clip(text))
		}
		return b.String(), nil
	}
	return "", fmt.Errorf("value has unknown kind %q", t.Kind)
}

// plainInt says that text is canonical already, which most numbers are.
func plainInt(text string) bool {
	digits := strings.TrimPrefix(text, "-")
	const safe = 18 // any number of so many digits is an int64
	if digits == "" || len(digits) > safe || !allDigits(digits) {
		return false
	}
	return digits[0] != '0' || text == "0"
}

// plainDecimal says that text is canonical already.
func plainDecimal(t Type, text string) bool {
	digits := strings.TrimPrefix(text, "-")
	if t.Scale > 0 {
		point := len(digits) - t.Scale - 1
		if point < 1 || digits[point] != '.' || !allDigits(digits[point+1:]) {
			return false
		}
		digits = digits[:point]
	}
	if digits == "" || !allDigits(digits) {
		return false
	}
	if digits == "0" {
		// -0.00 is spelled 0.00, and a leading zero is no digit of its own.
		return text[0] != '-'
	}
	return digits[0] != '0' && len(digits) <= t.Precision-t.Scale
}

// Rounded is Canonical, but a decimal with too many digits after the point is
// rounded to t's scale, half away from zero, and t's form is kept. It is how a
// stored value is compared; nothing rounded is ever bound in a guard.
func Rounded(t Type, text string) (string, error) {
	if t.Kind == KindDecimal {
		return canonicalDecimal(t, text, true)
	}
	canonical, err := Canonical(t, text)
	if err == nil && (t.Form != "" || t.Step > 0) {
		canonical = t.Formed(canonical)
	}
	return canonical, err
}

func canonicalDouble(text string) (string, error) {
	f, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil {
		// Too large is an error as well: a number must not turn into Infinity.
		return "", fmt.Errorf("%q is no double", clip(text))
	}
	switch {
	case math.IsNaN(f):
		return "NaN", nil
	case math.IsInf(f, 1):
		return "Infinity", nil
	case math.IsInf(f, -1):
		return "-Infinity", nil
	case f == 0: // -0 and 0 are one value
		return "0", nil
	}
	return strconv.FormatFloat(f, 'g', -1, 64), nil
}

func canonicalBool(text string) (string, error) {
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "true", "t", "1", "yes":
		return "true", nil
	case "false", "f", "0", "no":
		return "false", nil
	}
	return "", fmt.Errorf("%q is no bool", clip(text))
}

// canonicalDecimal has a fast way for the plain spelling (digits and a point)
// and leaves exponents and very long numbers to math/big.
func canonicalDecimal(t Type, text string, round bool) (string, error) {
	s := strings.TrimSpace(text)
	body, neg := strings.CutPrefix(s, "-")
	if !neg {
		body = strings.TrimPrefix(body, "+")
	}
	whole, frac, _ := strings.Cut(body, ".")
	if whole == "" && frac == "" || !allDigits(whole) || !allDigits(frac) {
		return bigDecimal(t, s, round)
	}
	for len(frac) > t.Scale && frac[len(frac)-1] == '0' {
		frac = frac[:len(frac)-1]
	}
	if len(frac) > t.Scale {
		return bigDecimal(t, s, round)
	}
	digits := strings.TrimLeft(whole, "0")
	if len(digits) > t.Precision-t.Scale {
		return "", fmt.Errorf("%q does not fit %s", clip(text), t)
	}
	// Most texts are canonical already: they cost no new one. Nothing was cut off
	// them, they have their digits after the point, and no zero before.
	plain := !neg && body == text && len(frac) == t.Scale && (whole == digits || whole == "0") && whole != ""
	if plain && len(text) == len(whole)+min(1, t.Scale)+t.Scale {
		return text, nil
	}
	whole = digits
	return joinDecimal(neg, whole, frac, t.Scale), nil
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

func joinDecimal(neg bool, whole, frac string, scale int) string {
	if neg && strings.Trim(whole, "0") == "" && strings.Trim(frac, "0") == "" {
		neg = false
	}
	var b strings.Builder
	b.Grow(len(whole) + scale + 3)
	if neg {
		b.WriteByte('-')
	}
	if whole == "" {
		whole = "0"
	}
	b.WriteString(whole)
	if scale > 0 {
		b.WriteByte('.')
		b.WriteString(frac)
		for range scale - len(frac) {
			b.WriteByte('0')
		}
	}
	return b.String()
}

// maxExponent bounds the work that a hostile number such as 1e999999999 can
// cause: no decimal of 38 digits needs more.
const maxExponent = 400

func bigDecimal(t Type, s string, round bool) (string, error) {
	mantissa, exponent, hasExp := strings.Cut(strings.ToLower(s), "e")
	if len(mantissa) > 1<<12 || strings.Trim(mantissa, "+-.0123456789") != "" {
		return "", fmt.Errorf("%q is no decimal", clip(s))
	}
	if hasExp {
		if e, err := strconv.Atoi(exponent); err != nil || e > maxExponent || e < -maxExponent {
			return "", fmt.Errorf("%q is no decimal", clip(s))
		}
	}
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		return "", fmt.Errorf("%q is no decimal", clip(s))
	}
	scaled := new(big.Rat).Mul(r, new(big.Rat).SetInt(pow10(t.Scale)))
	if !scaled.IsInt() && !round {
		return "", fmt.Errorf("%q as %s: %w", clip(s), t, ErrInexact)
	}
	n := roundRat(scaled)
	digits := new(big.Int).Abs(n).String()
	if len(digits) > t.Precision && digits != "0" {
		return "", fmt.Errorf("%q does not fit %s", clip(s), t)
	}
	if len(digits) <= t.Scale {
		digits = strings.Repeat("0", t.Scale-len(digits)+1) + digits
	}
	cut := len(digits) - t.Scale
	return joinDecimal(n.Sign() < 0, strings.TrimLeft(digits[:cut], "0"), digits[cut:], t.Scale), nil
}

func pow10(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

// roundRat rounds half away from zero.
func roundRat(r *big.Rat) *big.Int {
	two := big.NewInt(2)
	n := new(big.Int).Mul(new(big.Int).Abs(r.Num()), two)
	n.Add(n, r.Denom())
	n.Quo(n, new(big.Int).Mul(r.Denom(), two))
	if r.Sign() < 0 {
		n.Neg(n)
	}
	return n
}

func clip(s string) string {
	const most = 60
	if len(s) <= most {
		return s
	}
	cut := most
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

// Checksum is the checksum of a row: MD5 over its values, each framed by its
// length, NULL explicit, so that no two rows share a text. Values must be
// canonical. MD5 because PostgreSQL, MySQL and DuckDB compute it too.
func Checksum(values []Value) string {
	sum := ChecksumBytes(values)
	return hex.EncodeToString(sum[:])
}

// ChecksumBytes is Checksum as bytes.
func ChecksumBytes(values []Value) [md5.Size]byte {
	var stack [256]byte
	b := stack[:0]
	for _, v := range values {
		if v.Null {
			b = append(b, 'N', ';')
			continue
		}
		b = strconv.AppendInt(b, int64(len(v.Text)), 10)
		b = append(b, ':')
		b = append(b, v.Text...)
		b = append(b, ';')
	}
	return md5.Sum(b) //nolint:gosec // see Checksum
}

// number reads a decimal text exactly and counts its digits after the point.
func number(text string) (*big.Rat, int, error) {
	s := strings.ToLower(strings.TrimSpace(text))
	mantissa, exponent, hasExp := strings.Cut(s, "e")
	fault := fmt.Errorf("%q is no number", clip(text))
	if mantissa == "" || len(mantissa) > 1<<12 || strings.Trim(mantissa, "+-.0123456789") != "" {
		return nil, 0, fault
	}
	_, frac, _ := strings.Cut(mantissa, ".")
	digits := len(frac)
	if hasExp {
		e, err := strconv.Atoi(exponent)
		if err != nil || e > maxExponent || e < -maxExponent {
			return nil, 0, fault
		}
		digits = max(digits-e, 0)
	}
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		return nil, 0, fault
	}
	return r, digits, nil
}

// Sum adds two numbers exactly. It has as many digits after the point as the one
// that has more. What is no number, NaN and infinity too, is an error.
func Sum(a, b string) (string, error) {
	x, digits, err := number(a)
	if err != nil {
		return "", err
	}
	y, more, err := number(b)
	if err != nil {
		return "", err
	}
	return x.Add(x, y).FloatString(max(digits, more)), nil
}

// Negated is the number with the other sign, exactly.
func Negated(a string) (string, error) {
	x, digits, err := number(a)
	if err != nil {
		return "", err
	}
	return x.Neg(x).FloatString(digits), nil
}

// SameNumber says whether two texts spell one number.
func SameNumber(a, b string) bool {
	x, _, errX := number(a)
	y, _, errY := number(b)
	return errX == nil && errY == nil && x.Cmp(y) == 0
}

// Numeric says whether values of the type are numbers, which a delta can add to.
func (t Type) Numeric() bool {
	return t.Kind == KindInt64 || t.Kind == KindDecimal || t.Kind == KindDouble
}

// ParseSize reads a number of bytes such as 256MiB; the least is 1MiB.
func ParseSize(text string) (int64, error) {
	const leastMiB, mostMiB = 1, 1 << 24
	digits := strings.TrimRight(text, "KMGTiB")
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return 0, errors.New("a size is a whole number with its unit: KiB, MiB or GiB")
	}
	shift, ok := map[string]int{"KiB": 10, "MiB": 20, "GiB": 30}[strings.TrimPrefix(text, digits)]
	if !ok {
		return 0, errors.New("the unit is KiB, MiB or GiB")
	}
	if n < 0 || n > mostMiB || n<<shift < leastMiB<<20 {
		return 0, errors.New("it must be 1MiB or more")
	}
	return n << shift, nil
}
