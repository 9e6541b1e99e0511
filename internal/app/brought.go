package app

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
	"unicode/utf8"

	"recount"
	"recount/engine"
	"recount/internal/config"
	"recount/internal/diff"
	"recount/internal/replay"
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
func (r *replaying) broughtOf(ctx context.Context, logic recount.Logic) (*brought, error) {
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
func (r *replaying) openFile(ctx context.Context, b *brought) error {
	dir, err := r.app.folder("brought")
	if err != nil {
		return err
	}
	copied := filepath.Join(dir, filepath.Base(b.logic.Path))
	digest, err := copyFile(config.Path(r.app.opts.Dir, b.logic.Path), copied)
	if err != nil {
		return storage("copy the rows", b.logic.Path, err)
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
func (r *replaying) openTable(ctx context.Context, b *brought) (err error) {
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
func (r *replaying) readTable(ctx context.Context, b *brought, shape recount.Shape) (err error) {
	t, _, err := r.beside(ctx, b.logic.Path)
	if err != nil {
		return err
	}
	defer joined(&err, t.Close)
	dir, err := r.app.folder("brought")
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
		return "", storage("copy the rows", name, err)
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
		return "", storage("copy the rows", name, err)
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
func (r *replaying) columnsOf(ctx context.Context, logic recount.Logic) ([]recount.Column, error) {
	if !logic.Brought() {
		return r.engine.Check(ctx, logic, r.source.Mapping.Fields)
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

// checkBrought refuses what rows that something else made cannot be used for.
func (r *replaying) checkBrought(shape recount.Shape, logic recount.Logic) error {
	if !logic.Brought() {
		return nil
	}
	refuse := func(what, why, next string) error {
		return &recount.Error{Code: recount.CodeRows, What: what, Where: shown(logic), Why: why, Next: next}
	}
	for _, c := range append(slices.Clone(shape.Key), shape.Values...) {
		if c.Type.Kind == "" {
			return refuse("column "+c.Name+" has a type that no table's column can be compared with", "it is "+c.Declared,
				"write it as text, a number, a time, a date or a bool, or name the columns to compare under target: columns:")
		}
	}
	isTime := func(c recount.Column) bool {
		return c.Type.Kind == recount.KindTimestamp || c.Type.Kind == recount.KindDate
	}
	if !r.calc.Bucket.None() && !slices.ContainsFunc(shape.Key, isTime) {
		return refuse("no key column is a time or a date", "rows are to be compared by buckets of "+r.calc.Bucket.String()+", and nothing says which bucket a row belongs to",
			"write the time with its offset, such as 2024-06-10T12:00:00Z, or take bucket: out")
	}
	against := slices.Contains(r.calc.Write.Against.Parts(), "previous") || r.calc.Write.Against == ""
	if r.calc.Previous != nil && r.calc.Previous.Brought() && r.calc.Write.Mode == recount.WriteDelta && against {
		return refuse("no delta can be taken of these rows", "a delta is taken over the events of the window alone, and rows that something else made hold others too",
			"use write: set, or name another hypothesis under against:")
	}
	return nil
}

// fitTypes gives columns whose file has no types those under which the table's
// are compared: no digit that either side has may be lost.
func (r *replaying) fitTypes(ctx context.Context, l *live) error {
	if !r.calc.Logic.Brought() {
		return nil
	}
	b, err := r.broughtOf(ctx, r.calc.Logic)
	if err != nil || b.typed() {
		return err
	}
	var loose []int // decimals whose table keeps texts
	fit := func(c *recount.Column, table recount.Column) (isLoose bool) {
		kind := c.Type.Kind
		switch table.Type.Kind {
		case recount.KindBool, recount.KindJSON:
			c.Type = table.Type
		case recount.KindDouble:
			if kind == recount.KindInt64 || kind == recount.KindDecimal {
				c.Type = table.Type
			}
		case recount.KindDecimal:
			if kind == recount.KindDecimal {
				c.Type = recount.Decimal(recount.MaxPrecision, max(c.Type.Scale, table.Type.Scale))
			}
		case recount.KindString:
			return kind == recount.KindDecimal
		case recount.KindInt64, recount.KindTimestamp, recount.KindDate:
		}
		if kind == recount.KindString && table.Type.Kind != recount.KindString {
			c.Type = table.Type
		}
		return false
	}
	r.shape = recount.Shape{Key: slices.Clone(r.shape.Key), Values: slices.Clone(r.shape.Values)}
	for i := range r.shape.Key {
		fit(&r.shape.Key[i], l.key[i])
	}
	for i := range r.shape.Values {
		if fit(&r.shape.Values[i], l.columns[i]) {
			loose = append(loose, i)
		}
	}
	return r.fitTexts(ctx, l, loose)
}

// fitTexts widens decimals to the digits that a table of texts has.
func (r *replaying) fitTexts(ctx context.Context, l *live, loose []int) error {
	if len(loose) == 0 {
		return nil
	}
	const most = 18 // beyond it no room would be left before the point
	return l.target.Scan(ctx, target.Scan{Key: names(l.key), Columns: names(l.columns), Where: r.calc.Where, Window: r.hits.Window}, func(row recount.Row) error {
		for _, i := range loose {
			var k rowfile.Kinds
			if k.See(row.Values[i].Text); k.Type().Kind == recount.KindDecimal {
				scale := min(k.Type().Scale, most)
				r.shape.Values[i].Type = recount.Decimal(recount.MaxPrecision, max(scale, r.shape.Values[i].Type.Scale))
			}
		}
		return nil
	})
}

// broughtSession runs every kind of logic over a session's span: SQL over its
// events, and rows that something else made as they are.
type broughtSession struct {
	engine.Session
	r    *replaying
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
func (r *replaying) broughtRows(ctx context.Context, v engine.Variant, span recount.Window) (engine.Rows, error) {
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
	dir, err := r.app.folder("brought")
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
func (r *replaying) broughtShape(b *brought, v engine.Variant) (shape recount.Shape, err error) {
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
func (r *replaying) digestOf(logic recount.Logic) string {
	if b, ok := r.elsewhere[shown(logic)]; ok {
		return b.digest
	}
	return logic.Digest
}

// unproved says why determinism is not proved; empty where it is.
func (r *replaying) unproved() string {
	if !r.calc.Logic.Brought() {
		return ""
	}
	return "rows come from " + shown(r.calc.Logic)
}

// refuseNoRows refuses rows of which none belongs to the window: every live row
// would look as if it should not be there.
func (r *replaying) refuseNoRows(n int64, allow bool) error {
	if n > 0 || allow || !r.calc.Logic.Brought() {
		return nil
	}
	return &recount.Error{
		Code: recount.CodeEmptyWindow, What: shown(r.calc.Logic) + " holds no row of the window", Where: fmt.Sprintf("%s, calculation %s", r.compared, r.calc.Name),
		Why: "every live row in it would look as if it should not be there", Next: "check that these rows were made for this window; if it is meant, add --allow-empty",
	}
}

// held are the buckets of a span of which rows that something else made hold
// any: beside the window nobody promised that they hold all. Nil where the logic
// is here.
func (r *replaying) held(ctx context.Context, span recount.Window) (held map[time.Time]bool, err error) {
	if !r.calc.Logic.Brought() || !r.bucketed() {
		return nil, nil
	}
	rows, err := r.broughtRows(ctx, r.right, span)
	if err != nil {
		return nil, err
	}
	defer joined(&err, rows.Close)
	held = map[time.Time]bool{}
	for {
		row, ok := rows.Next()
		if !ok {
			return held, rows.Err()
		}
		if at, err := r.bucketTime(row.Key); err == nil {
			held[r.calc.Bucket.Floor(at)] = true
		}
	}
}

// noneBeside says why there is no control though spans beside the window are
// archived.
func (r *replaying) noneBeside() string {
	if r.calc.Logic.Brought() {
		return shown(r.calc.Logic) + " holds no row beside the window that the table has too"
	}
	return "the table holds rows of this window only"
}

// unheld counts the window's buckets of which there is no row, and all.
func (r *replaying) unheld(held map[time.Time]bool) (none, all int) {
	for at := r.calc.Bucket.Floor(r.compared.From); at.Before(r.compared.To); at = r.calc.Bucket.Next(at) {
		if all++; !held[at] {
			none++
		}
	}
	return none, all
}

// broughtNotes says what a reader of the plan must know of such rows. held has
// the buckets of the window that they hold.
func (r *replaying) broughtNotes(held map[time.Time]bool) (notes []string) {
	if r.calc.Logic.Brought() {
		what := "every row of " + shown(r.calc.Logic)
		if r.bucketed() {
			what += " in the window"
		}
		if r.calc.Memory.Kind != recount.MemoryWindow || r.hits.Window.By != recount.ByEvent {
			what += ", whether or not a hit event touches it, since these rows do not say"
		}
		notes = append(notes, "compared: "+what)
		if none, all := r.unheld(held); r.bucketed() && none > 0 {
			notes = append(notes, fmt.Sprintf("%d of the window's %d buckets have no row in %s: live rows there look as if they should not be there", none, all, shown(r.calc.Logic)))
		}
	}
	if p := r.calc.Previous; p != nil && p.Brought() {
		notes = append(notes, "the previous rows come from "+shown(*p)+": nothing proves how they were made")
	}
	return notes
}

// noCutOfRows refuses rows that go on and were made elsewhere, where each live
// row would have to be looked for at a position of its own.
func (r *replaying) noCutOfRows(right bool) error {
	logic := r.calc.Logic
	if !right {
		logic = *r.calc.Previous
	}
	return &recount.Error{
		Code: recount.CodeNoCut, What: fmt.Sprintf("the cut of calculation %s is not known", r.calc.Name), Where: config.FileName + ", calculations: " + r.calc.Name,
		Why: fmt.Sprintf("its rows go on, and %s has them as of one moment that nothing names: they cannot be made again as of the position of each live row", shown(logic)),
		Next: "stop the worker, make the rows up to where it stands, and give its positions with --paused FILE; " +
			"or write cut: closed, if you know that no event has reached the table since the rows were made",
	}
}

// refuseUnknown is the error for quarantined events whose rows are unknown.
func (r *replaying) refuseUnknown(unknown []recount.Mark) error {
	err := replay.RefuseUnknown(unknown)
	var e *recount.Error
	if r.calc.Logic.Brought() && errors.As(err, &e) {
		e.Why = "rows that something else made do not say which of them an event touches, or whether it was used for them"
		e.Next = "look at them with recount archive cat; if " + shown(r.calc.Logic) + " was made with them mended, or they touch none of its rows, plan again with --without-quarantined (it is recorded)"
	}
	return err
}
