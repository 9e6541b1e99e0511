package recount

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Logic is one version of what a worker computes.
type Logic struct {
	Kind   string // one of the kinds below
	Text   string // the SQL; the name of a Go fold
	Path   string // where it was read from, for messages
	Digest string // SHA-256 of all that the logic is made of, hex; empty for a table until it is read
	// Opening are the columns of the relation `opening` that the SQL may read
	// besides `events`: the calculation's rows as they stood before the events
	// that it is given. Nil: there is none. Of a fold they are By and StateColumn.
	Opening []Field
	// By are the event's fields whose values make a fold's key: events with the
	// same values are folded together. A fold alone has them.
	By []string
	// Bucket, where it has a size, ends a fold's keys: events of other buckets are
	// folded apart, since their rows remember their own bucket alone.
	Bucket Bucket
	// Worker is how a process is started; LogicWorker alone has it.
	Worker *Worker
	// Versions are what LogicVersions is made of. A fold that has some is several
	// folds that take turns (Continued).
	Versions []Version
}

// Worker is a calculation that runs as a process: Recount writes events to its
// standard input and reads rows from its standard output (docs/worker-protocol.md).
type Worker struct {
	// Command is the program, and its arguments. It is started in Dir.
	Command []string
	Dir     string // absolute: the project's folder
	// Files are what it reads of the project, relative to Dir: they are part of
	// the logic's digest, and with its interpreter all that it can read.
	Files []string
	// Timeout bounds the wait for an answer.
	Timeout time.Duration
	// MemoryMiB bounds each process; 0: the engine's default.
	MemoryMiB int
}

// The kinds of logic.
const (
	LogicSQL    = "sql"
	LogicWorker = "worker" // a fold that a process computes
	LogicGo     = "go"     // a fold of this program's own, registered under Text
	LogicRows   = "rows"   // Path is a file of rows that something else recalculated
	LogicTable  = "table"  // Path is a table of the target's database that something else filled
)

// StateColumn is the pseudo column of a fold's result that holds the state of a
// key, in the words of its worker. No other column can have the name.
const StateColumn = "recount_state"

// Fold says that the logic folds the events of a key, one after the other.
func (l Logic) Fold() bool { return l.Kind == LogicWorker || l.Kind == LogicGo }

// Folds says that it is a fold, or that one of its versions is.
func (l Logic) Folds() bool {
	return l.Fold() || slices.ContainsFunc(l.Versions, func(v Version) bool { return v.Logic.Fold() })
}

// Brought says that the logic is not here: something else made its rows.
func (l Logic) Brought() bool { return l.Kind == LogicRows || l.Kind == LogicTable }

// Version is a logic and the span of event time in which it was in force.
type Version struct {
	Name  string
	Logic Logic
	// Effective is [From, To); a zero edge is open.
	Effective Window
	// Hit says that it is in force for hit events alone.
	Hit bool
	// Continues says that its folds go on from the states that the version before
	// it left: a state means the same to both.
	Continues bool
}

// Continued joins folds of one kind that take turns over the events of a key: each
// event is folded by the first of them that is in force, which goes on from the
// state that the one before it left. All but versions is as the last one has it.
func Continued(versions []Version) Logic {
	last := versions[len(versions)-1].Logic
	all := Versioned(versions)
	all.Kind, all.By, all.Bucket, all.Opening = last.Kind, last.By, last.Bucket, last.Opening
	return all
}

// LogicVersions is the kind of a logic that is several, each for the events of
// its own time.
const LogicVersions = "versions"

// Versioned joins versions, which follow one another in time without a gap.
func Versioned(versions []Version) Logic {
	sum := sha256.New()
	var path strings.Builder
	for i, v := range versions {
		fmt.Fprintf(sum, "%s %s %s %s", v.Name, v.Logic.Digest, instantText(v.Effective.From), instantText(v.Effective.To))
		if v.Continues {
			_, _ = sum.Write([]byte(" continues")) // a hash never fails
		}
		if v.Hit {
			_, _ = sum.Write([]byte(" hit"))
		}
		_, _ = sum.Write([]byte("\n"))
		if i > 0 {
			path.WriteString(", ")
		}
		path.WriteString(v.Logic.Path)
	}
	return Logic{Kind: LogicVersions, Path: path.String(), Digest: hex.EncodeToString(sum.Sum(nil)), Versions: versions}
}

// Over lists the versions that are in force at some time of a span; a zero edge is
// open. Of a logic without versions there are none.
func (l Logic) Over(span Window) []Version {
	var list []Version
	for _, v := range l.Versions {
		before := !v.Effective.To.IsZero() && !span.From.IsZero() && !span.From.Before(v.Effective.To)
		after := !v.Effective.From.IsZero() && !span.To.IsZero() && !v.Effective.From.Before(span.To)
		if !before && !after {
			list = append(list, v)
		}
	}
	return list
}

// Calculation is versioned logic with the rules of its replay and of its
// comparison: one entry of `calculations` in recount.yaml.
type Calculation struct {
	Name        string
	Source      string
	Logic       Logic
	Key         []string
	Memory      Memory
	Bucket      Bucket
	BucketNone  bool // `bucket: none` stands in the configuration
	Dedupe      bool
	Previous    *Logic
	Over        Over // the events that Previous processed
	Missed      []EventList
	Processed   *Processed
	Again       []Again
	Late        *time.Duration // after a bucket's end; nil: no hypothesis
	Arrival     bool           // `order: arrival` is a hypothesis
	Unexplained Unexplained
	Compare     map[string]Rule
	Columns     map[string]string // result column: table column
	Where       string
	Extra       Extra
	MaxChanges  int64
	Cut         Cut
	WorkerState WorkerState
	Write       Write
}

// Over says which events the previous logic processed, where it is a fold.
type Over string

// The events that the previous logic processed.
const (
	OverUnsaid Over = ""    // hit events, if the state of a key can be handed over; else all
	OverHit    Over = "hit" // hit events: the right logic processed all others
	OverAll    Over = "all" // all that are read
)

// Folds says that the right logic, a version of it, or the previous one is a fold.
func (c Calculation) Folds() bool {
	return c.Logic.Folds() || c.Previous != nil && c.Previous.Fold()
}

// Hypotheses says whether the configuration names any.
func (c Calculation) Hypotheses() bool {
	return c.Previous != nil || len(c.Missed) > 0 || len(c.Again) > 0 || c.Late != nil || c.Arrival || c.Processed != nil
}

// MemoryKind says how far back a row remembers.
type MemoryKind string

// The kinds of memory.
const (
	MemoryWindow    MemoryKind = "window"    // the events of its own bucket, or of the window
	MemoryDuration  MemoryKind = "duration"  // those of Memory.Length before its own
	MemoryUnbounded MemoryKind = "unbounded" // all
)

// Memory is how far back a row remembers. Length belongs to MemoryDuration.
type Memory struct {
	Kind   MemoryKind
	Length time.Duration
}

// String returns the memory as recount.yaml spells it.
func (m Memory) String() string {
	if m.Kind == MemoryDuration {
		return Bucket{Size: m.Length}.String()
	}
	return string(m.Kind)
}

// EventList lists hit events: those for which every part that is set holds. A
// zero time is open; an empty Where holds for all. An entry of `missed` is one.
type EventList struct {
	From      time.Time        `json:"from,omitzero"` // event time, inside
	To        time.Time        `json:"to,omitzero"`   // event time, outside
	Positions []PositionWindow `json:"positions,omitempty"`
	Where     string           `json:"where,omitempty"` // an SQL condition over `events`
	IDs       *IDList          `json:"ids,omitempty"`
	// Except lists the events that are not on the list.
	Except *IDList `json:"except,omitempty"`
}

// Again lists events that were processed Times times, though the log holds one
// copy.
type Again struct {
	EventList
	Times int `json:"times"` // at least 2
}

// Processed says where the ids of processed events are kept: a file with one a
// line, or a column of a table of the target's database.
type Processed struct {
	File   string `json:"file,omitempty"`
	Table  string `json:"table,omitempty"`
	Column string `json:"column,omitempty"`
}

// IDList is a list of event ids, as it was read.
type IDList struct {
	From   string   `json:"from"` // the file or table that it was read from
	Digest string   `json:"sha256"`
	Count  int64    `json:"count,string"`
	IDs    []string `json:"-"` // in byte order, each once
}

// Unexplained says what happens to rows that no given hypothesis explains.
type Unexplained string

// What happens to unexplained rows.
const (
	UnexplainedHold    Unexplained = "hold"
	UnexplainedCorrect Unexplained = "correct"
)

// Extra says what happens to live rows that the right logic does not make.
type Extra string

// What happens to extra rows.
const (
	ExtraReport    Extra = "report"
	ExtraExplained Extra = "explained"
	ExtraDelete    Extra = "delete"
)

// Rule says when two values of a column are equal. Abs is empty for exact, else
// the decimal by which they may differ.
type Rule struct {
	Abs string
}

// String returns the rule as recount.yaml spells it.
func (r Rule) String() string {
	if r.Abs == "" {
		return "exact"
	}
	return "abs " + r.Abs
}

// Certificate says how a calculation was run over one window, what was varied
// between the runs, and whether its rows stayed the same. The same inputs give
// the same certificate, whatever the machine.
type Certificate struct {
	Calculation string      `json:"calculation"`
	Kind        string      `json:"kind"`  // of the logic
	Logic       string      `json:"logic"` // its digest; of versions, that of all
	Window      Window      `json:"window"`
	Stream      string      `json:"stream"`
	Snapshot    string      `json:"snapshot"` // of the archive
	Events      EventCounts `json:"events"`
	Rows        int64       `json:"rows,string"`
	// Checksum is SHA-256 over the checksums of all rows of the first run, in key
	// order.
	Checksum      string       `json:"checksum"`
	Key           []string     `json:"key"` // names of the key columns
	Deterministic bool         `json:"deterministic"`
	Runs          []ShakenRun  `json:"runs"`
	Columns       []ColumnsOff `json:"columns"` // that differ in any run, in the order of the result
	Program       string       `json:"program"`
	// What the rows were made of besides events and logic, as in a plan.
	As       string        `json:"as,omitempty"`
	Versions []PlanVersion `json:"versions,omitempty"`
	Upcasts  []PlanInput   `json:"upcasts,omitempty"`
	Lookups  []PlanInput   `json:"lookups,omitempty"`
}

// ShakenRun is one run that was compared with the first.
type ShakenRun struct {
	Varied string `json:"varied"` // a name of engine.Shake, or "nothing"
	Same   bool   `json:"same"`
	// Rows is how many rows differ, and First where the first does; nil where none
	// could be compared.
	Rows  int64       `json:"rows,string"`
	First *Difference `json:"first"`
	// Failed says how the run ended where it gave no rows.
	Failed string `json:"failed,omitempty"`
}

// Difference is a value that two runs give otherwise.
type Difference struct {
	Key []Value `json:"key"`
	// Column is the first column that differs; empty where one run has the row and
	// the other does not.
	Column string `json:"column"`
	// Was is the value in the first run, Is that in the other. Nil: no row.
	Was *Value `json:"was"`
	Is  *Value `json:"is"`
	// Lacks says which run lacks the row, first or other; empty: none.
	Lacks string `json:"lacks,omitempty"`
}

// ColumnsOff is a column with the number of runs in which it differs.
type ColumnsOff struct {
	Column string `json:"column"`
	Runs   int    `json:"runs"`
}
