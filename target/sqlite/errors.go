package sqlite

import (
	"context"
	"errors"
	"fmt"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"recount"
	"recount/target/internal/refusal"
)

// explain turns an error of the driver into one that callers can match and
// people can read. act says what was being done.
func (t *table) explain(act string, err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	var known *recount.Error
	var raw *sqlite.Error
	if errors.As(err, &known) || !errors.As(err, &raw) {
		return fmt.Errorf("%s %q: %w", act, t.place, err)
	}
	const primary = 0xff // an extended code's low byte is its primary code
	switch raw.Code() & primary {
	case lib.SQLITE_BUSY, lib.SQLITE_LOCKED:
		return refusal.Locked(t.place, "another connection is writing to the file; SQLite does not say which")
	case lib.SQLITE_READONLY, lib.SQLITE_PERM, lib.SQLITE_AUTH:
		return refusal.ReadOnly(t.place, "the file or its folder is read-only: "+raw.Error(), err)
	case lib.SQLITE_CANTOPEN:
		return refusal.Down(t.place, "there is no such file, or it may not be opened: "+raw.Error(), err)
	case lib.SQLITE_NOTADB, lib.SQLITE_CORRUPT, lib.SQLITE_FORMAT:
		return refusal.File(t.place, "it is no sound SQLite database: "+raw.Error(), err)
	case lib.SQLITE_CONSTRAINT:
		return t.constraint(raw, err)
	case lib.SQLITE_FULL, lib.SQLITE_IOERR:
		return &recount.Error{
			Code: recount.CodeStorage, What: "the disk refused", Where: t.place, Why: raw.Error(),
			Next: "make room or mend the disk, then run the command again", Err: err,
		}
	}
	return fmt.Errorf("%s %q: %w", act, t.place, err)
}

// constraint tells a key that was taken from a row that the table never takes.
func (t *table) constraint(raw *sqlite.Error, err error) error {
	switch raw.Code() {
	case lib.SQLITE_CONSTRAINT_PRIMARYKEY, lib.SQLITE_CONSTRAINT_UNIQUE, lib.SQLITE_CONSTRAINT_ROWID:
		return refusal.Moved(t.place, "a row with such a unique value is there: "+raw.Error()+"; if a new plan is refused too, planned rows exchange the value, which SQLite does not allow", err)
	}
	return refusal.DoesNotFit(t.place, raw.Error(), err)
}

// explainWhere blames the condition for a statement that SQLite cannot read:
// the rest of it is ours.
func (t *table) explainWhere(where string, err error) error {
	var raw *sqlite.Error
	if where != "" && errors.As(err, &raw) && raw.Code() == lib.SQLITE_ERROR {
		return refusal.Where(t.place, raw.Error(), err)
	}
	return t.explain("scan", err)
}
