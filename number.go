package recount

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

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
