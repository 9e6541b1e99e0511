// Package engine is the port of what runs a calculation over archived events,
// away from the live system: no network, no clock, no randomness of its own.
package engine

import (
	"context"
	"time"

	"recount"
)

// Engine runs one kind of logic. It is safe for concurrent use.
type Engine interface {
	// Kind is the Logic.Kind that the engine runs.
	Kind() string
	// Check refuses logic that is not deterministic by its form or does not bind
	// to the stream's columns, and returns the columns of its result, in the
	// logic's own order. It reads no event.
	Check(ctx context.Context, logic recount.Logic, fields []recount.Field) ([]recount.Column, error)
	// CheckCondition refuses a condition over `events` that is not deterministic
	// or does not bind.
	CheckCondition(ctx context.Context, condition string, fields []recount.Field) error
	// Open makes the events of input ready to be replayed.
	Open(ctx context.Context, input Input) (Session, error)
}

// Input is the span of events that a session can replay. All files are on this
// machine and have been verified.
type Input struct {
	Stream string
	Fields []recount.Field
	Files  []File
	// Marks are Parquet files of marks (recount.MarksFile); marks whose events
	// are in none of Files are to be passed over.
	Marks []string
	// Window is what $from and $to mean, and what Minutes and Touched count.
	Window recount.Window
	// Read is the span of event time of which events are read; a zero edge is
	// open, and events whose time is unknown are never used. The zero Window
	// reads Window.
	Read recount.Window
	// Hits says which of the events that are read are hit events. The zero Hits
	// are those of Window.
	Hits recount.Hits
	// Until bounds by position what is read: by partition, the first position
	// that is not. A partition that it does not name is read whole.
	Until map[string]string
	// Order is the declared field that orders the events of a key, of a type
	// other than double and json; empty: the log does. With it `position`, as SQL
	// sees it, is a text that sorts by the field, NULL first, then by partition
	// and log position. Conditions of event lists always see the log's.
	Order string
	// Bucket is the grid from which Variant.Late counts; without one it counts
	// from Window.To.
	Bucket recount.Bucket
	// Upcasts bring old shapes of events to the present one, each after the other,
	// before anything else sees their fields.
	Upcasts []Upcast
	// Faults bounds the events for which Upcasts may fail: they are quarantined,
	// and one more is an error of code CodeUpcast. 0 means 1000, less than 0 none.
	Faults int64
	// Lookups add fields to the events: what a table of reference data said at
	// the event's time. Fields names them too.
	Lookups []Lookup
	// Opening is a Parquet file of the rows that earlier events gave: what
	// logics with Logic.Opening read as `opening`. Its columns are taken by name
	// and cast. Empty: no row.
	Opening string
	// Scratch is an empty folder for the session's own files.
	Scratch string
	// Resume is a folder that outlives the process: a run that was killed leaves
	// there what the same run goes on from. Empty: nothing is left.
	Resume string
	Limits Limits
}

// File is one Parquet file of events, laid out as the archive's (docs/archive.md).
type File struct {
	Path string
	Data recount.DataFile
}

// Limits bound a session. Zero means the engine's default.
type Limits struct {
	MemoryMiB int
	Threads   int
}

// Upcast is one step from an old shape of events to a newer one. Its SQL sees an
// event's envelope and declared fields, and `payload`, its data read as JSON; of
// a lookup and of the window it sees nothing. An event for which it fails, or
// whose value does not fit the field's type, is quarantined; one whose fault lies
// in fields alone, all of which steps replace, is sound.
type Upcast struct {
	Name string
	// When is an SQL condition over an event: whom the step is for. Empty: all.
	When string
	// Set are SQL expressions over the event, by the declared field that they
	// replace, or TypeColumn; every expression sees the fields as they were before the step.
	Set map[string]string
}

// TypeColumn is the column of the envelope that upcasts may replace.
const TypeColumn = "type"

// Lookup is a table of reference data and how an event finds its row: that whose
// Key equals the event's On and whose Time is the newest at or before the
// event's. An event that finds none is an error of code CodeLookup, unless Missing.
type Lookup struct {
	Name string
	// File is a Parquet file with the columns of Key, Time and Take.
	File string
	Key  []string
	On   []string // fields of the event, as many as Key
	Time string
	// Take are the table's columns, by the field that the event gets.
	Take map[string]string
	// Missing lets events without a row have NULL.
	Missing bool
}

// Layered is an engine that runs its kinds of logic over events that another
// engine chooses. Over returns an engine of all kinds of both.
type Layered interface {
	Over(base Engine) Engine
}

// Session replays one input. It is used by one goroutine at a time.
type Session interface {
	// Count counts the events of the input; Used is what a calculation with
	// dedupe sees, or all copies without; Hit are the hit events among them.
	Count(ctx context.Context, dedupe bool) (recount.EventCounts, error)
	// Types counts the events that a variant's runs see (and, apart, quarantined
	// ones) by their type and version as logic sees them, after Upcasts: in byte
	// order of the type, then of the version, NULL first. More than MostTypes are an
	// error of code CodeLimit.
	Types(ctx context.Context, q TypesQuery) ([]TypeCount, error)
	// Minutes counts used events per step of the window, at most most steps.
	Minutes(ctx context.Context, dedupe bool, most int) ([]recount.MinuteCount, error)
	// Touched counts, for the steps that Minutes gives with the same arguments, in
	// how many of the keys' rows a used event of the step has a part: keys hold
	// canonical values of the declared fields named, of kind string, int64, date
	// or bool.
	Touched(ctx context.Context, dedupe bool, most int, fields []string, keys [][]recount.Value) ([]int64, error)
	// Quarantined lists the input's marks of kind fault and conflict that lie in
	// what is read, or before Until with an unknown time, in order of Seq.
	Quarantined(ctx context.Context) ([]recount.Mark, error)
	// Events lists the envelope and fields of events in order of time, then Seq.
	Events(ctx context.Context, q Query) ([]ReplayEvent, error)
	// Run runs the logic over a variant of the events and returns its rows in
	// byte order of recount.KeyText of the key columns. Rows must be closed.
	Run(ctx context.Context, v Variant) (Rows, error)
	// Several runs a fold over several variants of the events by one run: the
	// variants differ in nothing but which events they see. Where that is dearer
	// than runs of their own, or the fold does not survive an event of any of them,
	// it is ErrUnsupported; so it is for logic that is no fold.
	Several(ctx context.Context, list []Variant) (Several, error)
	// HitSpan finds the sound hit events among those that are read.
	HitSpan(ctx context.Context, dedupe bool) (HitSpan, error)
	// States runs the logic for single keys as of positions in the log: one State
	// for each event of a key that the query asks for, sorted by the key's text,
	// then by Seq. A key's events are the used ones that make a row of it when
	// the variant's logic, or one of Touching, sees them alone; under Twice, the
	// repeats among hit events too. Seq, the order of arrival in the archive, is
	// their order in the log. Of `opening` a key sees the rows that have its key.
	// Logic whose newest states are not the rows of a Run is refused with
	// CodeNotKeyed: its rows depend on more than the events of their key.
	States(ctx context.Context, v Variant, q StatesQuery) (States, error)
	// Singles runs a fold over single keys without each of their hit events, and
	// with each of them once more, all by one run. Of repeats the first counts.
	// Logic that is no fold, or whose rows do not name their events, is refused
	// with ErrUnsupported.
	Singles(ctx context.Context, v Variant, q SinglesQuery) (Singles, error)
	// Each runs the logic over every event that the variant sees alone (all its
	// repetitions, no row of `opening`): what each one contributes, sorted by
	// partition, then position, then the key's text. Rows that the logic makes
	// of no event at all, too, are nobody's.
	Each(ctx context.Context, v Variant) (Contributions, error)
	// Same runs a variant and says whether its rows are those of an earlier run
	// of this session that was not closed, by digests of at least 128 bits. It is
	// cheaper than reading both; false may also mean that it cannot tell.
	Same(ctx context.Context, v Variant, earlier Rows) (bool, error)
	// Effects runs the variant and lists what its logic would have sent, sorted by
	// kind, key, then Seq. Logic of a kind that has no effects gives none.
	Effects(ctx context.Context, v Variant) (Effects, error)
	// Feed writes the events that a variant sees, whatever its logic, for an
	// engine that runs its logic over them. An engine that runs over another's
	// events has none: ErrUnsupported.
	Feed(ctx context.Context, v Variant, q FeedQuery) (Feed, error)
	Close() error
}

// MostTypes is how many types and versions Types lists.
const MostTypes = 10_000

// TypesQuery says which events Types counts.
type TypesQuery struct {
	Dedupe bool // one of each id
	See    See
	// Field is a declared field of kind string or int64, Header the name of a header
	// (of several of one name the last): it says an event's version. Both empty: none does.
	Field, Header string
}

// TypeCount counts the events of one type and version. First and Last are the
// smallest and largest event time; ID, Partition and Position are those of the one
// that was archived first.
type TypeCount struct {
	Type        recount.Value // NULL: it has none
	Version     recount.Value // NULL: it has none
	Used        int64
	Quarantined int64
	First, Last time.Time
	ID          string
	Partition   string
	Position    string
}

// FeedQuery says what a feed holds.
type FeedQuery struct {
	// Columns are columns of the envelope (id, stream, type, partition, position,
	// time, ingest_time, key, data, headers), `hit`, and fields.
	Columns []string
}

// Feed is a Parquet file: one row for each time that an event is processed, in no
// order, with the columns `seq`, `recount_order`, a text by which the events of a
// key are to be sorted (then by seq), and those of the query, typed as in the archive.
type Feed struct {
	Path string
	Rows int64
}

// Effects are read to their end and closed. One is valid until the next call.
type Effects interface {
	Next() (recount.Effect, bool)
	Err() error
	Close() error
}

// Variant says which events a run sees and which logic it runs: one hypothesis.
type Variant struct {
	Logic recount.Logic
	// Key names the result columns that name a row; all others are values.
	Key []string
	// Columns names the value columns to return, in order.
	Columns []string
	// Dedupe drops repeats.
	Dedupe bool
	// Missed lists hit events that the run does not see. Of an event without an
	// id no list of ids says anything, not even Except.
	Missed []recount.EventList
	// Again lists hit events that the run sees several times; what two entries
	// add to an event adds up. What was missed was not seen again.
	Again []recount.Again
	// Twice counts repeats among the hit events again, in spite of Dedupe.
	Twice bool
	// Late, where not nil, leaves out the hit events that the source took in
	// later than that after their bucket's end (ingest_time >= end + Late). An
	// event without an ingest time is never late.
	Late *time.Duration
	// Arrival gives all events the order of the log, in spite of Input.Order: one
	// order cannot hold some by the log and some by the field. Rows whose events
	// came in their right order are not changed by it.
	Arrival bool
	// See chooses among the events before anything else does.
	See See
	// Part, where not nil, keeps one part of the events, cut by their hashed ids.
	Part *Part
	// Keys, where not nil, names the rows that are wanted, by their key under the
	// result's types; other rows may be left out.
	Keys [][]recount.Value
	// Within, where it has an edge, keeps the events of a span of event time; a
	// zero edge is open.
	Within recount.Window
	// Split changes what must not change a result: 0 runs as configured; higher
	// numbers use more threads, other splits and another order of files; a fold
	// changes all that Shake names.
	Split int
	// Shake changes single things that must not change a result.
	Shake Shake
	// Only, where not nil, names the events that the run sees, by Seq, whatever
	// their marks.
	Only []int64
	// Probe replaces the broken fields of quarantined events: 0 by NULL, 1 by a
	// small value of their type, 2 by a large one.
	Probe int
}

// Shake names what a run changes though its result must stay the same. An engine
// passes over what it does not have.
type Shake struct {
	Threads    bool `json:"threads,omitempty"`    // how many run side by side
	Files      bool `json:"files,omitempty"`      // the order of the files
	Batches    bool `json:"batches,omitempty"`    // how many events come at once
	Interleave bool `json:"interleave,omitempty"` // the order between partitions, which the log does not give
	Seed       bool `json:"seed,omitempty"`       // of random numbers and of hashes
	Draw       int  `json:"draw,omitempty"`       // which other seed, from 0: two things come in one order by every second
	Clock      bool `json:"clock,omitempty"`      // the wall clock, by years
	Zone       bool `json:"zone,omitempty"`       // the process's time zone
	Locale     bool `json:"locale,omitempty"`     // the process's language
	Cores      bool `json:"cores,omitempty"`      // how many processors the process sees
	Machine    bool `json:"machine,omitempty"`    // name of the host, process ids, folder, environment
}

// See chooses events by whether they are hit events.
type See string

// What a run sees.
const (
	SeeAll   See = ""
	SeeHit   See = "hit"
	SeeUnhit See = "unhit"
)

// Part is part N, from 0, of Of parts.
type Part struct{ N, Of int }

// HitSpan is where the hit events lie.
type HitSpan struct {
	Events int64
	// First and Last are the smallest and largest event time, both inside; those
	// of quarantined hit events count, though they are none of Events.
	First, Last time.Time
	// Positions are the smallest and largest position by partition, in order of
	// the partition.
	Positions []recount.PositionSpan
	// Missing counts the listed ids that no sound event has, where the clock is
	// ByIDs, and MissingIDs shows a few.
	Missing    int64
	MissingIDs []string
}

// StatesQuery says which states of which keys are wanted.
type StatesQuery struct {
	// Keys are canonical, under the result's types. The states of a key begin at
	// its last hit event.
	Keys [][]recount.Value
	// Unhit is how many of its newest states a key without hit events has; 0
	// means 1.
	Unhit int
	// Most bounds the newest states that are given for a key; older ones are
	// left out, and State.Cut tells. 0 means 256. An engine may give fewer of
	// keys with very long histories, but always the newest.
	Most int
	// Along, where not nil, asks for the one key's state after each of these events,
	// by Seq, that the variant sees, in this order and whatever their marks: each is
	// the row of Variant.Only with the events up to it. Of a State, Key, Seq and
	// Values are given. It is for folds whose rows name their events; of all
	// others, and where the fold does not survive one of them, it is ErrUnsupported.
	Along []int64
	// Touching are logics besides the variant's whose rows, too, say which
	// events are a key's.
	Touching []Variant
}

// SinglesQuery says of which keys single events are left out and repeated.
type SinglesQuery struct {
	// Keys are canonical, under the result's types.
	Keys [][]recount.Value
	// Most bounds the events that are folded in all: keys that take few come first.
	Most int64
}

// Singles are in order of the keys' texts; of each key what was left out comes
// before what was repeated, in order of Seq.
type Singles struct {
	List []Single
	// Left is how many keys there was no room for.
	Left int
}

// Single is what one key has under one change of one of its events.
type Single struct {
	Key []recount.Value
	// Seq, Partition, Position and ID name the event.
	Seq       int64
	Partition string
	Position  string
	ID        string
	// Again says that it was seen once more; else it was left out.
	Again bool
	// Values is the row; nil: there is none.
	Values []recount.Value
	// Failed says that the fold did not survive it, so that it is nothing that
	// happened.
	Failed bool
}

// State is the row of one key after the events of it up to Seq.
type State struct {
	Key []recount.Value
	// Seq, Partition, Position and ID name the last event of the key up to here,
	// whether or not the variant processed it.
	Seq       int64
	Partition string
	Position  string
	ID        string
	// Last are partition, position and id of the last event that the variant
	// processed, empty where it processed none, and Count is how many it processed, each
	// repetition counted. It processed an event that it sees and that makes a row
	// of the key under its own logic alone; a fold processes every event of its key.
	LastPartition string
	LastPosition  string
	LastID        string
	Count         int64
	// Newest says that it is the key's newest state.
	Newest bool
	// Values is the row under the variant; nil: it makes none.
	Values []recount.Value
	// Mixed says that the key's events, from its last hit event on, came from
	// more than one partition, so that the log gives them no order. Events of
	// other partitions count from that event's time on too (the later of event
	// time and ingest time), wherever the archive has them: partitions may have
	// been archived one after the other.
	Mixed bool
	// Cut says that older states of the key were left out.
	Cut bool
}

// States are read to their end and closed. A state is valid until the next call.
type States interface {
	Shape() recount.Shape
	Next() (State, bool)
	Err() error
	Close() error
}

// Contribution is a row that one event makes alone.
type Contribution struct {
	Seq       int64
	Partition string
	Position  string
	ID        string
	Hit       bool
	Row       recount.Row
}

// Contributions are read to their end and closed. One is valid until the next
// call.
type Contributions interface {
	Shape() recount.Shape
	Next() (Contribution, bool)
	Err() error
	Close() error
}

// Query says which events to list.
type Query struct {
	// Fields, where not nil, keeps events whose named fields equal the values
	// (canonical text; NULL equals NULL).
	Fields map[string]recount.Value
	// Repeats includes repeats; Quarantined includes quarantined events.
	Repeats     bool
	Quarantined bool
	// Seqs, where not nil, names the events.
	Seqs []int64
	// Lists, where not nil, keeps the hit events that are on any of the lists.
	Lists []recount.EventList
	// Limit bounds the list; 0 means 10,000. One more than Limit is an error of
	// code CodeLimit.
	Limit int
}

// ReplayEvent is an event as the replay sees it.
type ReplayEvent struct {
	Seq  int64
	Mark recount.MarkKind // empty: sound
	recount.Event
}

// Several are the rows of several variants, each in key order.
type Several interface {
	// Next returns the rows of the next variant, in the order in which they were
	// asked for; those of the one before are gone. They need not be closed.
	Next() Rows
	Close() error
}

// Rows are the rows of one run, in key order.
type Rows interface {
	// Shape gives the key and value columns with their result types.
	Shape() recount.Shape
	// Next returns the next row; false at the end or on an error, which Err tells.
	// The row is valid until the next call. Values are canonical.
	Next() (recount.Row, bool)
	Err() error
	Close() error
}
