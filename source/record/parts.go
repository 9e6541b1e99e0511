package record

import (
	"slices"
	"strings"
	"time"

	"recount"
	"recount/source/payload"
	"recount/source/payload/derive"
)

// The parts of a record that a mapping can name besides paths of its value.
const (
	partTime     = "record:timestamp"
	partKey      = "record:key"
	partValue    = "record:value"
	partHeader   = "header:"   // and the header's name; the last one counts
	partEnvelope = "envelope:" // and a path in what wraps the value
)

// What an envelope holds besides its own members; no attribute of a CloudEvent has
// a space.
const (
	// pathIdentity is what names a CloudEvent: its source and id, a space between.
	// A source is a URI, which has none, so that no two pairs have one text.
	pathIdentity = "envelope:source id"
	// pathTime is the envelope's time, or else the record's. A mapping that gives it
	// to the event's time means eventTime.
	pathTime  = "envelope:time"
	eventTime = "event time"
	// pathOperation is what a change event did, as a word.
	pathOperation = "envelope:operation"
)

func ofEnvelope(path string) bool { return strings.HasPrefix(path, partEnvelope) }

func ofRecord(path string) bool {
	return path == partTime || path == partKey || path == partValue || strings.HasPrefix(path, partHeader)
}

// reading is one document of a record under the part of the mapping that leads
// into it.
type reading struct {
	mapping recount.Mapping
	fields  []int    // indexes into the whole mapping's fields
	whole   bool     // those are all of its fields
	asks    bool     // the mapping asks anything of the document
	keys    []string // the members of the document that paths lead into
	json    *payload.Decoder
	derived *payload.Decoder
}

// newReading takes the paths of m for which into says yes.
func newReading(m recount.Mapping, into func(path string) bool) (reading, error) {
	r := reading{mapping: m}
	for _, path := range []*string{&r.mapping.ID, &r.mapping.Time, &r.mapping.Key, &r.mapping.Type, &r.mapping.IngestTime} {
		if *path == partTime || !into(*path) {
			*path = ""
		}
	}
	if r.mapping.Time == pathTime {
		r.mapping.Time = partEnvelope + eventTime
	}
	r.mapping.Fields = nil
	for i, f := range m.Fields {
		if into(pathOf(f)) {
			r.mapping.Fields = append(r.mapping.Fields, f)
			r.fields = append(r.fields, i)
		}
	}
	r.whole = len(r.fields) == len(m.Fields)
	for range paths(r.mapping) {
		r.asks = true
	}
	var err error
	if r.keys, err = payload.Keys(r.mapping); err != nil {
		return r, err
	}
	if r.json, err = payload.New(payload.JSON, "", r.mapping); err != nil {
		return r, err
	}
	r.derived, err = payload.New(payload.Derived, "", r.mapping)
	return r, err
}

// names says whether a path leads into a member of the document.
func (r *reading) names(key string) bool { return slices.Contains(r.keys, key) }

// read fills what the document has into e. A document that is nil has nothing.
func (r *reading) read(e *recount.Event, s *payload.Scratch, document []byte, derived bool) {
	if document == nil {
		return
	}
	decoder := r.json
	if derived {
		decoder = r.derived
	}
	var got recount.Event
	if r.whole {
		got.Fields = e.Fields
	}
	decoder.Into(&got, s, document, s.Text(document))
	if !r.whole {
		for i, at := range r.fields {
			e.Fields[at] = got.Fields[i]
		}
	}
	m := &r.mapping
	if m.ID != "" {
		e.ID = got.ID
	}
	if m.Type != "" {
		e.Type = got.Type
	}
	if m.Key != "" {
		e.Key = got.Key
	}
	if m.Time != "" {
		e.Time = got.Time
	}
	if m.IngestTime != "" {
		e.IngestTime = got.IngestTime
	}
	if got.Fault != "" {
		e.Fault = joined(e.Fault, got.Fault)
	}
	e.Broken = append(e.Broken, got.Broken...)
}

// unreadable notes that the document could not be had.
func (r *reading) unreadable(e *recount.Event) {
	for _, f := range r.mapping.Fields {
		e.Broken = append(e.Broken, f.Name)
	}
}

// parts is the document of a record's key, value and headers, as far as the
// mapping names them: a member for each, by its path.
func (r *reading) parts(e *recount.Event, key []byte) []byte {
	doc := []byte{'{'}
	var seen []string
	for _, path := range paths(r.mapping) {
		if slices.Contains(seen, path) {
			continue
		}
		seen = append(seen, path)
		value := part(e, key, path)
		if value == nil {
			continue
		}
		if len(doc) > 1 {
			doc = append(doc, ',')
		}
		doc = append(derive.String(doc, path), ':')
		doc = derive.String(doc, string(value))
	}
	return append(doc, '}')
}

func part(e *recount.Event, key []byte, path string) []byte {
	switch path {
	case partKey:
		return key
	case partValue:
		return e.Data
	}
	name := strings.TrimPrefix(path, partHeader)
	for _, h := range slices.Backward(e.Headers) {
		if h.Name == name {
			return h.Value
		}
	}
	return nil
}

func joined(fault, more string) string {
	if fault == "" {
		return more
	}
	return fault + "; " + more
}

func micros(at time.Time) time.Time { return at.UTC().Truncate(time.Microsecond) }
