package solve

import (
	"math"
	"math/bits"
)

// wide is a signed integer of 128 bits. 2^31 amounts of 64 bits each, a few times
// over, stay far within it.
type wide struct {
	hi int64
	lo uint64
}

func widen(n int64) wide { return wide{n >> 63, uint64(n)} }

func (w wide) add(v wide) wide {
	lo, carry := bits.Add64(w.lo, v.lo, 0)
	return wide{w.hi + v.hi + int64(carry), lo}
}

func (w wide) neg() wide {
	lo, carry := bits.Add64(^w.lo, 1, 0)
	return wide{^w.hi + int64(carry), lo}
}

func (w wide) sub(v wide) wide { return w.add(v.neg()) }

// times multiplies by a small factor.
func (w wide) times(n int64) wide {
	if n < 0 {
		return w.times(-n).neg()
	}
	hi, lo := bits.Mul64(w.lo, uint64(n))
	return wide{w.hi*n + int64(hi), lo}
}

func (w wide) zero() bool { return w.hi == 0 && w.lo == 0 }

// narrow returns w as an int64, and whether it is one.
func (w wide) narrow() (int64, bool) {
	n := int64(w.lo)
	return n, w.hi == n>>63
}

// sign returns -1, 0 or 1.
func (w wide) sign() int {
	switch {
	case w.hi < 0:
		return -1
	case w.zero():
		return 0
	}
	return 1
}

// float returns the nearest float64, or one beside it.
func (w wide) float() float64 { return math.Ldexp(float64(w.hi), 64) + float64(w.lo) }
