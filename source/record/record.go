// Package record turns the records of a bus into events under a mapping: what
// lies in the record itself (key, time, headers), what its value holds, and what
// wraps that. Every bus shares it, so that a value reads the same whichever bus
// brought it, and the same again years later out of the archive. It never changes
// a value: the event's data are the record's own bytes.
//
// A value is read in two steps. Its encoding (JSON, Avro, Protobuf, raw) makes a
// JSON document of it; its envelope (none, a CloudEvent, a change event of
// Debezium) says which part of that document the mapping's paths lead into. The
// schemas of a registry that a batch needs are part of its header, so that archived
// events are read without the registry.
//
// What always holds: a value that cannot be read is a fault of its event, never an
// error. An error means that the registry could not say what it is.
package record

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

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

// Options say how records are read.
type Options struct {
	Mapping recount.Mapping
	// Values say how values become fields.
	Values Values
	// Format stands for Values.Format where that is empty.
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
	values  Values
	shelf   *shelf

	parts, envelope, body reading

	scratch     *sync.Pool // of *payload.Scratch: each holds memory for thousands of events
	lastConnect *atomic.Pointer[connectText]
}

// New returns the decoder, or says what of the mapping or the values cannot be. It
// does not ask the registry.
func New(o Options) (*Decoder, error) {
	if o.Values.Format == "" {
		o.Values.Format = o.Format
	}
	o.Values = o.Values.plain()
	o.Values.Complete(&o.Mapping)
	if err := check(o); err != nil {
		return nil, err
	}
	if err := o.Values.check(o); err != nil {
		return nil, err
	}
	c, err := newClient(o.Values.Registry, o.Where)
	if err != nil {
		return nil, err
	}
	return newDecoder(o, o.Values, newShelf(c), o.Where)
}

func newDecoder(o Options, values Values, s *shelf, where string) (*Decoder, error) {
	d := &Decoder{options: o, values: values, shelf: s, lastConnect: &atomic.Pointer[connectText]{}}
	d.scratch = &sync.Pool{New: func() any { return &payload.Scratch{} }}
	if err := payload.CheckFields(o.Mapping.Fields); err != nil {
		return nil, recount.Located(err, where)
	}
	m := o.Mapping
	if o.Keyed && m.Key == partKey {
		m.Key = "" // the event has it already
	}
	var err error
	for _, in := range []struct {
		into *reading
		part func(path string) bool
	}{
		{&d.parts, ofRecord},
		{&d.envelope, ofEnvelope},
		{&d.body, func(path string) bool { return !ofRecord(path) && !ofEnvelope(path) }},
	} {
		if *in.into, err = newReading(m, in.part); err != nil {
			return nil, recount.Located(err, where)
		}
	}
	return d, nil
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

// HasID says whether events have an id: the mapping's or the envelope's.
func (d *Decoder) HasID() bool { return d.options.Mapping.ID != "" }

// Format is the format that batches of these events have.
func (d *Decoder) Format() string { return d.values.name() }

// Events reads records of one partition. The events own nothing of the records but
// what their slices point to. header is what Again needs to read these values. An
// error is the context's, or a *recount.Error of a registry that does not say
// what it knows: the same records may be read later.
func (d *Decoder) Events(ctx context.Context, partition string, records []Record) (events []recount.Event, header string, err error) {
	return d.EventsIn(ctx, partition, records, &Room{})
}

// Room is memory for events. It is used for one call at a time, and again once
// nothing of what it gave is needed.
type Room struct {
	events []recount.Event
	values []recount.Value
}

// Clear forgets what the events point to.
func (r *Room) Clear() {
	clear(r.events)
	clear(r.values)
}

// EventsIn is Events in memory that may have been used before.
func (d *Decoder) EventsIn(ctx context.Context, partition string, records []Record, room *Room) (events []recount.Event, header string, err error) {
	s := d.session()
	defer s.end()
	fields := len(d.options.Mapping.Fields)
	room.events = slices.Grow(room.events[:0], len(records))[:len(records)]
	room.values = slices.Grow(room.values[:0], len(records)*fields)[:len(records)*fields]
	events = room.events
	for i := range records {
		r := &records[i]
		e := &events[i]
		*e = recount.Event{Partition: partition, Position: r.Position, Key: r.Key, Data: r.Value, Headers: r.Headers}
		e.Fields = room.values[i*fields : (i+1)*fields : (i+1)*fields]
		s.read(ctx, e, r.Time)
		if s.err != nil {
			return nil, "", s.err
		}
		if r.Appended && d.options.Mapping.IngestTime == "" {
			e.IngestTime = micros(r.Time)
		}
	}
	if header, err = d.shelf.header(s.needs); err != nil {
		return nil, "", err
	}
	return events, header, nil
}

// session is one call's reading. It is used by one goroutine.
type session struct {
	*Decoder

	ctx     context.Context //nolint:containedctx // of the one event that is read
	at      time.Time       // the record's own time
	needs   map[uint32]*schema
	missing map[uint32]bool
	texts   *payload.Scratch
	err     error // the registry could not say
}

func (d *Decoder) session() *session {
	s := &session{Decoder: d, needs: map[uint32]*schema{}, missing: map[uint32]bool{}}
	if pooled, ok := d.scratch.Get().(*payload.Scratch); ok {
		s.texts = pooled
	} else {
		s.texts = &payload.Scratch{}
	}
	return s
}

func (s *session) end() { s.scratch.Put(s.texts) }

// opened is what a record's value holds.
type opened struct {
	envelope  []byte // a document; nil: there is none
	body      []byte // the document that the mapping's paths lead into; nil: none
	derived   bool   // the body was made by the rules of package derive
	bodyFault error  // why there is no body where there should be one
	gone      bool   // a tombstone
}

// read fills the envelope and the fields of an event whose raw parts are there.
// at is the record's own time.
func (s *session) read(ctx context.Context, e *recount.Event, at time.Time) {
	s.ctx, s.at = ctx, at
	if !s.options.Keyed {
		e.Key = nil // the mapping's, if it names one
	}
	key := e.Key
	if fields := len(s.options.Mapping.Fields); len(e.Fields) != fields || fields == 0 {
		e.Fields = s.texts.Values(fields)
	}
	for i := range e.Fields {
		e.Fields[i] = recount.Null
	}
	m := &s.options.Mapping
	o, err := s.open(e, key) //nolint:contextcheck // compiling a schema waits for nothing
	switch {
	case err != nil:
		e.Fault = err.Error()
		s.envelope.unreadable(e)
		s.body.unreadable(e)
	case o.gone:
		if m.Type == pathOperation {
			e.Type = tombstone
		}
	default:
		s.fill(e, o)
	}
	if s.parts.asks {
		s.parts.read(e, s.texts, s.parts.parts(e, key), true)
	}
	if m.Time == partTime || o.gone {
		// A tombstone has no value to read its time from.
		e.Time = micros(at)
	}
	if m.IngestTime == partTime {
		e.IngestTime = micros(at)
	}
}

func (s *session) fill(e *recount.Event, o opened) {
	if s.envelope.asks {
		s.envelope.read(e, s.texts, o.envelope, true)
	}
	if o.bodyFault != nil {
		e.Fault = joined(e.Fault, o.bodyFault.Error())
		s.body.unreadable(e)
	}
	s.body.read(e, s.texts, o.body, o.derived)
}

func (s *session) open(e *recount.Event, key []byte) (opened, error) {
	switch s.values.Envelope {
	case envelopeCloudEvents:
		return s.cloudEvent(e)
	case envelopeDebezium:
		return s.change(e, key)
	}
	if e.Data == nil {
		return opened{gone: true}, nil
	}
	body, derived, err := s.decode(e.Data)
	return opened{body: body, derived: derived}, err
}

// decode makes a JSON document of an encoded value.
func (s *session) decode(value []byte) (doc []byte, derived bool, err error) {
	switch s.values.Format {
	case formatRaw:
		return nil, false, nil
	case formatJSON:
		if _, _, err := frame(value); err == nil && !json.Valid(value) {
			return nil, false, errors.New("it begins like the values of a schema registry: the source's format may have to be json-schema, avro or protobuf")
		}
		return value, false, nil
	}
	id, rest, err := frame(value)
	if err != nil {
		return nil, false, err
	}
	schema, err := s.schema(id)
	if err == nil {
		s.needs[id] = schema
	}
	switch {
	case s.err != nil:
		return nil, false, s.err
	case s.values.Format == formatJSONSchema:
		return rest, false, nil // JSON says itself what it is; its schema is only kept
	case err != nil:
		return nil, false, err
	}
	if schema.Type != s.values.Format {
		return nil, false, fmt.Errorf("its schema %d is %s, not %s", id, schema.Type, s.values.Format)
	}
	read, err := schema.reader()
	if err != nil {
		return nil, false, fmt.Errorf("its schema %d cannot be used: %w", id, err)
	}
	doc, err = read(nil, rest)
	if err != nil {
		return nil, false, fmt.Errorf("it cannot be read under schema %d: %w", id, err)
	}
	return doc, true, nil
}

// schema finds one. That there is none is the event's fault; that nobody can say
// ends the reading.
func (s *session) schema(id uint32) (*schema, error) {
	if s.missing[id] {
		return nil, noSchema(id)
	}
	found, err := s.shelf.find(s.ctx, id)
	switch {
	case errors.Is(err, recount.ErrNotFound):
		s.missing[id] = true
		return nil, noSchema(id)
	case err != nil:
		s.err = err
	}
	return found, err
}

func noSchema(id uint32) error { return fmt.Errorf("its schema %d is unknown to the registry", id) }

// Again returns what reads archived events of that format and header. It asks no
// registry: the header has the schemas.
func (d *Decoder) Again(format, header string) (source.Decoder, error) {
	where := d.options.Where + ", events archived before"
	values := named(format)
	if values.Format == payload.CSV || values.Format == payload.Derived || !slices.Contains(formats, values.Format) || !slices.Contains(envelopes, values.Envelope) {
		return nil, &recount.Error{
			Code: recount.CodeNewerArchive, What: fmt.Sprintf("payloads of format %q cannot be read", format), Where: where,
			Why: "this version knows no such format of a bus", Next: "use a newer version of recount",
		}
	}
	s, err := readHeader(header)
	if err != nil {
		return nil, recount.Located(err, where)
	}
	values.Registry = d.values.Registry
	again, err := newDecoder(d.options, values, s, where)
	if err != nil {
		return nil, err
	}
	return archived{again}, nil
}

// archived reads events of the archive.
type archived struct{ decoder *Decoder }

// Decode reads an archived event. Where the mapping takes the time from the record,
// the archived one is it.
func (a archived) Decode(e recount.Event) recount.Event {
	s := a.decoder.session()
	defer s.end()
	now := recount.Event{Partition: e.Partition, Position: e.Position, Key: e.Key, Data: e.Data, Headers: e.Headers}
	s.read(context.Background(), &now, e.Time)
	if m := &a.decoder.options.Mapping; m.IngestTime == "" || m.IngestTime == partTime {
		now.IngestTime = e.IngestTime
	}
	return now
}
