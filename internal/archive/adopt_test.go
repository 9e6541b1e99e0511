package archive_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"recount"
	"recount/internal/archive"
	"recount/internal/archive/eventfile"
	"recount/source"
	"recount/store/mem"
)

// fakeOriginals is a stream whose partitions are files, each whole.
type fakeOriginals struct{ *fakeSource }

func (s fakeOriginals) ReadOriginals(_ context.Context, cursor source.Cursor, emit func(source.Original, source.Batch) error) (source.End, error) {
	for _, p := range sortedKeys(s.partitions) {
		if _, known := cursor[p]; known || len(s.partitions[p]) == 0 {
			continue
		}
		b := source.Batch{Partition: p, Events: s.copies(p), Cursor: fmt.Sprint(len(s.partitions[p])), Format: "csv", Header: "id,user_id,timestamp,value"}
		if err := emit(source.Original{Origin: "file-" + p, Format: "csv", Bytes: 1, SHA256: "0123456789abcdef"}, b); err != nil {
			return source.End{}, err
		}
	}
	return source.End{Watermark: s.watermark, Partitions: len(s.partitions)}, nil
}

func (s fakeOriginals) ReadOriginal(_ context.Context, o source.Original, emit func(source.Batch) error) error {
	return emit(source.Batch{Partition: o.Origin[len("file-"):], Events: s.copies(o.Origin[len("file-"):]), Format: "csv", Header: "id,user_id,timestamp,value"})
}

func (s fakeOriginals) copies(partition string) []recount.Event {
	events := make([]recount.Event, len(s.partitions[partition]))
	for i, e := range s.partitions[partition] {
		e.Fields = append([]recount.Value(nil), e.Fields...)
		events[i] = e
	}
	return events
}

// TestRepeatsOfAdoptedEventsAreFoundWithAndWithoutAnIndex adopts and copies by
// turns; marks must be those of an archive that copied all, in the same order.
func TestRepeatsOfAdoptedEventsAreFoundWithAndWithoutAnIndex(t *testing.T) {
	for seed := range uint64(12) {
		rng := rand.New(rand.NewPCG(seed, 22))
		all := randomSource(rng, 120)
		partitions := sortedKeys(all.partitions)
		var marks []map[string]int
		var logs [][]string
		for _, how := range []string{"copied", "adopted", "indexed"} {
			s, src := &mem.Store{}, &fakeSource{partitions: map[string][]recount.Event{}, batch: all.batch, watermark: all.watermark}
			a := open(s)
			if how == "indexed" {
				a = eager(s)
			}
			originals := fakeOriginals{src}
			a.UseOriginals(func(context.Context, string) (source.Originals, error) { return originals, nil })
			for i, p := range partitions {
				src.partitions[p] = all.partitions[p]
				opts := options(originals)
				if how == "copied" || (i+int(seed))%3 == 0 {
					mustRun(t, a, opts)
					continue
				}
				if _, err := a.Adopt(t.Context(), opts); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := a.Verify(t.Context(), nil, nil); err != nil {
				t.Errorf("seed %d, %s: %v", seed, how, err)
			}
			marks = append(marks, markedEvents(t, a, s))
			logs = append(logs, inOrder(t, a))
			if how == "indexed" {
				sameWithoutHeads(t, s)
			}
		}
		for i, got := range logs[1:] {
			if !slices.Equal(got, logs[0]) {
				t.Fatalf("seed %d, way %d: the logs differ:\n%v\n%v", seed, i, got, logs[0])
			}
		}
		for i, got := range marks[1:] {
			if !reflect.DeepEqual(got, marks[0]) {
				t.Fatalf("seed %d, way %d: marks differ:%s", seed, i, diffCounts(got, marks[0]))
			}
		}
	}
}

// inOrder is the log: the place of each event, its payload and whether it is sound.
func inOrder(t *testing.T, a *archive.Archive) (places []string) {
	t.Helper()
	snap := mustSnapshot(t, a)
	all := func(*archive.LogEvent) bool { return true }
	log, err := a.Log(t.Context(), archive.LogOptions{Snapshot: snap, Files: snap.Files, Wanted: all, Dir: t.TempDir()}, func(*archive.LogEvent) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	err = log.Each(t.Context(), func(e *archive.LogEvent) error {
		places = append(places, fmt.Sprintf("%d %s@%s %t %s", e.Seq, e.Partition, e.Position, e.Mark == "", e.Data))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return places
}

// markedEvents counts marks by sequence number and kind.
func markedEvents(t *testing.T, a *archive.Archive, s *mem.Store) map[string]int {
	t.Helper()
	snap := mustSnapshot(t, a)
	got := map[string]int{}
	for _, m := range snap.Marks {
		readFile(t, s, m.Name, func(ef *eventfile.File) {
			marks, err := ef.Marks()
			if err != nil {
				t.Fatal(err)
			}
			for _, mark := range marks {
				got[fmt.Sprintf("%d %s", mark.Seq, mark.Kind)]++
			}
		})
	}
	return got
}
