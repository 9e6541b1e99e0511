// Package sourcetest is the conformance suite of the port source: what every
// adapter promises, each promise a subtest. An adapter's test hands it a Harness
// that stores rows in the adapter's own way; nothing here knows an adapter.
package sourcetest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"recount"
	"recount/source"
)

// Row is one event that a harness stores: a payload with the columns or keys
// id, time, user, value and note, all of them texts. Value is no decimal and
// Time no time in rows that are meant to be faults.
type Row struct {
	ID, Time, User, Value, Note string
}

// Stream is what a harness made.
type Stream struct {
	Source source.Source
	// Payloads are the bytes that were stored, by partition and row. Nil where
	// the source has no bytes of a row and derives them.
	Payloads [][][]byte
	// Grow adds rows to a partition as live traffic would; nil where the stream
	// cannot grow.
	Grow func(t *testing.T, partition int, rows []Row)
	// Skip takes a position or more of a partition for something that is no event, and
	// returns the reason that the gap must have; nil where that cannot be.
	Skip func(t *testing.T, partition int) recount.GapReason
	// Stored says by which time each row of a partition is found (source.Spanned);
	// nil where a span of time is not looked at.
	Stored func(partition int) []time.Time
	// Destination makes an empty destination on the same servers and a source that
	// reads it; of a source.Bus alone.
	Destination func(t *testing.T) (name string, back source.Source)
	// Consume has a member of a consumer group process the first n messages of a
	// destination, and leave; of a destination that is followed alone.
	Consume func(t *testing.T, destination, group string, n int)
}

// Harness stores rows for the suite.
type Harness struct {
	// Make stores partitions of rows, in order, and opens a source of them under
	// the mapping.
	Make func(t *testing.T, m recount.Mapping, partitions [][]Row) Stream
	// Holds says whether a note can be stored byte for byte; nil: any can.
	Holds func(note string) bool
}

// Mapping is how the suite reads its rows.
func Mapping() recount.Mapping {
	return recount.Mapping{
		ID: "id", Time: "time", Key: "user", Zone: time.UTC,
		Fields: []recount.Field{
			{Name: "user", Type: recount.Type{Kind: recount.KindString}},
			{Name: "value", Type: recount.Decimal(18, 2)},
			{Name: "remark", Type: recount.Type{Kind: recount.KindString}, Path: "note"},
		},
	}
}

// Run runs the whole suite.
func Run(t *testing.T, h Harness) {
	t.Run("every event is read once, in order, with its fields", func(t *testing.T) { everyEvent(t, h) })
	t.Run("payloads keep their bytes", func(t *testing.T) { payloads(t, h) })
	t.Run("positions are unique, growing and of fixed width", func(t *testing.T) { positions(t, h) })
	t.Run("the last cursor reads nothing", func(t *testing.T) { nothingNew(t, h) })
	t.Run("a cursor from any batch resumes exactly", func(t *testing.T) { resumes(t, h) })
	t.Run("a stream that grew is read on", func(t *testing.T) { grows(t, h) })
	t.Run("row faults are reported, not dropped", func(t *testing.T) { faults(t, h) })
	t.Run("a decoder gives the same fields again", func(t *testing.T) { decoder(t, h) })
	t.Run("a batch belongs to its receiver", func(t *testing.T) { ownership(t, h) })
	t.Run("an error of emit ends the reading", func(t *testing.T) { emitError(t, h) })
	t.Run("a cancelled context ends the reading", func(t *testing.T) { cancelled(t, h) })
	t.Run("an empty stream ends at once", func(t *testing.T) { empty(t, h) })
	t.Run("files are adopted whole, and read again alike", func(t *testing.T) { originals(t, h) })
	t.Run("check and info answer", func(t *testing.T) { answers(t, h) })
	t.Run("positions without an event are told", func(t *testing.T) { dense(t, h) })
	t.Run("waiting ends when there is something new", func(t *testing.T) { waits(t, h) })
	t.Run("a span holds what lies in it", func(t *testing.T) { spans(t, h) })
	t.Run("nothing is lost unless it is", func(t *testing.T) { resumer(t, h) })
	t.Run("a destination knows how far its readers are", func(t *testing.T) { follows(t, h) })
	t.Run("what is published is read back", func(t *testing.T) { publishes(t, h) })
}

// many returns n sound rows whose ids begin with prefix.
func many(prefix string, n int) []Row {
	at := time.Date(2024, 6, 10, 12, 0, 0, 0, time.UTC)
	rows := make([]Row, n)
	for i := range rows {
		rows[i] = Row{
			ID: fmt.Sprintf("%s%06d", prefix, i), Time: at.Add(time.Duration(i) * time.Millisecond).Format("2006-01-02T15:04:05.000Z"),
			User: fmt.Sprintf("u%03d", i%100), Value: fmt.Sprintf("%d.%02d", i, i%100), Note: "n",
		}
	}
	return rows
}

// Notes are texts that have broken readers: each must come back as it went in.
func Notes() []string {
	return []string{
		"", " ", "NULL", "null", "\\N", "\"", "\"\"", "a\"b", "a,b", ",", ";", "\t", "a\nb", "a\r\nb", "\r\n", "\n\n", "a\rb",
		"a\x00b", "\x00", "\xff\xfe", "a\xc3(", "\xef\xbb\xbfbom", "=1+1", "@SUM(A1)", "+cmd|' /C calc'!A0", "-2",
		"Ünïcödé", "日本語", "👩‍👩‍👧‍👦", "\u202eright to left", "e\u0301", "{\"a\":1}", "[1]", "\\u0041", "\\", "\\\"",
		"'; DROP TABLE t; --", "\u2028", "\ufeff", strings.Repeat("x", 1<<20), strings.Repeat("\"\n", 5000),
	}
}

// hostile returns a row for each note that the harness can store.
func hostile(h Harness) []Row {
	var rows []Row
	for i, note := range Notes() {
		if h.Holds == nil || h.Holds(note) {
			rows = append(rows, Row{ID: fmt.Sprintf("h%03d", i), Time: "2024-06-10T12:00:00Z", User: "u1", Value: "1.50", Note: note})
		}
	}
	return rows
}

// readAll reads from cursor to the end and moves cursor there.
func readAll(t *testing.T, s source.Source, cursor source.Cursor) []source.Batch {
	t.Helper()
	var batches []source.Batch
	end, err := s.Read(t.Context(), cursor, func(b source.Batch) error {
		batches = append(batches, b)
		return nil
	})
	if err != nil {
		t.Fatalf("read: got %v, want no error", err)
	}
	if end.Watermark.IsZero() {
		t.Error("watermark: got none")
	}
	for _, b := range batches {
		if len(b.Events)+len(b.Gaps) == 0 && cursor[b.Partition] == b.Cursor {
			t.Errorf("partition %q: got an empty batch", b.Partition)
		}
		cursor[b.Partition] = b.Cursor
	}
	return batches
}

// byPartition joins the batches' events by the harness's partitions, which are
// told apart by the first letter of their ids.
func eventsOf(batches []source.Batch, letter string) []recount.Event {
	var events []recount.Event
	for _, b := range batches {
		for _, ev := range b.Events {
			if strings.HasPrefix(ev.ID, letter) {
				events = append(events, ev)
			}
		}
	}
	return events
}

func ids(events []recount.Event) []string {
	out := make([]string, len(events))
	for i, ev := range events {
		out[i] = ev.ID
	}
	return out
}
