package files

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
)

// happened says whether a commit that was broken off put its file in place: the
// digest of the file decides.
func (l ledger) happened(e entry) (bool, error) {
	digest, err := digestFile(l.path)
	if err != nil {
		return false, l.t.unreadable(err)
	}
	switch digest {
	case e.After: // first: a run without writes leaves the file as it was
		return true, nil
	case e.Before:
		return false, nil
	}
	if l.held() {
		// The run is alive and will notice itself that the file was changed.
		return false, nil
	}
	return false, l.undecided(e)
}

// settle ends a commit that was broken off: it becomes a run, or nothing. The
// lock is held.
func (l ledger) settle(context.Context) error {
	pending, err := l.intent()
	if err != nil || pending == nil {
		return err
	}
	digest, err := digestFile(l.path)
	if err != nil {
		return l.t.unreadable(err)
	}
	switch digest {
	case pending.After:
		return l.finish(*pending)
	case pending.Before:
		return l.drop(pending.Run.ID)
	}
	return l.undecided(*pending)
}

// finish turns the intent into the record of a run.
func (l ledger) finish(e entry) error {
	// The rename that committed may not have reached the disk; the record must
	// not outlive it.
	if err := syncDir(dirOf(l.path)); err != nil {
		return l.t.refused("sync the folder", err)
	}
	if err := os.Rename(l.at(intentName), l.at(recordName(e.Seq))); err != nil {
		return l.t.refused("write the ledger", err)
	}
	if err := syncDir(l.dir); err != nil {
		return l.t.refused("write the ledger", err)
	}
	return nil
}

// drop removes what a commit that did not happen left. The intent goes first:
// all else is swept up by whoever comes next.
func (l ledger) drop(run string) error {
	err := removeAll(l.at(intentName))
	if err == nil && exists(l.dir) {
		err = syncDir(l.dir)
	}
	if err == nil {
		err = removeAll(l.at(newName), l.at(keptName(run)))
	}
	if err != nil {
		return l.t.refused("clear away what a broken-off run left", err)
	}
	return nil
}

// sweep removes files of the ledger that are of no use any more: unfinished
// ones, and kept files of runs that are rolled back or never happened. The lock
// is held and nothing is under way.
func (l ledger) sweep(entries []entry) error {
	needed := map[string]bool{}
	by := rolledBack(entries)
	for _, e := range entries {
		if by[e.Run.ID] == "" && e.Run.Of == "" {
			needed[keptName(e.Run.ID)] = true
		}
	}
	list, err := os.ReadDir(l.dir)
	if err != nil {
		return l.unreadable("", err)
	}
	for _, file := range list {
		n := file.Name()
		if n == newName || strings.HasSuffix(n, unfinished) || strings.HasSuffix(n, keptEnd) && !needed[n] {
			if err := removeAll(l.at(n)); err != nil {
				return l.t.refused("clear away what a broken-off run left", err)
			}
		}
	}
	return nil
}

// removeAll removes files that may be missing.
func removeAll(paths ...string) error {
	var errs []error
	for _, p := range paths {
		if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
