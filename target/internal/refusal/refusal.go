// Package refusal holds the errors that every target gives to people, so that
// the same trouble reads the same whatever the database. It knows no driver: a
// target translates its own errors and calls the one that fits.
package refusal

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"recount"
)

// NoTable says that the place has no such table; names are those it has.
func NoTable(place, table string, names []string) error {
	return &recount.Error{
		Code: recount.CodeNoTable, What: fmt.Sprintf("there is no table %q", table), Where: place,
		Why:  "the database has no table of that name" + nearest(table, names, "tables"),
		Next: "correct `table:` in recount.yaml; names are taken as they are written, upper and lower case apart",
		Err:  recount.ErrNotFound,
	}
}

// NoColumn says that the table has no such column; names are those it has.
func NoColumn(place, table, column string, names []string) error {
	return &recount.Error{
		Code: recount.CodeNoTable, What: fmt.Sprintf("table %q has no column %q", table, column), Where: place,
		Why:  "no column has that name" + nearest(column, names, "columns"),
		Next: "correct `key:` or `columns:` of the calculation in recount.yaml",
		Err:  recount.ErrNotFound,
	}
}

// NotATable says that the name belongs to something that rows cannot be
// corrected in, such as a view.
func NotATable(place, table, kind string) error {
	return &recount.Error{
		Code: recount.CodeUnsupported, What: fmt.Sprintf("%q is no table", table), Where: place,
		Why:  "it is a " + kind + ": rows are corrected where they are stored",
		Next: "name the table that holds the rows in `table:` of recount.yaml",
		Err:  recount.ErrUnsupported,
	}
}

// Down says that the target cannot be reached.
func Down(place, why string, err error) error {
	return &recount.Error{
		Code: recount.CodeTargetDown, What: "the target cannot be reached", Where: place, Why: why,
		Next: "check that it runs and that the address in recount.yaml is right, then run the command again",
		Err:  errors.Join(recount.ErrUnreachable, err),
	}
}

// ReadOnly says that nothing may be written.
func ReadOnly(place, why string, err error) error {
	return &recount.Error{
		Code: recount.CodeReadOnly, What: "the target cannot be written", Where: place, Why: why,
		Next: "apply with a role that may write the table, on the server that takes writes",
		Err:  errors.Join(recount.ErrPermission, err),
	}
}

// Locked says that another run, or another writer, is in the way.
func Locked(place, who string) error {
	return &recount.Error{
		Code: recount.CodeLocked, What: "another run holds the target", Where: place, Why: who,
		Next: "wait until it has ended, then run the command again", Err: recount.ErrLocked,
	}
}

// NoLedger says that the ledger's tables are missing and may not be made.
func NoLedger(place, why, statements string) error {
	return &recount.Error{
		Code: recount.CodeNoLedger, What: "the ledger tables are missing", Where: place, Why: why,
		Next: "let an administrator run:\n" + statements, Err: recount.ErrPermission,
	}
}

// Moved says that a row is not as the plan saw it.
func Moved(place, why string, err error) error {
	return &recount.Error{
		Code: recount.CodeStale, What: "the plan is stale", Where: place, Why: why,
		Next: "make a new plan", Err: errors.Join(recount.ErrMoved, err),
	}
}

// DoesNotFit says that the table does not take a value or a row.
func DoesNotFit(place, why string, err error) error {
	return Breaks(place, why, "see which rule of the table the row breaks; the calculation or the table has to change", err)
}

// Breaks is DoesNotFit where it is known what mends it.
func Breaks(place, why, next string, err error) error {
	return &recount.Error{
		Code: recount.CodeDoesNotFit, What: "the table does not take a row as planned", Where: place, Why: why,
		Next: next, Err: errors.Join(recount.ErrDoesNotFit, err),
	}
}

// Unknown says that the answer to the commit was lost.
func Unknown(place, why string, err error) error {
	return &recount.Error{
		Code: recount.CodeOutcome, What: "the outcome of the write is unknown", Where: place, Why: why,
		Changed: "all of the plan or nothing",
		Next:    "recount runs: the ledger tells whether the run was committed",
		Err:     errors.Join(recount.ErrUnknown, err),
	}
}

// File says that the target's file cannot be used.
func File(place, why string, err error) error {
	return &recount.Error{
		Code: recount.CodeTargetFile, What: "the target's file cannot be read", Where: place, Why: why,
		Next: "mend the file, or name another one in recount.yaml", Err: err,
	}
}

// Where says that a condition of recount.yaml cannot be used.
func Where(place, why string, err error) error {
	return &recount.Error{
		Code: recount.CodeConfig, What: "the target's `where` cannot be used", Where: place, Why: why,
		Next: "correct `where:` of the calculation's target in recount.yaml", Err: err,
	}
}

// NoRun says that a run cannot be rolled back, or is not there.
func NoRun(place, run, why string) error {
	return &recount.Error{
		Code: recount.CodeNoRun, What: fmt.Sprintf("run %s cannot be rolled back", run), Where: place, Why: why,
		Next: "recount runs: lists the runs and which of them were rolled back", Err: recount.ErrNotFound,
	}
}

// nearest says which names come closest to what was written.
func nearest(want string, names []string, what string) string {
	if len(names) == 0 {
		return "; it has no " + what
	}
	const shown = 3
	sorted := slices.Clone(names)
	slices.SortStableFunc(sorted, func(a, b string) int {
		if d := distance(want, a) - distance(want, b); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	quoted := make([]string, 0, shown)
	for _, name := range sorted[:min(shown, len(sorted))] {
		quoted = append(quoted, fmt.Sprintf("%q", name))
	}
	return "; the nearest " + what + " are " + strings.Join(quoted, ", ")
}

// distance counts the edits between two names, upper and lower case alike.
func distance(a, b string) int {
	from, to := []rune(strings.ToLower(a)), []rune(strings.ToLower(b))
	row := make([]int, len(to)+1)
	for j := range row {
		row[j] = j
	}
	for i, r := range from {
		diagonal := row[0]
		row[0] = i + 1
		for j, s := range to {
			cost := 1
			if r == s {
				cost = 0
			}
			next := min(row[j+1]+1, row[j]+1, diagonal+cost)
			diagonal, row[j+1] = row[j+1], next
		}
	}
	return row[len(to)]
}
