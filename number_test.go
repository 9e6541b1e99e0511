package recount_test

import (
	"fmt"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"recount"
)

func TestSumsAreExact(t *testing.T) {
	for _, c := range [][3]string{
		{"0.1", "0.2", "0.3"},
		{"1912.40", "-912.4", "1000.00"},
		{"9223372036854775807", "1", "9223372036854775808"},
		{"-0.00", "0", "0.00"},
		{"1e-7", "1", "1.0000001"},
		{"1E2", "0.5", "100.5"},
		{"99999999999999999999999999999999999999", "0.01", "99999999999999999999999999999999999999.01"},
	} {
		if got, err := recount.Sum(c[0], c[1]); err != nil || got != c[2] {
			t.Errorf("%s + %s: got %s, %v, want %s", c[0], c[1], got, err, c[2])
		}
	}
	for _, bad := range []string{"", "NaN", "Infinity", "1/3", "0x10", "1e999999999", "a", "--1", "1_000"} {
		if got, err := recount.Sum(bad, "1"); err == nil {
			t.Errorf("%q + 1: got %s, want an error", bad, got)
		}
		if recount.SameNumber(bad, bad) {
			t.Errorf("%q was taken for a number", bad)
		}
	}
}

func TestWhatIsAddedIsTakenAwayAgain(t *testing.T) {
	number := rapid.Custom(func(rt *rapid.T) string {
		scale := rapid.IntRange(0, 12).Draw(rt, "scale")
		n := big.NewRat(rapid.Int64().Draw(rt, "digits"), 1)
		return n.Quo(n, new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil))).FloatString(scale)
	})
	rapid.Check(t, func(rt *rapid.T) {
		a, b := number.Draw(rt, "a"), number.Draw(rt, "b")
		sum, err := recount.Sum(a, b)
		minus, err2 := recount.Negated(b)
		if err != nil || err2 != nil {
			rt.Fatal(err, err2)
		}
		if back, err := recount.Sum(sum, minus); err != nil || !recount.SameNumber(back, a) {
			rt.Errorf("%s + %s - %[2]s: got %s, %v", a, b, back, err)
		}
	})
}

func ExampleSum() {
	total, err := recount.Sum("1912.40", "-912.4")
	fmt.Println(total, err)
	// Output: 1000.00 <nil>
}
