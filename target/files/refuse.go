package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"recount"
	"recount/target/internal/refusal"
)

// unreadable says that the file cannot be opened or read; where it is missing,
// which name may be meant.
func (t *Target) unreadable(err error) error {
	why := err.Error()
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		why = path.Err.Error()
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = errors.Join(recount.ErrNotFound, err)
		why = "there is no such file" + t.nearestFile()
	}
	return refusal.File(t.place, why, err)
}

func (t *Target) nearestFile() string {
	dir := filepath.Dir(t.path)
	list, err := os.ReadDir(dir)
	if err != nil {
		return ", and its folder cannot be read"
	}
	names := make([]string, 0, len(list))
	for _, e := range list {
		names = append(names, e.Name())
	}
	if near := recount.Nearest(filepath.Base(t.path), names); near != "" {
		return fmt.Sprintf("; is %q meant?", filepath.Join(filepath.Dir(t.place), near))
	}
	return ""
}

// broken says that the file is no table.
func (t *Target) broken(why string) error { return refusal.File(t.place, why, nil) }

// noColumn says that the header lacks a column.
func (t *Target) noColumn(column string, names []string) error {
	return refusal.NoColumn(t.place, t.place, column, names)
}

// refused says that the folder or the disk did not take a write. Nothing of the
// table has changed then.
func (t *Target) refused(act string, err error) error {
	if _, ok := errors.AsType[*recount.Error](err); ok {
		return err
	}
	if errors.Is(err, fs.ErrPermission) || readOnly(err) {
		return refusal.ReadOnly(t.place, act+": "+err.Error()+"; a correction writes a new file beside the old one and keeps its ledger there", err)
	}
	next := "see that the disk is sound and has room, then run the command again"
	if isFull(err) {
		next = "make room (a correction needs the size of the file twice), then run the command again"
	}
	return &recount.Error{
		Code: recount.CodeStorage, What: "the file could not be written", Where: t.place, Why: act + ": " + err.Error(),
		Next: next, Err: err,
	}
}

// changed says that somebody else wrote the file.
func (t *Target) changed(when string) error {
	return refusal.Moved(t.place, "another program wrote the file "+when+"; nothing was replaced", nil)
}

// undecided says that a commit was broken off and that the file is neither what
// it was before nor what it would have been after.
func (l ledger) undecided(e entry) error {
	return &recount.Error{
		Code: recount.CodeOutcome, What: fmt.Sprintf("the outcome of run %s is unknown", e.Run.ID), Where: l.t.place,
		Why:     "it was broken off while it replaced the file, and the file has been changed by another program since: it is neither the old one nor the corrected one",
		Changed: "all rows of the run, or none: never a part",
		Next: fmt.Sprintf("compare the file with the one from before the run, %s, and see whether the run's rows are corrected; if they are, rename %s to %s; if not, remove %[2]s; then run the command again",
			l.shown(keptName(e.Run.ID)), l.shown(intentName), l.shown(recordName(e.Seq))),
		Err: recount.ErrUnknown,
	}
}
