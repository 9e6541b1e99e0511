//go:build unix

package files

import (
	"bytes"
	"fmt"
	"strconv"
	"testing"

	"recount"
	"recount/target"
)

// many is a file of n rows of two columns.
func many(n int) string {
	var b bytes.Buffer
	b.WriteString("id,total\n")
	for i := range n {
		fmt.Fprintf(&b, "user-%06d,%d.%02d\n", i, i*7%100_000, i%100)
	}
	return b.String()
}

func folderForBench(b *testing.B, text string) *Target {
	b.Helper()
	dir := b.TempDir()
	live, err := opened(dir)
	if err == nil {
		err = writeSynced(live.path, []byte(text), nil)
	}
	if err != nil {
		b.Fatal(err)
	}
	return live
}

func BenchmarkScan(b *testing.B) {
	live := folderForBench(b, many(200_000))
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		err := live.Scan(b.Context(), target.Scan{Key: []string{"id"}, Columns: []string{"total"}}, func(recount.Row) error { n++; return nil })
		if err != nil || n != 200_000 {
			b.Fatal(n, err)
		}
	}
}

func BenchmarkApply(b *testing.B) {
	live := folderForBench(b, many(200_000))
	sign, run := 1, 0
	for b.Loop() {
		var changes []recount.Change
		for i := range 6_500 {
			i *= 30
			old, right := fmt.Sprintf("%d.%02d", i*7%100_000, i%100), strconv.Itoa(i)
			if sign < 0 {
				old, right = right, old
			}
			changes = append(changes, recount.Change{
				Action: recount.ActionUpdate, Key: vals(fmt.Sprintf("user-%06d", i)), Before: vals(old), After: vals(right),
			})
		}
		sign = -sign
		ctx := b.Context()
		tx, err := live.Begin(ctx)
		if err != nil {
			b.Fatal(err)
		}
		moved, err := tx.Moved(ctx, shape.key, shape.columns, changes)
		if err != nil || len(moved) > 0 {
			b.Fatal(len(moved), err)
		}
		if n, err := tx.Write(ctx, shape.key, shape.columns, changes); err != nil || n != 6_500 {
			b.Fatal(n, err)
		}
		r := firstRun()
		run++
		r.ID = fmt.Sprintf("run%d", run)
		if err := tx.Record(ctx, r, changes); err != nil {
			b.Fatal(err)
		}
		if err := tx.Commit(ctx); err != nil {
			b.Fatal(err)
		}
	}
}
