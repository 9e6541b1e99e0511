// Package engine is the port of what runs a calculation over archived events,
// away from the live system: no network, no clock, no randomness of its own.
package engine

import (
	"context"

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
	// Window is what $from and $to mean, and which events are read.
	Window recount.Window
	// Scratch is an empty folder for the session's own files.
	Scratch string
	Limits  Limits
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

// Session replays one input. It is used by one goroutine at a time.
type Session interface {
	// Count counts the events of the input; Used is what a calculation with
	// dedupe sees, or all copies without.
	Count(ctx context.Context, dedupe bool) (recount.EventCounts, error)
	// Minutes counts used events per step of the window, at most most steps.
	Minutes(ctx context.Context, dedupe bool, most int) ([]recount.MinuteCount, error)
	// Touched counts, for the steps that Minutes gives with the same arguments, in
	// how many of the keys' rows a used event of the step has a part: keys hold
	// canonical values of the declared fields named, of kind string, int64, date
	// or bool.
	Touched(ctx context.Context, dedupe bool, most int, fields []string, keys [][]recount.Value) ([]int64, error)
	// Quarantined lists the input's marks of kind fault and conflict that lie in
	// the window or whose time is unknown, in order of Seq.
	Quarantined(ctx context.Context) ([]recount.Mark, error)
	// Events lists the envelope and fields of events in order of time, then Seq.
	Events(ctx context.Context, q Query) ([]ReplayEvent, error)
	// Run runs the logic over a variant of the events and returns its rows in
	// byte order of recount.KeyText of the key columns. Rows must be closed.
	Run(ctx context.Context, v Variant) (Rows, error)
	// Same runs a variant and says whether its rows are those of an earlier run
	// of this session that was not closed, by digests of at least 128 bits. It is
	// cheaper than reading both; false may also mean that it cannot tell.
	Same(ctx context.Context, v Variant, earlier Rows) (bool, error)
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
	// Missed lists events that the run does not see.
	Missed []recount.Missed
	// Keys, where not nil, names the rows that are wanted, by their key under the
	// result's types; other rows may be left out.
	Keys [][]recount.Value
	// Split changes what must not change a result: 0 runs as configured; higher
	// numbers use more threads, other splits and another order of files.
	Split int
	// Only, where not nil, names the events that the run sees, by Seq, whatever
	// their marks.
	Only []int64
	// Probe replaces the broken fields of quarantined events: 0 by NULL, 1 by a
	// small value of their type, 2 by a large one.
	Probe int
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
