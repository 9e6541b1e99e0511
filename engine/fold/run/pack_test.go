package run_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
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

// numbers draws numbers as columns have them: near each other, rising, with a
// partition above a position, or anything.
func numbers(t *rapid.T, rows int) []uint64 {
	v := make([]uint64, rows)
	kind := rapid.IntRange(0, 4).Draw(t, "kind")
	base := rapid.Uint64().Draw(t, "base")
	reach := uint64(1) << rapid.IntRange(0, 63).Draw(t, "reach")
	for i := range v {
		x := rapid.Uint64Max(reach).Draw(t, "number")
		switch kind {
		case 0:
			v[i] = base + x
		case 1:
			base += x
			v[i] = base
		case 2:
			v[i] = x%5<<48 | base&(1<<47-1) + uint64(i)
		case 3:
			v[i] = base
		default:
			v[i] = rapid.Uint64().Draw(t, "any")
		}
	}
	return v
}

func drawColumn(t *rapid.T, width, rows int) [][]byte {
	values := make([][]byte, rows)
	nulls := rapid.IntRange(0, 3).Draw(t, "nulls") == 0
	low, high := numbers(t, rows), []uint64(nil)
	if width == 16 {
		high = numbers(t, rows)
	}
	prefix := rapid.StringN(0, 12, -1).Draw(t, "prefix")
	long := rapid.IntRange(0, 5).Draw(t, "long") == 0
	for i := range values {
		if nulls && rapid.Bool().Draw(t, "null") {
			continue
		}
		v := binary.LittleEndian.AppendUint64(nil, low[i])
		switch width {
		case 0:
			v = []byte(prefix + rapid.StringN(0, 20, -1).Draw(t, "text"))
			if long {
				v = append(v, bytes.Repeat([]byte("and so on"), 9)...)
			}
		case 16:
			v = binary.LittleEndian.AppendUint64(v, high[i])
		default:
			v = v[:width]
		}
		values[i] = v
	}
	return values
}

// TestPackedChunksComeBack holds that chunks come back as they were packed, however
// they were cut, and that damaged ones are errors or other rows, never a panic.
func TestPackedChunksComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.IntRange(1, 60).Draw(t, "rows")
		widths := rapid.SliceOfN(rapid.SampledFrom([]int{0, 1, 4, 8, 16}), 1, 4).Draw(t, "widths")
		var columns [][][]byte
		for _, w := range widths {
			columns = append(columns, drawColumn(t, w, rows))
		}
		packed := run.Pack(widths, columns, rapid.IntRange(1, 3).Draw(t, "chunks"))
		got, err := run.Unpack(widths, packed)
		if err != nil {
			t.Fatal(err)
		}
		for i := range columns {
			for row := range columns[i] {
				if g, w := got[i][row], columns[i][row]; !bytes.Equal(g, w) || (g == nil) != (w == nil) {
					t.Fatalf("column %d of width %d, row %d: got %q, want %q", i, widths[i], row, g, w)
				}
			}
		}

		broken := slices.Clone(packed[0])
		switch rapid.IntRange(0, 2).Draw(t, "damage") {
		case 0:
			broken = broken[:rapid.IntRange(0, len(broken)-1).Draw(t, "cut")]
		case 1:
			broken[rapid.IntRange(0, len(broken)-1).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		default:
			broken = rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")
		}
		if got, err := run.Unpack(widths, [][]byte{broken}); err == nil && len(got) != len(widths) {
			t.Fatal(fmt.Sprint("a damaged chunk has ", len(got), " columns"))
		}
	})
}
