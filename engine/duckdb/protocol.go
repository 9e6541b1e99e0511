package duckdb

import (
	"encoding/json"
	"time"

	"recount"
	"recount/engine"
)

// The parent and the child speak JSON, one object a line: a greeting, then
// answers to requests, one at a time. Rows never pass through it: they go by
// Parquet files in the scratch folder.

// protocol is the version that the greeting names.
const protocol = 1

type greeting struct {
	Engine int `json:"engine"`
}

// request has exactly one member that is not nil.
type request struct {
	Check       *checkRequest   `json:"check,omitempty"`
	Open        *openRequest    `json:"open,omitempty"`
	Count       *countRequest   `json:"count,omitempty"`
	Minutes     *countRequest   `json:"minutes,omitempty"`
	Types       *typesRequest   `json:"types,omitempty"`
	Touched     *touchedRequest `json:"touched,omitempty"`
	Quarantined *struct{}       `json:"quarantined,omitempty"`
	Events      *eventsRequest  `json:"events,omitempty"`
	Run         *runRequest     `json:"run,omitempty"`
	HitSpan     *countRequest   `json:"hit_span,omitempty"`
	Arrivals    *struct{}       `json:"arrivals,omitempty"`
	States      *statesRequest  `json:"states,omitempty"`
	Each        *runRequest     `json:"each,omitempty"`
	Feed        *feedRequest    `json:"feed,omitempty"`
	Close       *struct{}       `json:"close,omitempty"`
}

type answer struct {
	Value json.RawMessage `json:"value,omitempty"`
	Error *wireError      `json:"error,omitempty"`
}

type wireError struct {
	Code  recount.Code `json:"code"`
	What  string       `json:"what"`
	Where string       `json:"where"`
	Why   string       `json:"why"`
	Next  string       `json:"next"`
}

type checkRequest struct {
	Text      string `json:"text"`
	Path      string `json:"path"`
	Condition bool   `json:"condition"`
	// Value is a condition's form for an expression of any type over the event
	// alone: without the window's edges and `hit`, and with `payload`.
	Value bool `json:"value,omitempty"`
	// Alone is Value for what is true or false.
	Alone  bool            `json:"alone,omitempty"`
	Fields []recount.Field `json:"fields"`
	// Opening are the columns of `opening`; nil: there is none.
	Opening []recount.Field `json:"opening,omitempty"`
}

type checkAnswer struct {
	Columns []recount.Column `json:"columns"`
}

type openRequest struct {
	Stream string          `json:"stream"`
	Fields []recount.Field `json:"fields"`
	Files  []openFile      `json:"files"`
	Marks  []string        `json:"marks"`
	Window recount.Window  `json:"window"`
	Read   recount.Window  `json:"read"`
	// Hits has its ids in a file, as lists have; see idsOf.
	Hits     recount.Hits      `json:"hits"`
	Until    map[string]string `json:"until"`
	Order    string            `json:"order"`
	Bucketed bool              `json:"bucketed"`
	Upcasts  []engine.Upcast   `json:"upcasts,omitempty"`
	Faults   int64             `json:"faults,omitempty"`
	Lookups  []engine.Lookup   `json:"lookups,omitempty"`
	Opening  string            `json:"opening"`
	Scratch  string            `json:"scratch"`
	Limits   engine.Limits     `json:"limits"`
}

type openFile struct {
	Path      string    `json:"path"`
	Rows      int64     `json:"rows"`
	FirstSeq  int64     `json:"first_seq"`
	LastSeq   int64     `json:"last_seq"`
	FirstTime time.Time `json:"first_time"`
	LastTime  time.Time `json:"last_time"`
	TimeKnown bool      `json:"time_known"`
	Before    time.Time `json:"before"`
	// Arrivals replaces Before in a compacted file.
	Arrivals []recount.Arrival `json:"arrivals,omitempty"`
}

type touchedRequest struct {
	countRequest
	Fields []string          `json:"fields"`
	Keys   [][]recount.Value `json:"keys"`
}

type countRequest struct {
	Dedupe bool `json:"dedupe"`
	Most   int  `json:"most"`
}

type typesRequest struct {
	Query engine.TypesQuery `json:"query"`
}

type eventsRequest struct {
	Query engine.Query `json:"query"`
	Out   string       `json:"out"`
}

// arrivalsAnswer is a span of event time in microseconds; nil: no event.
type arrivalsAnswer struct {
	First *int64 `json:"first"`
	Last  *int64 `json:"last"`
}

type eventsAnswer struct {
	Rows int64 `json:"rows"`
}

type runRequest struct {
	Variant engine.Variant `json:"variant"`
	// Edges are those of the buckets of hit events, where Variant.Late needs
	// them: starts, in microseconds, and the end of the last.
	Edges []int64 `json:"edges,omitempty"`
	Out   string  `json:"out"`
	// Same is the file of an earlier run whose rows are to be compared, by their
	// digest; then nothing is written to Out.
	Same string `json:"same,omitempty"`
}

type runAnswer struct {
	Shape recount.Shape `json:"shape"`
	Same  bool          `json:"same,omitempty"`
}

// statesRequest has its keys in order of their texts, each once.
type statesRequest struct {
	runRequest
	Query engine.StatesQuery `json:"query"`
}

// feedRequest asks for the events of a variant, whose logic it leaves out.
type feedRequest struct {
	runRequest
	Columns []string `json:"columns"`
}
