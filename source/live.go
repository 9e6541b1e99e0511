package source

import (
	"context"
	"time"

	"recount"
)

// The interfaces below are what a Source may offer beyond Read. An adapter that
// offers one promises it as sourcetest has it; one that does not is asked for
// nothing, and the command that would need it says so.

// Waiter is a source that can say when there may be something new.
type Waiter interface {
	// Wait returns when Read would find something after cursor, or when ctx ends,
	// which is no error. It may return too early, never too late by more than a
	// second.
	Wait(ctx context.Context, cursor Cursor) error
}

// Acknowledger is a source that must be told what is safe: until then it keeps
// everything for us.
type Acknowledger interface {
	// Committed says that all up to cursor is in the archive. It is called after
	// each commit, and at the start of a run with the archive's cursor. An error
	// ends the run; nothing is lost by it.
	Committed(ctx context.Context, cursor Cursor) error
}

// Span is a part of a stream: of event time, or of positions.
type Span struct {
	From, To  time.Time // by the source's own clock, [From, To); used where Positions is empty
	Positions []recount.PositionWindow
	// Cursor is the archive's, so that partitions have the names that they have there.
	Cursor Cursor
}

// Spanned is a source that can read a part of its stream by itself.
type Spanned interface {
	// ReadSpan hands over the events of a span like Read, and no event outside of
	// it but those whose time lies beside it in the source's order. Where a
	// partition no longer holds the beginning, or its log is gone, it tells the gap
	// (GapRetention).
	// Between the first and the last event of a partition that it hands over, none
	// is left out; no two position windows are of one partition.
	//
	// A batch's Cursor says which log its partition is and that nothing of it was
	// read from the beginning: Read begins there from it, and names another log that
	// came in its place otherwise. It is empty where a name can only ever mean one.
	// The archive's cursor holds it where the partition has no other.
	// The End's watermark has no meaning.
	ReadSpan(ctx context.Context, span Span, emit func(Batch) error) (End, error)
}

// Grouped is a source whose consumers keep their positions in it.
type Grouped interface {
	// Processed returns by partition the first position that a consumer group has
	// not processed, spelled as archived. cursor is the archive's: a partition of it
	// that the source no longer has counts as processed to its end.
	// recount.ErrNotFound: there is no such group, or it has no position.
	// recount.ErrBusy: members of the group are at work.
	Processed(ctx context.Context, group string, cursor Cursor) (map[string]string, error)
}

// Resumer is a source that can say beforehand what Read would tell as lost.
type Resumer interface {
	// Overtaken returns the gaps after cursor whose events the source no longer
	// holds; none: Read goes on without a loss.
	Overtaken(ctx context.Context, cursor Cursor) ([]recount.Gap, error)
}

// Originals is a source whose events lie in whole files that the archive can take
// over where they lie, without a copy.
type Originals interface {
	// ReadOriginals is Read of the files of which cursor knows nothing: each whole,
	// all its batches after one another. A file of which cursor knows a part is left
	// to Read, which in turn emits nothing of a file that was handed over here.
	ReadOriginals(ctx context.Context, cursor Cursor, emit func(Original, Batch) error) (End, error)
	// ReadOriginal hands over the events of one file again, in the same order with
	// the same positions and payloads; its batches have no cursor and no gaps. The
	// file's bytes are compared before the first batch: changed or missing, they are
	// CodeDamaged. It is safe for concurrent use.
	ReadOriginal(ctx context.Context, o Original, emit func(Batch) error) error
}

// Original is a whole file of a source.
type Original struct {
	Origin string // where it lies: a URL, or a path relative to the project
	Format string // what it is, such as csv, json, avro, parquet
	Header string // what the source needs besides to read it the same way again
	Bytes  int64
	SHA256 string
}

// Bus is a source whose kind can also be written to: archived events are
// published to a topic or stream that is not the source's own.
type Bus interface {
	// Reads says whether the source reads that destination.
	Reads(destination string) bool
	// Publisher opens a destination of the source's own servers.
	Publisher(ctx context.Context, destination string) (Publisher, error)
}

// Publisher writes to one destination. It is used by one goroutine.
type Publisher interface {
	// Publish writes messages so that those of one key, and those of one partition
	// of the archive without a key, stay in order, and returns when all are
	// acknowledged. After an error some may have been written.
	Publish(ctx context.Context, messages []Message) error
	// Published hands over the place in the archive, out of HeaderPosition, of every
	// message of the destination that carries the header name=value, in no order. So
	// a replay that was interrupted publishes what is not there yet.
	Published(ctx context.Context, name, value string, each func(partition, position string)) error
	Close() error
}

// Followed is a Publisher whose destination keeps how far its readers are.
type Followed interface {
	// Follow says how far a consumer group has read the destination. A group that is
	// not there has read nothing of it.
	Follow(ctx context.Context, group string) (Following, error)
}

// Following is how far a consumer group has read a destination.
type Following struct {
	Members int // at work; where the bus does not say how many, 1 stands for some
	// Parts are the destination's partitions, in order.
	Parts []FollowedPart
}

// FollowedPart is one partition of a destination.
type FollowedPart struct {
	Partition string
	Messages  int64 // that it holds, at most
	Left      int64 // of those, what the group has not processed
	// Beyond says that the group's position lies beyond the end: it is of another log
	// that had the name.
	Beyond bool
}

// Messages counts those of all partitions.
func (f Following) Messages() (n int64) {
	for _, p := range f.Parts {
		n += p.Messages
	}
	return n
}

// Left counts what the group has not processed.
func (f Following) Left() (n int64) {
	for _, p := range f.Parts {
		n += p.Left
	}
	return n
}

// Message is what a Publisher writes.
type Message struct {
	Key     []byte // nil: none
	Data    []byte // nil: a tombstone
	Headers []recount.Header
	Time    time.Time
	// Partition is the archive's partition; a bus whose destination has as many
	// may keep it.
	Partition string
}

// The headers of messages that Recount publishes. A record that carries
// HeaderReplay is no new event: sources tell it as a gap (GapReplay).
const (
	HeaderReplay   = "recount-replay"   // the id of the replay
	HeaderPosition = "recount-position" // partition@position in the archive
)
