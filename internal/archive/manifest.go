package archive

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
	"unicode/utf8"

	"recount"
	"recount/internal/archive/positions"
)

// formatVersion is the version of the commit log. A higher one is refused. A
// commit that says nothing which version 1 could not is written as version 1.
const (
	formatVersion = 2
	firstVersion  = 1
)

// commit is one entry of the commit log.
type commit struct {
	Format    int               `json:"format"`
	Stream    string            `json:"stream"`
	Number    int64             `json:"commit"`
	Previous  string            `json:"previous"` // digest of the commit before; empty for the first
	At        time.Time         `json:"at"`
	Program   string            `json:"program"`
	Mapping   string            `json:"mapping"` // digest of what makes an event's envelope
	Fields    []fieldEntry      `json:"fields"`
	Lateness  string            `json:"lateness"`
	Watermark string            `json:"watermark"` // empty: nothing is complete yet
	LastSeq   int64             `json:"last_seq"`  // of the stream, this commit included
	Cursor    map[string]string `json:"cursor"`    // of the partitions that moved
	Counts    counts            `json:"counts"`    // of this commit
	Files     []fileEntry       `json:"files"`
	Marks     []marksEntry      `json:"marks"`
	// Marked counts marks of this commit about events of earlier ones.
	Marked []markedEntry `json:"marked"`

	// What follows is of format 2.

	// Dense says that the positions of this commit's partitions are numbers without
	// holes: each is an event's or lies in a gap.
	Dense bool `json:"dense,omitempty"`
	// Gaps are the positions that were passed and hold no event.
	Gaps []recount.Gap `json:"gaps,omitempty"`
	// Pulled are the spans of time that were brought in by themselves, with this
	// commit and those before it whose events have no cursor. The cursor is empty,
	// the watermark that of the commit before.
	Pulled []spanEntry `json:"pulled,omitempty"`
	// PulledCursor is, by partition, which log events were pulled from, in the
	// source's own words. Read begins at the log's beginning from it.
	PulledCursor map[string]string `json:"pulled_cursor,omitempty"`
	// Replaces names files whose events, with their sequence numbers, are in this
	// commit's files from here on. Its counts are zero.
	Replaces []string `json:"replaces,omitempty"`
	// Removes names files that are taken out with their events; all events before
	// Since are gone.
	Removes []string `json:"removes,omitempty"`
	Since   string   `json:"since,omitempty"`
}

// spanEntry is a span of event time.
type spanEntry struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// arrivalEntry is recount.Arrival.
type arrivalEntry struct {
	LastSeq int64  `json:"last_seq"`
	Before  string `json:"before"`
	Commit  int64  `json:"commit"`
}

// version is the lowest format that can say what the commit says.
func (c *commit) version() int {
	newer := c.Dense || len(c.Gaps)+len(c.Pulled)+len(c.PulledCursor)+len(c.Replaces)+len(c.Removes) > 0
	for _, f := range c.Files {
		newer = newer || f.Origin != "" || len(f.Arrivals) > 0 || f.Fields != nil
	}
	if newer {
		return formatVersion
	}
	return firstVersion
}

// beside says that the commit's events were brought in by themselves: no cursor
// leads over them.
func (c *commit) beside() bool { return len(c.Cursor) == 0 && (c.Counts.Events > 0 || len(c.Gaps) > 0) }

// read is which positions a commit has read, by partition. One that replaces or
// removes files reads nothing.
func (c *commit) read() []recount.Stretch {
	read := map[string]*recount.Stretch{}
	take := func(partition, first, last string) {
		s := read[partition]
		if s == nil {
			s = &recount.Stretch{Partition: partition, First: first, Last: last, Pulled: c.beside()}
			read[partition] = s
		}
		s.First, s.Last = min(s.First, first), max(s.Last, last)
	}
	for _, f := range c.Files {
		if f.Origin != "" || len(c.Replaces) > 0 {
			continue // nobody knows what lies between the events of an adopted file
		}
		for _, span := range f.Spans {
			take(span.Partition, span.First, span.Last)
		}
	}
	for _, g := range c.Gaps {
		take(g.Partition, g.From, positions.Before(g.To))
	}
	list := make([]recount.Stretch, 0, len(read))
	for _, partition := range slices.Sorted(maps.Keys(read)) {
		list = append(list, *read[partition])
	}
	return list
}

// counts counts events and marks by kind.
type counts struct {
	Events    int64 `json:"events"`
	Repeats   int64 `json:"repeats"`
	Conflicts int64 `json:"conflicts"`
	Faults    int64 `json:"faults"`
}

type fieldEntry struct {
	Name string `json:"name"`
	Type string `json:"type"`
	Path string `json:"path"`
}

type fileEntry struct {
	Name      string                 `json:"name"`
	SHA256    string                 `json:"sha256"`
	Bytes     int64                  `json:"bytes"`
	Rows      int64                  `json:"rows"`
	FirstSeq  int64                  `json:"first_seq"`
	LastSeq   int64                  `json:"last_seq"`
	FirstTime string                 `json:"first_time"` // empty: times that cannot be read
	LastTime  string                 `json:"last_time"`
	FirstID   string                 `json:"first_id"` // smallest and largest id in byte order; empty: none has one
	LastID    string                 `json:"last_id"`
	Spans     []recount.PositionSpan `json:"spans"`
	Format    string                 `json:"payload"`
	Header    string                 `json:"header"`
	Repeats   int64                  `json:"repeats"`
	Conflicts int64                  `json:"conflicts"`
	Faults    int64                  `json:"faults"`
	Arrivals  []arrivalEntry         `json:"arrivals,omitempty"`
	Origin    string                 `json:"origin,omitempty"` // of a file that was adopted where it lies
	OriginSeq int64                  `json:"origin_seq,omitempty"`
	// Fields are the file's typed columns where they are not the commit's: those of
	// the commits that a compacted file stands for.
	Fields *[]fieldEntry `json:"fields,omitempty"`
}

type marksEntry struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
	Bytes  int64  `json:"bytes"`
	Rows   int64  `json:"rows"`
}

type markedEntry struct {
	Name      string `json:"name"` // of a file of an earlier commit
	Repeats   int64  `json:"repeats"`
	Conflicts int64  `json:"conflicts"`
}

// The frame of a commit's object: one line, in which every byte is fixed by the
// body, so that no changed byte goes unseen even in the newest commit.
const (
	frameHead = `{"sha256":"`
	frameBody = `","body":`
	frameTail = "}\n"
)

// encode returns the object of a commit and its digest: the SHA-256 of its body,
// which is also the id of the snapshot that it makes.
func (c *commit) encode() (object []byte, digest string, err error) {
	c.Format = c.version()
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(c); err != nil {
		return nil, "", fmt.Errorf("encode commit %d: %w", c.Number, err)
	}
	object, digest = frame(bytes.TrimSuffix(body.Bytes(), []byte("\n")))
	return object, digest, nil
}

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// decodeCommit reads the object of a commit and returns its digest. Errors are
// plain: the caller knows the object's name. A newer format is *newerError.
func decodeCommit(object []byte) (*commit, string, error) {
	body, digest, err := unframe(object)
	if err != nil {
		return nil, "", err
	}
	var version struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(body, &version); err != nil {
		return nil, "", fmt.Errorf("read its format: %w", err)
	}
	if version.Format > formatVersion {
		return nil, "", &newerError{version.Format}
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	c := &commit{}
	if err := dec.Decode(c); err != nil {
		return nil, "", fmt.Errorf("read it: %w", err)
	}
	if dec.More() {
		return nil, "", errors.New("something follows it")
	}
	return c, digest, nil
}

// newerError says that a newer version wrote a commit.
type newerError struct{ format int }

func (e *newerError) Error() string {
	return fmt.Sprintf("it has format %d; this program reads formats up to %d", e.format, formatVersion)
}

func fieldEntries(fields []recount.Field) []fieldEntry {
	list := make([]fieldEntry, len(fields))
	for i, f := range fields {
		list[i] = fieldEntry{Name: f.Name, Type: f.Type.String(), Path: f.Path}
	}
	return list
}

func (c *commit) fields() ([]recount.Field, error) { return fieldsOf(c.Fields) }

func fieldsOf(entries []fieldEntry) ([]recount.Field, error) {
	list := make([]recount.Field, len(entries))
	for i, f := range entries {
		t, err := recount.ParseType(f.Type)
		if err != nil {
			return nil, fmt.Errorf("field %q: %w", f.Name, err)
		}
		list[i] = recount.Field{Name: f.Name, Type: t, Path: f.Path}
	}
	return list, nil
}

func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return recount.FormatTimestamp(t)
}

func parseTime(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	return recount.ParseTimestamp(text)
}

// dataFile returns the file as the snapshot shows it.
func (f *fileEntry) dataFile(c *commit, fields []recount.Field, before time.Time) (recount.DataFile, error) {
	first, err := parseTime(f.FirstTime)
	if err != nil {
		return recount.DataFile{}, fmt.Errorf("file %q: %w", f.Name, err)
	}
	last, err := parseTime(f.LastTime)
	if err != nil {
		return recount.DataFile{}, fmt.Errorf("file %q: %w", f.Name, err)
	}
	arrivals := make([]recount.Arrival, 0, len(f.Arrivals))
	for _, a := range f.Arrivals {
		at, err := parseTime(a.Before)
		if err != nil {
			return recount.DataFile{}, fmt.Errorf("file %q: %w", f.Name, err)
		}
		arrivals = append(arrivals, recount.Arrival{LastSeq: a.LastSeq, Before: at, Commit: a.Commit})
	}
	if len(arrivals) == 0 {
		arrivals = nil
	}
	if f.Fields != nil {
		if fields, err = fieldsOf(*f.Fields); err != nil {
			return recount.DataFile{}, fmt.Errorf("file %q: %w", f.Name, err)
		}
	}
	return recount.DataFile{
		Arrivals: arrivals, Origin: f.Origin, OriginSeq: f.OriginSeq, Name: f.Name, SHA256: f.SHA256, Bytes: f.Bytes, Rows: f.Rows, Commit: c.Number, FirstSeq: f.FirstSeq, LastSeq: f.LastSeq,
		FirstTime: first, LastTime: last, TimeKnown: f.FirstTime != "", Spans: f.Spans, Before: before, Fields: fields,
		Format: f.Format, Header: f.Header, Repeats: f.Repeats, Conflicts: f.Conflicts, Faults: f.Faults,
	}, nil
}

// checkTexts refuses what JSON would not keep byte for byte.
func checkTexts(what string, texts ...string) error {
	for _, text := range texts {
		if !utf8.ValidString(text) {
			return fmt.Errorf("%s %q is no UTF-8", what, text)
		}
	}
	return nil
}
