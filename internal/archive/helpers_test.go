package archive_test

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"recount"
	"recount/internal/archive"
	"recount/internal/archive/eventfile"
	"recount/internal/clock"
	"recount/source"
	"recount/store"
)

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

func open(s store.Store) *archive.Archive { return archive.Open(s, clock.Fixed(noon)) }

// archived is what a snapshot holds, read without the package under test.
type archived struct {
	events map[string]int // by partition, position and payload
	stored map[string][]eventfile.Stored
	bySeq  map[int64]eventfile.Stored
	marks  map[string]int // by partition, position and kind
	kinds  map[int64][]recount.MarkKind
}

func eventKey(partition, position string, data []byte) string {
	return fmt.Sprintf("%s@%s %x", partition, position, sha256.Sum256(data))
}

func readAll(t testing.TB, s store.Store, snap recount.Snapshot) archived {
	t.Helper()
	all := archived{
		events: map[string]int{}, stored: map[string][]eventfile.Stored{}, bySeq: map[int64]eventfile.Stored{}, marks: map[string]int{},
		kinds: map[int64][]recount.MarkKind{},
	}
	for _, f := range snap.Files {
		readFile(t, s, f.Name, func(ef *eventfile.File) {
			for g := range ef.Groups() {
				events, err := ef.Events(g, nil)
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range events {
					all.events[eventKey(e.Partition, e.Position, e.Data)]++
					if _, twice := all.bySeq[e.Seq]; twice {
						t.Errorf("sequence number %d stands twice", e.Seq)
					}
					all.bySeq[e.Seq] = e
				}
				all.stored[f.Name] = append(all.stored[f.Name], events...)
			}
		})
	}
	for _, m := range snap.Marks {
		readFile(t, s, m.Name, func(ef *eventfile.File) {
			marks, err := ef.Marks()
			if err != nil {
				t.Fatal(err)
			}
			for _, mark := range marks {
				e := all.bySeq[mark.Seq]
				all.marks[fmt.Sprintf("%s@%s %s", e.Partition, e.Position, mark.Kind)]++
				all.kinds[mark.Seq] = append(all.kinds[mark.Seq], mark.Kind)
				if e.ID != mark.ID || !e.Time.Equal(mark.Time) {
					t.Errorf("mark %+v is not of event %+v", mark, e)
				}
			}
		})
	}
	return all
}

func readFile(t testing.TB, s store.Store, name string, use func(*eventfile.File)) {
	t.Helper()
	r, err := s.Open(context.Background(), name)
	if err != nil {
		t.Fatal(err)
	}
	ef, err := eventfile.Open(r)
	if err != nil {
		t.Fatal(err)
	}
	use(ef)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

// wantEvents is the multiset that the archive of a source must hold.
func (s *fakeSource) wantEvents() map[string]int {
	want := map[string]int{}
	for _, events := range s.partitions {
		for _, e := range events {
			want[eventKey(e.Partition, e.Position, e.Data)]++
		}
	}
	return want
}

// wantMarks judges events in their order of arrival, naively.
func wantMarks(bySeq map[int64]eventfile.Stored) map[string]int {
	want := map[string]int{}
	byID := map[string][]eventfile.Stored{}
	mark := func(e eventfile.Stored, kind recount.MarkKind) {
		want[fmt.Sprintf("%s@%s %s", e.Partition, e.Position, kind)]++
	}
	for _, seq := range sortedKeys(bySeq) {
		e := bySeq[seq]
		if e.Fault != "" {
			mark(e, recount.MarkFault)
		}
		if e.ID == "" {
			continue
		}
		if slices.ContainsFunc(byID[e.ID], func(o eventfile.Stored) bool { return string(o.Data) == string(e.Data) }) {
			mark(e, recount.MarkRepeat)
		}
		byID[e.ID] = append(byID[e.ID], e)
	}
	for _, copies := range byID {
		if slices.ContainsFunc(copies, func(o eventfile.Stored) bool { return string(o.Data) != string(copies[0].Data) }) {
			for _, e := range copies {
				mark(e, recount.MarkConflict)
			}
		}
	}
	return want
}

func diffCounts(got, want map[string]int) string {
	var b strings.Builder
	for _, k := range sortedKeys(want) {
		if got[k] != want[k] {
			fmt.Fprintf(&b, "\n%s: got %d, want %d", k, got[k], want[k])
		}
	}
	for _, k := range sortedKeys(got) {
		if _, ok := want[k]; !ok {
			fmt.Fprintf(&b, "\n%s: got %d, want none", k, got[k])
		}
	}
	return b.String()
}

func code(err error) recount.Code {
	if e, ok := errors.AsType[*recount.Error](err); ok {
		return e.Code
	}
	return ""
}

// wantCode checks the code of an error and that it has all its parts.
func wantCode(t *testing.T, err error, want recount.Code) {
	t.Helper()
	var e *recount.Error
	if !errors.As(err, &e) || e.Code != want {
		t.Fatalf("got error %v, want code %s", err, want)
	}
	if e.What == "" || e.Where == "" || e.Why == "" || e.Next == "" {
		t.Errorf("a part is missing: %+v", e)
	}
}

func mustRun(t testing.TB, a *archive.Archive, opts archive.RunOptions) archive.RunResult {
	t.Helper()
	res, err := a.Run(context.Background(), opts)
	if err != nil {
		t.Fatalf("run: %v", err)
	}
	return res
}

func mustSnapshot(t testing.TB, a *archive.Archive) recount.Snapshot {
	t.Helper()
	snap, err := a.Snapshot(context.Background(), "orders")
	if err != nil {
		t.Fatalf("snapshot: %v", err)
	}
	return snap
}

// fullStore has room for so many objects and then none.
type fullStore struct {
	store.Local
	mu   sync.Mutex
	left int
}

func (s *fullStore) Put(ctx context.Context, name string, write func(io.Writer) error) error {
	s.mu.Lock()
	s.left--
	full := s.left < 0
	s.mu.Unlock()
	if !full {
		return s.Local.Put(ctx, name, write)
	}
	err := s.Local.Put(ctx, name, func(w io.Writer) error {
		if err := write(w); err != nil {
			return err
		}
		return syscall.ENOSPC
	})
	return &recount.Error{
		Code: recount.CodeStorage, What: "the archive's disk is full", Where: name, Why: err.Error(), Next: "make room", Err: err,
	}
}

var noon = time.Date(2024, 6, 10, 12, 0, 0, 0, time.UTC)

var fields = []recount.Field{
	{Name: "user_id", Type: recount.Type{Kind: recount.KindString}, Path: "user_id"},
	{Name: "value", Type: recount.Decimal(18, 2), Path: "value"},
}

// fakeSource is a stream of events by partition.
type fakeSource struct {
	partitions map[string][]recount.Event
	batch      int
	watermark  time.Time
	noEnd      error
}

// newSource has n sound events over a few hours and partitions.
func newSource(n int) *fakeSource {
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	s := &fakeSource{partitions: map[string][]recount.Event{}, batch: 64, watermark: noon}
	for i := range n {
		s.add(event(i, noon.Add(-time.Duration(rng.IntN(4*3600*1000))*time.Millisecond)))
	}
	return s
}

func event(i int, at time.Time) recount.Event {
	user, value := fmt.Sprintf("u%d", i%7), fmt.Sprintf("%d.%02d", i, i%100)
	return recount.Event{
		ID: fmt.Sprintf("e-%06d", i), Partition: strconv.Itoa(i % 3), Time: at.Truncate(time.Microsecond),
		Data:   []byte(fmt.Sprintf("e-%06d,%s,%s,%s", i, user, at.Format(time.RFC3339Nano), value)),
		Fields: []recount.Value{recount.Text(user), recount.Text(value)},
	}
}

func (s *fakeSource) add(e recount.Event) {
	list := s.partitions[e.Partition]
	e.Position = fmt.Sprintf("%012d", len(list))
	s.partitions[e.Partition] = append(list, e)
}

func (s *fakeSource) Info() source.Info { return source.Info{HasID: true, Place: "test"} }

func (s *fakeSource) Read(ctx context.Context, cursor source.Cursor, emit func(source.Batch) error) (source.End, error) {
	from := map[string]int{}
	for p := range s.partitions {
		if c, ok := cursor[p]; ok {
			n, err := strconv.Atoi(c)
			if err != nil {
				return source.End{}, err
			}
			from[p] = n
		}
	}
	for more := true; more; {
		more = false
		for _, p := range sortedKeys(s.partitions) {
			list := s.partitions[p][from[p]:]
			if len(list) == 0 {
				continue
			}
			n := min(len(list), s.batch)
			events := make([]recount.Event, n)
			for i, e := range list[:n] {
				e.Fields = append([]recount.Value(nil), e.Fields...)
				events[i] = e
			}
			from[p] += n
			if err := emit(source.Batch{Partition: p, Events: events, Cursor: strconv.Itoa(from[p]), Format: "csv", Header: "id,user_id,timestamp,value"}); err != nil {
				return source.End{}, err
			}
			more = true
		}
	}
	if s.noEnd != nil {
		return source.End{}, s.noEnd
	}
	return source.End{Watermark: s.watermark, Partitions: len(s.partitions)}, ctx.Err()
}

func (s *fakeSource) Decoder(string, string) (source.Decoder, error) { return fakeDecoder{}, nil }
func (s *fakeSource) Check(context.Context) error                    { return nil }
func (s *fakeSource) Close() error                                   { return nil }

type fakeDecoder struct{}

func (fakeDecoder) Decode(e recount.Event) recount.Event {
	var v any
	_ = json.Unmarshal(e.Data, &v)
	return recount.Event{}
}

func options(src source.Source) archive.RunOptions {
	return archive.RunOptions{
		Stream: "orders", Source: src, Fields: fields, MappingDigest: "m", QuarantineMax: 1000, Program: "test",
	}
}

// underRace says that the race detector makes everything some ten times slower.
var underRace = sync.OnceValue(func() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
})
