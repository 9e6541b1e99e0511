package recount

import "time"

// Run is one row of the ledger: an apply or a rollback that was committed.
type Run struct {
	ID        string    `json:"run"`
	Plan      string    `json:"plan"`
	Kind      PlanKind  `json:"kind"`
	Table     string    `json:"table"`
	At        time.Time `json:"at"`
	By        string    `json:"by"`
	Applied   int64     `json:"applied,string"`
	Held      int64     `json:"held,string"`
	Extra     int64     `json:"extra,string"`
	Excluded  int64     `json:"excluded,string"`
	Window    Window    `json:"window"`
	Overrides []string  `json:"overrides"`
	// RolledBack is the run that took this one back; empty: none did.
	RolledBack string `json:"rolled_back"`
	// Of is the run that this rollback took back.
	Of string `json:"of"`
	// Calculation is the calculation's name.
	Calculation string `json:"calculation"`
	// Key and Columns name the table's columns of the undo rows.
	Key     []PlanColumn `json:"key"`
	Columns []PlanColumn `json:"columns"`
	// Write is how the run wrote; empty: set.
	Write WriteMode `json:"write,omitempty"`
	// Bump is the last of Columns where that counts versions.
	Bump string   `json:"bump,omitempty"`
	Role PartRole `json:"role,omitempty"`
	// Tables lists all tables of the run, this one first, where it has several.
	// The run of the nth table is called ID/n, its plan Plan/n.
	Tables []string `json:"tables,omitempty"`
}

// Receipt is what an apply or a rollback did.
type Receipt struct {
	Run       string
	Plan      string
	Kind      PlanKind
	Table     string
	Applied   int64
	Already   bool // the run was committed before; nothing was written now
	Verified  bool // each row read its after-image inside the transaction
	Moved     [][]Value
	Held      int64
	Extra     int64
	Excluded  int64
	TookMS    int64
	Steps     []string // what was done, in order
	RolledOut [][]Value
}

// StillWrong counts the rows that the run left wrong on purpose.
func (r Receipt) StillWrong() int64 { return r.Held + r.Extra + r.Excluded }
