package worker

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"math/bits"
	"strconv"
	"strings"

	"recount"
)

// Decimal is an exact decimal number of at most 38 digits: a whole number of 128
// bits and the count of its digits after the point. The zero Decimal is 0.
// Arithmetic is exact; a result that does not fit panics with an error that is
// ErrOverflow, as a division by zero does in Go: within a step it ends the
// event, never the program, and no number ever wraps. Compare with Cmp or Equal:
// 1.5 and 1.50 are one number, but not one struct.
type Decimal struct {
	hi    int64
	lo    uint64
	scale uint8
}

// ErrOverflow says that a number needs more than the 38 digits of a Decimal.
var ErrOverflow = errors.New("the number does not fit 38 digits")

// maxScale is the most digits after the point.
const maxScale = recount.MaxPrecision

// NewDecimal returns units divided by ten to the scale: NewDecimal(1250, 2) is
// 12.50. It panics where scale is not from 0 to 38.
func NewDecimal(units int64, scale int) Decimal {
	if scale < 0 || scale > maxScale {
		panic(fmt.Errorf("a decimal has 0 to %d digits after the point, not %d", maxScale, scale))
	}
	return Decimal{hi: units >> 63, lo: uint64(units), scale: uint8(scale)}
}

// RawDecimal returns the 128-bit number hi·2⁶⁴+lo divided by ten to the scale, as
// Arrow and Parquet keep it. It is for engines.
func RawDecimal(hi int64, lo uint64, scale int) Decimal {
	return Decimal{hi: hi, lo: lo, scale: uint8(scale)}
}

// ParseDecimal reads a number such as -12.50. All its digits after the point are
// kept, zeros too.
func ParseDecimal(text string) (Decimal, error) {
	s := strings.TrimSpace(text)
	body := strings.TrimPrefix(strings.TrimPrefix(s, "-"), "+")
	whole, frac, pointed := strings.Cut(body, ".")
	if whole+frac == "" || strings.Trim(whole+frac, "0123456789") != "" || len(s)-len(body) > 1 || pointed && frac == "" {
		return Decimal{}, fmt.Errorf("%q is no decimal number such as 12.50", clip(text))
	}
	if len(frac) > maxScale {
		return Decimal{}, fmt.Errorf("%q: %w", clip(text), ErrOverflow)
	}
	n, ok := new(big.Int).SetString(whole+frac, 10)
	if !ok {
		return Decimal{}, fmt.Errorf("%q is no decimal number such as 12.50", clip(text))
	}
	if strings.HasPrefix(s, "-") {
		n.Neg(n)
	}
	d, ok := fromBig(n, len(frac))
	if !ok {
		return Decimal{}, fmt.Errorf("%q: %w", clip(text), ErrOverflow)
	}
	return d, nil
}

// MustDecimal is ParseDecimal for texts that stand in the program. It panics where
// text is no number.
func MustDecimal(text string) Decimal {
	d, err := ParseDecimal(text)
	if err != nil {
		panic(err)
	}
	return d
}

// Scale is the number of digits after the point.
func (d Decimal) Scale() int { return int(d.scale) }

// Sign is -1, 0 or 1.
func (d Decimal) Sign() int {
	switch {
	case d.hi < 0:
		return -1
	case d.hi == 0 && d.lo == 0:
		return 0
	}
	return 1
}

// IsZero says whether d is 0.
func (d Decimal) IsZero() bool { return d.hi == 0 && d.lo == 0 }

// The largest number of 38 digits, 10³⁸-1.
const (
	maxHi = 0x4B3B4CA85A86C47A
	maxLo = 0x098A223FFFFFFFFF
)

// fits says whether the number has 38 digits at most.
func fits(hi int64, lo uint64) bool {
	if hi < 0 {
		borrow := uint64(0)
		lo, borrow = bits.Sub64(0, lo, 0)
		hi = int64(-uint64(hi) - borrow)
		if hi < 0 {
			return false // -2¹²⁷
		}
	}
	return hi < maxHi || hi == maxHi && lo <= maxLo
}

func (d Decimal) overflow(act string, e Decimal) {
	panic(fmt.Errorf("%s %s %s: %w", d, act, e, ErrOverflow))
}

// Add returns d+e, with the digits after the point of the one that has more.
func (d Decimal) Add(e Decimal) Decimal {
	a, b := d, e
	if a.scale != b.scale {
		var ok bool
		if a, b, ok = aligned(a, b); !ok {
			return d.addBig(e)
		}
	}
	lo, carry := bits.Add64(a.lo, b.lo, 0)
	hi := int64(uint64(a.hi) + uint64(b.hi) + carry)
	// Both have 38 digits at most, so that their sum cannot leave 128 bits unseen.
	if (a.hi^hi)&(b.hi^hi) < 0 || !fits(hi, lo) {
		d.overflow("+", e)
	}
	return Decimal{hi: hi, lo: lo, scale: a.scale}
}

// addBig is Add where the digits after the point of one number are too many for
// the other, but may be right for the sum.
func (d Decimal) addBig(e Decimal) Decimal {
	scale := int(max(d.scale, e.scale))
	a, b := d.big(), e.big()
	a.Mul(a, pow10(scale-int(d.scale)))
	b.Mul(b, pow10(scale-int(e.scale)))
	sum, ok := fromBig(a.Add(a, b), scale)
	if !ok {
		d.overflow("+", e)
	}
	return sum
}

// Sub returns d-e.
func (d Decimal) Sub(e Decimal) Decimal { return d.Add(e.Neg()) }

// Neg returns -d.
func (d Decimal) Neg() Decimal {
	lo, borrow := bits.Sub64(0, d.lo, 0)
	return Decimal{hi: int64(-uint64(d.hi) - borrow), lo: lo, scale: d.scale}
}

// Abs returns d without its sign.
func (d Decimal) Abs() Decimal {
	if d.hi < 0 {
		return d.Neg()
	}
	return d
}

// Mul returns d·e. Its digits after the point are those of both, but zeros at the
// end are dropped where it has more than 38.
func (d Decimal) Mul(e Decimal) Decimal {
	scale := int(d.scale) + int(e.scale)
	if a, ok := d.small(); ok && scale <= maxScale {
		if b, ok := e.small(); ok {
			hi, lo := bits.Mul64(magnitude(a), magnitude(b))
			product := Decimal{hi: int64(hi), lo: lo, scale: uint8(scale)}
			if (a < 0) != (b < 0) {
				product = product.Neg()
			}
			if fits(product.hi, product.lo) {
				return product
			}
		}
	}
	n := new(big.Int).Mul(d.big(), e.big())
	for scale > maxScale {
		q, r := new(big.Int).QuoRem(n, ten, new(big.Int))
		if r.Sign() != 0 {
			d.overflow("*", e)
		}
		n, scale = q, scale-1
	}
	product, ok := fromBig(n, scale)
	if !ok {
		d.overflow("*", e)
	}
	return product
}

// MulInt returns d·n, with d's digits after the point.
func (d Decimal) MulInt(n int64) Decimal { return d.Mul(NewDecimal(n, 0)) }

// Quo returns d/e with scale digits after the point, rounded half away from
// zero. It panics where e is 0.
func (d Decimal) Quo(e Decimal, scale int) Decimal {
	if e.IsZero() {
		panic(fmt.Errorf("%s / 0: division by zero", d))
	}
	return fromRat(new(big.Rat).Quo(d.rat(), e.rat()), scale, func() { d.overflow("/", e) })
}

// Round returns d with scale digits after the point, rounded half away from zero.
func (d Decimal) Round(scale int) Decimal {
	if same, ok := d.rescaled(scale); ok {
		return same
	}
	return fromRat(d.rat(), scale, func() { panic(fmt.Errorf("round %s to %d digits: %w", d, scale, ErrOverflow)) })
}

// Cmp is -1 where d<e, 0 where they are equal, and 1 where d>e.
func (d Decimal) Cmp(e Decimal) int {
	if d.scale != e.scale {
		a, b, ok := aligned(d, e)
		if !ok {
			return d.rat().Cmp(e.rat())
		}
		d, e = a, b
	}
	switch {
	case d.hi != e.hi:
		if d.hi < e.hi {
			return -1
		}
		return 1
	case d.lo < e.lo:
		return -1
	case d.lo > e.lo:
		return 1
	}
	return 0
}

// Equal says whether d and e are one number.
func (d Decimal) Equal(e Decimal) bool { return d.Cmp(e) == 0 }

// Less says whether d<e.
func (d Decimal) Less(e Decimal) bool { return d.Cmp(e) < 0 }

// Float64 is the double that is nearest to d.
func (d Decimal) Float64() float64 {
	f, _ := d.rat().Float64()
	return f
}

// Int64 is d as a whole number; false where it has a part after the point or does
// not fit.
func (d Decimal) Int64() (int64, bool) {
	whole, ok := d.rescaled(0)
	if !ok {
		return 0, false
	}
	return whole.small()
}

// String spells the number with all its digits after the point.
func (d Decimal) String() string { return string(d.append(nil)) }

func (d Decimal) append(b []byte) []byte {
	n, small := d.small()
	var digits []byte
	var stack [48]byte
	if small && n != math.MinInt64 {
		digits = strconv.AppendUint(stack[:0], magnitude(n), 10)
	} else {
		digits = new(big.Int).Abs(d.big()).Append(stack[:0], 10)
	}
	if d.hi < 0 {
		b = append(b, '-')
	}
	point := len(digits) - int(d.scale)
	if point <= 0 {
		b = append(b, '0')
	} else {
		b = append(b, digits[:point]...)
	}
	if d.scale == 0 {
		return b
	}
	b = append(b, '.')
	for ; point < 0; point++ {
		b = append(b, '0')
	}
	return append(b, digits[point:]...)
}

// small is the number without its point, where it fits an int64.
func (d Decimal) small() (int64, bool) {
	return int64(d.lo), d.hi == int64(d.lo)>>63
}

func magnitude(n int64) uint64 {
	if n < 0 {
		return -uint64(n)
	}
	return uint64(n)
}
