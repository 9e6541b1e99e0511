package eventfile

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/metadata"

	"recount"
)

func TestColumnsOfFewValuesHaveADictionaryAndTrueStatistics(t *testing.T) {
	const n = 20000
	for name, c := range map[string]struct {
		value     func(i int) string
		low, high string
	}{
		"one":        {func(int) string { return "the only one" }, "the only one", "the only one"},
		"some":       {func(i int) string { return fmt.Sprintf("value %03d", i*7%300) }, "value 000", "value 299"},
		"bytes":      {func(i int) string { return []string{"é", "z", "é\x00", "a long one of more than a word", "zz"}[i%5] }, "a long one of more than a word", "é\x00"},
		"late":       {func(i int) string { return strings.Repeat("x", 1+i/(n/3)) }, "x", "xxxx"},
		"too many":   {func(i int) string { return fmt.Sprintf("%05d", i%(2*mostEntries)) }, "00000", fmt.Sprintf("%05d", 2*mostEntries-1)},
		"too large":  {func(i int) string { return fmt.Sprintf("%04d", i%600) + strings.Repeat("y", 4<<10) }, "", ""},
		"with nulls": {func(i int) string { return []string{"b", "a", ""}[i%3] }, "a", "b"},
	} {
		t.Run(name, func(t *testing.T) {
			rows := NewRows(nil)
			for i := range n {
				if err := rows.Append(int64(i), &recount.Event{Type: c.value(i), Partition: "p", Position: "1"}, false); err != nil {
					t.Fatal(err)
				}
			}
			object := writeFile(t, Meta{Stream: "s", Format: "json"}, rows)
			f, err := Open(bytes.NewReader(object))
			if err != nil {
				t.Fatal(err)
			}
			read := 0
			if err := f.Texts(0, "type", func(row int, v []byte) error {
				if want := c.value(row); string(v) != want || (v == nil) != (want == "") {
					t.Fatalf("row %d: got %q, want %q", row, v, want)
				}
				read++
				return nil
			}); err != nil || read != n {
				t.Fatalf("got %d rows and %v", read, err)
			}
			if c.low == "" {
				return
			}
			r, err := file.NewParquetReader(bytes.NewReader(object))
			if err != nil {
				t.Fatal(err)
			}
			chunk, err := r.MetaData().RowGroup(0).ColumnChunk(colType)
			if err != nil {
				t.Fatal(err)
			}
			s, err := chunk.Statistics()
			if err != nil {
				t.Fatal(err)
			}
			got, ok := s.(*metadata.ByteArrayStatistics)
			if !ok || !chunk.HasDictionaryPage() || string(got.Min()) != c.low || string(got.Max()) != c.high {
				t.Errorf("got a dictionary: %t, from %q to %q; want one, from %q to %q", chunk.HasDictionaryPage(), got.Min(), got.Max(), c.low, c.high)
			}
		})
	}
}
