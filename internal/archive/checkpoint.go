package archive

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"recount"
)

// Checkpoint is the rows of a calculation as they stand before an instant: what
// a replay of later events begins with. It is made from the archive and can be
// made again, so that nothing depends on one being found.
type Checkpoint struct {
	Format      int    `json:"format"`
	Stream      string `json:"stream"`
	Calculation string `json:"calculation"`
	// Logic is the digest of all that made the rows: SQL, columns, dedupe, fields.
	Logic string `json:"logic"`
	// Time: all used events before it are in the rows, and no other.
	Time time.Time `json:"time"`
	// Commit is the archive's at which the rows were made, and Marks counts the
	// judgments about the events in them that it held.
	Commit int64 `json:"commit"`
	Marks  int64 `json:"marks"`
	// Last are the last positions of those events, by partition.
	Last   map[string]string `json:"last"`
	Rows   int64             `json:"rows"`
	File   string            `json:"file"`
	Bytes  int64             `json:"bytes"`
	SHA256 string            `json:"sha256"`
}

// checkpointFormat is the version of a checkpoint's form.
const checkpointFormat = 1

func checkpointsFolder(stream string) string { return metaFolder + stream + "/checkpoints/" }

func checkpointFolder(c Checkpoint) string {
	const digits = 16
	return checkpointsFolder(c.Stream) + c.Calculation + "-" + c.Logic[:min(digits, len(c.Logic))] + "/"
}

// marksBefore counts the judgments about events of files that reach before an
// instant and were committed by then.
func marksBefore(s recount.Snapshot, at time.Time, commit int64) int64 {
	var n int64
	for _, f := range slices.Concat(s.Files, s.Removed) {
		if f.Brought(f.LastSeq) <= commit && (!f.TimeKnown || f.FirstTime.Before(at)) {
			n += f.Repeats + f.Conflicts + f.Faults
		}
	}
	return n
}

// Holds says whether the checkpoint's rows are still those of the events before
// its time: none came later, and none was judged anew. A compaction brings none,
// and what retention took out was in the rows before.
func (c Checkpoint) Holds(s recount.Snapshot) bool {
	for _, f := range slices.Concat(s.Files, s.Removed) {
		if f.Brought(f.LastSeq) > c.Commit && (!f.TimeKnown || f.FirstTime.Before(c.Time)) {
			return false
		}
	}
	return marksBefore(s, c.Time, c.Commit) == c.Marks
}

// Checkpoints lists those of a calculation's logic that hold for the snapshot,
// the newest time first. One that cannot be read is left out.
func (a *Archive) Checkpoints(ctx context.Context, s recount.Snapshot, calculation, logic string) ([]Checkpoint, error) {
	var found []Checkpoint
	folder := checkpointFolder(Checkpoint{Stream: s.Stream, Calculation: calculation, Logic: logic})
	err := a.store.List(ctx, folder, func(name string, _ int64) error {
		if !strings.HasSuffix(name, ".json") {
			return nil
		}
		text, err := a.read(ctx, name)
		if err != nil {
			return nil //nolint:nilerr // it is made again
		}
		var c Checkpoint
		same := json.Unmarshal(text, &c) == nil && c.Format == checkpointFormat && c.Stream == s.Stream && c.Calculation == calculation && c.Logic == logic
		if same && c.Commit <= s.Commit && c.Holds(s) {
			found = append(found, c)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list checkpoints of %s: %w", calculation, err)
	}
	slices.SortFunc(found, func(x, y Checkpoint) int { return y.Time.Compare(x.Time) })
	return found, nil
}

// PutCheckpoint stores the rows, then what is known of them. Time, Last, Rows and
// the names must be set; s is the snapshot that the rows were made from.
func (a *Archive) PutCheckpoint(ctx context.Context, s recount.Snapshot, c Checkpoint, rows func(io.Writer) error) (Checkpoint, error) {
	c.Format, c.Stream, c.Commit, c.Marks = checkpointFormat, s.Stream, s.Commit, marksBefore(s, c.Time, s.Commit)
	spooled := newSpool()
	defer spooled.release()
	if err := rows(spooled); err != nil {
		return c, fmt.Errorf("write checkpoint of %s: %w", c.Calculation, err)
	}
	var err error
	base := checkpointFolder(c) + c.Time.UTC().Format("20060102T150405.000000Z")
	if c.File, c.SHA256, err = a.keep(ctx, base, spooled); err != nil {
		return c, fmt.Errorf("write checkpoint of %s: %w", c.Calculation, err)
	}
	c.Bytes = spooled.size
	text, err := json.Marshal(c)
	if err != nil {
		return c, fmt.Errorf("write checkpoint of %s: %w", c.Calculation, err)
	}
	name := fmt.Sprintf("%s-%020d.json", base, c.Commit)
	err = a.store.Put(ctx, name, func(w io.Writer) error { _, err := bytes.NewReader(append(text, '\n')).WriteTo(w); return err })
	if errors.Is(err, recount.ErrExists) { // another plan was as quick
		err = nil
	}
	return c, err
}

// CheckpointFile verifies a checkpoint's rows and returns their file on this
// machine; a copy lies in dir.
func (a *Archive) CheckpointFile(ctx context.Context, c Checkpoint, dir string) (string, error) {
	path, err := a.local(ctx, c.File, c.Bytes, c.SHA256, filepath.Join(dir, "opening.parquet"))
	if err != nil {
		return "", fmt.Errorf("read checkpoint of %s: %w", c.Calculation, err)
	}
	return path, nil
}
