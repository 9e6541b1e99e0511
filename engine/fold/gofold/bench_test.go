package gofold_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"recount"
	"recount/engine/enginetest"
	"recount/engine/fold/gofold"
	"recount/engine/fold/run"
)

// BenchmarkRun folds events of many keys in a process of its own.
func BenchmarkRun(b *testing.B) {
	const files, each, keys = 8, 125_000, 20_000
	builder := enginetest.NewBuilder(b, enginetest.Fields...)
	for f := range files {
		var events []enginetest.Event
		for i := range each {
			n := f*each + i
			events = append(events, enginetest.Event{Event: recount.Event{
				ID: fmt.Sprint("event-", n), Type: "order", Partition: "0", Position: recount.PadPosition(fmt.Sprint(n)), Time: noon.Add(time.Duration(n) * time.Millisecond),
				Fields: []recount.Value{recount.Text(fmt.Sprint("user", n*7919%keys)), recount.Text(fmt.Sprintf("%d.25", n%1000)), recount.Text("1")},
			}})
		}
		builder.Add(events...)
	}
	in := builder.Input(noon, noon.Add(time.Hour))
	k := gofold.New(gofold.Options{})
	for _, threads := range []int{1, 2} {
		b.Run(fmt.Sprint(threads, " threads"), func(b *testing.B) {
			logic, _ := logicOf(enginetest.Totals)
			d, err := k.Describe(b.Context(), logic, in.Fields)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				dir := b.TempDir()
				s := run.Spec{
					Read: in.Window, Hit: in.Window, Stream: in.Stream, Fields: in.Fields, By: logic.By, Reads: d.Reads, Threads: threads, Memory: 512 << 20,
					Where: logic.Path, Scratch: dir, Out: filepath.Join(dir, "rows"), Dedupe: true,
					Shape: recount.Shape{Key: d.Columns[:1], Values: d.Columns[1:]},
				}
				for _, f := range in.Files {
					s.Files = append(s.Files, run.File{Path: f.Path, Rows: f.Data.Rows, FirstSeq: f.Data.FirstSeq, LastSeq: f.Data.LastSeq})
				}
				got, err := k.Run(b.Context(), logic, s)
				if err != nil || got.Events != files*each || got.Keys != keys {
					b.Fatalf("got %+v, %v", got, err)
				}
			}
			b.ReportMetric(float64(b.N)*files*each/b.Elapsed().Seconds(), "events/s")
		})
	}
}
