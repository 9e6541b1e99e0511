package files

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"recount"
)

// The names in a ledger's folder.
const (
	folder      = ".recount"
	metaName    = "ledger.json"
	lockName    = "lock"
	intentName  = "intent" // the record of a commit that is under way
	newName     = "new"    // the file that a commit will put in place
	recordEnd   = ".run"
	keptEnd     = ".before"
	unfinished  = ".tmp"
	layout      = 1 // of the ledger; a later one is refused
	nameDigits  = 24
	recordWidth = 8
)

// ledger is the folder beside a file that holds its runs.
type ledger struct {
	t    *Target
	path string // of the file
	dir  string
}

func (t *Target) ledger(path string) ledger {
	return ledger{t: t, path: path, dir: filepath.Join(filepath.Dir(path), folder, filepath.Base(path))}
}

func (l ledger) at(name string) string { return filepath.Join(l.dir, name) }

// shown is the path of one of the ledger's files as a person can use it.
func (l ledger) shown(name string) string {
	return filepath.Join(filepath.Dir(l.t.place), folder, filepath.Base(l.path), name)
}

// meta is the content of ledger.json.
type meta struct {
	Layout int    `json:"layout"`
	UUID   string `json:"uuid"`
}

// uuid reads the ledger's uuid; empty where there is no ledger.
func (l ledger) uuid() (string, error) {
	text, err := os.ReadFile(l.at(metaName))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", l.unreadable(metaName, err)
	}
	var m meta
	if err := json.Unmarshal(text, &m); err != nil || m.UUID == "" {
		return "", l.unreadable(metaName, errors.Join(errors.New("it is damaged"), err))
	}
	if m.Layout > layout {
		return "", &recount.Error{
			Code: recount.CodeNewerArchive, What: "a newer version wrote the ledger", Where: l.shown(metaName),
			Why: fmt.Sprintf("its layout is %d, this version knows %d", m.Layout, layout), Next: "use that version of recount",
		}
	}
	return m.UUID, nil
}

func (l ledger) unreadable(name string, err error) error {
	return &recount.Error{
		Code: recount.CodeTargetFile, What: "the ledger beside the file cannot be read", Where: l.shown(name), Why: err.Error(),
		Next: "bring the ledger's folder back as it was; without it no run can be rolled back", Err: err,
	}
}

// make returns the ledger's uuid, after making the ledger where it is missing.
// The lock is held.
func (l ledger) make() (string, error) {
	uuid, err := l.uuid()
	if err != nil || uuid != "" {
		return uuid, err
	}
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	m := meta{Layout: layout, UUID: hex.EncodeToString(b[:])}
	text, err := json.Marshal(m)
	if err != nil {
		return "", fmt.Errorf("make ledger: %w", err)
	}
	if err := l.put(metaName, append(text, '\n')); err != nil {
		return "", l.t.refused("make the ledger", err)
	}
	return m.UUID, nil
}

// put writes one of the ledger's files, whole or not at all.
func (l ledger) put(name string, content []byte) error {
	tmp := l.at(name + unfinished)
	if err := writeSynced(tmp, content, nil); err != nil {
		return err
	}
	if err := os.Rename(tmp, l.at(name)); err != nil {
		return err
	}
	return syncDir(l.dir)
}

// entry is a run in the ledger: the first line of its record. The undo rows
// follow, one a line.
type entry struct {
	Seq    int         `json:"seq"`
	Run    recount.Run `json:"run"`
	Before string      `json:"before"` // SHA-256 of the file, hex
	After  string      `json:"after"`
	Undo   int         `json:"undo"` // how many rows follow
	file   string
}

// undoRow is a change as the record holds it.
type undoRow struct {
	Action recount.Action  `json:"action"`
	Key    []recount.Value `json:"key"`
	Before []recount.Value `json:"before"`
	After  []recount.Value `json:"after"`
	Cause  recount.Cause   `json:"cause"`
}

func recordName(seq int) string { return fmt.Sprintf("%0*d%s", recordWidth, seq, recordEnd) }

// keptName names the file from before a run. Ids that are no plain names are
// replaced by their digest.
func keptName(run string) string {
	plain := run != "" && len(run) <= 64 && !strings.HasPrefix(run, ".") && strings.Trim(run, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_.") == ""
	if !plain {
		run = digestOf([]byte(run))[:nameDigits]
	}
	return run + keptEnd
}

func digestOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

func digestFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer closeQuietly(f)
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// encode returns the record of a run.
func (e entry) encode(undo []recount.Change) ([]byte, error) {
	text, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encode run %s: %w", e.Run.ID, err)
	}
	out := append(text, '\n')
	for _, c := range undo {
		if text, err = json.Marshal(undoRow{Action: c.Action, Key: c.Key, Before: c.Before, After: c.After, Cause: c.Cause}); err != nil {
			return nil, fmt.Errorf("encode undo row %s: %w", showKey(c.Key), err)
		}
		out = append(append(out, text...), '\n')
	}
	return out, nil
}

// readEntry reads the first line of a record.
func (l ledger) readEntry(name string) (entry, error) {
	e := entry{file: name}
	f, err := os.Open(l.at(name))
	if err != nil {
		return e, err
	}
	defer closeQuietly(f)
	text, err := bufio.NewReader(f).ReadBytes('\n')
	if err != nil {
		return e, l.unreadable(name, err)
	}
	if err := json.Unmarshal(text, &e); err != nil {
		return e, l.unreadable(name, err)
	}
	return e, nil
}

// readUndo gives the undo rows of a record.
func (l ledger) readUndo(ctx context.Context, name string, each func(recount.Change) error) error {
	f, err := os.Open(l.at(name))
	if err != nil {
		return err
	}
	defer closeQuietly(f)
	in := bufio.NewReaderSize(f, 1<<16)
	dec := json.NewDecoder(in)
	var e entry
	if err := dec.Decode(&e); err != nil {
		return l.unreadable(name, err)
	}
	for range e.Undo {
		if err := ctx.Err(); err != nil {
			return err
		}
		var row undoRow
		if err := dec.Decode(&row); err != nil {
			return l.unreadable(name, err)
		}
		if err := each(recount.Change{Action: row.Action, Key: row.Key, Before: row.Before, After: row.After, Cause: row.Cause}); err != nil {
			return err
		}
	}
	return nil
}

// entries lists the committed runs, oldest first. It writes nothing: a commit
// that was broken off counts if the file shows that it happened.
func (l ledger) entries(ctx context.Context) ([]entry, error) {
	// The intent is read before the folder is listed: it may become a record in
	// between, and is then seen twice and not never.
	pending, err := l.intent()
	if err != nil {
		return nil, err
	}
	list, err := os.ReadDir(l.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, l.unreadable("", err)
	}
	var all []entry
	for _, file := range list {
		if !strings.HasSuffix(file.Name(), recordEnd) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		e, err := l.readEntry(file.Name())
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	if pending != nil && find(all, pending.Run.ID) == nil {
		happened, err := l.happened(*pending)
		if err != nil {
			return nil, err
		}
		if happened {
			all = append(all, *pending)
		}
	}
	slices.SortFunc(all, func(a, b entry) int { return a.Seq - b.Seq })
	return all, nil
}

// intent reads the record of a commit under way; nil if there is none.
func (l ledger) intent() (*entry, error) {
	e, err := l.readEntry(intentName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &e, nil
}

func find(entries []entry, run string) *entry {
	i := slices.IndexFunc(entries, func(e entry) bool { return e.Run.ID == run })
	if i < 0 {
		return nil
	}
	return &entries[i]
}

// rolledBack maps runs to those that took them back.
func rolledBack(entries []entry) map[string]string {
	by := map[string]string{}
	for _, e := range entries {
		if e.Run.Of != "" {
			by[e.Run.Of] = e.Run.ID
		}
	}
	return by
}

// runs lists the runs, newest first.
func runs(entries []entry) []recount.Run {
	by := rolledBack(entries)
	var out []recount.Run
	for _, e := range slices.Backward(entries) {
		run := e.Run
		run.RolledBack = by[run.ID]
		out = append(out, run)
	}
	return out
}

func lastRun(entries []entry) string {
	if len(entries) == 0 {
		return ""
	}
	return entries[len(entries)-1].Run.ID
}
