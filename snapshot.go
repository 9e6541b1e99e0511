package recount

import (
	"fmt"
	"strings"
	"time"
)

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
	// Gaps are the positions that hold no event, with the reason, in the order of
	// the commits that recorded them.
	Gaps []Gap
	// Pulled are the spans of event time that were brought in by themselves. Where
	// there are any, an event after the watermark can be in the archive.
	Pulled []Window
	// Since: events before it were taken out by retention. Zero: none were.
	Since time.Time
	// Cursor is how far the source was read, by partition, in the source's own words.
	Cursor map[string]string
	// Reached are the stretches of positions that were read whole, by partition, in
	// order: each position inside holds an event, is in a gap, or never was one.
	Reached []Stretch
	// Followed says that the stream was read from its beginning to the watermark.
	// Where it was not, only the pulled spans are in.
	Followed bool
	// Removed are the files that retention took out: what was made of their events
	// before is told by them. They may be deleted.
	Removed []DataFile
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
	// Arrivals replaces Before where the file was compacted out of files of earlier
	// commits: by growing sequence number, each commit and the watermark before it.
	// Nil elsewhere.
	Arrivals []Arrival
	// Origin is where the file lies if it was adopted in place and is none of the
	// archive's own objects; its bytes are then of Format, and no Parquet of the
	// archive; Bytes and SHA256 are those of the whole original, which may be several
	// DataFiles, one for each hour. Empty elsewhere.
	Origin string
	// OriginSeq is the sequence number of the first event of the original.
	OriginSeq int64
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

// Arrival says that events up to LastSeq came with Commit, when the archive
// watermark was Before.
type Arrival struct {
	LastSeq int64
	Before  time.Time
	Commit  int64
}

// Brought is the commit that brought the event with a sequence number of the
// file.
func (f DataFile) Brought(seq int64) int64 {
	for _, a := range f.Arrivals {
		if seq <= a.LastSeq {
			return a.Commit
		}
	}
	return f.Commit
}

// PositionSpan is a run of positions of one partition, both ends inside.
type PositionSpan struct {
	Partition string `json:"partition"`
	First     string `json:"first"`
	Last      string `json:"last"`
	Rows      int64  `json:"rows"`
}

// Stretch is a run of positions of one partition, both ends inside.
type Stretch struct {
	Partition string
	First     string
	Last      string
	// Pulled says that it was brought in by itself, beside what is followed.
	Pulled bool
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
	// Key are the values of a fold's key (Logic.By), where the fold did not survive
	// the event; nil for any other mark. First says that it was the key's first.
	Key   []Value
	First bool
}

// Gap is a run of positions of one partition that hold no event of the archive,
// and why: what a source knows of them is recorded, so that a position which is
// missing without a word is a damage.
type Gap struct {
	Partition string    `json:"partition"`
	From      string    `json:"from"` // the first position of the gap
	To        string    `json:"to"`   // the first one after it
	Reason    GapReason `json:"reason"`
	// Before: the events that were lost happened before it, by the source's clock.
	// Zero: nothing is known of it.
	Before time.Time `json:"before,omitzero"`
}

// GapReason says why positions hold no event.
type GapReason string

// The reasons. Of these, only GapRetention means that events were lost.
const (
	// GapControl: transaction markers and aborted records take positions.
	GapControl GapReason = "control"
	// GapCompacted: the source keeps the newest record of a key alone, or the
	// positions of a partition never were dense.
	GapCompacted GapReason = "compacted"
	// GapReplay: records that Recount itself published; they are no new events.
	GapReplay GapReason = "replay"
	// GapRetention: the source deleted events before they were archived.
	GapRetention GapReason = "retention"
)

// Lost says whether events are missing.
func (g Gap) Lost() bool { return g.Reason == GapRetention }

// endless is the last position that a number can have: a gap up to it goes on for
// as long as the log that nobody has any more.
const endless = "9223372036854775807"

// Positions spells the gap's positions for a person: "positions [5, 8)", or "all
// positions from 5 on" where nobody knows how many there were.
func (g Gap) Positions() string {
	if ShortPosition(g.To) == endless || strings.Trim(g.To, "9") == "" {
		return fmt.Sprintf("all positions from %s on", ShortPosition(g.From))
	}
	return fmt.Sprintf("positions [%s, %s)", ShortPosition(g.From), ShortPosition(g.To))
}

// String shows the gap as partition:[from, to).
func (g Gap) String() string {
	return fmt.Sprintf("%s:[%s, %s)", g.Partition, ShortPosition(g.From), ShortPosition(g.To))
}
