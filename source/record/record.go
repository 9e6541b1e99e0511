// Package record turns the records of a bus into events under a mapping: what
// lies in the record itself (key, time, headers), and what its value holds. Every
// bus shares it, so that a value reads the same whichever bus brought it, and the
// same again years later out of the archive. It never changes a value.
package record

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"recount"
	"recount/source"
	"recount/source/payload"
)

// Record is one message as a bus gives it.
type Record struct {
	Position string // as archived: of fixed width, so that text order is log order
	// Time is the record's own timestamp: when it was made, or when the bus took it
	// in where Appended says so.
	Time     time.Time
	Appended bool
	Key      []byte // nil: none
	Value    []byte // nil: a tombstone
	Headers  []recount.Header
}

// Replayed says whether Recount itself published the record: it is no new event.
func (r *Record) Replayed() bool {
	return slices.ContainsFunc(r.Headers, func(h recount.Header) bool { return h.Name == source.HeaderReplay })
}

// The parts of a record that a mapping can name besides paths of its value.
const (
	partTime   = "record:timestamp"
	partKey    = "record:key"
	partHeader = "header:" // and the header's name; the last one counts
)

// Options say how records are read.
type Options struct {
	Mapping recount.Mapping
	// Format is how values are written: json where empty.
	Format string
	// Keyed says that the bus has keys: then the event's key is the record's.
	Keyed bool
	// Where names the source in errors.
	Where string
}

// Decoder reads records. It is safe for concurrent use; each call is one
// goroutine's.
type Decoder struct {
	options Options
	values  *payload.Decoder
}

// New returns the decoder, or says what of the mapping cannot be.
func New(o Options) (*Decoder, error) {
	if o.Format == "" {
		o.Format = payload.JSON
	}
	if err := check(o); err != nil {
		return nil, err
	}
	values, err := payload.New(o.Format, "", inValue(o.Mapping))
	if err != nil {
		return nil, located(err, o.Where)
	}
	return &Decoder{options: o, values: values}, nil
}

func check(o Options) error {
	fault := func(what, why, next string) error {
		return &recount.Error{Code: recount.CodeConfig, What: what, Where: o.Where, Why: why, Next: next}
	}
	m := o.Mapping
	switch {
	case m.Partition != "" || m.Position != "":
		return fault("event.partition and event.position cannot be given", "a record's partition and position are the bus's own", "leave them out")
	case o.Keyed && m.Key != "" && m.Key != partKey:
		return fault(fmt.Sprintf("event.key cannot be %q", m.Key), "an event's key is its record's key", "leave key out of event:, and declare the column under fields: if it is needed")
	case !o.Keyed && m.Key == partKey:
		return fault("event.key cannot be record:key", "records of this bus have no key", "leave key out, or name the column of the payload")
	}
	return nil
}

// inValue is the part of a mapping that is read from the value alone.
func inValue(m recount.Mapping) recount.Mapping {
	for _, path := range []*string{&m.ID, &m.Time, &m.Key, &m.Type, &m.IngestTime} {
		if ofRecord(*path) {
			*path = ""
		}
	}
	return m
}

func ofRecord(path string) bool {
	return path == partTime || path == partKey || strings.HasPrefix(path, partHeader)
}

// Events reads records of one partition. The events own nothing of the records but
// what their slices point to. header is what Again needs to read these values.
func (d *Decoder) Events(_ context.Context, partition string, records []Record) (events []recount.Event, header string, err error) {
	events = make([]recount.Event, len(records))
	for i := range records {
		events[i] = d.event(partition, &records[i])
	}
	return events, "", nil
}

// Format is the format that batches of these events have.
func (d *Decoder) Format() string { return d.options.Format }

func (d *Decoder) event(partition string, r *Record) recount.Event {
	e := d.read(recount.Event{Partition: partition, Position: r.Position, Key: r.Key, Data: r.Value, Headers: r.Headers}, r.Time)
	if r.Appended && d.options.Mapping.IngestTime == "" {
		e.IngestTime = r.Time.UTC().Truncate(time.Microsecond)
	}
	return e
}

// read fills the envelope and the fields of an event whose raw parts are there.
// at is the record's own time.
func (d *Decoder) read(raw recount.Event, at time.Time) recount.Event {
	m := d.options.Mapping
	e := recount.Event{}
	if raw.Data == nil {
		e.Fields = make([]recount.Value, len(m.Fields))
		for i := range e.Fields {
			e.Fields[i] = recount.Null
		}
	} else {
		e = d.values.Decode(raw.Data)
	}
	e.Partition, e.Position, e.Data, e.Headers = raw.Partition, raw.Position, raw.Data, raw.Headers
	if d.options.Keyed {
		e.Key = raw.Key
	}
	if m.Time == partTime || raw.Data == nil {
		// A tombstone has no value to read its time from.
		e.Time = at.UTC().Truncate(time.Microsecond)
	}
	if m.IngestTime == partTime {
		e.IngestTime = at.UTC().Truncate(time.Microsecond)
	}
	for path, into := range map[string]*string{m.ID: &e.ID, m.Type: &e.Type} {
		if !ofRecord(path) {
			continue
		}
		text, ok := part(raw, path)
		if !ok {
			continue
		}
		if !utf8.ValidString(text) {
			e.Fault = joined(e.Fault, fmt.Sprintf("%s is no UTF-8", path))
			continue
		}
		*into = text
	}
	return e
}

// part reads a part of the record that is a text.
func part(e recount.Event, path string) (string, bool) {
	if path == partKey {
		return string(e.Key), e.Key != nil
	}
	name, ok := strings.CutPrefix(path, partHeader)
	if !ok {
		return "", false
	}
	for _, h := range slices.Backward(e.Headers) {
		if h.Name == name {
			return string(h.Value), h.Value != nil
		}
	}
	return "", false
}

func joined(fault, more string) string {
	if fault == "" {
		return more
	}
	return fault + "; " + more
}

// Again returns what reads archived events of that format and header.
func (d *Decoder) Again(format, header string) (source.Decoder, error) {
	values, err := payload.New(format, header, inValue(d.options.Mapping))
	if err != nil {
		return nil, located(err, d.options.Where+", events archived before")
	}
	return again{&Decoder{options: d.options, values: values}}, nil
}

type again struct{ decoder *Decoder }

// Decode reads an archived event. Where the mapping takes the time from the record,
// the archived one is it.
func (a again) Decode(e recount.Event) recount.Event {
	at := e.Time
	now := a.decoder.read(e, at)
	if a.decoder.options.Mapping.IngestTime == "" || a.decoder.options.Mapping.IngestTime == partTime {
		now.IngestTime = e.IngestTime
	}
	return now
}

func located(err error, where string) error {
	e, ok := err.(*recount.Error) //nolint:errorlint // made by this package's callee, never wrapped
	if !ok || e.Where != "" {
		return err
	}
	with := *e
	with.Where = where
	return &with
}
