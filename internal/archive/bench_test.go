package archive_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"recount"
	"recount/internal/archive"
	"recount/source"
	"recount/store/disk"
)

// cannedSource hands out the same events over and over, with new ids, positions
// and times, so that a benchmark measures the archive alone.
type cannedSource struct {
	fakeSource
	n      int
	events []recount.Event
	span   time.Duration
	again  int // every so many events an id stands again; 0: never
}

func newCanned(n int) *cannedSource {
	rng := rand.New(rand.NewPCG(1, 1))
	s := &cannedSource{n: n, span: 24 * time.Hour, again: 100}
	const distinct = 1 << 16
	for i := range distinct {
		user, value := fmt.Sprintf("user_%06d", rng.IntN(200000)), fmt.Sprintf("%d.%02d", rng.IntN(1000), rng.IntN(100))
		s.events = append(s.events, recount.Event{
			Partition: "events.csv", Fields: []recount.Value{recount.Text(user), recount.Text(value)},
			Data: []byte(fmt.Sprintf("%036d,%s,2024-06-10T12:00:%02dZ,%s", i, user, i%60, value)),
		})
	}
	return s
}

func (s *cannedSource) Read(_ context.Context, _ source.Cursor, emit func(source.Batch) error) (source.End, error) {
	const size = 4096
	rng := rand.New(rand.NewPCG(2, 2))
	ids := make([]byte, 0, 64)
	for from := 0; from < s.n; from += size {
		events := make([]recount.Event, min(size, s.n-from))
		for i := range events {
			n := from + i
			events[i] = s.events[n%len(s.events)]
			e := &events[i]
			id := uint64(n)
			if s.again > 0 && n%s.again == s.again-1 {
				id = uint64(rng.IntN(n))
			}
			e.ID = string(strconv.AppendUint(ids[:0], id*0x9e3779b97f4a7c15, 36)) + "-b8e1-4e2f"
			e.Position = string(strconv.AppendInt(ids[:0], int64(1e11+n), 10))
			e.Time = noon.Add(-s.span + time.Duration(n)*(s.span/time.Duration(s.n)))
		}
		if err := emit(source.Batch{Partition: "events.csv", Events: events, Cursor: fmt.Sprint(from), Format: "csv", Header: "h"}); err != nil {
			return source.End{}, err
		}
	}
	return source.End{Watermark: noon, Partitions: 1}, nil
}

func BenchmarkRun(b *testing.B) {
	const n = 1_000_000
	src := newCanned(n)
	for b.Loop() {
		s, err := disk.Open(b.TempDir(), nil)
		if err != nil {
			b.Fatal(err)
		}
		before := cpuTime()
		res := mustRun(b, open(s), archive.RunOptions{Stream: "orders", Source: src, Fields: fields, MappingDigest: "m"})
		if res.Events != n {
			b.Fatalf("%+v", res)
		}
		b.ReportMetric(n/(cpuTime()-before).Seconds(), "rows/cpu-s")
		b.ReportMetric(float64(res.Bytes)/n, "B/row")
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
