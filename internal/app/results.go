package app

import (
	"time"

	"recount"
	"recount/internal/app/incident"
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
	// Pull brings in what the window needs from its source first.
	Pull bool
	// Paused is the file of the positions at which a paused worker stands, or
	// group:NAME, the consumer group whose offsets they are; empty:
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
	As        string // the version of the logic that is to be run for all events; empty: each for its time
	Out       string // plan file; empty: <calculation>-<id>.plan, and none for a diff
	Overrides Overrides
}

// PublishRequest asks for a replay into a bus.
type PublishRequest struct {
	Name   string // of a calculation or a source
	Window WindowRequest
	// To is the destination, twice where it is meant although a source reads it.
	To []string
	// Only is a hypothesis of missed events, such as missed; empty: all events.
	Only string
	// All publishes repeats and quarantined events too.
	All       bool
	PerSecond int64  // at most so many events a second; 0: nothing bounds it
	ID        string // of the replay; empty: what is asked for names it
	DryRun    bool
}

// Published is the outcome of a replay into a bus.
type Published struct {
	Replay      string // its id, the value of the header recount-replay
	Stream      string
	Calculation string // empty: a source was named
	Only        string
	Destination string
	Hits        recount.Hits // the window
	Snapshot    string
	Events      int64 // that belong to the replay
	Bytes       int64 // of their keys and payloads
	Partitions  int
	Repeats     int64 // left out
	Quarantined int64 // left out
	Sent        int64
	There       int64 // were there already
	DryRun      bool
	TookMS      int64
}

// Planned is the outcome of a diff or a plan.
type Planned struct {
	Plan   *recount.Plan
	File   string // as the person may type it again; empty for a diff
	Zone   string // in which the window's edges were typed; empty: with offsets
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

// What an incident answers; its package says what they mean.
type (
	// Overrides are the checks that a flag switches off.
	Overrides = incident.Overrides
	// Replayed is the outcome of a replay.
	Replayed = incident.Replayed
	// Verified is the outcome of verify.
	Verified = incident.Verified
	// Detected is the outcome of detect.
	Detected = incident.Detected
	// DetectedSpan is one run of positions that it found.
	DetectedSpan = incident.DetectedSpan
	// Explanation says why a row is as the plan has it, step by step.
	Explanation = incident.Explanation
	// ExplainRequest asks for it.
	ExplainRequest = incident.ExplainRequest
	// ExplainStep is one event of a row.
	ExplainStep = incident.ExplainStep
	// Effected is what a worker would have sent.
	Effected = incident.Effected
	// EffectKind counts the effects of one kind.
	EffectKind = incident.EffectKind
	// EffectDifferent is an effect that was not sent as it should have been.
	EffectDifferent = incident.EffectDifferent
	// Fatal says which keys are left out, since their fold did not survive an event.
	Fatal = incident.Fatal
	// NamedValue is a value with its column's name.
	NamedValue = incident.NamedValue
)

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
	Adopted     bool  // where they lie; nothing was copied
	Events      int64 // newly archived
	Repeats     int64
	Conflicts   int64
	Quarantined int64
	Files       int
	Bytes       int64
	Commits     int
	Gaps        int   // recorded
	Known       int64 // events that were passed by: they were archived before
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
