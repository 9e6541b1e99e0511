package solve

import (
	"math"
	"math/bits"
	"slices"
)

// Evidence is how many bits shorter the differences are told by a span and the
// keys that it leaves than by naming each key that differs. Chance makes a span
// that saves n bits about once in 2^n logs.
const (
	enoughBits = 32
	// weakBits is where a span is too good to be passed over in silence.
	weakBits = 8
)

func evidence(v *view, factors, unexplained int) float64 {
	name := func(keys int) float64 { return choose(v.keys, keys) + float64(keys)*differenceBits(v) }
	span := 2*math.Log2(float64(len(v.part.Keys))+1) + math.Log2(float64(factors))
	return name(len(v.hit)) - name(unexplained) - span
}

// choose returns the bits that it takes to say which k of n.
func choose(n, k int) float64 {
	ln := func(x int) float64 {
		g, _ := math.Lgamma(float64(x) + 1)
		return g
	}
	return (ln(n) - ln(k) - ln(n-k)) / math.Ln2
}

// differenceBits returns the bits that it takes to say how much a key differs,
// of the column where that is most. It is meant to be low: a difference is taken
// for one of those between the first and the ninth tenth of all, and no larger
// than itself; what all have as a common divisor counts as one.
func differenceBits(v *view) float64 {
	most := 0.0
	for _, column := range v.diff {
		var list []int64
		var unit uint64
		for _, key := range v.hit {
			list = append(list, column[key])
			unit = gcd(unit, magnitude(column[key]))
		}
		if unit == 0 {
			continue
		}
		slices.Sort(list)
		tenth := len(list) / 10
		spread := (float64(list[len(list)-1-tenth]) - float64(list[tenth])) / float64(unit)
		sum := 0.0
		for _, d := range list {
			sum += math.Log2(1 + 2*min(spread, float64(magnitude(d))/float64(unit)))
		}
		most = max(most, sum/float64(len(list)))
	}
	return most
}

func magnitude(n int64) uint64 {
	if n < 0 {
		return -uint64(n)
	}
	return uint64(n)
}

// gcd returns the greatest common divisor; gcd(0, n) is n.
func gcd(a, b uint64) uint64 {
	if a == 0 || b == 0 {
		return a | b
	}
	shift := bits.TrailingZeros64(a | b)
	a >>= bits.TrailingZeros64(a)
	for b != 0 {
		b >>= bits.TrailingZeros64(b)
		if a > b {
			a, b = b, a
		}
		b -= a
	}
	return a << shift
}
