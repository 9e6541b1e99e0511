// Package source is the port where events come from. An adapter reads one
// stream in the order of its partitions and never writes to it; what has been
// read is known from the archive's commits alone.
package source

import (
	"context"
	"time"

	"recount"
)

// Source is one stream of events. A Source is used by one goroutine at a time.
type Source interface {
	// Info says what the stream is like; it does not touch the stream.
	Info() Info
	// Read hands every event after cursor to emit, in order per partition, and
	// returns at the stream's present end. A batch is emitted once; an error of
	// emit ends the reading and is returned. The events of a batch and what they
	// point to belong to the receiver. Reading the same stream again with the
	// cursor of the last batch emits nothing.
	//
	// An error that passes by itself, such as a broker that is down, wraps
	// recount.ErrTransient: a live run waits and reads again. Any other ends it.
	//
	// Row faults are events with Fault set. File faults (a missing column, a
	// broken encoding, a file that was changed) are *recount.Error.
	Read(ctx context.Context, cursor Cursor, emit func(Batch) error) (End, error)
	// Decoder reads payloads of this source again, for columns that were declared
	// after they were archived.
	Decoder(format, header string) (Decoder, error)
	// Check says what Read would need, without reading; nil if all is there.
	Check(ctx context.Context) error
	Close() error
}

// Info says what a stream is like.
type Info struct {
	// HasID says that events carry an id; without it repeats cannot be seen.
	HasID bool
	// Place is where the events come from, for a person.
	Place string
	// Dense says that a partition's positions are numbers without holes: each one
	// holds an event or lies in a gap that was told.
	Dense bool
	// Own returns the part of a payload by which copies of one id are compared; nil:
	// all of it. It is safe for concurrent use.
	Own func(payload []byte) []byte
}

// Cursor says how far each partition has been read. Its values are the
// adapter's own; the archive keeps them without looking inside.
type Cursor map[string]string

// Batch is a run of events of one partition, in order. It may hold no event where
// it tells a gap or moves the cursor.
type Batch struct {
	Partition string
	Events    []recount.Event
	// Gaps are the positions that were passed and hold no event, in order, of the
	// partition of the batch or of its events, where that is another.
	Gaps []recount.Gap
	// Cursor is the partition's cursor after the last event of the batch.
	Cursor string
	// Format and Header are what Decoder needs to read these payloads again.
	Format string
	Header string
	// Bytes is about what the batch read from the stream, for progress.
	Bytes int64
	// Release, where it is set, gives the memory of Events and of all that they
	// point to but positions back to the source. Whoever keeps any of it does not
	// call it.
	Release func()
}

// End is what the source knows when it has read to the present end.
type End struct {
	// Watermark is the source's clock: all events before it were handed over.
	Watermark time.Time
	// Partitions counts those that were looked at, read anew or not.
	Partitions int
}

// Decoder reads an archived event again into the fields of the mapping. What is
// archived of it is given: Data, Key, Headers, Partition, Position and times. The
// result has Fields, Fault and Broken set, and the rest of the envelope as far as
// the mapping reads it. It is safe for concurrent use.
type Decoder interface {
	Decode(archived recount.Event) recount.Event
}
