package files_test

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"recount"
	"recount/adapter"
	"recount/source"
	"recount/source/files"
)

func seedMapping() recount.Mapping {
	return recount.Mapping{
		ID: "event_id", Time: "timestamp", Key: "user_id", Zone: time.UTC,
		Fields: []recount.Field{
			{Name: "user_id", Type: recount.Type{Kind: recount.KindString}},
			{Name: "value", Type: recount.Decimal(18, 2)},
		},
	}
}

// BenchmarkRead reads rows such as the seed's; rows/s is what an import can
// reach at most.
func BenchmarkRead(b *testing.B) {
	const rows = 1_000_000
	for _, c := range []struct{ name, header, row string }{
		{"csv", "event_id,timestamp,user_id,value\n", "e%09d,2024-06-10 12:09:24.053,u%06d,28.60\n"},
		{"csv quoted", "event_id,timestamp,user_id,value\n", "\"e%09d\",\"2024-06-10 12:09:24.053\",\"u%06d\",\"28.60\"\n"},
		{"jsonl", "", `{"event_id":"e%09d","timestamp":"2024-06-10T12:09:24.053Z","user_id":"u%06d","value":28.60}` + "\n"},
	} {
		b.Run(c.name, func(b *testing.B) {
			dir := b.TempDir()
			name := map[bool]string{true: "events.jsonl", false: "events.csv"}[c.header == ""]
			f, err := os.Create(filepath.Join(dir, name))
			if err != nil {
				b.Fatal(err)
			}
			w := bufio.NewWriter(f)
			fmt.Fprint(w, c.header)
			for i := range rows {
				fmt.Fprintf(w, c.row, i, i%200000)
			}
			if err := w.Flush(); err != nil {
				b.Fatal(err)
			}
			if err := f.Close(); err != nil {
				b.Fatal(err)
			}
			src, err := files.Open(b.Context(), adapter.Env{Dir: dir, Stream: "orders", Mapping: seedMapping(), Now: fixedNow}, files.Config{Paths: []string{name}})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				n := 0
				if _, err := src.Read(b.Context(), nil, func(batch source.Batch) error {
					n += len(batch.Events)
					for i := range batch.Events {
						if batch.Events[i].Fault != "" {
							return fmt.Errorf("event %d: %s", i, batch.Events[i].Fault)
						}
					}
					return nil
				}); err != nil {
					b.Fatal(err)
				}
				if n != rows {
					b.Fatalf("rows: got %d, want %d", n, rows)
				}
			}
			b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

func fixedNow() time.Time { return time.Date(2024, 6, 11, 0, 0, 0, 0, time.UTC) }
