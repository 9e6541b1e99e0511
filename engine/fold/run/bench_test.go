package run_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"

	"recount"
	"recount/engine/fold/run"
	"recount/internal/archive/eventfile"
)

var benchFields = []recount.Field{
	{Name: "user", Type: recount.Type{Kind: recount.KindString}},
	{Name: "amount", Type: recount.Decimal(18, 2)},
}

// benchEvents writes events of keys, in files of a million, one of a hundred
// being a repeat, and returns a spec over them.
func benchEvents(b *testing.B, events, keys int) run.Spec {
	dir := b.TempDir()
	s := run.Spec{
		Stream: "orders", Fields: benchFields, Dedupe: true, Reads: []string{"user", "amount"}, By: []string{"user"}, Scratch: dir, Out: filepath.Join(dir, "rows"),
		Shape:   recount.Shape{Key: []recount.Column{{Name: "user", Type: recount.Type{Kind: recount.KindString}}}, Values: []recount.Column{{Name: "total", Type: recount.Decimal(38, 2)}}},
		Threads: 1, Memory: 512 << 20,
	}
	const perFile, group = 1_000_000, eventfile.MaxGroupRows
	rng := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same events each time
	at := epoch
	for seq := 0; seq < events; {
		path := filepath.Join(dir, fmt.Sprintf("%d.parquet", len(s.Files)))
		f, err := os.Create(path)
		if err != nil {
			b.Fatal(err)
		}
		m, err := os.Create(path + ".marks")
		if err != nil {
			b.Fatal(err)
		}
		mw := eventfile.NewMarksWriter(m, "orders")
		var w *eventfile.Writer
		var marks []recount.Mark
		first := seq + 1
		for rows := eventfile.NewRows(benchFields); seq < events && seq-first+1 < perFile; rows.Reset() {
			for rows.Len() < group && seq < events && seq-first+1 < perFile {
				seq++
				at = at.Add(time.Millisecond)
				user, cents := rng.IntN(keys), rng.IntN(100000)
				e := recount.Event{
					ID: fmt.Sprintf("e-%09d", seq), Type: "order", Partition: fmt.Sprintf("orders-%d", user%8), Position: fmt.Sprintf("%020d", seq), Time: at, IngestTime: at,
					Data:   fmt.Appendf(nil, `{"user":%d,"amount":"%d.%02d"}`, user, cents/100, cents%100),
					Fields: []recount.Value{recount.Text(fmt.Sprintf("user-%08d", user)), recount.Text(fmt.Sprintf("%d.%02d", cents/100, cents%100))},
				}
				if rng.IntN(100) == 0 {
					marks = append(marks, recount.Mark{Seq: int64(seq), Kind: recount.MarkRepeat, Time: at, Why: "again"})
				}
				if err := rows.Append(int64(seq), &e, true); err != nil {
					b.Fatal(err)
				}
			}
			if w == nil {
				if w, err = eventfile.NewWriter(f, eventfile.Meta{Stream: "orders", Format: "json", Fields: benchFields}, rows); err != nil {
					b.Fatal(err)
				}
			}
			if err := w.Write(rows); err != nil {
				b.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
		if err := mw.Write(marks); err != nil {
			b.Fatal(err)
		}
		if err := mw.Close(); err != nil {
			b.Fatal(err)
		}
		s.Files = append(s.Files, run.File{Path: path, Rows: int64(seq - first + 1), FirstSeq: int64(first), LastSeq: int64(seq)})
		s.Marks = append(s.Marks, m.Name())
	}
	return s
}

// sumFold sums amounts by user.
type sumFold struct{}

func (sumFold) New(context.Context, int, run.Wants) (run.Stepper, error) { return &sumStepper{}, nil }

type sumStepper struct {
	key []recount.Value
	sum int64
}

func (*sumStepper) Close() error { return nil }

func (s *sumStepper) Step(_ context.Context, in run.Batch) (a run.Answer, err error) {
	amounts := in.Record.Column(1).(*array.Decimal128)
	for _, g := range in.Groups {
		if g.Begin {
			s.key, s.sum = g.Key, 0
		}
		for i := g.From; i < g.To; i++ {
			s.sum += int64(amounts.Value(i).LowBits()) //nolint:gosec // it fits
		}
		if g.End {
			a.Rows = append(a.Rows, run.Row{Group: g.Number, Values: []recount.Value{s.key[0], recount.Text(fmt.Sprintf("%d.%02d", s.sum/100, s.sum%100))}})
		}
	}
	return a, nil
}

func BenchmarkFold(b *testing.B) {
	run.Whole()
	const events, keys = 5_000_000, 100_000
	s := benchEvents(b, events, keys)
	began := cpuSeconds(b)
	for b.Loop() {
		r, err := run.Execute(b.Context(), s, sumFold{})
		if err != nil {
			b.Fatal(err)
		}
		if r.Rows != keys {
			b.Fatalf("rows: got %d, want %d", r.Rows, keys)
		}
	}
	b.ReportMetric(float64(events)*float64(b.N)/(cpuSeconds(b)-began), "events/cpu-s")
}

// cpuSeconds is what the process has used of processors: on a busy machine the
// only honest clock.
func cpuSeconds(b *testing.B) float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// BenchmarkBareLoop is the same fold over an array in memory.
func BenchmarkBareLoop(b *testing.B) {
	const events, keys = 5_000_000, 100_000
	type event struct {
		user  string
		cents int64
	}
	list := make([]event, events)
	rng := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same events each time
	for i := range list {
		list[i] = event{fmt.Sprintf("user-%08d", rng.IntN(keys)), rng.Int64N(100000)}
	}
	began := cpuSeconds(b)
	for b.Loop() {
		sums := map[string]int64{}
		for _, e := range list {
			sums[e.user] += e.cents
		}
		if len(sums) != keys {
			b.Fatalf("keys: got %d, want %d", len(sums), keys)
		}
	}
	b.ReportMetric(float64(events)*float64(b.N)/(cpuSeconds(b)-began), "events/cpu-s")
}
