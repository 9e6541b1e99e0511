package effects

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Canonical spells JSON so that equal values are equal texts: members sorted, no
// spaces, numbers without idle digits. What is no JSON is one text, what is no text
// the hexadecimal of its bytes.
func Canonical(payload []byte) string {
	if !utf8.Valid(payload) {
		return spell(fmt.Sprintf("bytes %x", payload))
	}
	v, err := decode(payload)
	if err != nil {
		v = string(payload)
	}
	return spell(v)
}

func decode(payload []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(payload))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one value")
	}
	return v, nil
}

func spell(v any) string {
	var b strings.Builder
	write(&b, v)
	return b.String()
}

func write(b *strings.Builder, v any) {
	switch v := v.(type) {
	case map[string]any:
		b.WriteByte('{')
		for i, name := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				b.WriteByte(',')
			}
			quote(b, name)
			b.WriteByte(':')
			write(b, v[name])
		}
		b.WriteByte('}')
	case []any:
		b.WriteByte('[')
		for i, item := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			write(b, item)
		}
		b.WriteByte(']')
	case json.Number:
		b.WriteString(number(v.String()))
	case string:
		quote(b, v)
	case bool:
		b.WriteString(strconv.FormatBool(v))
	default:
		b.WriteString("null")
	}
}

func quote(b *strings.Builder, text string) {
	var line bytes.Buffer
	e := json.NewEncoder(&line)
	e.SetEscapeHTML(false)
	_ = e.Encode(text) // a text always has JSON
	b.Write(bytes.TrimSuffix(line.Bytes(), []byte("\n")))
}

// number spells a JSON number by its digits and the power of ten that they are
// multiplied with, so that 12.50, 12.5 and 1.25e1 are one. Numbers of a usual size
// are written out.
func number(text string) string {
	sign := ""
	rest, negative := strings.CutPrefix(text, "-")
	if negative {
		sign = "-"
	}
	mantissa, power, _ := strings.Cut(strings.ToLower(rest), "e")
	exponent := new(big.Int)
	if power != "" {
		if _, ok := exponent.SetString(strings.TrimPrefix(power, "+"), 10); !ok {
			return text
		}
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	exponent.Sub(exponent, big.NewInt(int64(len(fraction))))
	short := strings.TrimRight(digits, "0")
	exponent.Add(exponent, big.NewInt(int64(len(digits)-len(short))))
	if short == "" {
		return "0"
	}
	const usual = 30
	if !exponent.IsInt64() || exponent.Int64() > usual || exponent.Int64() < -usual {
		return sign + short + "e" + exponent.String()
	}
	n := int(exponent.Int64())
	if n >= 0 {
		return sign + short + strings.Repeat("0", n)
	}
	point := len(short) + n
	if point <= 0 {
		return sign + "0." + strings.Repeat("0", -point) + short
	}
	return sign + short[:point] + "." + short[point:]
}

// Members picks what is compared of a payload: the members that compare names, by
// their name or a path such as $.order.total, or all of it where it names none.
func Members(payload string, compare []string) string {
	if len(compare) == 0 {
		return payload
	}
	v, err := decode([]byte(payload))
	if err != nil {
		return payload
	}
	picked := make([]any, len(compare))
	for i, path := range compare {
		picked[i], _ = member(v, steps(path)) // one that is not there is as good as null
	}
	return spell(picked)
}

func steps(path string) []string {
	if rest, ok := strings.CutPrefix(path, "$."); ok {
		return strings.Split(rest, ".")
	}
	return []string{path}
}

func member(v any, path []string) (any, bool) {
	for _, name := range path {
		object, ok := v.(map[string]any)
		if !ok {
			return nil, false
		}
		if v, ok = object[name]; !ok {
			return nil, false
		}
	}
	return v, true
}

// Differ says in which members two payloads differ and what each holds: of
// compare, or of all where it names none. Payloads that are no objects differ as a
// whole.
func Differ(right, sent string, compare []string) string {
	a, errA := decode([]byte(right))
	b, errB := decode([]byte(sent))
	objectA, okA := a.(map[string]any)
	objectB, okB := b.(map[string]any)
	if errA != nil || errB != nil || !okA || !okB {
		return "sent " + clip(sent) + ", right is " + clip(right)
	}
	names := compare
	if len(names) == 0 {
		all := maps.Clone(objectA)
		maps.Copy(all, objectB)
		names = slices.Sorted(maps.Keys(all))
	}
	var parts []string
	for _, name := range names {
		path := []string{name}
		if len(compare) > 0 {
			path = steps(name)
		}
		x, inRight := member(a, path)
		y, inSent := member(b, path)
		if spell(x) == spell(y) && (inRight == inSent || len(compare) > 0) {
			continue
		}
		parts = append(parts, fmt.Sprintf("%s: sent %s, right is %s", name, shown(y, inSent), shown(x, inRight)))
	}
	const most = 3
	if more := len(parts) - most; more > 0 {
		parts = append(parts[:most], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(parts, "; ")
}

func shown(v any, there bool) string {
	if !there {
		return "nothing"
	}
	return clip(spell(v))
}

// clip shortens what stands in a reason.
func clip(text string) string {
	const most = 60
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	return string([]rune(text)[:most]) + "…"
}
