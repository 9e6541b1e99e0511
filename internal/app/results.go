package app

import (
	"time"

	"recount"
)

// WindowRequest is a window as a person types it.
type WindowRequest struct {
	From     string
	To       string
	Timezone string // IANA name; empty: times carry their offset
	// By is the clock; empty: the one whose edges are given.
	By recount.Clock
	// FromPositions and ToPositions are the edges of ByPosition, "P:N", one pair
	// a partition in any order.
	FromPositions []string
	ToPositions   []string
	IDs           string // the file of ByIDs, relative to the project
	// Paused is the file of the positions at which a paused worker stands; empty:
	// the configuration says how the cut is known.
	Paused string
}

// PlanRequest asks for a diff or a plan.
type PlanRequest struct {
	Calculation string
	// With are further calculations of the same worker: their tables are corrected
	// in the same transaction.
	With      []string
	Window    WindowRequest
	Out       string // plan file; empty: <calculation>-<id>.plan, and none for a diff
	Overrides Overrides
}

// Overrides are the checks that a flag switches off; each is recorded.
type Overrides struct {
	AllowEmpty         bool // a window without a used event
	AcceptTwoWay       bool // most rows wrong and no hypothesis given
	WithoutQuarantined bool // quarantined events whose row is unknown
	NoControl          bool // a red control window (at apply)
	WorkerWillReload   bool // the worker keeps its own state (at apply)
}

// Planned is the outcome of a diff or a plan.
type Planned struct {
	Plan   *recount.Plan
	File   string // as the person may type it again; empty for a diff
	TookMS int64
}

// Writes counts the rows that an apply of the plan writes, in all of its tables.
func (p Planned) Writes() int64 {
	var n int64
	for _, part := range p.Plan.Parts() {
		n += part.Body.Rows.Writes()
	}
	return n
}

// Shown is a plan read back from its file.
type Shown struct {
	Plan *recount.Plan
	File string
	// Expired says that apply would refuse it now.
	Expired bool
	// Steps are those that an apply walks, as a person reads them.
	Steps []string
}

// Replayed is the outcome of a replay: its rows are written elsewhere.
type Replayed struct {
	Calculation string
	Window      recount.Window
	Asked       recount.Window
	Snapshot    string
	Watermark   time.Time
	Events      recount.EventCounts
	Rows        int64
	Digest      string // over all rows in key order
	Excluded    int64
	Unproved    string // why determinism is not proved; empty where it is
	Out         string // file; empty: standard output
	TookMS      int64
}

// Verified is the outcome of verify: determinism, and no difference where none
// is expected.
type Verified struct {
	Calculation string
	Window      recount.Window
	Runs        int
	Unproved    string // why determinism is not proved; empty where it is
	Digest      string
	Rows        recount.RowCounts
	First       *recount.Change // a wrong row, if there is one
	Red         recount.Control // why rows are wrong, where some are
	Key         []recount.PlanColumn
	Columns     []recount.PlanColumn
	TookMS      int64
}

// Explanation says why one row is as the plan has it.
type Explanation struct {
	Plan        string
	Calculation string
	Window      recount.Window
	Change      recount.Change // Action is empty for a row that is right
	Right       bool
	Key         []recount.PlanColumn
	Columns     []recount.PlanColumn
	Steps       []ExplainStep // all of them, in order of time
	// Result is the row that these events alone give under the right logic.
	Result []recount.Value
	// Under is the row under the cause; nil where there is none.
	Under []recount.Value
	// Alone says that the listed events alone were replayed and gave exactly the
	// planned row: nothing else contributes.
	Alone bool
	// Elsewhere says that the logic is not here, so that Steps lists events
	// without the row after each; empty where it is. Result then is the row that
	// was made elsewhere.
	Elsewhere string
}

// ExplainStep is one event of a row.
type ExplainStep struct {
	Seq       int64
	ID        string
	Time      time.Time
	Partition string
	Position  string
	Fields    []NamedValue
	// Counted says that the right logic uses the event; Note says why not, or
	// what the cause did with it.
	Counted bool
	Note    string
	// Values is the row after this event under the right logic, nil before there
	// is one; Under is the same under the cause.
	Values []recount.Value
	Under  []recount.Value
}

// NamedValue is a value with its column's name.
type NamedValue struct {
	Name  string
	Value recount.Value
}

// CheckStatus is the outcome of one check of doctor.
type CheckStatus string

// The outcomes of a check.
const (
	CheckOK   CheckStatus = "ok"
	CheckWarn CheckStatus = "warn"
	CheckFail CheckStatus = "fail"
)

// Check is one line of doctor.
type Check struct {
	Name   string
	Status CheckStatus
	Detail string
	Fix    string // what mends it; empty where nothing needs to be
	TookMS int64
}

// Diagnosis is what doctor found.
type Diagnosis struct {
	Checks []Check
}

// Failed says whether any check failed.
func (d Diagnosis) Failed() bool {
	for _, c := range d.Checks {
		if c.Status == CheckFail {
			return true
		}
	}
	return false
}

// ArchiveRan is the outcome of archiving one source.
type ArchiveRan struct {
	Source      string
	Events      int64 // newly archived
	Repeats     int64
	Conflicts   int64
	Quarantined int64
	Files       int
	Bytes       int64
	Commits     int
	Snapshot    string
	Watermark   time.Time
	TookMS      int64
}

// Question is one question of init, with the default that was found.
type Question struct {
	Key     string // "id", "time", …
	Text    string
	Default string
	Choices []string
}

// Initialized is the outcome of init.
type Initialized struct {
	File      string
	Text      string // what was written
	Asked     int
	Sample    []string // three events, as they will be read
	Fits      []string // how well the SQL's aggregates give the table's rows
	Notes     []string
	Next      []string // commands
	Diagnosis *Diagnosis
}
