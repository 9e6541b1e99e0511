package incident

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"recount"
	"recount/engine"
	"recount/internal/config"
	"recount/internal/replay"
	"recount/internal/rowfile"
	"recount/target"
)

// checkBrought refuses what rows that something else made cannot be used for.
func (r *Incident) checkBrought(shape recount.Shape, logic recount.Logic) error {
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
func (r *Incident) fitTypes(ctx context.Context, l *live) error {
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
func (r *Incident) fitTexts(ctx context.Context, l *live, loose []int) error {
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

// unproved says why determinism is not proved; empty where it is.
func (r *Incident) unproved() string {
	if !r.calc.Logic.Brought() {
		return ""
	}
	if c := r.calc.Shadow; c != nil {
		return "the worker ran once, as group " + c.Group + ", and wrote " + shown(r.calc.Logic)
	}
	return "rows come from " + shown(r.calc.Logic)
}

// refuseNoRows refuses rows of which none belongs to the window: every live row
// would look as if it should not be there.
func (r *Incident) refuseNoRows(n int64, allow bool) error {
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
func (r *Incident) held(ctx context.Context, span recount.Window) (held map[time.Time]bool, err error) {
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
func (r *Incident) noneBeside() string {
	if r.calc.Logic.Brought() {
		return shown(r.calc.Logic) + " holds no row beside the window that the table has too"
	}
	return "the table holds rows of this window only"
}

// unheld counts the window's buckets of which there is no row, and all.
func (r *Incident) unheld(held map[time.Time]bool) (none, all int) {
	for at := r.calc.Bucket.Floor(r.compared.From); at.Before(r.compared.To); at = r.calc.Bucket.Next(at) {
		if all++; !held[at] {
			none++
		}
	}
	return none, all
}

// broughtNotes says what a reader of the plan must know of such rows. held has
// the buckets of the window that they hold.
func (r *Incident) broughtNotes(held map[time.Time]bool) (notes []string) {
	if p := r.calc.Previous; p != nil && p.Brought() {
		notes = append(notes, "the previous rows come from "+shown(*p)+": nothing proves how they were made")
	}
	if r.calc.Logic.Brought() {
		what := "every row of " + shown(r.calc.Logic)
		if r.bucketed() {
			what += " in the window"
		}
		if r.calc.Memory.Kind != recount.MemoryWindow || r.hits.Window.By != recount.ByEvent {
			what += ", whether or not a hit event touches it, since these rows do not say"
		}
		notes = append(notes, "compared: "+what)
		if !r.bucketed() {
			return notes
		}
		if none, all := r.unheld(held); none > 0 {
			notes = append(notes, fmt.Sprintf("%d of the window's %d buckets have no row in %s: live rows there look as if they should not be there", none, all, shown(r.calc.Logic)))
		}
	}
	return notes
}

// noCutOfRows refuses rows that go on and were made elsewhere, where each live
// row would have to be looked for at a position of its own.
func (r *Incident) noCutOfRows(right bool) error {
	logic := r.calc.Logic
	if !right {
		logic = *r.calc.Previous
	}
	return &recount.Error{
		Code: recount.CodeNoCut, What: fmt.Sprintf("the cut of calculation %s is not known", r.calc.Name), Where: config.FileName + ", calculations: " + r.calc.Name,
		Why: fmt.Sprintf("its rows go on, and %s has them as of one moment that nothing names: they cannot be made again as of the position of each live row", shown(logic)),
		Next: "stop the worker, make the rows up to where it stands, and give its positions with --paused FILE or --paused group:NAME; " +
			"or write cut: closed, if you know that no event has reached the table since the rows were made",
	}
}

// refuseUnknown is the error for quarantined events whose rows are unknown. An
// event without an id is named by its place, by which archive cat finds it.
func (r *Incident) refuseUnknown(ctx context.Context, unknown []recount.Mark) error {
	query := engine.Query{Quarantined: true, Repeats: true, Seqs: []int64{}}
	for _, m := range unknown[:min(replay.MostShown, len(unknown))] {
		query.Seqs = append(query.Seqs, m.Seq)
	}
	places, err := r.session.Events(ctx, query)
	if err != nil {
		return err
	}
	named := slices.Clone(unknown)
	for i, m := range named {
		at := slices.IndexFunc(places, func(e engine.ReplayEvent) bool { return e.Seq == m.Seq })
		if m.ID == "" && at >= 0 {
			named[i].ID = places[at].Partition + "@" + recount.ShortPosition(places[at].Position)
		}
	}
	err = replay.RefuseUnknown(named, r.source.Name)
	var e *recount.Error
	if r.calc.Logic.Brought() && errors.As(err, &e) {
		e.Why = "rows that something else made do not say which of them an event touches, or whether it was used for them"
		e.Next = "look at them with recount archive cat " + r.source.Name + " EVENT; if " + shown(r.calc.Logic) + " was made with them mended, or they touch none of its rows, plan again with --without-quarantined (it is recorded)"
	}
	return err
}

// elsewhere explains a row that something else made: the events that may have a
// part in it are listed, but the logic is not here to replay them.
func (e *explaining) elsewhere(ctx context.Context, p *recount.Plan) error {
	e.typesOf(p)
	whole, err := e.broughtRow(ctx)
	if err != nil {
		return err
	}
	name := shown(e.calc.Logic)
	e.out.Result, e.out.Elsewhere = whole, "the logic is not here: the rows come from "+name
	if e.digestOf(e.calc.Logic) != p.Body.Logic {
		e.out.Elsewhere += ", which has changed since the plan"
		if after := e.out.Change.After; after != nil {
			e.out.Result = after[:min(len(after), len(e.shape.Values))]
		}
	}
	query, named := e.query()
	if !named {
		e.out.Elsewhere += "; no column of the key is a field of the events, so they cannot be listed"
	} else if err := e.listed(ctx, query); err != nil {
		return err
	}
	if e.out.Right && whole == nil {
		return e.noRow()
	}
	return nil
}

// typesOf takes the types under which the plan compared its columns.
func (e *explaining) typesOf(p *recount.Plan) {
	take := func(columns []recount.Column, planned []recount.PlanColumn) []recount.Column {
		columns = slices.Clone(columns)
		for i := range min(len(columns), len(planned)) {
			if t, err := recount.ParseType(planned[i].Type); err == nil {
				columns[i].Type = t
			}
		}
		return columns
	}
	e.shape = recount.Shape{Key: take(e.shape.Key, p.Body.Key), Values: take(e.shape.Values, p.Body.Columns)}
	e.key = recount.KeyText(e.rowKey())
}

// broughtRow is the row of the key as it is now; nil where there is none.
func (e *explaining) broughtRow(ctx context.Context) (whole []recount.Value, err error) {
	rows, err := e.session.Run(ctx, e.right)
	if err != nil {
		return nil, err
	}
	defer joined(&err, rows.Close)
	for {
		row, ok := rows.Next()
		if !ok {
			return whole, rows.Err()
		}
		if recount.KeyText(row.Key) == e.key {
			whole = slices.Clone(row.Values)
		}
	}
}

// listed lists the events of the row's fields and bucket.
func (e *explaining) listed(ctx context.Context, query engine.Query) error {
	events, err := e.candidates(ctx, query)
	if err != nil {
		return err
	}
	for _, ev := range e.ofBucket(events) {
		step := e.step(ev)
		step.Note = e.note(ev, step, 0)
		e.out.Steps = append(e.out.Steps, step)
	}
	return nil
}

func (e *explaining) noRow() error {
	return &recount.Error{
		Code: recount.CodeNoRow, What: "there is no such row", Where: config.FileName + ", calculation " + e.calc.Name,
		Why: "neither the plan nor the recalculated rows have the key " + strings.Join(texts(e.out.Change.Key), " "), Next: "recount show PLAN --all lists the plan's rows",
	}
}
