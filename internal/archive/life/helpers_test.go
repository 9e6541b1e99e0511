package life_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"recount"
	"recount/internal/archive"
	"recount/internal/archive/eventfile"
	"recount/internal/clock"
	"recount/source"
	"recount/store"
	"recount/store/mem"
)

var noon = time.Date(2024, 6, 10, 12, 0, 0, 0, time.UTC)

func open(s store.Store) *archive.Archive { return archive.Open(s, clock.Fixed(noon)) }

func openAt(s store.Store, at time.Time) *archive.Archive { return archive.Open(s, clock.Fixed(at)) }

// log is a source of one partition whose events come in portions: each run reads
// up to its present end.
type log struct {
	events []recount.Event
	end    int
	fields []recount.Field
	marks  time.Time // the watermark at the end
}

var (
	user  = recount.Field{Name: "user_id", Type: recount.Type{Kind: recount.KindString}, Path: "user_id"}
	value = recount.Field{Name: "value", Type: recount.Decimal(18, 2), Path: "value"}
)

// newLog has n events of three hours, some of them late, repeated, conflicting or
// faulty.
func newLog(seed uint64, n int) *log {
	rng := rand.New(rand.NewPCG(seed, 21))
	l := &log{fields: []recount.Field{user, value}}
	for i := range n {
		at := noon.Add(-3*time.Hour + time.Duration(i)*3*time.Hour/time.Duration(n))
		if rng.IntN(10) == 0 {
			at = at.Add(-time.Duration(rng.IntN(60)) * time.Minute) // late
		}
		id := i
		if rng.IntN(8) == 0 {
			id = rng.IntN(i + 1)
		}
		e := recount.Event{
			ID: fmt.Sprintf("e-%06d", id), Partition: "0", Position: fmt.Sprintf("%012d", i), Time: at.Truncate(time.Microsecond),
			Data: fmt.Appendf(nil, "e-%06d,%d", id, rng.IntN(2)), Headers: []recount.Header{{Name: "n", Value: []byte{byte(i)}}},
			Fields: []recount.Value{recount.Text(fmt.Sprintf("u%d", i%5)), recount.Text(fmt.Sprintf("%d.%02d", i, i%100))},
		}
		switch rng.IntN(20) {
		case 0:
			e.Fault, e.Broken, e.Fields[1] = "its value is no number", []string{"value"}, recount.Null
		case 1:
			e.Fault, e.Time = "its time cannot be read", time.Time{}
		}
		l.events = append(l.events, e)
	}
	return l
}

func (l *log) Info() source.Info { return source.Info{HasID: true, Place: "test"} }

func (l *log) Read(ctx context.Context, cursor source.Cursor, emit func(source.Batch) error) (source.End, error) {
	from := 0
	if c, ok := cursor["0"]; ok {
		from, _ = strconv.Atoi(c)
	}
	const most = 7
	for from < l.end {
		n := min(most, l.end-from)
		events := slices.Clone(l.events[from : from+n])
		for i := range events {
			events[i].Fields = slices.Clone(events[i].Fields[:len(l.fields)])
		}
		from += n
		if err := emit(source.Batch{Partition: "0", Events: events, Cursor: strconv.Itoa(from), Format: "csv", Header: "id,value"}); err != nil {
			return source.End{}, err
		}
	}
	return source.End{Watermark: l.marks, Partitions: 1}, ctx.Err()
}

func (l *log) Decoder(string, string) (source.Decoder, error) { return nil, errors.ErrUnsupported }
func (l *log) Check(context.Context) error                    { return nil }
func (l *log) Close() error                                   { return nil }

func (l *log) options() archive.RunOptions {
	return archive.RunOptions{Stream: "orders", Source: l, Fields: l.fields, MappingDigest: "m", QuarantineMax: 1000, Program: "test"}
}

// run archives up to an event, whose time becomes the watermark.
func (l *log) run(t testing.TB, a *archive.Archive, end int) {
	t.Helper()
	l.end = min(end, len(l.events))
	if at := noon.Add(-3*time.Hour + time.Duration(l.end)*3*time.Hour/time.Duration(len(l.events))); at.After(l.marks) {
		l.marks = at
	}
	if _, err := a.Run(context.Background(), l.options()); err != nil {
		t.Fatalf("run: %v", err)
	}
}

// archived has everything of the log in an archive, in portions of some events.
func archived(t testing.TB, s store.Store, seed uint64, n, portion int) *log {
	t.Helper()
	l := newLog(seed, n)
	for end := portion; end < n+portion; end += portion {
		if end > n/2 { // fields change in the middle
			l.fields = []recount.Field{user, value}
		} else {
			l.fields = []recount.Field{user}
		}
		l.run(t, open(s), end)
	}
	return l
}

// copied is another store with the same objects.
func copied(t testing.TB, s store.Store) *mem.Store {
	t.Helper()
	out := &mem.Store{}
	err := s.List(context.Background(), "", func(name string, _ int64) error {
		r, err := s.Open(context.Background(), name)
		if err != nil {
			return err
		}
		defer func() { _ = r.Close() }()
		return out.Put(context.Background(), name, func(w io.Writer) error { _, err := io.Copy(w, r); return err })
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func compacting(t testing.TB) archive.CompactOptions {
	t.Helper()
	return archive.CompactOptions{Stream: "orders", Dir: t.TempDir(), Program: "test"}
}

func compact(t testing.TB, a *archive.Archive) archive.CompactResult {
	t.Helper()
	result, err := a.Compact(context.Background(), compacting(t))
	if err != nil {
		t.Fatalf("compact: %v", err)
	}
	return result
}

func snapshot(t testing.TB, s store.Store) recount.Snapshot {
	t.Helper()
	snap, err := open(s).Snapshot(context.Background(), "orders")
	if err != nil {
		t.Fatalf("snapshot: %v", err)
	}
	return snap
}

func verify(t testing.TB, s store.Store) archive.StreamReport {
	t.Helper()
	report, err := open(s).Verify(context.Background(), nil, nil)
	if err != nil {
		t.Fatalf("verify: %v %v", err, report)
	}
	return report.Streams[0]
}

// row is an event of a snapshot with what was known when it came.
type row struct {
	eventfile.Stored
	Fields []recount.Field
	Before time.Time
	Commit int64
}

// rows reads all events of a snapshot by sequence number.
func rows(t testing.TB, s store.Store, snap recount.Snapshot) map[int64]row {
	t.Helper()
	all := map[int64]row{}
	for _, f := range snap.Files {
		r, err := s.Open(context.Background(), f.Name)
		if err != nil {
			t.Fatalf("a file of snapshot %d is gone: %v", snap.Commit, err)
		}
		ef, err := eventfile.Open(r)
		if err != nil {
			t.Fatal(err)
		}
		for group := range ef.Groups() {
			events, err := ef.Events(group, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range events {
				if _, twice := all[e.Seq]; twice {
					t.Errorf("sequence number %d stands twice", e.Seq)
				}
				all[e.Seq] = row{Stored: e, Fields: f.Fields, Before: before(f, e.Seq), Commit: f.Brought(e.Seq)}
			}
		}
		_ = r.Close()
	}
	return all
}

// before is the watermark before an event came.
func before(f recount.DataFile, seq int64) time.Time {
	for _, a := range f.Arrivals {
		if seq <= a.LastSeq {
			return a.Before
		}
	}
	return f.Before
}

func code(err error) recount.Code {
	if e, ok := errors.AsType[*recount.Error](err); ok {
		return e.Code
	}
	return ""
}
