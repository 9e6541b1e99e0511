package views

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"

	"recount"
)

// decimal is an exact decimal number: n / 10^scale.
type decimal struct {
	n     *big.Int
	scale int
}

// maxDigits bounds what is worth computing with; longer numbers are shown as
// they stand.
const maxDigits = 400

// parseDecimal reads a plain or exponent spelling exactly; false for anything
// else, such as NaN.
func parseDecimal(text string) (decimal, bool) {
	mantissa, exponent, hasExponent := strings.Cut(strings.ToLower(text), "e")
	digits, neg := strings.CutPrefix(mantissa, "-")
	if !neg {
		digits = strings.TrimPrefix(digits, "+")
	}
	whole, frac, _ := strings.Cut(digits, ".")
	if whole+frac == "" || len(whole)+len(frac) > maxDigits || strings.Trim(whole+frac, "0123456789") != "" {
		return decimal{}, false
	}
	n, ok := new(big.Int).SetString(whole+frac, 10)
	if !ok {
		return decimal{}, false
	}
	if neg {
		n.Neg(n)
	}
	scale := len(frac)
	if hasExponent {
		e, err := strconv.Atoi(exponent)
		if err != nil || e > maxDigits || e < -maxDigits {
			return decimal{}, false
		}
		if scale -= e; scale < 0 {
			n.Mul(n, tenTo(-scale))
			scale = 0
		}
	}
	return decimal{n: n, scale: scale}, true
}

func tenTo(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

func (d decimal) at(scale int) *big.Int {
	return new(big.Int).Mul(d.n, tenTo(scale-d.scale))
}

// minus returns d - e under the finer of the two scales.
func (d decimal) minus(e decimal) decimal {
	scale := max(d.scale, e.scale)
	return decimal{n: new(big.Int).Sub(d.at(scale), e.at(scale)), scale: scale}
}

// absCompare compares the sizes without their signs.
func (d decimal) absCompare(e decimal) int {
	scale := max(d.scale, e.scale)
	return d.at(scale).CmpAbs(e.at(scale))
}

func (d decimal) text() string {
	digits := new(big.Int).Abs(d.n).String()
	if len(digits) <= d.scale {
		digits = strings.Repeat("0", d.scale-len(digits)+1) + digits
	}
	s := digits
	if d.scale > 0 {
		s = digits[:len(digits)-d.scale] + "." + digits[len(digits)-d.scale:]
	}
	if d.n.Sign() < 0 {
		s = "-" + s
	}
	return s
}

// grouped puts thousands separators into a number; other text stays as it is.
func grouped(text string) string {
	body, neg := strings.CutPrefix(text, "-")
	whole, frac, point := strings.Cut(body, ".")
	if whole == "" || strings.Trim(whole+frac, "0123456789") != "" {
		return text
	}
	var b strings.Builder
	if neg {
		b.WriteByte('-')
	}
	for i, r := range whole {
		if i > 0 && (len(whole)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(r)
	}
	if point {
		b.WriteString("." + frac)
	}
	return b.String()
}

// signed is grouped with its sign always shown; nothing has none.
func signed(text string) string {
	if d, ok := parseDecimal(text); ok && d.n.Sign() > 0 {
		return "+" + grouped(strings.TrimPrefix(text, "+"))
	}
	return grouped(text)
}

func count(n int64) string { return grouped(strconv.FormatInt(n, 10)) }

func decimalCount(n int64) string { return strconv.FormatInt(n, 10) }

// counted is n with its noun: "1 row", "2 rows".
func counted(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return count(n) + " " + noun + "s"
}

// percent is part of whole to a tenth, rounded, never 0 for something and never
// 100 for less than all.
func percent(part, whole int64) string {
	if whole <= 0 {
		return ""
	}
	tenths := new(big.Int).Mul(big.NewInt(part), big.NewInt(2000))
	tenths.Add(tenths, big.NewInt(whole))
	tenths.Quo(tenths, new(big.Int).Mul(big.NewInt(whole), big.NewInt(2)))
	n := tenths.Int64()
	switch {
	case n == 0 && part > 0:
		return "under 0.1 %"
	case n == 1000 && part < whole:
		return "over 99.9 %"
	}
	return fmt.Sprintf("%d.%d %%", n/10, n%10)
}

func size(bytes int64) string {
	const unit = 1024
	if bytes < unit {
		return fmt.Sprintf("%d B", bytes)
	}
	tenths, name := bytes*10/unit, "KiB"
	for _, next := range []string{"MiB", "GiB", "TiB"} {
		if tenths < unit*10 {
			break
		}
		tenths, name = tenths/unit, next
	}
	return fmt.Sprintf("%d.%d %s", tenths/10, tenths%10, name)
}

// took shows a duration as a person says it.
func took(ms int64) string {
	switch d := time.Duration(ms) * time.Millisecond; {
	case d < time.Second:
		return fmt.Sprintf("%d ms", ms)
	case d < time.Minute:
		return fmt.Sprintf("%d.%d s", ms/1000, ms%1000/100)
	default:
		return fmt.Sprintf("%d min %d s", ms/60000, ms%60000/1000)
	}
}

// numeric says whether a column's values are numbers.
func numeric(c recount.PlanColumn) bool {
	t, err := recount.ParseType(c.Type)
	if err != nil {
		return false
	}
	return t.Kind == recount.KindInt64 || t.Kind == recount.KindDecimal || t.Kind == recount.KindDouble
}

// difference is after minus before of one column; an absent row or NULL counts
// as nothing. False where a side is no number, or both are absent.
func difference(before, after *recount.Value) (decimal, bool) {
	side := func(v *recount.Value) (decimal, bool, bool) {
		if v == nil || v.Null {
			return decimal{n: new(big.Int)}, false, true
		}
		d, ok := parseDecimal(v.Text)
		return d, true, ok
	}
	b, hasBefore, okBefore := side(before)
	a, hasAfter, okAfter := side(after)
	if !okBefore || !okAfter || !hasBefore && !hasAfter {
		return decimal{}, false
	}
	return a.minus(b), true
}

// short is the first of an id's digits, enough for a person to tell it.
func short(id string) string {
	const digits = 8
	if len(id) > digits && strings.Trim(id, "0123456789abcdef") == "" {
		return id[:digits]
	}
	return id
}

// instant shows a moment to a person, in UTC.
func instant(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format("2006-01-02 15:04 UTC")
}
