package idindex

import (
	"cmp"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestSpreadSorts sorts lists that fall into their buckets evenly or not at all.
func TestSpreadSorts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.Uint64Range(0, 1<<20).Draw(t, "most")
		list := rapid.SliceOf(rapid.Uint64Range(0, most)).Draw(t, "list")
		last := rapid.IntRange(0, 40).Draw(t, "last")
		step := most/uint64(last+1) + 1
		want := slices.Sorted(slices.Values(list))
		got, rest := spread(list, nil, last, func(v uint64) int { return int(v / step) }, cmp.Compare[uint64])
		if !slices.Equal(got, want) || len(rest) != len(list) {
			t.Fatalf("got %d, want %d", got, want)
		}
	})
}

// TestFirstIsThatOfABinarySearch looks from anywhere that is not too far.
func TestFirstIsThatOfABinarySearch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOf(rapid.IntRange(0, 50)).Draw(t, "list")
		slices.Sort(list)
		v := rapid.IntRange(-1, 51).Draw(t, "v")
		want, _ := slices.BinarySearch(list, v)
		from := rapid.IntRange(0, want).Draw(t, "from")
		if got := first(list, from, func(e int) bool { return e < v }); got != want {
			t.Fatalf("got %d, want %d", got, want)
		}
	})
}
