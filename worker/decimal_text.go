package worker

import (
	"bytes"
	"fmt"
	"math/big"
	"math/bits"
	"unicode/utf8"
)

// AppendText appends what String returns, as encoding.TextAppender asks.
func (d Decimal) AppendText(b []byte) ([]byte, error) { return d.append(b), nil }

// MarshalText spells the number, for JSON and other texts.
func (d Decimal) MarshalText() ([]byte, error) { return d.append(nil), nil }

// UnmarshalText reads what MarshalText writes.
func (d *Decimal) UnmarshalText(text []byte) error {
	read, err := ParseDecimal(string(text))
	if err != nil {
		return err
	}
	*d = read
	return nil
}

// UnmarshalJSON reads a number as a text, as it is written, or as a JSON number.
func (d *Decimal) UnmarshalJSON(b []byte) error {
	if bytes.Equal(b, []byte("null")) {
		return nil
	}
	if n := len(b); n >= 2 && b[0] == '"' && b[n-1] == '"' {
		b = b[1 : n-1]
	}
	return d.UnmarshalText(b)
}

var ten = big.NewInt(10)

func pow10(n int) *big.Int { return new(big.Int).Exp(ten, big.NewInt(int64(n)), nil) }

// big is the number without its point.
func (d Decimal) big() *big.Int {
	n := new(big.Int).Lsh(big.NewInt(d.hi), 64)
	return n.Add(n, new(big.Int).SetUint64(d.lo))
}

func (d Decimal) rat() *big.Rat { return new(big.Rat).SetFrac(d.big(), pow10(int(d.scale))) }

var most = new(big.Int).Sub(pow10(maxScale), big.NewInt(1))

func fromBig(n *big.Int, scale int) (Decimal, bool) {
	if n.CmpAbs(most) > 0 {
		return Decimal{}, false
	}
	abs := new(big.Int).Abs(n)
	d := Decimal{hi: new(big.Int).Rsh(abs, 64).Int64(), lo: new(big.Int).And(abs, new(big.Int).SetUint64(1<<64-1)).Uint64(), scale: uint8(scale)}
	if n.Sign() < 0 {
		d = d.Neg()
	}
	return d, true
}

// fromRat rounds half away from zero.
func fromRat(r *big.Rat, scale int, overflow func()) Decimal {
	if scale < 0 || scale > maxScale {
		panic(fmt.Errorf("a decimal has 0 to %d digits after the point, not %d", maxScale, scale))
	}
	scaled := new(big.Rat).Mul(r, new(big.Rat).SetInt(pow10(scale)))
	twice := new(big.Int).Lsh(new(big.Int).Abs(scaled.Num()), 1)
	twice.Add(twice, scaled.Denom())
	n := twice.Quo(twice, new(big.Int).Lsh(scaled.Denom(), 1))
	if scaled.Sign() < 0 {
		n.Neg(n)
	}
	d, ok := fromBig(n, scale)
	if !ok {
		overflow()
	}
	return d
}

// tens are the powers of ten that an uint64 holds.
var tens = func() (list [20]uint64) {
	list[0] = 1
	for i := 1; i < len(list); i++ {
		list[i] = list[i-1] * 10
	}
	return list
}()

// aligned gives both the digits after the point of the one that has more.
func aligned(a, b Decimal) (Decimal, Decimal, bool) {
	var ok bool
	if a.scale < b.scale {
		a, ok = a.rescaled(int(b.scale))
	} else {
		b, ok = b.rescaled(int(a.scale))
	}
	return a, b, ok
}

// rescaled gives d that many digits after the point; false where digits would be
// lost or do not fit.
func (d Decimal) rescaled(scale int) (Decimal, bool) {
	by := scale - int(d.scale)
	if by == 0 {
		return d, true
	}
	if n, ok := d.small(); ok && by > 0 && by < len(tens) {
		if hi, lo := bits.Mul64(magnitude(n), tens[by]); hi == 0 && lo < 1<<63 {
			up := Decimal{lo: lo, scale: uint8(scale)}
			if n < 0 {
				up = up.Neg()
			}
			return up, true
		}
	}
	n := d.big()
	if by > 0 {
		return fromBig(n.Mul(n, pow10(by)), scale)
	}
	q, r := new(big.Int).QuoRem(n, pow10(-by), new(big.Int))
	if r.Sign() != 0 {
		return Decimal{}, false
	}
	return fromBig(q, scale)
}

func clip(s string) string {
	const longest = 60
	if len(s) <= longest {
		return s
	}
	cut := longest
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
