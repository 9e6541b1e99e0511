package recount

import "time"

// Plan is a correction that a person can read and that apply carries out whole.
// Its body depends on its inputs alone; the body's digest is ID. Only the
// header differs from run to run.
type Plan struct {
	ID     string // SHA-256 of the body, hex
	Header PlanHeader
	Body   PlanBody
	// Changes in key order: all rows that are not right.
	Changes []Change
	// With are further tables of the same database, corrected in the same
	// transaction.
	With []PlanPart
}

// PlanPart is a plan's correction of one table.
type PlanPart struct {
	Body    PlanBody
	Changes []Change
}

// Parts lists the plan's tables: its own, then those of With.
func (p *Plan) Parts() []PlanPart {
	return append([]PlanPart{{Body: p.Body, Changes: p.Changes}}, p.With...)
}

// Tables names the plan's tables, in the order of Parts.
func (p *Plan) Tables() []string {
	out := []string{p.Body.Target.Table}
	for _, part := range p.With {
		out = append(out, part.Body.Target.Table)
	}
	return out
}

// PlanHeader is what a plan says of its making. It steers only expiry.
type PlanHeader struct {
	Made    time.Time `json:"made"`
	Expires time.Time `json:"expires"`
	By      string    `json:"by"`
	Program string    `json:"program"`
	TookMS  int64     `json:"took_ms"`
}

// PlanKind tells a correction from a rollback: both walk the same steps.
type PlanKind string

// The kinds of plans.
const (
	PlanApply    PlanKind = "apply"
	PlanRollback PlanKind = "rollback"
)

// PartRole says what the rows of a plan's table are.
type PartRole string

// The roles.
const (
	RoleResult PartRole = ""       // results of the calculation
	RoleMark   PartRole = "mark"   // events marked as processed
	RoleAdjust PartRole = "adjust" // entries beside frozen rows
)

// PlanBody is the deterministic part of a plan without its changes.
type PlanBody struct {
	Kind        PlanKind      `json:"kind"`
	Calculation string        `json:"calculation"`
	Window      Window        `json:"window"`
	Asked       Window        `json:"asked"` // before it was widened to buckets
	Bucket      string        `json:"bucket"`
	Zone        string        `json:"timezone"`
	Stream      string        `json:"stream"`
	Snapshot    string        `json:"snapshot"`
	Watermark   time.Time     `json:"watermark"`
	Logic       string        `json:"logic"`              // digest
	Previous    string        `json:"previous,omitempty"` // digest
	As          string        `json:"as,omitempty"`       // the one version that was asked for
	Versions    []PlanVersion `json:"versions,omitempty"` // those that were in force
	Upcasts     []PlanInput   `json:"upcasts,omitempty"`  // in their order
	Lookups     []PlanInput   `json:"lookups,omitempty"`
	Missed      []EventList   `json:"missed,omitempty"`
	Again       []Again       `json:"again,omitempty"`
	Late        string        `json:"late,omitempty"`  // after a bucket's end
	Order       string        `json:"order,omitempty"` // "arrival"
	Unexplained Unexplained   `json:"unexplained"`
	Extra       Extra         `json:"extra"`
	Where       string        `json:"where,omitempty"`
	Rules       []string      `json:"rules"` // "total: exact", in column order
	Target      Identity      `json:"target"`
	Fingerprint string        `json:"fingerprint"`
	Hazards     []string      `json:"hazards"`
	LastRun     string        `json:"last_run"`
	Key         []PlanColumn  `json:"key"`     // the table's names
	Columns     []PlanColumn  `json:"columns"` // the table's names, compared and written
	Events      EventCounts   `json:"events"`
	Rows        RowCounts     `json:"rows"`
	Digest      string        `json:"digest"` // of the recalculated rows
	Causes      []CauseCount  `json:"causes"`
	Given       bool          `json:"given"` // a hypothesis stands in the configuration
	Tried       []Cause       `json:"tried"`
	Cut         int           `json:"cut"` // combinations not tried
	Explained   int64         `json:"explained"`
	Unexplain   int64         `json:"unexplained_rows"`
	Control     *Control      `json:"control"`
	NoControl   string        `json:"no_control,omitempty"` // why there is none
	Minutes     []MinuteCount `json:"minutes"`
	Sums        []ColumnSum   `json:"sums"`
	MaxChanges  int64         `json:"max_changes"`
	Notes       []string      `json:"notes"`
	// Overrides names the checks that a flag switched off.
	Overrides []string `json:"overrides"`
	// Run is the run that a rollback takes back.
	Run string `json:"run,omitempty"`

	Role      PartRole         `json:"role,omitempty"`
	Positions []PositionWindow `json:"hit_positions,omitempty"` // of a window by position
	IDs       *IDList          `json:"hit_ids,omitempty"`       // of a window by ids
	// Touched counts the result keys to which a hit event contributes; -1 where
	// all rows of the window are looked at.
	Touched int64     `json:"touched,string"`
	Memory  string    `json:"memory"`
	Taken   *CutTaken `json:"cut_taken,omitempty"` // nil: closed
	Write   WriteMode `json:"write"`
	Against Cause     `json:"against,omitempty"` // of WriteDelta
	// Bump is the last of Columns where that counts a row's versions: written,
	// and guarded, but not compared.
	Bump string `json:"bump,omitempty"`
	// Filled gives further table columns the texts that an insert writes.
	Filled []Filled `json:"filled,omitempty"`
	// Ignored names the table's columns that are neither compared nor filled.
	Ignored []string `json:"ignored,omitempty"`
	// References are the tables to which foreign keys lead, as a target names
	// them, for whoever writes without asking the target.
	References []string `json:"references,omitempty"`
	// Entry names the columns of an adjustment, of RoleAdjust.
	Entry *Entry `json:"entry,omitempty"`
	// Unproved says that determinism was not proved, and why.
	Unproved string `json:"unproved,omitempty"`
	// WorkerState is where the worker keeps its state.
	WorkerState WorkerState `json:"worker_state,omitempty"`
	// Effects counts what the worker would have sent in the window, in order of the
	// kind. Nothing of it is sent.
	Effects []KindCount `json:"effects,omitempty"`
}

// KindCount counts the effects of one kind.
type KindCount struct {
	Kind  string `json:"kind"`
	Count int64  `json:"count,string"`
}

// PlanVersion is a version of the logic that a plan was made with.
type PlanVersion struct {
	Name   string    `json:"name"`
	From   time.Time `json:"from,omitzero"` // zero: from the beginning
	To     time.Time `json:"to,omitzero"`   // excluded; zero: it is in force
	Digest string    `json:"sha256"`
}

// PlanInput is something besides events and logic that a plan depends on, by its
// digest. Where it is a stream of its own, Snapshot is the stream's.
type PlanInput struct {
	Name     string `json:"name"`
	Digest   string `json:"sha256,omitempty"`
	Snapshot string `json:"snapshot,omitempty"`
}

// Entry names the table columns of an adjustment by what they hold. A rollback
// inserts an entry of the opposite amounts instead of deleting the first.
type Entry struct {
	Amounts []string `json:"amounts"`
	Reason  string   `json:"reason,omitempty"`
	// Run is part of the key, so that each run has entries of its own.
	Run string `json:"run"`
	At  string `json:"at,omitempty"`
}

// The texts that stand in a plan for what only its apply knows. They are filled
// in where a part's role is mark or adjust.
const (
	RunPlaceholder = "${recount.run}" // the run's id
	AtPlaceholder  = "${recount.at}"  // the moment of the run
)

// Filled is a column that an insert fills with a text.
type Filled struct {
	Column string `json:"column"`
	Text   string `json:"text"`
	// Type is the table's own; empty in plans that were made before it stood there.
	Type string `json:"type,omitempty"`
}

// PlanColumn is a column of a plan: the table's name and the type under which
// its values are compared.
type PlanColumn struct {
	Name string `json:"name"`
	Type string `json:"type"`
	// Stored is the table's own type where that is another one: the texts of
	// images are of that type.
	Stored string `json:"stored,omitempty"`
}

// EventCounts adds up: Read = Used + Duplicates + Quarantined + Outside. Late, Hit
// and Ignored are parts of Used.
type EventCounts struct {
	Read        int64 `json:"read,string"`
	Used        int64 `json:"used,string"`
	Duplicates  int64 `json:"duplicates,string"`
	Quarantined int64 `json:"quarantined,string"`
	Outside     int64 `json:"outside,string"`
	Late        int64 `json:"late,string"`
	Hit         int64 `json:"hit,string"`
	// Ignored counts events of types that the logic passes over by its own account.
	Ignored int64 `json:"ignored,omitempty,string"`
}

// RowCounts adds up: Checked is the sum of all others.
type RowCounts struct {
	Checked  int64 `json:"checked,string"`
	Right    int64 `json:"right,string"`
	Update   int64 `json:"update,string"`
	Insert   int64 `json:"insert,string"`
	Delete   int64 `json:"delete,string"`
	Extra    int64 `json:"extra,string"`
	Held     int64 `json:"held,string"`
	Excluded int64 `json:"excluded,string"`
	// Adjusted is a part of Held: frozen rows that entries beside them make right.
	Adjusted int64 `json:"adjusted,omitempty,string"`
}

// Stay counts the held rows that stay wrong.
func (r RowCounts) Stay() int64 { return r.Held - r.Adjusted }

// Writes counts the rows that an apply changes.
func (r RowCounts) Writes() int64 { return r.Update + r.Insert + r.Delete }

// Wrong counts the rows that are not right.
func (r RowCounts) Wrong() int64 { return r.Checked - r.Right }

// Add counts one row under its action.
func (r *RowCounts) Add(a Action) {
	r.Checked++
	switch a {
	case ActionUpdate:
		r.Update++
	case ActionInsert:
		r.Insert++
	case ActionDelete:
		r.Delete++
	case ActionExtra:
		r.Extra++
	case ActionHeld:
		r.Held++
	case ActionExcluded:
		r.Excluded++
	}
}

// CauseCount says how many written rows a cause explains.
type CauseCount struct {
	Cause Cause `json:"cause"`
	Rows  int64 `json:"rows,string"`
}

// Control is the outcome of the control window.
type Control struct {
	Rows  int64    `json:"rows,string"`
	Wrong int64    `json:"wrong,string"`
	Spans []Window `json:"spans"`
	// First shows one wrong row to a person; empty if there is none.
	First string `json:"first,omitempty"`
	// Known counts rows that are not right, but as a given hypothesis has them
	// that holds at all times (late, order). They are not wrong.
	Known int64 `json:"known,string,omitempty"`
	// Tried counts the wrong rows for which reasons were looked for, Left those of
	// them that no reason explains.
	Tried int64 `json:"tried,string,omitempty"`
	Left  int64 `json:"left,string,omitempty"`
	// Reasons are what would make the control green, the one that explains most
	// rows first.
	Reasons []ControlReason `json:"reasons,omitempty"`
}

// ControlReason is one account of why rows beside the window are wrong.
type ControlReason struct {
	// Name is one of the Reason constants, or several joined by "+".
	Name string `json:"name"`
	// Rows counts the wrong rows that it explains.
	Rows int64 `json:"rows,string"`
	// Text says it to a person.
	Text string `json:"text"`
	// Line is what to add, and Where the place: a line of recount.yaml, or flags of
	// a command. Both are empty where a person has to look first.
	Line  string `json:"line"`
	Where string `json:"where"`
}

// The reasons of a red control.
const (
	ReasonLate     = "late"     // the worker leaves out late events
	ReasonRounding = "rounding" // the worker rounds otherwise
	ReasonCut      = "cut"      // the worker had not finished the newest rows
	ReasonRepeats  = "repeats"  // the worker counts repeats
	ReasonOrder    = "order"    // the worker applies events as they come
	ReasonWindow   = "window"   // the incident is longer than the window
	ReasonEarlier  = "earlier"  // rows stand at an earlier event, and nothing says why
	ReasonForeign  = "foreign"  // nothing that was tried gives the rows
)

// MinuteCount is one step of the plot: events used and wrong rows per span of
// the window. Wrong is -1 where rows have no time of their own.
type MinuteCount struct {
	From   time.Time `json:"from"`
	Events int64     `json:"events,string"`
	Wrong  int64     `json:"wrong,string"`
}

// ColumnSum is the net difference of a numeric column over all written rows.
type ColumnSum struct {
	Column string `json:"column"`
	Before string `json:"before"`
	After  string `json:"after"`
	Net    string `json:"net"`
}

// AskedFlags are the words of the command line that ask for the plan's window, and
// for the one version that it was made with.
func (b PlanBody) AskedFlags() []string {
	flags := b.windowFlags()
	if b.As != "" {
		flags = append(flags, "--as", b.As)
	}
	return flags
}

func (b PlanBody) windowFlags() []string {
	var flags []string
	switch {
	case len(b.Positions) > 0:
		for _, w := range b.Positions {
			flags = append(flags, "--from-position", w.Partition+":"+ShortPosition(w.From), "--to-position", w.Partition+":"+ShortPosition(w.To))
		}
		return flags
	case b.IDs != nil:
		return []string{"--ids", b.IDs.From}
	case b.Asked.By == ByIngest:
		flags = []string{"--by", "ingest"}
	}
	asked := b.Asked
	if asked.From.IsZero() { // a plan of an older version
		asked = b.Window
	}
	return append(flags, "--from", FormatTimestamp(asked.From), "--to", FormatTimestamp(asked.To))
}
