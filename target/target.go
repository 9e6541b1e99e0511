// Package target is the port of the live results. Reading never writes; all
// writing goes through one transaction that also holds ledger and undo rows.
package target

import (
	"context"

	"recount"
)

// Target is one live table. It is safe for concurrent use.
type Target interface {
	// Info describes the table; it writes nothing.
	Info(ctx context.Context) (recount.TableInfo, error)
	// Scan calls each for every row that the scan asks for, at one consistent
	// moment, in any order. The row belongs to the receiver. Values are the
	// stored ones in canonical text of the column's type, unrounded.
	Scan(ctx context.Context, scan Scan, each func(recount.Row) error) error
	// Begin opens the transaction of an apply or a rollback and takes the
	// target's writer lock; recount.ErrLocked where another run holds it. It
	// makes the ledger tables where they are missing.
	Begin(ctx context.Context) (Tx, error)
	// Runs lists the ledger's runs on this table, newest first; none where there
	// is no ledger.
	Runs(ctx context.Context) ([]recount.Run, error)
	// Undo calls each for every undo row of a run, in order of their writing.
	Undo(ctx context.Context, run string, each func(recount.Change) error) error
	// CanWrite says whether the role that reads could write: doctor warns then.
	CanWrite(ctx context.Context) (bool, error)
	Close() error
}

// Scan says which live rows to read.
type Scan struct {
	Key     []string // table columns
	Columns []string // table columns
	// Where is a condition of the target's own language; $from and $to stand for
	// the edges of Window. Empty: all rows.
	Where  string
	Window recount.Window
	// Keys, where not nil, names the rows to read; Where does not apply.
	Keys [][]recount.Value
	// Alike reads rows, too, whose key the table takes for one of Keys although its
	// text is another: by a collation, or because a type ends with blanks.
	Alike bool
}

// Tx is the one transaction of an apply. Every method may be called only before
// Commit and Rollback. All changes of a call have the same action.
type Tx interface {
	// Info describes the table as the transaction sees it, with the ledger's
	// uuid.
	Info(ctx context.Context) (recount.TableInfo, error)
	// Applied returns the run that applied the plan and was not rolled back.
	Applied(ctx context.Context, plan string) (recount.Run, bool, error)
	// Write carries the changes out and returns how many rows it changed.
	// An update changes the row of the key only if each column of columns still
	// holds Before (NULL equals NULL) and sets only the columns that differ; a
	// delete likewise; an insert fails with recount.ErrMoved where the key is
	// taken. key and columns name table columns.
	Write(ctx context.Context, key, columns []string, changes []recount.Change) (int64, error)
	// Moved returns those of changes whose row no longer holds Before, or, for
	// an insert, is there.
	Moved(ctx context.Context, key, columns []string, changes []recount.Change) ([]recount.Change, error)
	// Read returns the rows of the keys as the transaction sees them.
	Read(ctx context.Context, key, columns []string, keys [][]recount.Value, each func(recount.Row) error) error
	// Lock locks the rows of the keys, in key order, until the transaction ends
	// and calls each with those that are there, in any order, as they are stored
	// then. Until then no other writer changes or deletes them.
	Lock(ctx context.Context, key, columns []string, keys [][]recount.Value, each func(recount.Row) error) error
	// On returns this transaction on another table of the same database, whose
	// writer lock it takes: recount.ErrLocked where another run holds it. Callers
	// take several in the order of their names, lest two runs wait in a circle.
	// Its ledger rows are that table's. Commit and Rollback belong to the first:
	// here Commit is an error and Rollback does nothing.
	// recount.ErrUnsupported where the target is one table alone.
	On(ctx context.Context, table string) (Tx, error)
	// Record writes the ledger row and the undo rows. Where run.Of is set, that
	// run is marked as rolled back.
	Record(ctx context.Context, run recount.Run, undo []recount.Change) error
	// Commit ends the transaction. recount.ErrUnknown: the answer was lost, and
	// only a look at the ledger tells.
	Commit(ctx context.Context) error
	// Rollback drops everything; after Commit it does nothing.
	Rollback(ctx context.Context) error
}
