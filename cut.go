package recount

// Cut says up to which position the live rows have absorbed events, and how that
// is known.
type Cut struct {
	Kind CutKind
	// Paused is the file of the positions at which a paused worker stands, or
	// group:NAME: then they are the offsets of a consumer group of the source.
	Paused string
	// Column is the table's column that says, row by row, how far the row is;
	// empty: there is none. Partition names the column of the partition, empty
	// where a key's events come from one.
	Column    string
	Partition string
	Is        PositionIs
}

// CutKind names a way to know the cut.
type CutKind string

// The ways to know the cut.
const (
	// CutClosed: rows belong to buckets that no event has reached since.
	CutClosed CutKind = "closed"
	// CutPaused: the worker stands still at positions that are given.
	CutPaused CutKind = "paused"
	// CutColumn: each row says how far it is.
	CutColumn CutKind = "position"
	// CutFound: nothing says it; a row counts only where a hypothesis reproduces
	// it at some position.
	CutFound CutKind = "found"
)

// PositionIs says what the values of a position column are.
type PositionIs string

// What a position column holds.
const (
	IsOffset  PositionIs = "offset"   // the position of the last event that the row absorbed
	IsVersion PositionIs = "version"  // how many events the row absorbed
	IsEventID PositionIs = "event_id" // the id of the last event that the row absorbed
)

// CutTaken is the cut of a plan: how far the live rows were when they were
// compared.
type CutTaken struct {
	Kind CutKind `json:"kind"`
	// How says it to a person.
	How string `json:"how"`
	// Positions, of CutPaused, are the next positions to read, by partition.
	Positions map[string]string `json:"positions,omitempty"`
}

// WorkerState says where the worker keeps what it adds to.
type WorkerState string

// Where a worker keeps its state.
const (
	StateRow WorkerState = "row" // it reads the row before it writes
	StateOwn WorkerState = "own" // it keeps its own, and would overwrite a correction
)
