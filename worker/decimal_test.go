package worker_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"recount/worker"
)

// decimals draws numbers of all sizes, most of them near an edge.
func decimals() *rapid.Generator[worker.Decimal] {
	return rapid.Custom(func(t *rapid.T) worker.Decimal {
		digits := rapid.OneOf(
			rapid.StringMatching(`[0-9]{1,4}`), rapid.StringMatching(`[0-9]{17,20}`), rapid.StringMatching(`[0-9]{36,38}`),
			rapid.Just("99999999999999999999999999999999999999"), rapid.Just("9223372036854775808"), rapid.Just("18446744073709551616"),
		).Draw(t, "digits")
		scale := rapid.IntRange(0, len(digits)).Draw(t, "scale")
		text := digits[:len(digits)-scale]
		if scale > 0 {
			text += "." + digits[len(digits)-scale:]
		}
		if rapid.Bool().Draw(t, "negative") {
			text = "-" + text
		}
		d, err := worker.ParseDecimal(text)
		if err != nil {
			t.Fatalf("parse %q: %v", text, err)
		}
		return d
	})
}

func rat(d worker.Decimal) *big.Rat {
	r, ok := new(big.Rat).SetString(d.String())
	if !ok {
		panic(d.String())
	}
	return r
}

// try runs an operation that may overflow.
func try(f func() worker.Decimal) (d worker.Decimal, err error) {
	defer func() {
		if what := recover(); what != nil {
			err = what.(error)
		}
	}()
	return f(), nil
}

var limit = new(big.Int).Exp(big.NewInt(10), big.NewInt(38), nil)

// holds says whether a number with that many digits after the point is a Decimal.
func holds(r *big.Rat, scale int) bool {
	scaled := new(big.Rat).Mul(r, new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil)))
	return scale <= 38 && scaled.IsInt() && scaled.Num().CmpAbs(limit) < 0
}

func TestDecimalsAgreeWithBigNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, e := decimals().Draw(t, "d"), decimals().Draw(t, "e")
		scale := max(d.Scale(), e.Scale())
		for _, c := range []struct {
			name  string
			run   func() worker.Decimal
			want  *big.Rat
			scale int
		}{
			{"+", func() worker.Decimal { return d.Add(e) }, new(big.Rat).Add(rat(d), rat(e)), scale},
			{"-", func() worker.Decimal { return d.Sub(e) }, new(big.Rat).Sub(rat(d), rat(e)), scale},
			{"*", func() worker.Decimal { return d.Mul(e) }, new(big.Rat).Mul(rat(d), rat(e)), d.Scale() + e.Scale()},
			{"neg", d.Neg, new(big.Rat).Neg(rat(d)), d.Scale()},
			{"abs", d.Abs, new(big.Rat).Abs(rat(d)), d.Scale()},
		} {
			got, err := try(c.run)
			switch {
			case err != nil && !errors.Is(err, worker.ErrOverflow):
				t.Fatalf("%s %s %s: %v", d, c.name, e, err)
			case err != nil && holds(c.want, c.scale):
				t.Fatalf("%s %s %s: got %v, want %s", d, c.name, e, err, c.want.FloatString(c.scale))
			case err == nil && rat(got).Cmp(c.want) != 0:
				t.Fatalf("%s %s %s: got %s, want %s", d, c.name, e, got, c.want.FloatString(40))
			case err == nil && c.scale <= 38 && got.Scale() != c.scale:
				t.Fatalf("%s %s %s: got %s with %d digits after the point, want %d", d, c.name, e, got, got.Scale(), c.scale)
			}
		}
		if got, want := d.Cmp(e), rat(d).Cmp(rat(e)); got != want || d.Equal(e) != (want == 0) || d.Less(e) != (want < 0) {
			t.Fatalf("%s cmp %s: got %d, want %d", d, e, got, want)
		}
		if got, want := d.Sign(), rat(d).Sign(); got != want || d.IsZero() != (want == 0) {
			t.Fatalf("sign of %s: got %d, want %d", d, got, want)
		}
	})
}

func TestDecimalsRoundHalfAwayFromZero(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, e, scale := decimals().Draw(t, "d"), decimals().Draw(t, "e"), rapid.IntRange(0, 38).Draw(t, "scale")
		check := func(name string, exact *big.Rat, run func() worker.Decimal) {
			got, err := try(run)
			// What big.Rat prints is rounded half away from zero.
			want, _ := new(big.Rat).SetString(exact.FloatString(scale))
			switch {
			case err != nil && !errors.Is(err, worker.ErrOverflow):
				t.Fatalf("%s: %v", name, err)
			case err != nil && holds(want, scale):
				t.Fatalf("%s: got %v, want %s", name, err, want.FloatString(scale))
			case err == nil && (rat(got).Cmp(want) != 0 || got.Scale() != scale):
				t.Fatalf("%s: got %s, want %s", name, got, want.FloatString(scale))
			}
		}
		check(fmt.Sprintf("round %s to %d", d, scale), rat(d), func() worker.Decimal { return d.Round(scale) })
		if !e.IsZero() {
			check(fmt.Sprintf("%s / %s to %d", d, e, scale), new(big.Rat).Quo(rat(d), rat(e)), func() worker.Decimal { return d.Quo(e, scale) })
		}
	})
}

func TestDecimalsAreSpelledAndReadAlike(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := decimals().Draw(t, "d")
		again, err := worker.ParseDecimal(d.String())
		if err != nil || again != d {
			t.Fatalf("%s read again: got %s, %v", d, again, err)
		}
		text, err := json.Marshal(struct{ D worker.Decimal }{d})
		if err != nil {
			t.Fatal(err)
		}
		var back struct{ D worker.Decimal }
		if err := json.Unmarshal(text, &back); err != nil || back.D != d {
			t.Fatalf("%s through JSON %s: got %s, %v", d, text, back.D, err)
		}
		if n, ok := d.Int64(); ok {
			if want := rat(d); !want.IsInt() || !want.Num().IsInt64() || want.Num().Int64() != n {
				t.Fatalf("%s as int64: got %d", d, n)
			}
		} else if whole := rat(d); whole.IsInt() && whole.Num().IsInt64() {
			t.Fatalf("%s fits int64", d)
		}
	})
}

func FuzzParseDecimal(f *testing.F) {
	for _, s := range []string{"0", "-0.00", "+1.50", " 7 ", ".5", "1.", "1e3", "--1", "+-1", "0x1", strings.Repeat("9", 38), strings.Repeat("9", 39), "0." + strings.Repeat("0", 39), ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := worker.ParseDecimal(s)
		if err != nil {
			return
		}
		want, ok := new(big.Rat).SetString(strings.TrimSpace(s))
		if !ok || rat(d).Cmp(want) != 0 {
			t.Errorf("parse %q: got %s", s, d)
		}
	})
}

func TestADivisionByZeroPanics(t *testing.T) {
	if _, err := try(func() worker.Decimal { return worker.NewDecimal(1, 0).Quo(worker.Decimal{}, 2) }); err == nil || !strings.Contains(err.Error(), "division by zero") {
		t.Errorf("1/0: got %v", err)
	}
	if _, err := try(func() worker.Decimal { return worker.NewDecimal(1, 39) }); err == nil {
		t.Error("39 digits after the point: got no error")
	}
}

func BenchmarkDecimalAdd(b *testing.B) {
	sum, d := worker.NewDecimal(0, 2), worker.NewDecimal(1250, 2)
	for b.Loop() {
		sum = sum.Add(d)
	}
}
