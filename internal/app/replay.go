package app

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"recount"
	"recount/internal/app/incident"
	"recount/internal/app/outfile"
)

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// joined closes c and adds its error to err's.
func joined(err *error, c func() error) { *err = errors.Join(*err, c()) }

// Replay recalculates a window and writes its rows with a checksum each: CSV, or
// JSON lines where asJSON. Rows go to req.Out where that is set, else to w. It
// opens no target.
func (a *App) Replay(ctx context.Context, req PlanRequest, w io.Writer, asJSON bool) (out Replayed, err error) {
	began := a.now()
	a.as = req.As
	if err := a.free(outfile.Rows, req.Out); err != nil {
		return out, err
	}
	r, err := a.prepare(ctx, req.Calculation, req.Window)
	if err == nil {
		err = a.shadowed(ctx, r)
	}
	if err != nil {
		return out, err
	}
	out, err = r.Replay(ctx, req.Overrides, func(rows *incident.Rows) error {
		return a.deliver(w, req.Out, func(w io.Writer) error { return writeRows(ctx, w, asJSON, rows) })
	})
	out.Out, out.TookMS = req.Out, a.now().Sub(began).Milliseconds()
	return out, err
}

// free looks before the work whether its file may be written.
func (a *App) free(kind outfile.Kind, file string) error {
	if file == "" {
		return nil
	}
	return kind.Free(a.path(file), file)
}

// deliver writes to the file, or to w where there is none. Either way nothing is
// seen before all of it is proved.
func (a *App) deliver(w io.Writer, file string, write func(io.Writer) error) (err error) {
	if file != "" {
		return outfile.Rows.Write(a.path(file), file, write)
	}
	dir, err := a.folder("rows")
	if err != nil {
		return err
	}
	name := filepath.Join(dir, "rows")
	if err := outfile.Whole(name, write); err != nil {
		return err
	}
	f, err := os.Open(name) //nolint:gosec // our own scratch file
	if err != nil {
		return incident.StorageError("read the rows", name, err)
	}
	defer joined(&err, f.Close)
	_, err = io.Copy(w, f)
	return err
}

// writeRows writes the rows of a replay.
func writeRows(ctx context.Context, w io.Writer, asJSON bool, rows *incident.Rows) error {
	b := bufio.NewWriterSize(w, 1<<16)
	form := csvRows
	if asJSON {
		form = jsonRows
	}
	if err := rows.Each(ctx, form(b, rows.Columns())); err != nil {
		return errors.Join(err, b.Flush())
	}
	return b.Flush()
}

func csvRows(w io.Writer, columns []string) func([]recount.Value, string) error {
	c := csv.NewWriter(w)
	_ = c.Write(append(slices.Clone(columns), "checksum")) // also where no row follows; Flush and Error tell
	c.Flush()
	return func(values []recount.Value, sum string) error {
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
