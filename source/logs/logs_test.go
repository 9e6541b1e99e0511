package logs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/klauspost/compress/gzip"

	"recount"
	"recount/adapter"
	"recount/internal/clock"
	"recount/source"
	"recount/source/logs"
	"recount/source/sourcetest"
)

func TestConformance(t *testing.T) {
	t.Run("json", func(t *testing.T) {
		sourcetest.Run(t, sourcetest.Harness{Holds: utf8.ValidString, Make: harness(logs.Config{Format: "json", Others: "fault"}, func(r sourcetest.Row) []byte {
			b, err := json.Marshal(map[string]string{"id": r.ID, "time": r.Time, "user": r.User, "value": r.Value, "note": r.Note})
			if err != nil {
				t.Fatal(err)
			}
			return b
		})})
	})
	t.Run("text", func(t *testing.T) {
		holds := func(note string) bool { return !strings.ContainsAny(note, "\r\n") }
		pattern := `^(?P<id>\S*) (?P<time>\S*) (?P<user>\S*) "(?P<value>.*?)" (?s:(?P<note>.*))$`
		sourcetest.Run(t, sourcetest.Harness{Holds: holds, Make: harness(logs.Config{Format: "text", Pattern: pattern, Others: "fault"}, func(r sourcetest.Row) []byte {
			return fmt.Appendf(nil, "%s %s %s %q %s", r.ID, r.Time, r.User, r.Value, r.Note)
		})})
	})
}

func harness(config logs.Config, line func(sourcetest.Row) []byte) func(t *testing.T, m recount.Mapping, partitions [][]sourcetest.Row) sourcetest.Stream {
	return func(t *testing.T, m recount.Mapping, partitions [][]sourcetest.Row) sourcetest.Stream {
		t.Helper()
		dir := t.TempDir()
		name := func(p int) string { return filepath.Join(dir, fmt.Sprintf("p%c.log", 'a'+p)) }
		config := config
		config.Paths = []string{"p*.log"}
		stream := sourcetest.Stream{Source: open(t, dir, m, config)}
		stream.Grow = func(t *testing.T, p int, rows []sourcetest.Row) {
			t.Helper()
			for _, r := range rows {
				appendTo(t, name(p), string(line(r))+"\n")
			}
		}
		for p, rows := range partitions {
			var payloads [][]byte
			var text bytes.Buffer
			for _, r := range rows {
				payloads = append(payloads, line(r))
				text.Write(line(r))
				text.WriteByte('\n')
			}
			stream.Payloads = append(stream.Payloads, payloads)
			appendTo(t, name(p), text.String())
		}
		return stream
	}
}

func open(t *testing.T, dir string, m recount.Mapping, config logs.Config) source.Source {
	t.Helper()
	s, err := logs.Open(t.Context(), adapter.Env{Dir: dir, Stream: "app", Mapping: m, Now: clock.System{}.Now}, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// tick gives files times of their own: those of file systems are coarse.
var tick atomic.Int64

// appendTo writes to a file, later than all that was written before.
func appendTo(t *testing.T, name, text string) {
	t.Helper()
	at := time.Date(2024, 6, 10, 12, 0, 0, 0, time.UTC).Add(time.Duration(tick.Add(1)) * time.Second)
	defer func() {
		if err := os.Chtimes(name, at, at); err != nil {
			t.Error(err)
		}
	}()
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// follower reads a log and keeps what came.
type follower struct {
	t      *testing.T
	source source.Source
	cursor source.Cursor
	lines  []string
	gaps   []recount.Gap
}

func follow(t *testing.T, dir string) *follower {
	return &follower{t: t, cursor: source.Cursor{}, source: open(t, dir, recount.Mapping{Time: "at", Zone: time.UTC}, logs.Config{Paths: []string{"app.log"}, Format: "json", Others: "fault"})}
}

func (f *follower) read() {
	f.t.Helper()
	last := ""
	_, err := f.source.Read(f.t.Context(), f.cursor, func(b source.Batch) error {
		for _, e := range b.Events {
			if e.Position <= last || b.Partition != "app.log" {
				f.t.Errorf("partition %s, position %s after %s", b.Partition, e.Position, last)
			}
			last = e.Position
			f.lines = append(f.lines, string(e.Data))
		}
		f.gaps = append(f.gaps, b.Gaps...)
		f.cursor[b.Partition] = b.Cursor
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *follower) want(lines ...string) {
	f.t.Helper()
	if !slices.Equal(f.lines, lines) {
		f.t.Fatalf("got %q, want %q", f.lines, lines)
	}
}

func TestALogIsFollowedOverRotation(t *testing.T) {
	rename := func(t *testing.T, from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	for name, rotate := range map[string]func(t *testing.T, log string){
		"renamed":       func(t *testing.T, log string) { rename(t, log, log+".1") },
		"dated":         func(t *testing.T, log string) { rename(t, log, log+"-20260101") },
		"before ending": func(t *testing.T, log string) { rename(t, log, strings.TrimSuffix(log, ".log")+".1.log") },
		"packed": func(t *testing.T, log string) {
			text, err := os.ReadFile(log)
			if err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			w := gzip.NewWriter(&b)
			_, err = w.Write(text)
			if err := errors.Join(err, w.Close(), os.Remove(log)); err != nil {
				t.Fatal(err)
			}
			appendTo(t, log+".1.gz", b.String())
		},
		"copied and truncated": func(t *testing.T, log string) {
			text, err := os.ReadFile(log)
			if err != nil {
				t.Fatal(err)
			}
			appendTo(t, log+".1", string(text))
			if err := os.Truncate(log, 0); err != nil {
				t.Fatal(err)
			}
			appendTo(t, log, "")
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			log := filepath.Join(dir, "app.log")
			f := follow(t, dir)
			appendTo(t, log, "{\"n\":1}\n{\"n\":2}\n")
			f.read()
			appendTo(t, log, "{\"n\":3}\n")
			rotate(t, log)
			f.read() // the rest of what was rotated away
			f.want(`{"n":1}`, `{"n":2}`, `{"n":3}`)
			appendTo(t, log, "{\"n\":4}\n{\"n\":5")
			f.read()
			f.want(`{"n":1}`, `{"n":2}`, `{"n":3}`, `{"n":4}`)
			appendTo(t, log, "0}\n")
			f.read()
			f.read()
			f.want(`{"n":1}`, `{"n":2}`, `{"n":3}`, `{"n":4}`, `{"n":50}`)
			if len(f.gaps) > 0 {
				t.Errorf("got gaps %v", f.gaps)
			}
		})
	}
}

func TestWhatWasRemovedBeforeItWasReadIsTold(t *testing.T) {
	dir := t.TempDir()
	log := filepath.Join(dir, "app.log")
	f := follow(t, dir)
	appendTo(t, log, "{\"n\":1}\n")
	f.read()
	appendTo(t, log, "{\"n\":2}\n")
	if err := os.Remove(log); err != nil {
		t.Fatal(err)
	}
	appendTo(t, log, "{\"n\":3}\n")
	f.read()
	f.want(`{"n":1}`, `{"n":3}`)
	if len(f.gaps) != 1 || !f.gaps[0].Lost() || f.gaps[0].From != recount.PadPosition("8") {
		t.Errorf("got gaps %v", f.gaps)
	}
	f.read()
	f.want(`{"n":1}`, `{"n":3}`)
}

// TestNoLineIsLostOrDoubledOverManyRotations writes, rotates and reads at random,
// in every way, and begins again from the cursor each time.
func TestNoLineIsLostOrDoubledOverManyRotations(t *testing.T) {
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 1))
		dir := t.TempDir()
		log := filepath.Join(dir, "app.log")
		f := follow(t, dir)
		var want []string
		for n, kept := 0, 0; n < 150; n++ {
			line := fmt.Sprintf(`{"n":%d,"pad":%q}`, n, strings.Repeat("x", rng.IntN(400)))
			if rng.IntN(3) == 0 {
				appendTo(t, log, line[:4])
				f.read()
				appendTo(t, log, line[4:]+"\n")
			} else {
				appendTo(t, log, line+"\n")
			}
			want = append(want, line)
			if rng.IntN(3) == 0 {
				f.source = open(t, dir, recount.Mapping{Time: "at", Zone: time.UTC}, logs.Config{Paths: []string{"app.log"}, Format: "json", Others: "fault"})
				f.read()
			}
			if rng.IntN(10) > 0 {
				continue
			}
			for i := kept; i > 0; i-- {
				if err := os.Rename(fmt.Sprintf("%s.%d", log, i), fmt.Sprintf("%s.%d", log, i+1)); err != nil {
					t.Fatal(err)
				}
			}
			kept++
			if rng.IntN(2) == 0 {
				if err := os.Rename(log, log+".1"); err != nil {
					t.Fatal(err)
				}
			} else {
				text, err := os.ReadFile(log)
				if err != nil {
					t.Fatal(err)
				}
				appendTo(t, log+".1", string(text))
				if err := os.Truncate(log, 0); err != nil {
					t.Fatal(err)
				}
				appendTo(t, log, "")
			}
		}
		f.read()
		if !slices.Equal(f.lines, want) || len(f.gaps) > 0 {
			t.Fatalf("seed %d: got %d lines, want %d; gaps %v", seed, len(f.lines), len(want), f.gaps)
		}
	}
}

func TestLinesThatAreNoEventsCanBeSkipped(t *testing.T) {
	dir := t.TempDir()
	appendTo(t, filepath.Join(dir, "app.log"), "started\n12:00 u1 +5.00\n\n12:01 u2 +1.00\nstopped\n")
	config := logs.Config{Paths: []string{"app.log"}, Format: "text", Pattern: `^(?P<at>\d\d:\d\d) (?P<user>\S+) \+(?P<value>\S+)$`}
	m := recount.Mapping{Key: "user", Time: "at", Zone: time.UTC, Fields: []recount.Field{{Name: "value", Type: recount.Decimal(18, 2)}}}
	for others, want := range map[string]int{"fault": 4, "skip": 2} {
		config.Others = others
		var events []recount.Event
		if _, err := open(t, dir, m, config).Read(t.Context(), source.Cursor{}, func(b source.Batch) error {
			events = append(events, b.Events...)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if len(events) != want {
			t.Errorf("others %s: got %d events, want %d", others, len(events), want)
		}
		for _, e := range events {
			sound := strings.Contains(string(e.Data), "+")
			if sound && e.Fields[0].Null || !sound && !strings.Contains(e.Fault, "pattern") {
				t.Errorf("others %s: %q has value %v and fault %q", others, e.Data, e.Fields, e.Fault)
			}
		}
	}
}

func TestWaitReturnsWhenALineIsWritten(t *testing.T) {
	dir := t.TempDir()
	log := filepath.Join(dir, "app.log")
	f := follow(t, dir)
	appendTo(t, log, "{\"n\":1}\n{\"n\"")
	f.read()
	waiter, ok := f.source.(source.Waiter)
	if !ok {
		t.Fatal("it cannot wait")
	}
	short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := waiter.Wait(short, f.cursor); err != nil || short.Err() == nil {
		t.Errorf("it did not wait for the line that is being written (%v)", err)
	}
	appendTo(t, log, ":2}\n")
	long, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := waiter.Wait(long, f.cursor); err != nil || long.Err() != nil {
		t.Errorf("it did not see the line's end (%v)", err)
	}
}

func TestWrongBlocksAreRefused(t *testing.T) {
	for _, c := range []logs.Config{
		{Format: "json", Others: "fault"},
		{Paths: []string{"a"}, Format: "xml", Others: "fault"},
		{Paths: []string{"a"}, Format: "text", Others: "fault"},
		{Paths: []string{"a"}, Format: "json", Pattern: "x", Others: "fault"},
		{Paths: []string{"a"}, Format: "json", Others: "drop"},
		{Paths: []string{"a/**/b"}, Format: "json", Others: "fault"},
		{Paths: []string{"a["}, Format: "json", Others: "fault"},
		{Paths: []string{"a"}, Format: "text", Pattern: "(", Others: "fault"},
	} {
		_, err := logs.Open(t.Context(), adapter.Env{Stream: "app", Mapping: recount.Mapping{Time: "at"}}, c)
		if e, ok := errors.AsType[*recount.Error](err); !ok || e.Code != recount.CodeConfig || e.Next == "" || e.Where == "" {
			t.Errorf("%+v: got %v", c, err)
		}
	}
}
