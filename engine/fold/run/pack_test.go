package run_test

import (
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"recount/engine/fold/run"
)

// TestPositionsAreReadAsNumbers holds the quick way to read a position against the
// plain one.
func TestPositionsAreReadAsNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(
			rapid.StringMatching(`[0-9]{20}`), rapid.StringMatching(`0{5}[0-9]{15}`), rapid.StringMatching(`0{10}[0-9]{10}`),
			rapid.StringMatching(`0{10}[ -@]{10}`), rapid.StringMatching(`[0-9]{19,21}`),
			rapid.Map(rapid.SliceOfN(rapid.Byte(), 20, 20), func(b []byte) string { return string(b) }),
		).Draw(t, "text")
		want, err := strconv.ParseUint(text, 10, 48)
		n, ok := run.ParsePosition([]byte(text))
		if digits := err == nil && len(text) == 20; ok != digits || ok && n != want {
			t.Fatalf("%q: got %d, %t, want %d, %t", text, n, ok, want, digits)
		}
	})
}
