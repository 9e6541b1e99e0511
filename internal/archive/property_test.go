package archive_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"recount"
	"recount/internal/archive"
	"recount/internal/archive/cover"
	"recount/internal/archive/eventfile"
	"recount/internal/clock"
	"recount/source"
	"recount/store/disk"
	"recount/store/mem"
)

// randomSource has repeats, conflicts, faults, events without id, and times at
// all edges.
func randomSource(rng *rand.Rand, n int) *fakeSource {
	span := int64(1+rng.IntN(6)) * int64(time.Hour)
	s := &fakeSource{partitions: map[string][]recount.Event{}, batch: 1 + rng.IntN(40), watermark: noon}
	edges := []time.Time{
		{},
		time.Date(1969, 12, 31, 23, 59, 59, 999999000, time.UTC),
		time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(-5, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(1969, 12, 31, 23, 0, 0, 0, time.UTC),
		noon.Add(-time.Nanosecond),
	}
	var sent []recount.Event
	for i := range n {
		e := event(i, noon.Add(-time.Duration(rng.Int64N(span))))
		switch rng.IntN(20) {
		case 0:
			e.Time = edges[rng.IntN(len(edges))]
		case 1:
			e.ID = ""
		case 2:
			e.Fault, e.Broken, e.Fields[1] = "value \"x\" is no decimal", []string{"value"}, recount.Null
		case 3:
			e.Fault, e.Time, e.Fields = "the line is broken", time.Time{}, nil
		case 4:
			e.Fields[0], e.Type = recount.Text("\xff"), "\xfe"
		case 5:
			e.Headers, e.Key = []recount.Header{{Name: "h"}}, []byte{}
		}
		if len(sent) > 0 && rng.IntN(6) == 0 { // again, perhaps with another payload
			e = sent[rng.IntN(len(sent))]
			e.Partition = fmt.Sprint(rng.IntN(3))
			if rng.IntN(3) == 0 {
				e.Data = append([]byte("other "), e.Data...)
			}
		}
		e.Fields = append([]recount.Value(nil), e.Fields...)
		sent = append(sent, e)
		s.add(e)
	}
	return s
}

func TestAnyBatchesGiveTheSameEventsInTheirHours(t *testing.T) {
	for seed := range uint64(25) {
		if underRace() && seed > 3 {
			break
		}
		rng := rand.New(rand.NewPCG(seed, 7))
		src := randomSource(rng, 1+rng.IntN(400))
		s := &mem.Store{}
		a := open(s)
		full := src.partitions
		src.partitions = map[string][]recount.Event{}
		for more := true; more; { // the source grows between runs
			more = false
			for _, p := range sortedKeys(full) {
				n := min(len(full[p]), len(src.partitions[p])+1+rng.IntN(150))
				src.partitions[p] = full[p][:n]
				more = more || n < len(full[p])
			}
			opts := options(src)
			opts.MemoryBudget = 1 + rng.Int64N(200<<10)
			opts.CommitEvents = 20 + rng.Int64N(200)
			mustRun(t, a, opts)
		}
		snap := mustSnapshot(t, a)
		got := readAll(t, s, snap)
		if diff := diffCounts(got.events, src.wantEvents()); diff != "" {
			t.Fatalf("seed %d: events differ:%s", seed, diff)
		}
		if diff := diffCounts(got.marks, wantMarks(got.bySeq)); diff != "" {
			t.Fatalf("seed %d: marks differ:%s", seed, diff)
		}
		checkFiles(t, seed, snap, got)
		if report, err := a.Verify(t.Context(), nil, nil); err != nil || len(report.Streams[0].Leftovers) > 0 {
			t.Fatalf("seed %d: verify: %v, %+v", seed, err, report)
		}
	}
}

// checkFiles checks that each event lies in the folder of its hour, and that the
// snapshot counts what is there.
func checkFiles(t *testing.T, seed uint64, snap recount.Snapshot, got archived) {
	t.Helper()
	for _, f := range snap.Files {
		count := map[recount.MarkKind]int64{}
		for _, e := range got.stored[f.Name] {
			want := "orders/date=__HIVE_DEFAULT_PARTITION__/hour=__HIVE_DEFAULT_PARTITION__/"
			if e.TimeKnown {
				want = e.Time.Format("orders/date=2006-01-02/hour=15/")
			}
			if !strings.HasPrefix(f.Name, want) || e.TimeKnown != f.TimeKnown {
				t.Fatalf("seed %d: event at %s lies in %s", seed, e.Time, f.Name)
			}
			if e.TimeKnown && (e.Time.Before(f.FirstTime) || e.Time.After(f.LastTime)) {
				t.Fatalf("seed %d: %s is not in [%s, %s]", seed, e.Time, f.FirstTime, f.LastTime)
			}
			for _, kind := range got.kinds[e.Seq] {
				count[kind]++
			}
		}
		if f.Repeats != count[recount.MarkRepeat] || f.Conflicts != count[recount.MarkConflict] || f.Faults != count[recount.MarkFault] {
			t.Fatalf("seed %d: %s counts %d, %d, %d; its marks are %v", seed, f.Name, f.Repeats, f.Conflicts, f.Faults, count)
		}
	}
}

func TestFirstCopyWinsWhereverItsTimeFalls(t *testing.T) {
	s := &mem.Store{}
	a := open(s)
	src := &fakeSource{partitions: map[string][]recount.Event{}, batch: 10, watermark: noon}
	late := event(1, noon)
	src.add(late)
	mustRun(t, a, options(src))
	early := late
	early.Time = noon.Add(-48 * time.Hour) // the same payload, whatever time the envelope has
	early.Partition = "2"
	src.add(early)
	res := mustRun(t, a, options(src))
	if res.Repeats != 1 || res.Conflicts != 0 {
		t.Fatalf("result: %+v", res)
	}
	got := readAll(t, s, mustSnapshot(t, a))
	if got.marks["2@000000000000 repeat"] != 1 {
		t.Errorf("marks: %v", got.marks)
	}
}

func TestAConflictMarksCopiesOfEarlierCommits(t *testing.T) {
	s := &mem.Store{}
	a := open(s)
	src := &fakeSource{partitions: map[string][]recount.Event{}, batch: 10, watermark: noon}
	var results []archive.RunResult
	for i, data := range []string{"A", "A", "B", "A", "B"} {
		e := event(7, noon.Add(-time.Duration(i)*time.Hour))
		e.Data = []byte(data)
		src.add(e)
		results = append(results, mustRun(t, a, options(src)))
	}
	for i, want := range []struct{ repeats, conflicts int64 }{{0, 0}, {1, 0}, {0, 3}, {1, 1}, {1, 1}} {
		if results[i].Repeats != want.repeats || results[i].Conflicts != want.conflicts {
			t.Errorf("run %d: %d repeats, %d conflicts, want %+v", i, results[i].Repeats, results[i].Conflicts, want)
		}
	}
	snap := mustSnapshot(t, a)
	got := readAll(t, s, snap)
	if diff := diffCounts(got.marks, wantMarks(got.bySeq)); diff != "" {
		t.Errorf("marks differ:%s", diff)
	}
	checkFiles(t, 0, snap, got)
}

// TestForeignFilesKeepTheirPayload is A6 through the file format.
func TestPayloadsComeOutAsTheyWentIn(t *testing.T) {
	s := &mem.Store{}
	a := open(s)
	src := &fakeSource{partitions: map[string][]recount.Event{}, batch: 3, watermark: noon}
	payloads := []string{"", "\x00", "\xff\xfe", "a\r", strings.Repeat("long ", 1<<16), "ä"}
	for i, p := range payloads {
		e := event(i, noon)
		e.Data, e.Partition = []byte(p), "0"
		e.Headers = []recount.Header{{Name: "k", Value: []byte(p)}, {Name: "k"}}
		src.add(e)
	}
	mustRun(t, a, options(src))
	got := readAll(t, s, mustSnapshot(t, a))
	var all []eventfile.Stored
	for _, seq := range sortedKeys(got.bySeq) {
		all = append(all, got.bySeq[seq])
	}
	for i, p := range payloads {
		if string(all[i].Data) != p || string(all[i].Headers[0].Value) != p || all[i].Headers[1].Value != nil {
			t.Errorf("payload %d became %q, headers %q", i, all[i].Data, all[i].Headers)
		}
	}
}

func TestARunArchivesWhatTheSourceHolds(t *testing.T) {
	s, err := disk.Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	a := archive.Open(s, clock.Fixed(noon))
	src := newSource(1000)
	res, err := a.Run(t.Context(), options(src))
	if err != nil {
		t.Fatal(err)
	}
	if res.Events != 1000 || res.Commits != 1 {
		t.Errorf("result: %+v", res)
	}
	snap, err := a.Snapshot(t.Context(), "orders")
	if err != nil {
		t.Fatal(err)
	}
	if err := a.VerifyFiles(t.Context(), snap.Files, snap.Marks); err != nil {
		t.Error(err)
	}
	if err := cover.Complete(snap, recount.Window{From: noon.Add(-time.Hour), To: noon}, recount.Window{From: noon.Add(-time.Hour), To: noon}); err != nil {
		t.Error(err)
	}
	again, err := a.Run(t.Context(), options(src))
	if err != nil || again.Events != 0 {
		t.Errorf("second run: %+v, %v", again, err)
	}
}

// cannedSource hands out the same events over and over, with new ids, positions
// and times, so that a benchmark measures the archive alone.
type cannedSource struct {
	fakeSource
	n      int
	events []recount.Event
	span   time.Duration
	again  int    // every so many events an id stands again; 0: never
	offset uint64 // of the ids
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
			e.ID = string(strconv.AppendUint(ids[:0], (id+s.offset)*0x9e3779b97f4a7c15, 36)) + "-b8e1-4e2f"
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

func TestTombstonesAndLargeEvents(t *testing.T) {
	s := &mem.Store{}
	src := &fakeSource{partitions: map[string][]recount.Event{}, batch: 10, watermark: noon}
	large := bytes.Repeat([]byte("0123456789abcdef"), 4<<20) // 64 MiB
	for i, data := range [][]byte{nil, {}, large, nil, []byte("x")} {
		e := event(i, noon)
		e.Partition, e.Data = "0", data
		if i == 3 {
			e.ID = "e-000000" // the same tombstone again: a repeat
		}
		src.add(e)
	}
	e := event(1, noon) // the empty payload's id with a tombstone: a conflict
	e.Partition, e.Data = "0", nil
	src.add(e)
	res := mustRun(t, open(s), options(src))
	if res.Repeats != 1 || res.Conflicts != 2 {
		t.Errorf("result: %+v", res)
	}
	got := readAll(t, s, mustSnapshot(t, open(s)))
	if got.bySeq[1].Data != nil || got.bySeq[2].Data == nil || !bytes.Equal(got.bySeq[3].Data, large) || got.bySeq[4].Data != nil {
		t.Errorf("payloads: %v, %v, %d bytes, %v", got.bySeq[1].Data, got.bySeq[2].Data, len(got.bySeq[3].Data), got.bySeq[4].Data)
	}
	if _, err := open(s).Verify(t.Context(), nil, nil); err != nil {
		t.Error(err)
	}
}

// TestManyOpenHoursStayWithinTheBudget opens two thousand hours in one commit.
func TestManyOpenHoursStayWithinTheBudget(t *testing.T) {
	if testing.Short() {
		t.Skip("short: collects garbage hundreds of times; and the race detector makes pools forget, so that its heap is not a user's")
	}
	const hours, each, budget = 2000, 40, 48 << 20
	s := &mem.Store{}
	src := &heapSource{fakeSource: fakeSource{partitions: map[string][]recount.Event{}, batch: 500, watermark: noon}}
	for i := range hours * each {
		e := event(i, noon.Add(-time.Duration(i%hours)*time.Hour))
		e.Data = append(e.Data, bytes.Repeat([]byte("0123456789"), 60)...)
		src.add(e)
	}
	opts := options(src)
	opts.MemoryBudget = budget
	src.before = heap()
	res := mustRun(t, open(s), opts)
	if res.Events != hours*each || res.Commits != 1 {
		t.Errorf("result: %+v", res)
	}
	written := res.Bytes // the store keeps them in memory
	t.Logf("%d files, %d MiB written; at most %d MiB on the heap", res.Files, written>>20, src.most>>20)
	if src.most > budget+uint64(written) {
		t.Errorf("the heap grew by %d MiB, of which %d MiB are what is stored; the budget is %d MiB", src.most>>20, written>>20, budget>>20)
	}
}

// heapSource measures the heap while it is read.
type heapSource struct {
	fakeSource
	before, most uint64
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func (s *heapSource) Read(ctx context.Context, cursor source.Cursor, emit func(source.Batch) error) (source.End, error) {
	n := 0
	return s.fakeSource.Read(ctx, cursor, func(b source.Batch) error {
		if err := emit(b); err != nil {
			return err
		}
		if n++; n%8 == 0 {
			if now := heap(); now > s.before {
				s.most = max(s.most, now-s.before)
			}
		}
		return nil
	})
}
