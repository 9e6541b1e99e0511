package recount

import "time"

// Snapshot is what the archive of one stream holds at one commit: the committed
// files and nothing else.
type Snapshot struct {
	Stream string
	// ID is the digest of the commit, which names all earlier ones.
	ID     string
	Commit int64
	// Watermark: all events before it are in. Zero: nothing is complete yet.
	Watermark time.Time
	Lateness  time.Duration
	// Mapping is the digest of what made the events' envelopes.
	Mapping string
	Fields  []Field
	Files   []DataFile
	Marks   []MarksFile
}

// DataFile is one committed Parquet file of events.
type DataFile struct {
	Name      string // in the archive's store
	SHA256    string
	Bytes     int64
	Rows      int64
	Commit    int64
	FirstSeq  int64 // archive sequence numbers: the order of arrival in the archive
	LastSeq   int64
	FirstTime time.Time // smallest and largest event time, both inside
	LastTime  time.Time
	// TimeKnown is false for the file of events whose time cannot be read.
	TimeKnown bool
	Spans     []PositionSpan
	// Before is the archive watermark before the file's commit: events older
	// than it came late.
	Before time.Time
	// Fields names the typed columns that the file has, with their types.
	Fields []Field
	// Format and Header are what a payload needs to be read again.
	Format string
	Header string
	// Repeats, Conflicts and Faults count the marks of each kind that the
	// snapshot holds about events of this file.
	Repeats   int64
	Conflicts int64
	Faults    int64
}

// PositionSpan is a run of positions of one partition, both ends inside.
type PositionSpan struct {
	Partition string `json:"partition"`
	First     string `json:"first"`
	Last      string `json:"last"`
	Rows      int64  `json:"rows"`
}

// MarksFile is one committed Parquet file of marks: judgments about events that
// are in data files. Columns: seq BIGINT, kind VARCHAR, id VARCHAR, time
// TIMESTAMPTZ (null where unknown), broken VARCHAR (names of fields, joined by
// commas), why VARCHAR.
type MarksFile struct {
	Name   string
	SHA256 string
	Bytes  int64
	Rows   int64
	Commit int64
}

// MarkKind says what a mark says of its event.
type MarkKind string

// The kinds of marks. An event has at most one of each; fault and conflict
// quarantine it.
const (
	MarkRepeat   MarkKind = "repeat"   // a later copy of an id with the same payload
	MarkConflict MarkKind = "conflict" // an id that came with two payloads
	MarkFault    MarkKind = "fault"    // the event cannot be read as declared
)

// Mark is one row of a marks file.
type Mark struct {
	Seq    int64
	Kind   MarkKind
	ID     string
	Time   time.Time // zero: unknown
	Broken []string
	Why    string
}
