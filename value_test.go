package recount_test

import (
	"encoding/json"
	"errors"
	"math/big"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"recount"
)

func kind(k recount.Kind) recount.Type { return recount.Type{Kind: k} }

func TestCanonical(t *testing.T) {
	money, whole := recount.Decimal(18, 2), recount.Decimal(38, 0)
	for _, c := range []struct {
		typ        recount.Type
		text, want string // want "" : an error
	}{
		{kind(recount.KindInt64), "7", "7"},
		{kind(recount.KindInt64), "007", "7"},
		{kind(recount.KindInt64), "+7", "7"},
		{kind(recount.KindInt64), "-0", "0"},
		{kind(recount.KindInt64), " 7 ", "7"},
		{kind(recount.KindInt64), "-9223372036854775808", "-9223372036854775808"},
		{kind(recount.KindInt64), "9223372036854775808", ""},
		{kind(recount.KindInt64), "-", ""},
		{kind(recount.KindInt64), "", ""},
		{kind(recount.KindInt64), "1_000", ""},
		{kind(recount.KindInt64), "٣", ""},
		{money, "28.60", "28.60"},
		{money, "28.6", "28.60"},
		{money, "28", "28.00"},
		{money, "28.", "28.00"},
		{money, ".5", "0.50"},
		{money, "0028.600", "28.60"},
		{money, "-0.00", "0.00"},
		{money, "-0.5", "-0.50"},
		{money, "+1", "1.00"},
		{money, "1e3", "1000.00"},
		{money, "1E-2", "0.01"},
		{money, "-1.5e+1", "-15.00"},
		{money, "9999999999999999.99", "9999999999999999.99"},
		{money, "10000000000000000.00", ""},
		{money, "1.005", ""},
		{money, "1e-3", ""},
		{money, "1e999999999", ""},
		{money, "1e-999999999", ""},
		{money, "0x10", ""},
		{money, "0b1", ""},
		{money, "0o17", ""},
		{money, "1/3", ""},
		{money, "1_0", ""},
		{money, "Inf", ""},
		{money, "NaN", ""},
		{money, "", ""},
		{money, ".", ""},
		{money, "-", ""},
		{money, "--1", ""},
		{money, "1,5", ""},
		{money, "1.2.3", ""},
		{whole, strings.Repeat("9", 38), strings.Repeat("9", 38)},
		{whole, "1" + strings.Repeat("0", 38), ""},
		{recount.Decimal(2, 2), "0.50", "0.50"},
		{recount.Decimal(2, 2), "1.00", ""},
		{kind(recount.KindDouble), "0.1", "0.1"},
		{kind(recount.KindDouble), "1e5", "100000"},
		{kind(recount.KindDouble), "-0", "0"},
		{kind(recount.KindDouble), "nan", "NaN"},
		{kind(recount.KindDouble), "-inf", "-Infinity"},
		{kind(recount.KindDouble), "Infinity", "Infinity"},
		{kind(recount.KindDouble), "1e400", ""},
		{kind(recount.KindDouble), "ten", ""},
		{kind(recount.KindBool), "TRUE", "true"},
		{kind(recount.KindBool), "f", "false"},
		{kind(recount.KindBool), "1", "true"},
		{kind(recount.KindBool), "2", ""},
		{kind(recount.KindDate), "2024-02-29", "2024-02-29"},
		{kind(recount.KindDate), "2023-02-29", ""},
		{kind(recount.KindDate), "10.06.2024", ""},
		{kind(recount.KindTimestamp), "2024-06-10T14:00:00+02:00", "2024-06-10T12:00:00Z"},
		{kind(recount.KindTimestamp), "2024-06-10 12:00:00.120000+00", "2024-06-10T12:00:00.12Z"},
		{kind(recount.KindTimestamp), "2024-06-10 12:00:00", ""},
		{kind(recount.KindJSON), " {\"b\" : 1.50 , \"a\":null} ", `{"b":1.50,"a":null}`},
		{kind(recount.KindJSON), "{}{}", ""},
		{kind(recount.KindString), " as it is ", " as it is "},
		{recount.Type{Kind: "money"}, "1", ""},
	} {
		got, err := recount.Canonical(c.typ, c.text)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s %q: got %q, %v; want %q", c.typ, c.text, got, err, c.want)
		}
	}
	if _, err := recount.Canonical(money, "1.005"); !errors.Is(err, recount.ErrInexact) {
		t.Errorf("1.005 as decimal(18,2): got %v, want ErrInexact", err)
	}
}

func TestRounded(t *testing.T) {
	for text, want := range map[string]string{
		"1.005": "1.01", "-1.005": "-1.01", "1.0049999999": "1.00", "-0.001": "0.00", "0.995": "1.00", "2.5e-3": "0.00", "5e-3": "0.01",
		"28.599999999999998": "28.60", "1": "1.00", "99.995": "", "99.994": "99.99", "x": "",
	} {
		got, err := recount.Rounded(recount.Decimal(4, 2), text)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s: got %q, %v; want %q", text, got, err, want)
		}
	}
}

// decimalOracle is the slow and plain way: big.Rat of a text that has only
// digits, a sign, a point and an exponent.
func decimalOracle(t recount.Type, text string) (string, bool) {
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		return "", false
	}
	scaled := new(big.Rat).Mul(r, new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(t.Scale)), nil)))
	limit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(t.Precision)), nil)
	if !scaled.IsInt() || new(big.Int).Abs(scaled.Num()).Cmp(limit) >= 0 {
		return "", false
	}
	return r.FloatString(t.Scale), true
}

func TestDecimalsAreExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		precision := rapid.IntRange(1, recount.MaxPrecision).Draw(t, "precision")
		typ := recount.Decimal(precision, rapid.IntRange(0, precision).Draw(t, "scale"))
		text := rapid.StringMatching(`[+-]?[0-9]{1,40}(\.[0-9]{0,40})?([eE][+-]?[0-9]{1,2})?|[+-]?\.[0-9]{1,40}`).Draw(t, "text")
		got, err := recount.Canonical(typ, text)
		want, ok := decimalOracle(typ, text)
		if got != want || (err == nil) != ok {
			t.Fatalf("%s %s: got %q, %v; want %q", typ, text, got, err, want)
		}
		rounded, err := recount.Rounded(typ, text)
		if ok && (err != nil || rounded != want) {
			t.Fatalf("%s %s rounded: got %q, %v; want %q", typ, text, rounded, err, want)
		}
	})
}

func TestValueJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := recount.Value{Null: rapid.Bool().Draw(t, "null")}
		if !v.Null {
			v.Text = rapid.String().Draw(t, "text")
		}
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		again := recount.Value{Null: true, Text: "left over"}
		if err := json.Unmarshal(b, &again); err != nil || again != v {
			t.Fatalf("%s: got %+v, %v; want %+v", b, again, err, v)
		}
	})
	if b, err := recount.Text("<&>").MarshalJSON(); err != nil || string(b) != `"<&>"` {
		t.Errorf("got %s, %v; want signs as they are", b, err)
	}
	if recount.Null.String() != "NULL" || recount.Text("NULL").String() != "NULL" {
		t.Error("a person sees NULL")
	}
}

func drawRow(t *rapid.T, name string, n int) []recount.Value {
	row := make([]recount.Value, n)
	for i := range row {
		if row[i].Null = rapid.IntRange(0, 3).Draw(t, name+" null") == 0; !row[i].Null {
			row[i].Text = rapid.StringOfN(rapid.SampledFrom([]rune("aN;:1\x00\x01")), 0, 4, -1).Draw(t, name)
		}
	}
	return row
}

func same(a, b []recount.Value) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return len(a) == len(b)
}

func TestChecksumsAndKeysTellRowsApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 3).Draw(t, "columns")
		a, b := drawRow(t, "a", n), drawRow(t, "b", n)
		if (recount.Checksum(a) == recount.Checksum(b)) != same(a, b) {
			t.Fatalf("checksums of %q and %q: %s and %s", a, b, recount.Checksum(a), recount.Checksum(b))
		}
		if (recount.KeyText(a) == recount.KeyText(b)) != same(a, b) {
			t.Fatalf("texts of keys %q and %q: %q and %q", a, b, recount.KeyText(a), recount.KeyText(b))
		}
	})
	// The text under the checksum is a promise, since databases compute it too:
	// here MD5 of "2:u1;N;0:;".
	got, want := recount.Checksum([]recount.Value{recount.Text("u1"), recount.Null, recount.Text("")}), "7b1259c455c412d2768792bce6636b44"
	if got != want {
		t.Errorf("checksum: got %s, want %s", got, want)
	}
}

func FuzzCanonical(f *testing.F) {
	types := []recount.Type{
		kind(recount.KindString), kind(recount.KindInt64), kind(recount.KindDouble), recount.Decimal(18, 2), recount.Decimal(38, 0), recount.Decimal(38, 38),
		kind(recount.KindBool), kind(recount.KindTimestamp), kind(recount.KindDate), kind(recount.KindJSON),
	}
	for i := range types {
		for _, text := range []string{"", "0", "-0.00", "1e3", "1e-400", "9223372036854775807", "2024-06-10T12:00:00Z", "true", `{"a":[1]}`, "NaN", "0x1p-2", "0o7", strings.Repeat("9", 50)} {
			f.Add(i, text)
		}
	}
	f.Fuzz(func(t *testing.T, i int, text string) {
		typ := types[uint(i)%uint(len(types))]
		got, err := recount.Canonical(typ, text)
		rounded, errRounded := recount.Rounded(typ, text)
		if err != nil {
			if got != "" || !utf8.ValidString(err.Error()) || len(err.Error()) > 400 {
				t.Fatalf("%s %q: got %q with error %q", typ, text, got, err)
			}
			return
		}
		if again, err := recount.Canonical(typ, got); err != nil || again != got {
			t.Fatalf("%s %q: %q again gives %q, %v", typ, text, got, again, err)
		}
		if errRounded != nil || rounded != got {
			t.Fatalf("%s %q: rounded to %q, %v; want %q", typ, text, rounded, errRounded, got)
		}
		if typ.Kind == recount.KindDecimal {
			if want, ok := decimalOracle(typ, strings.TrimSpace(text)); !ok || want != got {
				t.Fatalf("%s %q: got %q, want %q", typ, text, got, want)
			}
		}
	})
}

func BenchmarkCanonical(b *testing.B) {
	for _, c := range []struct {
		name, text string
		typ        recount.Type
	}{
		{"decimal", "28.60", recount.Decimal(18, 2)},
		{"decimal to pad", "28.6", recount.Decimal(18, 2)},
		{"int64", "123456789", kind(recount.KindInt64)},
		{"timestamp", "2024-06-10 12:09:24.053+00", kind(recount.KindTimestamp)},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				if _, err := recount.Canonical(c.typ, c.text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestACanonicalDecimalHasJustItsDigits(t *testing.T) {
	for _, scale := range []int{0, 2} {
		for _, text := range []string{"573.000", "573.00", "573.0", "573.", "573", " 573.00", "0573.00", "+573.00", "-573.000", "00.00", "0.00", ".00", "-0.00", "5730000e-4"} {
			got, err := recount.Canonical(recount.Decimal(18, scale), text)
			if err != nil {
				t.Errorf("%q: %v", text, err)
				continue
			}
			r, _ := new(big.Rat).SetString(strings.TrimSuffix(strings.TrimSpace(text), "."))
			if want := r.FloatString(scale); got != want {
				t.Errorf("%q at scale %d: got %q, want %q", text, scale, got, want)
			}
		}
	}
}
