package archive_test

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"recount"
	"recount/internal/archive"
	"recount/internal/archive/eventfile"
	"recount/internal/clock"
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
