package files

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"recount"
	"recount/target/internal/refusal"
)

// step is one step of a commit. Whatever ends the process before any of them,
// the file is the old one or the corrected one, and the ledger says which.
type step string

const (
	stepNew     step = "write the new file"
	stepKeep    step = "keep the old file"
	stepIntent  step = "write the intent"
	stepCompare step = "see that nobody wrote the file meanwhile"
	stepReplace step = "replace the file" // the commit
	stepSync    step = "sync the folder"
	stepRecord  step = "turn the intent into the run's record"
	stepClear   step = "remove what is not needed any more"
)

// steps lists the steps in order.
var steps = []step{stepNew, stepKeep, stepIntent, stepCompare, stepReplace, stepSync, stepRecord, stepClear}

func dirOf(path string) string { return filepath.Dir(path) }

// Commit puts the edited file in place.
func (x *tx) Commit(ctx context.Context) (err error) {
	if x.ended {
		return errEnded
	}
	defer func() { err = errors.Join(err, x.end()) }()
	if err := ctx.Err(); err != nil {
		return err
	}
	if x.run == nil {
		if len(x.table.edited) > 0 {
			return errors.New("commit: no run was recorded, so that nothing could take the changes back")
		}
		return nil
	}
	content := x.content(ctx)
	e := entry{Seq: 1, Run: *x.run, Before: x.digest, After: digestOf(content), Undo: len(x.undo)}
	if n := len(x.entries); n > 0 {
		e.Seq = x.entries[n-1].Seq + 1
	}
	if err := x.prepare(content, e); err != nil {
		return errors.Join(err, x.ledger.drop(e.Run.ID))
	}
	if err := x.replace(e); err != nil {
		return err
	}
	x.settle(e)
	return nil
}

// content returns the bytes that the file will have. A run that takes back all
// of another, from a file that nobody has written since, brings the kept file
// back byte for byte.
func (x *tx) content(ctx context.Context) []byte {
	old := find(x.entries, x.run.Of)
	if x.run.Of != "" && old != nil && old.After == x.digest && x.inverse(ctx, *old) {
		kept, err := os.ReadFile(x.ledger.at(keptName(x.run.Of)))
		if err == nil && digestOf(kept) == old.Before {
			return kept
		}
	}
	return x.table.render()
}

// inverse says whether the recorded changes take back those of a run, each one.
func (x *tx) inverse(ctx context.Context, old entry) bool {
	if old.Undo != len(x.undo) {
		return false
	}
	back := make(map[string]recount.Change, len(x.undo))
	for _, c := range x.undo {
		back[keyText(c.Key)] = c
	}
	errOther := errors.New("another change")
	err := x.ledger.readUndo(ctx, old.file, func(c recount.Change) error {
		r, ok := back[keyText(c.Key)]
		if !ok || !sameValues(r.Before, c.After) || !sameValues(r.After, c.Before) {
			return errOther
		}
		delete(back, keyText(c.Key))
		return nil
	})
	return err == nil && len(back) == 0
}

func sameValues(a, b []recount.Value) bool {
	if len(a) != len(b) || (a == nil) != (b == nil) {
		return false
	}
	for i := range a {
		if a[i].Text != b[i].Text {
			return false
		}
	}
	return true
}

// at announces a step to the tests.
func (x *tx) at(s step) error {
	if x.t.before == nil {
		return nil
	}
	return x.t.before(s)
}

// prepare writes all that a commit needs; the file itself is not touched.
func (x *tx) prepare(content []byte, e entry) error {
	l := x.ledger
	old, err := os.Stat(l.path)
	if err != nil {
		return x.t.unreadable(err)
	}
	record, err := e.encode(x.undo)
	if err != nil {
		return err
	}
	acts := []struct {
		step step
		do   func() error
	}{
		{stepNew, func() error { return writeSynced(l.at(newName), content, old) }},
		{stepKeep, func() error { return l.keep(e.Run.ID, x.table.data, old) }},
		{stepIntent, func() error { return l.put(intentName, record) }},
		{stepCompare, func() error { return x.unchanged() }},
	}
	for _, act := range acts {
		err := x.at(act.step)
		if err == nil {
			err = act.do()
		}
		if err != nil {
			return x.t.refused(string(act.step), err)
		}
	}
	return nil
}

// writeSynced writes a file of its own; like gives it the mode and owner of
// another.
func writeSynced(path string, content []byte, like fs.FileInfo) (err error) {
	if err := removeAll(path); err != nil {
		return err
	}
	mode := fs.FileMode(0o666)
	if like != nil {
		mode = 0o600 // until it has the owner
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.Write(content); err != nil {
		return err
	}
	if like != nil {
		if err := sameOwner(f, like); err != nil {
			return fmt.Errorf("the new file cannot have the owner of the old one: %w", err)
		}
		if err := f.Chmod(like.Mode() & (fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky)); err != nil {
			return err
		}
	}
	return f.Sync()
}

// keep gives the old file a second name, or makes a copy where a file cannot
// have two.
func (l ledger) keep(run string, data []byte, old fs.FileInfo) error {
	kept := l.at(keptName(run))
	if err := removeAll(kept); err != nil {
		return err
	}
	if err := os.Link(l.path, kept); err != nil {
		return writeSynced(kept, data, old)
	}
	f, err := os.Open(kept)
	if err != nil {
		return err
	}
	// What another program wrote may not be on the disk yet, and soon there is
	// only this name for it. A file system that cannot sync what is open for
	// reading keeps its own time.
	_ = f.Sync()
	return f.Close()
}

func (x *tx) unchanged() error {
	digest, err := digestFile(x.ledger.path)
	if err != nil {
		return x.t.unreadable(err)
	}
	if digest != x.digest {
		return x.t.changed("while the correction was made")
	}
	return nil
}

// replace is the commit.
func (x *tx) replace(e entry) error {
	l := x.ledger
	err := x.at(stepReplace)
	if err == nil {
		err = os.Rename(l.at(newName), l.path)
	}
	if err != nil {
		if digest, look := digestFile(l.path); look != nil || digest == e.After && e.After != e.Before {
			return refusal.Unknown(x.t.place, "the file was being replaced: "+err.Error(), err)
		}
		return errors.Join(x.t.refused(string(stepReplace), err), l.drop(e.Run.ID))
	}
	if err = x.at(stepSync); err == nil {
		err = syncDir(dirOf(l.path))
	}
	if err != nil {
		return refusal.Unknown(x.t.place, "the file was replaced, but its folder could not be synced: "+err.Error(), err)
	}
	return nil
}

// settle finishes the ledger. The commit has happened, so that an error here
// ends nothing: whoever comes next finds the intent and the file, and goes on.
func (x *tx) settle(e entry) {
	l := x.ledger
	if x.at(stepRecord) != nil || l.finish(e) != nil {
		return
	}
	if x.at(stepClear) != nil || e.Run.Of == "" {
		return
	}
	_ = removeAll(l.at(keptName(e.Run.Of)), l.at(keptName(e.Run.ID)))
}
