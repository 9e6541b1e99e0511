package workertest

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"recount"
)

// Event is one event: its columns by name, those of the envelope (id, type,
// partition, position, time, ingest_time, key, data, hit) among them. A value is a
// text as Recount prints it, a number, a bool, a time.Time, or anything that prints
// itself; nil, or a column that is missing, is NULL. An event without a position
// has that of its place in the list, in partition 0; without an id, none.
type Event map[string]any

// Read reads events from a file: .jsonl has an object a line, .csv a line of names
// and then a line an event, where an empty text is NULL.
func Read(tb testing.TB, path string) []Event {
	tb.Helper()
	f, err := os.Open(path)
	if err != nil {
		tb.Fatalf("read events: %v", err)
	}
	defer func() { _ = f.Close() }()
	var events []Event
	switch ext := filepath.Ext(path); ext {
	case ".jsonl":
		events, err = readLines(f)
	case ".csv":
		events, err = readCSV(f)
	default:
		err = fmt.Errorf("%q is neither .jsonl nor .csv", ext)
	}
	if err != nil {
		tb.Fatalf("read events: %s: %v", path, err)
	}
	return events
}

func readLines(r io.Reader) ([]Event, error) {
	var events []Event
	dec := json.NewDecoder(bufio.NewReader(r))
	dec.UseNumber()
	for {
		var e Event
		err := dec.Decode(&e)
		if errors.Is(err, io.EOF) {
			return events, nil
		}
		if err != nil {
			return nil, fmt.Errorf("event %d: %w", len(events)+1, err)
		}
		events = append(events, e)
	}
}

func readCSV(r io.Reader) ([]Event, error) {
	rows, err := csv.NewReader(r).ReadAll()
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	var events []Event
	for _, row := range rows[1:] {
		e := Event{}
		for i, text := range row {
			if text != "" {
				e[strings.TrimSpace(rows[0][i])] = text
			}
		}
		events = append(events, e)
	}
	return events, nil
}

// value is a column of the event as canonical text.
func (e Event) value(name string, t recount.Type) (recount.Value, error) {
	v, ok := e[name]
	if !ok || v == nil {
		return recount.Null, nil
	}
	var text string
	switch v := v.(type) {
	case string:
		text = v
	case []byte:
		text = string(v)
	case time.Time:
		text = recount.FormatTimestamp(v)
		if t.Kind == recount.KindDate {
			text = v.Format(time.DateOnly)
		}
	case map[string]any, []any:
		b, err := json.Marshal(v)
		if err != nil {
			return recount.Null, fmt.Errorf("%s: %w", name, err)
		}
		text = string(b)
	default:
		text = fmt.Sprint(v)
	}
	text, err := recount.Canonical(t, text)
	if err != nil {
		return recount.Null, fmt.Errorf("%s: %w", name, err)
	}
	return recount.Text(text), nil
}
