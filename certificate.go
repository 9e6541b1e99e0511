package recount

// Certificate says how a calculation was run over one window, what was varied
// between the runs, and whether its rows stayed the same. The same inputs give
// the same certificate, whatever the machine.
type Certificate struct {
	Calculation string      `json:"calculation"`
	Kind        string      `json:"kind"`  // of the logic
	Logic       string      `json:"logic"` // its digest
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
