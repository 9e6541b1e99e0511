package incident

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"unicode/utf8"

	"recount"
	"recount/engine"
	"recount/internal/config"
	"recount/internal/diff"
	"recount/internal/rowfile"
	"recount/target"
)

// brought are rows that something else made. They are copied first, so that all
// of a plan sees the same ones, and their digest is that of what was seen.
type brought struct {
	logic   recount.Logic
	file    *rowfile.File // the copy; nil for a table that was not read yet
	columns []recount.Column
	digest  string
}

// shown names the rows to a person.
func shown(l recount.Logic) string {
	if l.Kind == recount.LogicTable {
		return "table " + l.Path
	}
	return l.Path
}

// typed says whether the rows themselves say what their columns are.
func (b *brought) typed() bool {
	return b.file == nil || b.logic.Kind == recount.LogicTable || b.file.Typed()
}

// broughtOf opens the rows of a logic once.
func (r *Incident) broughtOf(ctx context.Context, logic recount.Logic) (*brought, error) {
	if b, ok := r.elsewhere[shown(logic)]; ok {
		return b, nil
	}
	b := &brought{logic: logic, digest: logic.Digest}
	var err error
	if logic.Kind == recount.LogicTable {
		err = r.openTable(ctx, b)
	} else {
		err = r.openFile(ctx, b)
	}
	if err != nil {
		return nil, err
	}
	if r.elsewhere == nil {
		r.elsewhere = map[string]*brought{}
	}
	r.elsewhere[shown(logic)] = b
	return b, nil
}

// openFile copies the file of rows: what makes it may write it again at any time.
func (r *Incident) openFile(ctx context.Context, b *brought) error {
	dir, err := r.host.Scratch("brought")
	if err != nil {
		return err
	}
	copied := filepath.Join(dir, filepath.Base(b.logic.Path))
	digest, err := copyFile(config.Path(r.host.Dir(), b.logic.Path), copied)
	if err != nil {
		return StorageError("copy the rows", b.logic.Path, err)
	}
	if digest != b.logic.Digest {
		return &recount.Error{
			Code: recount.CodeRows, What: "the rows changed while they were read", Where: b.logic.Path,
			Why: "what makes them has not finished", Next: "wait until the file is whole, then run the command again",
		}
	}
	if b.file, err = rowfile.Open(ctx, copied, b.logic.Path); err != nil {
		return err
	}
	b.columns = b.file.Columns()
	return nil
}

func copyFile(from, to string) (digest string, err error) {
	in, err := os.Open(from) //nolint:gosec // the configuration's author names the file
	if err != nil {
		return "", err
	}
	defer joined(&err, in.Close)
	out, err := os.Create(to) //nolint:gosec // our own scratch folder
	if err != nil {
		return "", err
	}
	defer joined(&err, out.Close)
	sum := sha256.New()
	_, err = io.Copy(io.MultiWriter(out, sum), in)
	return hex.EncodeToString(sum.Sum(nil)), err
}

// openTable finds the columns of the table of rows. Where the rows are bucketed
// and the database has no type for times, the texts of the key say which is one.
func (r *Incident) openTable(ctx context.Context, b *brought) (err error) {
	if b.logic.Path == r.calc.Target.Table {
		return &recount.Error{
			Code: recount.CodeConfig, What: "the rows come from the live table itself", Where: config.FileName + ", calculation " + r.calc.Name,
			Why: "compared with itself a table is always right", Next: "name the table that was recalculated, such as rows: {table: " + b.logic.Path + "_shadow}",
		}
	}
	t, info, err := r.beside(ctx, b.logic.Path)
	if err != nil {
		return err
	}
	defer joined(&err, t.Close)
	b.columns = slices.Clone(info.Columns)
	if r.calc.Bucket.None() {
		return nil
	}
	for i, c := range b.columns {
		if c.Type.Kind != recount.KindString || !slices.Contains(r.calc.Key, c.Name) {
			continue
		}
		var found rowfile.Kinds
		err := t.Scan(ctx, target.Scan{Key: []string{c.Name}}, func(row recount.Row) error {
			if !row.Key[0].Null {
				found.See(row.Key[0].Text)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if kind := found.Type(); kind.Kind == recount.KindTimestamp || kind.Kind == recount.KindDate {
			b.columns[i].Type = kind
		}
	}
	return nil
}

// readTable copies the rows of a table, as they are at one moment, in key order.
func (r *Incident) readTable(ctx context.Context, b *brought, shape recount.Shape) (err error) {
	t, _, err := r.beside(ctx, b.logic.Path)
	if err != nil {
		return err
	}
	defer joined(&err, t.Close)
	dir, err := r.host.Scratch("brought")
	if err != nil {
		return err
	}
	sorter := &diff.Sorter{Shape: shape, Dir: dir, Place: shown(b.logic), Refuse: b.badKey}
	if err := t.Scan(ctx, target.Scan{Key: names(shape.Key), Columns: names(shape.Values)}, sorter.Add); err != nil {
		return err
	}
	sorted, err := sorter.Sorted()
	if err != nil {
		return err
	}
	defer joined(&err, sorted.Close)
	copied := filepath.Join(dir, "rows.jsonl")
	if b.digest, err = writeLines(copied, shape, sorted); err != nil {
		return err
	}
	b.file = rowfile.Lines(copied, shown(b.logic), append(slices.Clone(shape.Key), shape.Values...))
	return nil
}

// writeLines writes rows as JSON lines and returns the digest of their values.
func writeLines(name string, shape recount.Shape, rows *diff.Sorted) (_ string, err error) {
	f, err := os.Create(name) //nolint:gosec // our own scratch folder
	if err != nil {
		return "", StorageError("copy the rows", name, err)
	}
	defer joined(&err, f.Close)
	w := bufio.NewWriterSize(f, 1<<16)
	enc, sum := json.NewEncoder(w), newDigest()
	columns := append(names(shape.Key), names(shape.Values)...)
	err = rows.Each(func(row diff.LiveRow) error {
		sum.add(recount.Row{Key: row.Key, Values: row.Seen})
		line := make(map[string]recount.Value, len(columns))
		for i, v := range append(slices.Clone(row.Key), row.Seen...) {
			if !utf8.ValidString(v.Text) {
				return &recount.Error{
					Code: recount.CodeRows, What: "the rows cannot be read", Where: rows.Place(), Why: "a text of column " + columns[i] + " is not UTF-8",
					Next: "mend the row, or leave the column out under target: columns:",
				}
			}
			line[columns[i]] = v
		}
		return enc.Encode(line)
	})
	if err != nil {
		return "", err
	}
	if err := w.Flush(); err != nil {
		return "", StorageError("copy the rows", name, err)
	}
	return sum.String(), nil
}

// badKey is the error for a key that is NULL or stands twice.
func (b *brought) badKey(why string) error {
	return &recount.Error{
		Code: recount.CodeResultKey, What: "the rows have no unique key", Where: shown(b.logic), Why: why,
		Next: "name in key: the columns that tell rows apart, and leave rows without them out where the rows are made",
	}
}

// columnsOf returns the columns of what a logic gives.
func (r *Incident) columnsOf(ctx context.Context, logic recount.Logic) ([]recount.Column, error) {
	if logic.Kind == recount.LogicVersions {
		return r.columnsOfVersions(ctx, logic)
	}
	if !logic.Brought() {
		return r.engine.Check(ctx, logic, r.eventFields())
	}
	b, err := r.broughtOf(ctx, logic)
	if err != nil {
		return nil, err
	}
	columns := make([]recount.Column, len(b.columns))
	for i, c := range b.columns {
		columns[i] = recount.Column{Name: c.Name, Type: c.Type, Declared: c.Declared, Nullable: true}
	}
	return columns, nil
}

// broughtSession runs every kind of logic over a session's span: SQL over its
// events, and rows that something else made as they are.
type broughtSession struct {
	engine.Session
	r    *Incident
	span recount.Window
}

// Run gives the rows of the span in key order.
func (s broughtSession) Run(ctx context.Context, v engine.Variant) (engine.Rows, error) {
	if !v.Logic.Brought() {
		return s.Session.Run(ctx, v)
	}
	if v.Only != nil || v.See != engine.SeeAll && v.See != engine.SeeHit || v.Part != nil || len(v.Missed)+len(v.Again) > 0 || v.Late != nil || v.Twice || v.Arrival {
		return nil, fmt.Errorf("run %s over other events: %w", shown(v.Logic), recount.ErrUnsupported)
	}
	return s.r.broughtRows(ctx, v, s.span)
}

// Same is true for rows that something else made: they are read from one copy.
func (s broughtSession) Same(ctx context.Context, v engine.Variant, earlier engine.Rows) (bool, error) {
	if v.Logic.Brought() {
		return true, nil
	}
	return s.Session.Same(ctx, v, earlier)
}

// broughtRows reads rows that something else made: those of the span's buckets,
// or all where rows are not bucketed.
func (r *Incident) broughtRows(ctx context.Context, v engine.Variant, span recount.Window) (engine.Rows, error) {
	b, err := r.broughtOf(ctx, v.Logic)
	if err != nil {
		return nil, err
	}
	shape, err := r.broughtShape(b, v)
	if err != nil {
		return nil, err
	}
	if b.file == nil {
		if err := r.readTable(ctx, b, shape); err != nil {
			return nil, err
		}
	}
	dir, err := r.host.Scratch("brought")
	if err != nil {
		return nil, err
	}
	sorter := &diff.Sorter{Shape: shape, Dir: dir, Place: shown(b.logic), Refuse: b.badKey}
	if r.bucketed() {
		sorter.Keep = func(key []recount.Value) bool {
			at, err := r.bucketTime(key)
			return err == nil && span.Contains(at)
		}
	}
	n := len(shape.Key)
	err = b.file.Read(ctx, append(slices.Clone(shape.Key), shape.Values...), func(values []recount.Value) error {
		own := slices.Clone(values)
		return sorter.Add(recount.Row{Key: own[:n:n], Values: own[n:]})
	})
	if err != nil {
		return nil, err
	}
	sorted, err := sorter.Sorted()
	if err != nil {
		return nil, err
	}
	return &broughtRun{Sorted: sorted, shape: shape}, nil
}

// broughtShape gives the variant's columns their types: the key's are those of
// the right rows, so that keys of both are spelled alike.
func (r *Incident) broughtShape(b *brought, v engine.Variant) (shape recount.Shape, err error) {
	shape.Key = r.shape.Key
	for i, name := range v.Columns {
		at := slices.IndexFunc(b.columns, func(c recount.Column) bool { return c.Name == name })
		if at < 0 {
			return shape, r.lacks(b.columns, name, b.logic.Path, "the right rows have it")
		}
		c := b.columns[at]
		if b.logic.Kind == r.calc.Logic.Kind && b.logic.Path == r.calc.Logic.Path {
			c = r.shape.Values[i]
		}
		shape.Values = append(shape.Values, c)
	}
	return shape, nil
}

// broughtRun are rows as a run of an engine gives them.
type broughtRun struct {
	*diff.Sorted
	shape recount.Shape
}

func (b *broughtRun) Shape() recount.Shape { return b.shape }

func (b *broughtRun) Next() (recount.Row, bool) {
	row, ok := b.Sorted.Next()
	return recount.Row{Key: row.Key, Values: row.Seen}, ok
}

// digestOf is the digest of a logic: for rows that something else made that of
// what was read.
func (r *Incident) digestOf(logic recount.Logic) string {
	if b, ok := r.elsewhere[shown(logic)]; ok {
		return b.digest
	}
	return logic.Digest
}
