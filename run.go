package recount

import (
	"fmt"
	"strings"
	"time"
)

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
	// Total counts the rows written in all of Tables.
	Total int64 `json:"total,string,omitempty"`
	// Filled are the columns that the run's inserts filled besides Columns.
	// Undo rows of inserts hold their values after those of Columns.
	Filled []Filled `json:"filled,omitempty"`
	Entry  *Entry   `json:"entry,omitempty"`
	// Asked, Positions and IDs say which events were in the error window.
	Asked     Window           `json:"asked,omitzero"`
	Positions []PositionWindow `json:"hit_positions,omitempty"`
	IDs       *IDList          `json:"hit_ids,omitempty"`
	// As is the one version of the logic with which the plan was made; empty: each
	// for its time.
	As string `json:"as,omitempty"`
}

// RunOf is what the ledger holds of a run by the nth part of a plan, counted from 1:
// all but the run's id, its moment, who ran it, and the tables beside it.
func RunOf(plan string, n int, b PlanBody, applied int64, overrides []string) Run {
	return Run{
		Plan: PartID(plan, n), Kind: b.Kind, Table: b.Target.Table, Applied: applied, Held: b.Rows.Stay(), Extra: b.Rows.Extra, Excluded: b.Rows.Excluded,
		Window: b.Window, Overrides: append([]string{}, overrides...), Of: b.Run, Calculation: b.Calculation, Key: b.Key, Columns: b.Columns,
		Write: b.Write, Bump: b.Bump, Role: b.Role, Filled: b.Filled, Entry: b.Entry, Asked: b.Asked, Positions: b.Positions, IDs: b.IDs, As: b.As,
	}
}

// PartID names the nth part, counted from 1, of what has id: a run or a plan. The
// first has the id itself.
func PartID(id string, n int) string {
	if n <= 1 {
		return id
	}
	return fmt.Sprintf("%s/%d", id, n)
}

// WholeID is the id of which a part's is made.
func WholeID(id string) string {
	whole, _, _ := strings.Cut(id, "/")
	return whole
}

// Written counts the rows that the run wrote, in all of its tables.
func (r Run) Written() int64 { return max(r.Applied, r.Total) }

// AllTables names the run's tables.
func (r Run) AllTables() []string {
	if len(r.Tables) == 0 {
		return []string{r.Table}
	}
	return r.Tables
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
	// Tables says it table by table, where there are several; the counts above
	// are their sums.
	Tables []TableReceipt
	Notes  []string
}

// TableReceipt is what a run did in one of its tables.
type TableReceipt struct {
	Table     string
	Role      PartRole
	Applied   int64
	Held      int64
	Extra     int64
	Excluded  int64
	Moved     [][]Value
	RolledOut [][]Value
}

// StillWrong counts the rows that the run left wrong on purpose.
func (r Receipt) StillWrong() int64 { return r.Held + r.Extra + r.Excluded }
