package app

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"recount"
	"recount/internal/replay"
)

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// Replay recalculates a window and writes its rows with a checksum each: CSV, or
// JSON lines where asJSON. Rows go to req.Out where that is set, else to w. It
// opens no target.
func (a *App) Replay(ctx context.Context, req PlanRequest, w io.Writer, asJSON bool) (out Replayed, err error) {
	began := a.now()
	r, err := a.prepare(ctx, req.Calculation, req.Window)
	if err != nil {
		return out, err
	}
	if err := r.start(ctx); err != nil {
		return out, err
	}
	defer joined(&err, r.close)
	out = Replayed{
		Calculation: r.calc.Name, Window: r.window, Asked: r.typed(), Snapshot: r.snapshot.ID, Watermark: r.snapshot.Watermark, Out: req.Out,
	}
	if out.Events, err = r.session.Count(ctx, r.calc.Dedupe); err != nil {
		return out, err
	}
	if err := r.refuseEmpty(out.Events, req.Overrides.AllowEmpty); err != nil {
		return out, err
	}
	excluded, unknown, err := replay.Excluded(ctx, r.session, r.logics())
	if err != nil {
		return out, err
	}
	if len(unknown) > 0 && !req.Overrides.WithoutQuarantined {
		return out, r.refuseUnknown(unknown)
	}
	out.Excluded, out.Unproved = int64(len(excluded)), r.unproved()
	write := func(w io.Writer) error { return r.writeRows(ctx, w, asJSON, excluded, &out) }
	err = a.deliver(w, req.Out, func(w io.Writer) error {
		if err := write(w); err != nil {
			return err
		}
		return r.refuseNoRows(out.Rows+out.Excluded, req.Overrides.AllowEmpty)
	})
	out.TookMS = a.now().Sub(began).Milliseconds()
	return out, err
}

// deliver writes to the file, or to w where there is none. Either way nothing is
// seen before all of it is proved.
func (a *App) deliver(w io.Writer, file string, write func(io.Writer) error) (err error) {
	if file != "" {
		return writeWhole(a.path(file), write)
	}
	dir, err := a.folder("rows")
	if err != nil {
		return err
	}
	name := filepath.Join(dir, "rows")
	if err := writeWhole(name, write); err != nil {
		return err
	}
	f, err := os.Open(name) //nolint:gosec // our own scratch file
	if err != nil {
		return storage("read the rows", name, err)
	}
	defer joined(&err, f.Close)
	_, err = io.Copy(w, f)
	return err
}

// writeRows proves the calculation and writes its rows, but for excluded ones.
func (r *replaying) writeRows(ctx context.Context, w io.Writer, asJSON bool, excluded map[string][]recount.Value, out *Replayed) (err error) {
	rows, err := replay.Prove(ctx, r.session, r.right)
	if err != nil {
		return err
	}
	defer joined(&err, rows.Close)
	b := bufio.NewWriterSize(w, 1<<16)
	columns := append(names(r.shape.Key), names(r.shape.Values)...)
	line := csvRows(b, columns)
	if asJSON {
		line = jsonRows(b, columns)
	}
	hash := sha256.New()
	for {
		row, ok := rows.Next()
		if !ok {
			break
		}
		if _, touched := excluded[recount.KeyText(row.Key)]; touched {
			continue
		}
		values := append(slices.Clone(row.Key), row.Values...)
		sum := recount.Checksum(values)
		_, _ = io.WriteString(hash, sum) // a hash never fails
		if err := line(values, sum); err != nil {
			return err
		}
		out.Rows++
	}
	out.Digest = hex.EncodeToString(hash.Sum(nil))
	return errors.Join(rows.Err(), b.Flush())
}

func csvRows(w io.Writer, columns []string) func([]recount.Value, string) error {
	c := csv.NewWriter(w)
	headed := false
	return func(values []recount.Value, sum string) error {
		if !headed {
			headed = true
			_ = c.Write(append(slices.Clone(columns), "checksum")) // Flush and Error tell
		}
		record := make([]string, 0, len(values)+1)
		for _, v := range values {
			record = append(record, v.Text)
		}
		_ = c.Write(append(record, sum))
		c.Flush()
		return c.Error()
	}
}

func jsonRows(w io.Writer, columns []string) func([]recount.Value, string) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return func(values []recount.Value, sum string) error {
		row := make(map[string]recount.Value, len(values))
		for i, v := range values {
			row[columns[i]] = v
		}
		return enc.Encode(struct {
			Type     string                   `json:"type"`
			Schema   int                      `json:"schema"`
			Row      map[string]recount.Value `json:"row"`
			Checksum string                   `json:"checksum"`
		}{"row", 1, row, sum})
	}
}

// writeWhole writes a file whole or not at all.
func writeWhole(name string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".recount-out-*")
	if err != nil {
		return storage("write the file", name, err)
	}
	to := &minded{w: f}
	if err = write(to); to.err != nil {
		err = storage("write the file", name, to.err)
	}
	if closeErr := errors.Join(f.Sync(), f.Close()); err == nil && closeErr != nil {
		err = storage("write the file", name, closeErr)
	}
	const mode = 0o644 // CreateTemp's 0600 would hide a plan from its reviewers
	if err == nil {
		err = os.Chmod(f.Name(), mode)
	}
	if err == nil {
		if err = os.Rename(f.Name(), name); err == nil {
			return nil
		}
		err = storage("write the file", name, err)
	}
	return errors.Join(err, os.Remove(f.Name()))
}

// minded remembers what its writer refused, so that a full disk is told from
// what the rows themselves had to say.
type minded struct {
	w   io.Writer
	err error
}

func (m *minded) Write(p []byte) (int, error) {
	n, err := m.w.Write(p)
	if err != nil {
		m.err = err
	}
	return n, err
}

// Verify shows that a calculation is deterministic, and that a window known to
// be good gives no difference.
func (a *App) Verify(ctx context.Context, req PlanRequest) (out Verified, err error) {
	began := a.now()
	r, err := a.prepare(ctx, req.Calculation, req.Window)
	if err != nil {
		return out, err
	}
	l, err := r.openLive(ctx)
	if err != nil {
		return out, err
	}
	defer joined(&err, l.target.Close)
	if err := r.start(ctx); err != nil {
		return out, err
	}
	defer joined(&err, r.close)
	req.Overrides.AcceptTwoWay = true // how much is wrong is what verify is to say
	p, err := r.makePlan(ctx, l, req.Overrides)
	if err != nil {
		return out, err
	}
	out = Verified{
		Calculation: r.calc.Name, Window: r.window, Runs: 2, Unproved: r.unproved(), Digest: p.Body.Digest, Rows: p.Body.Rows,
		Key: p.Body.Key, Columns: p.Body.Columns, TookMS: a.now().Sub(began).Milliseconds(),
	}
	if out.Unproved != "" {
		out.Runs = 0 // there was nothing to run
	}
	for i, c := range p.Changes {
		if c.Action != recount.ActionExcluded {
			out.First = &p.Changes[i]
			break
		}
	}
	out.Red, err = r.verified(ctx, l)
	return out, err
}
