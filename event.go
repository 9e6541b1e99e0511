package recount

import "time"

// Event is one fact: the envelope, the payload's own bytes and the typed columns
// derived from them.
type Event struct {
	ID        string // unique in its stream; empty where the source has none
	Type      string
	Partition string
	Position  string    // of fixed width, so that text order is log order
	Time      time.Time // event time, UTC; zero where Fault says that it cannot be read
	// IngestTime is when the source took the event in; zero where it does not say.
	IngestTime time.Time
	Key        []byte // nil: none
	Data       []byte // the payload, byte for byte
	Headers    []Header
	Fields     []Value // canonical, in the order of the stream's declared fields
	// Fault says why the event cannot be used; empty for a sound one. Its
	// broken fields are Null.
	Fault string
	// Broken names the declared fields that could not be read.
	Broken []string
}

// Header is one header of an event. Order and repeats are kept.
type Header struct {
	Name  string
	Value []byte // nil: a header without a value
}

// Mapping says how a payload becomes an Event: `event`, `timezone` and `fields`
// of a source in recount.yaml.
type Mapping struct {
	ID         string // payload column or JSON path; empty: none
	Time       string
	TimeUnit   TimeUnit
	Key        string
	Type       string
	IngestTime string
	IngestUnit TimeUnit // of IngestTime; empty: as TimeUnit
	Partition  string
	Position   string
	// Payload is the part of a record that is the event itself, where an exporting
	// program wrapped it: copies of one id are compared by it. Empty: all of it.
	Payload string
	Order   string         // the declared field that orders a key's events; empty: the position does
	Zone    *time.Location // of times without an offset; nil: such a time is a fault
	Fields  []Field
}

// TimeUnit says what a number means as a time; empty: times are text.
type TimeUnit string

// The units of epoch times.
const (
	UnitText TimeUnit = ""
	UnitS    TimeUnit = "s"
	UnitMS   TimeUnit = "ms"
	UnitUS   TimeUnit = "us"
	UnitNS   TimeUnit = "ns"
)

// Effect is what a worker would have sent to the world outside: a mail, an
// invoice, a call. Recount lists effects and compares them; it never sends one.
type Effect struct {
	Kind string // such as mail or invoice
	Key  string // tells effects of a kind apart, such as the order's number
	// Seq, Partition, Position and EventID name the event at which it would have
	// been sent.
	Seq       int64
	Partition string
	Position  string
	EventID   string
	Time      time.Time // the event's
	// Payload is JSON, in canonical form (keys sorted, no spaces).
	Payload []byte
}
