package life_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"recount"
	"recount/internal/archive"
	"recount/store"
	"recount/store/disk"
	"recount/store/mem"
)

// logged reads the wanted events in the order of the log.
func logged(t *testing.T, s store.Store, wanted func(*archive.LogEvent) bool) (places []string, events []archive.LogEvent) {
	t.Helper()
	snap := snapshot(t, s)
	counted := 0
	log, err := open(s).Log(t.Context(), archive.LogOptions{Snapshot: snap, Files: snap.Files, Wanted: wanted, Dir: t.TempDir()}, func(*archive.LogEvent) error {
		counted++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	err = log.Each(t.Context(), func(e *archive.LogEvent) error {
		places, events = append(places, e.Partition+"@"+recount.ShortPosition(e.Position)), append(events, *e)
		return nil
	})
	if err != nil || counted != len(places) {
		t.Fatalf("got %v, %d events counted and %d read", err, counted, len(places))
	}
	return places, events
}

// Late events lie in files of other hours, and a compaction joins hours: the log is
// read as it came either way, byte for byte, with what was judged.
func TestTheLogIsReadAsItCame(t *testing.T) {
	for seed := range uint64(3) {
		s := &mem.Store{}
		l := archived(t, s, seed, 200, 9)
		all := func(*archive.LogEvent) bool { return true }
		before, events := logged(t, s, all)
		if len(before) != len(l.events) {
			t.Fatalf("seed %d: got %d events, want %d", seed, len(before), len(l.events))
		}
		marked := int64(0)
		for i, e := range events {
			want := l.events[i]
			if e.Position != want.Position || string(e.Data) != string(want.Data) || e.TimeKnown == want.Time.IsZero() || !slices.EqualFunc(e.Headers, want.Headers, func(a, b recount.Header) bool { return a.Name == b.Name && string(a.Value) == string(b.Value) }) {
				t.Fatalf("seed %d, event %d: got %+v, want %+v", seed, i, e, want)
			}
			if want.Fault != "" && e.Mark != recount.MarkFault && e.Mark != recount.MarkConflict {
				t.Errorf("seed %d, event %d: a fault has the mark %q", seed, i, e.Mark)
			}
			if e.Mark != "" {
				marked++
			}
		}
		if most := marks(snapshot(t, s)); marked == 0 || marked > most[0]+most[1]+most[2] {
			t.Errorf("seed %d: %d events are marked, of marks %v", seed, marked, most)
		}
		compact(t, open(s))
		if after, _ := logged(t, s, all); !slices.Equal(after, before) {
			t.Errorf("seed %d: the order changed with a compaction", seed)
		}
		sound, _ := logged(t, s, func(e *archive.LogEvent) bool { return e.Mark == "" })
		if int64(len(sound)) != int64(len(before))-marked {
			t.Errorf("seed %d: got %d sound events, want %d", seed, len(sound), int64(len(before))-marked)
		}
	}
}

// No byte of a file that was changed is handed over.
func TestALogWithADamageIsNotRead(t *testing.T) {
	dir := t.TempDir()
	s, err := disk.Open(dir, func() time.Time { return noon })
	if err != nil {
		t.Fatal(err)
	}
	archived(t, s, 1, 60, 9)
	snap := snapshot(t, s)
	name := filepath.Join(dir, filepath.FromSlash(snap.Files[3].Name))
	bytes, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	bytes[len(bytes)/2] ^= 1
	if err := os.Chmod(name, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, bytes, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = open(s).Log(t.Context(), archive.LogOptions{Snapshot: snap, Files: snap.Files, Wanted: func(*archive.LogEvent) bool { return true }, Dir: t.TempDir()}, func(e *archive.LogEvent) error {
		return fmt.Errorf("event %s was handed over", e.Position)
	})
	if code(err) != recount.CodeDamaged {
		t.Errorf("got %v, want a damage", err)
	}
}

func TestAReplayIsNotedOnce(t *testing.T) {
	s := &mem.Store{}
	archived(t, s, 1, 20, 9)
	r := archive.Replay{ID: "r1", Stream: "orders", Destination: "again", Events: 3, By: "alice"}
	begun, unlock, err := open(s).BeginReplay(t.Context(), r)
	if err != nil || begun {
		t.Fatalf("first: got %t, %v", begun, err)
	}
	if _, _, err := open(s).BeginReplay(t.Context(), r); code(err) != recount.CodeArchiveLocked {
		t.Errorf("two at once: got %v", err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	begun, unlock, err = open(s).BeginReplay(t.Context(), r)
	if err != nil || !begun {
		t.Errorf("again: got %t, %v", begun, err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	if report := verify(t, s); len(report.Leftovers) != 0 {
		t.Errorf("verify takes it for a leftover: %v", report.Leftovers)
	}
	file, err := s.Open(t.Context(), "_recount/orders/replays/r1.json")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close() //nolint:errcheck // it was read
	if text, err := io.ReadAll(file); err != nil || !strings.Contains(string(text), `"destination":"again"`) {
		t.Errorf("got %s, %v", text, err)
	}
}
