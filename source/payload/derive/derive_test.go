package derive_test

import (
	"math"
	"math/big"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"recount/source/payload/derive"
)

func TestDecimalsKeepTheirValueAndScale(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bytes, scale := rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "bytes"), rapid.IntRange(-30, 60).Draw(t, "scale")
		got, err := derive.DecimalBytes(nil, bytes, scale)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Trim(string(got), `"`)
		n := new(big.Int).SetBytes(bytes)
		if len(bytes) > 0 && bytes[0] >= 0x80 {
			n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(bytes))))
		}
		want := new(big.Rat).SetInt(n)
		power := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(scale, -scale))), nil))
		if scale > 0 {
			want.Quo(want, power)
		} else {
			want.Mul(want, power)
		}
		if plain := want.FloatString(max(scale, 0)); plain != text {
			t.Fatalf("got %s, want %s", text, plain)
		}
	})
	if _, err := derive.DecimalBytes(nil, make([]byte, derive.MostDigitBytes+1), 0); err == nil {
		t.Error("a decimal without end is taken")
	}
}

func TestClocks(t *testing.T) {
	for since, want := range map[time.Duration]string{
		0:                               "00:00:00",
		12*time.Hour + 1:                "12:00:00.000000001",
		24*time.Hour + time.Millisecond: "24:00:00.001",
		-838*time.Hour - 59*time.Minute: "-838:59:00",
		-time.Nanosecond:                "-00:00:00.000000001",
		time.Duration(math.MinInt64):    "-2562047:47:16.854775808",
		time.Duration(math.MaxInt64):    "2562047:47:16.854775807",
	} {
		if got := string(derive.Clock(nil, since)); got != `"`+want+`"` {
			t.Errorf("%d: got %s, want %s", since, got, want)
		}
	}
}

func TestUUIDs(t *testing.T) {
	got := derive.UUID(nil, [16]byte{0x8b, 0x0a, 0x2c, 0x2e, 0x6c, 0x34, 0x4a, 0x4d, 0x9d, 0x0b, 0x0c, 0x4f, 0x6d, 0x1a, 0x0b, 0x11})
	if string(got) != `"8b0a2c2e-6c34-4a4d-9d0b-0c4f6d1a0b11"` {
		t.Errorf("got %s", got)
	}
}
