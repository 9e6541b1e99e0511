package run_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"pgregory.net/rapid"

	"recount"
	"recount/engine/fold/run"
)

// fed is one row of a feed.
type fed struct {
	seq   int64
	order string
	user  string
	n     int64
}

func writeFeed(t *rapid.T, path string, rows []fed) {
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "seq", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
		{Name: "recount_order", Type: arrow.BinaryTypes.String, Nullable: true},
		{Name: "user", Type: arrow.BinaryTypes.String, Nullable: true},
		{Name: "n", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
	}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	for _, r := range rows {
		b.Field(0).(*array.Int64Builder).Append(r.seq)
		b.Field(1).(*array.StringBuilder).Append(r.order)
		b.Field(2).(*array.StringBuilder).Append(r.user)
		b.Field(3).(*array.Int64Builder).Append(r.n)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w, err := pqarrow.NewFileWriter(schema, f, parquet.NewWriterProperties(parquet.WithMaxRowGroupLength(7)), pqarrow.DefaultWriterProps())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Write(b.NewRecordBatch()), w.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestAFeedIsFoldedInItsOrder folds rows of a feed, of which some come several
// times.
func TestAFeedIsFoldedInItsOrder(t *testing.T) {
	check(t, 40, func(rt *rapid.T) {
		var rows []fed
		for seq := range rapid.IntRange(0, 40).Draw(rt, "events") {
			one := fed{
				int64(seq + 1), rapid.SampledFrom([]string{"", "1", "2", "3", "10"}).Draw(rt, "order"), rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "user"), int64(seq),
			}
			for range rapid.IntRange(1, 3).Draw(rt, "times") {
				rows = append(rows, one)
			}
		}
		shuffled := slices.Clone(rows)
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "shuffle"), 1)) //nolint:gosec // drawn
		rng.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		dir := t.TempDir()
		s := &scene{spec: run.Spec{
			Feed: true, Stream: "orders", Fields: testFields, Reads: []string{"n"}, By: []string{"user"}, Out: filepath.Join(dir, "rows"), Scratch: dir,
			Threads: 2, Memory: rapid.SampledFrom([]int64{0, 1}).Draw(rt, "memory"), Files: []run.File{{Path: filepath.Join(dir, "feed"), Rows: int64(len(rows))}},
			Shape: recount.Shape{Values: []recount.Column{{Name: "count", Type: recount.Type{Kind: recount.KindInt64}}, {Name: "chain", Type: recount.Type{Kind: recount.KindString}}}},
		}}
		s.spec.Shape.Key = keyColumns(&s.spec)
		writeFeed(rt, s.spec.Files[0].Path, shuffled)
		slices.SortFunc(rows, func(a, b fed) int { return cmp.Or(strings.Compare(a.order, b.order), cmp.Compare(a.seq, b.seq)) })
		var want [][]recount.Value
		for _, user := range []string{"a", "b"} {
			state := chainState{}
			for _, r := range rows {
				if r.user == user {
					state = state.add([]recount.Value{recount.Text(fmt.Sprint(r.n))})
				}
			}
			if state.n > 0 {
				want = append(want, state.rows([]recount.Value{recount.Text(user)})...)
			}
		}
		execute(rt, s)
		got, err := readRows(s.spec.Out, outNames(&s.spec))
		if err != nil {
			rt.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			rt.Fatalf("rows: got\n%v\nwant\n%v", got, want)
		}
	})
}

// TestAnEndedContextEndsARun ends the context in the middle of a run.
func TestAnEndedContextEndsARun(t *testing.T) {
	check(t, 40, func(rt *rapid.T) {
		s := drawSound(rt, t.TempDir(), 40)
		s.spec.Batch = 1
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		fold := s.fold()
		began := false
		fold.before = func(run.Batch) error {
			began = true
			cancel()
			return nil
		}
		s.spec.Threads = 1
		_, err := run.Execute(ctx, s.spec, fold)
		if began && !errors.Is(err, context.Canceled) || !began && err != nil {
			rt.Fatalf("error: got %v, want %v where a batch was folded (%t)", err, context.Canceled, began)
		}
	})
}
