package payload

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"recount"
)

var (
	errNotUTF8 = errors.New("the text is not valid UTF-8")
	errNested  = errors.New("it is an object or an array")
)

// value returns a field's canonical text.
func (d *Decoder) value(s *Scratch, w *want, r raw) (text string, null bool, err error) {
	switch r.kind {
	case rawAbsent, rawUnknown:
		return "", true, nil
	case rawBadText:
		return "", true, errNotUTF8
	case rawText:
		if d.format == CSV && !r.json && r.text == "" && w.typ.Kind != recount.KindString {
			return "", true, nil
		}
	case rawNumber, rawBool, rawNested:
	}
	text, err = d.canonical(s, w.typ, r)
	return text, err != nil, err
}

func (d *Decoder) canonical(s *Scratch, t recount.Type, r raw) (string, error) {
	switch t.Kind {
	case recount.KindJSON:
		return d.canonicalJSON(r)
	case recount.KindTimestamp:
		at, err := d.parseTime(s, r, d.mapping.TimeUnit)
		if err != nil {
			return "", err
		}
		s.stamp = at.AppendFormat(s.stamp[:0], "2006-01-02T15:04:05.999999Z")
		return s.Text(s.stamp), nil
	case recount.KindString, recount.KindInt64, recount.KindDouble, recount.KindDecimal, recount.KindBool, recount.KindDate:
	}
	if r.kind == rawNested {
		return "", fmt.Errorf("%w, no %s", errNested, t)
	}
	if r.kind == rawBool && t.Kind != recount.KindBool && t.Kind != recount.KindString {
		return "", fmt.Errorf("%s is no %s", r.text, t)
	}
	if t.Kind == recount.KindString {
		if !r.sound && !utf8.ValidString(r.text) {
			return "", errNotUTF8
		}
		return r.text, nil
	}
	text, err := recount.Canonical(t, r.text)
	if err != nil && t.Kind == recount.KindInt64 && r.kind == rawNumber {
		return wholeNumber(r.text, err)
	}
	return text, err
}

// wholeNumber reads a JSON number such as 1e3 or 5.0, which is whole whatever
// its spelling.
func wholeNumber(text string, err error) (string, error) {
	whole, errWhole := recount.Canonical(recount.Decimal(recount.MaxPrecision, 0), text)
	if errWhole != nil {
		return "", err
	}
	n, ok := new(big.Int).SetString(whole, 10)
	if !ok || !n.IsInt64() {
		return "", err
	}
	return n.String(), nil
}

// canonicalJSON returns the value as JSON text. A text of CSV, or a column of
// text that a row was derived from, holds JSON; in JSON the value itself is it.
func (d *Decoder) canonicalJSON(r raw) (string, error) {
	text := r.text
	if r.kind == rawText && r.json {
		quoted, err := recount.Text(r.text).MarshalJSON()
		if err != nil {
			return "", err
		}
		text = string(quoted)
	}
	if !utf8.ValidString(text) {
		return "", errNotUTF8
	}
	return recount.Canonical(recount.Type{Kind: recount.KindJSON}, text)
}

// word returns a text of the envelope; "" and a fault where it is none.
func (d *Decoder) word(s *Scratch, w *want, r raw) string {
	switch r.kind {
	case rawText, rawNumber, rawBool:
		if !r.sound && !utf8.ValidString(r.text) {
			s.blame("%s: %s", w.name, errNotUTF8)
			return ""
		}
		return r.text
	case rawNested:
		s.blame("%s: %s, no text", w.name, errNested)
	case rawBadText:
		s.blame("%s: %s", w.name, errNotUTF8)
	case rawAbsent, rawUnknown:
	}
	return ""
}

// key returns the bytes of the key; nil where there is none.
func (d *Decoder) key(s *Scratch, r raw) []byte {
	switch r.kind {
	case rawAbsent, rawUnknown:
		return nil
	case rawBadText:
		s.blame("key: %s", errNotUTF8)
		return nil
	case rawNested:
		if d.format == Derived {
			var binary struct {
				Base64 string `json:"base64"`
			}
			if json.Unmarshal([]byte(r.text), &binary) == nil && binary.Base64 != "" {
				if b, err := base64.StdEncoding.DecodeString(binary.Base64); err == nil {
					return b
				}
			}
		}
	case rawText, rawNumber, rawBool:
	}
	return s.bytes(r.text)
}

// The zero time means "unknown" in many systems, ours among them, and a year of
// five digits has no folder.
var (
	earliest = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	latest   = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC).Unix()
)

// parseTime reads an instant, truncated to microseconds. A number counts the
// unit since 1970; a text may carry an offset, else it is meant in the
// mapping's zone.
func (d *Decoder) parseTime(s *Scratch, r raw, unit recount.TimeUnit) (time.Time, error) {
	switch r.kind {
	case rawText, rawNumber:
	case rawBadText:
		return time.Time{}, errNotUTF8
	case rawNested:
		return time.Time{}, fmt.Errorf("%w, no time", errNested)
	case rawBool, rawAbsent, rawUnknown:
		return time.Time{}, fmt.Errorf("%s is no time", quote(r.text))
	}
	at, err := d.parseInstant(s, r, unit)
	if err != nil {
		return time.Time{}, err
	}
	if at.Nanosecond()%int(time.Microsecond) != 0 {
		at = at.Truncate(time.Microsecond)
	}
	if at.Unix() < earliest || at.Unix() > latest || at.IsZero() {
		return time.Time{}, fmt.Errorf("%s is out of range", quote(r.text))
	}
	return at, nil
}

func (d *Decoder) parseInstant(s *Scratch, r raw, unit recount.TimeUnit) (time.Time, error) {
	if r.kind == rawNumber || unit != recount.UnitText && isNumber(r.text) {
		if unit == recount.UnitText {
			return time.Time{}, fmt.Errorf("%s is a number, and no unit (s, ms, us, ns) was given", quote(r.text))
		}
		return epoch(r.text, unit)
	}
	zone := d.mapping.Zone
	if zone == nil || zone == time.UTC {
		return recount.ParseLocal(r.text, zone)
	}
	wall, offset, err := recount.ParseWall(r.text)
	if err != nil {
		return time.Time{}, err
	}
	if offset {
		return wall, nil
	}
	return s.local(wall, zone)
}

func isNumber(text string) bool {
	return text != "" && strings.Trim(text, "+-.0123456789eE") == "" && strings.Trim(text, "+-.eE") != ""
}

// microsPer says how many microseconds a unit has, as a power of ten.
var microsPer = map[recount.TimeUnit]int{recount.UnitS: 6, recount.UnitMS: 3, recount.UnitUS: 0, recount.UnitNS: -3}

// epoch reads a number of units since 1970, also one with a fraction, and
// truncates it to microseconds. All is done in whole numbers.
func epoch(text string, unit recount.TimeUnit) (time.Time, error) {
	power, ok := microsPer[unit]
	if !ok {
		return time.Time{}, fmt.Errorf("time has unknown unit %q", unit)
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		if at, ok := epochInt(n, power); ok {
			return at, nil
		}
		return time.Time{}, fmt.Errorf("%s is out of range", quote(text))
	}
	const digits = 18 // after the point; more than any clock has
	plain, err := recount.Canonical(recount.Decimal(recount.MaxPrecision, digits), text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%s is no number of %s since 1970", quote(text), unit)
	}
	n, ok := new(big.Int).SetString(strings.Replace(plain, ".", "", 1), 10)
	if !ok {
		return time.Time{}, fmt.Errorf("%s is no number of %s since 1970", quote(text), unit)
	}
	// Div rounds down for a positive divisor, as Truncate does for instants.
	n.Div(n, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(digits-power)), nil))
	if !n.IsInt64() {
		return time.Time{}, fmt.Errorf("%s is out of range", quote(text))
	}
	return time.UnixMicro(n.Int64()).UTC(), nil
}

func epochInt(n int64, power int) (time.Time, bool) {
	const farthest = 400_000_000_000 // seconds; beyond the year 9999 either way
	switch power {
	case 6:
		return time.Unix(n, 0).UTC(), n < farthest && n > -farthest
	case 3:
		return time.UnixMilli(n).UTC(), n < farthest*1000 && n > -farthest*1000
	case 0:
		return time.UnixMicro(n).UTC(), n < farthest*1000_000 && n > -farthest*1000_000
	}
	return time.Unix(0, n).UTC(), true
}
