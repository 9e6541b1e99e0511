package incident

import (
	"context"
	"fmt"
	"slices"

	"recount"
	"recount/engine"
	"recount/internal/apply"
	"recount/target"
)

// touchedKeys finds the result keys to which a hit event contributes, by their
// text; nil where every row of the window is looked at. A key is touched if the
// hit events alone make a row of it, under the right logic or the previous one,
// or if the right row is another without them.
func (r *Incident) touchedKeys(ctx context.Context) (map[string]bool, error) {
	if r.everything() || r.calc.Logic.Brought() {
		return nil, nil
	}
	act := r.host.Progress().Begin("which rows were hit", 0)
	defer act.End()
	touched := map[string]bool{}
	for _, v := range r.logics() {
		v.See = engine.SeeHit
		if err := r.eachKey(ctx, v, func(row recount.Row) { touched[recount.KeyText(row.Key)] = true }); err != nil {
			return nil, err
		}
	}
	return touched, r.touchedByDifference(ctx, touched)
}

func (r *Incident) eachKey(ctx context.Context, v engine.Variant, each func(recount.Row)) (err error) {
	rows, err := r.session.Run(ctx, v)
	if err != nil {
		return fmt.Errorf("find touched rows: %w", err)
	}
	defer joined(&err, rows.Close)
	for {
		row, ok := rows.Next()
		if !ok {
			return rows.Err()
		}
		each(row)
	}
}

// touchedByDifference adds the keys whose right row is another without the hit
// events: an event may matter to a row that it does not make alone.
func (r *Incident) touchedByDifference(ctx context.Context, touched map[string]bool) (err error) {
	all, err := r.session.Run(ctx, r.right)
	if err != nil {
		return err
	}
	defer joined(&err, all.Close)
	without := r.right
	without.See = engine.SeeUnhit
	rest, err := r.session.Run(ctx, without)
	if err != nil {
		return err
	}
	defer joined(&err, rest.Close)
	a, haveA := all.Next()
	b, haveB := rest.Next()
	for haveA || haveB {
		var textA, textB string
		if haveA {
			textA = recount.KeyText(a.Key)
		}
		if haveB {
			textB = recount.KeyText(b.Key)
		}
		switch {
		case haveA && (!haveB || textA < textB):
			touched[textA] = true
			a, haveA = all.Next()
		case haveB && (!haveA || textB < textA):
			touched[textB] = true
			b, haveB = rest.Next()
		default:
			if !slices.Equal(a.Values, b.Values) {
				touched[textA] = true
			}
			a, haveA = all.Next()
			b, haveB = rest.Next()
		}
	}
	if err := all.Err(); err != nil {
		return err
	}
	return rest.Err()
}

// findLedger asks through the connection of apply: for the runs of a ledger that
// the reading role may not see. Without an answer the plan says so.
func (r *Incident) findLedger(ctx context.Context, l *live) (err error) {
	l.note = "the reading role may not read the ledger, so this plan does not know of earlier runs"
	if r.calc.Target.Apply == nil {
		return nil
	}
	t, err := r.host.OpenTarget(ctx, r.calc, true)
	if err != nil {
		return ctx.Err() // who plans need not have what apply needs
	}
	defer joined(&err, t.Close)
	info, err := t.Info(ctx)
	if err == nil && !info.LedgerHidden {
		l.info.Identity.Ledger, l.info.LastRun, l.note = info.Identity.Ledger, info.LastRun, ""
	}
	return ctx.Err()
}

// checkFilled refuses what on_insert: cannot fill, whether or not this plan
// inserts a row: the next one may.
func (r *Incident) checkFilled(l *live) error {
	for _, name := range sortedNames(r.calc.Write.OnInsert) {
		column, ok := l.info.Column(name)
		if !ok {
			return r.noColumn(l.info, name)
		}
		where := l.info.Identity.Place + " " + l.info.Identity.Table + ", column " + name
		if column.Generated {
			return &recount.Error{
				Code: recount.CodeNoTable, What: "on_insert: cannot fill column " + name, Where: where,
				Why: "the database computes it", Next: "take it out of on_insert:",
			}
		}
		if _, err := column.Fit(column.Type, recount.Text(r.calc.Write.OnInsert[name])); err != nil {
			return &recount.Error{
				Code: recount.CodeDoesNotFit, What: "what on_insert: fills in does not fit its column", Where: where,
				Why: err.Error(), Next: "write another value under on_insert:, or widen the column", Err: err,
			}
		}
	}
	return nil
}

// checkOwned refuses changes whose key names rows that where: leaves out: one
// that is written would be another's, or would be there already. Without where:
// the comparison has seen every row.
func (r *Incident) checkOwned(ctx context.Context, l *live, changes []recount.Change) error {
	if r.calc.Where == "" {
		return nil
	}
	want := map[string]int{} // rows of the key that the comparison has seen
	var keys [][]recount.Value
	for _, c := range changes {
		if !c.Action.Writes() {
			continue
		}
		keys = append(keys, c.Key)
		if c.Before != nil {
			want[recount.KeyText(c.Key)] = 1
		}
	}
	if len(keys) == 0 {
		return nil
	}
	there := make(map[string]int, len(keys))
	var foreign [][]recount.Value
	scan := target.Scan{Key: names(l.key), Columns: names(l.columns), Window: r.window, Keys: keys}
	err := l.target.Scan(ctx, scan, func(row recount.Row) error {
		text := recount.KeyText(row.Key)
		if there[text]++; there[text] == want[text]+1 {
			foreign = append(foreign, row.Key)
		}
		return nil
	})
	if err != nil || len(foreign) == 0 {
		return err
	}
	return &recount.Error{
		Code: recount.CodeLiveKey, What: "where: leaves out rows of keys that are to be written", Where: l.info.Identity.Place + " " + l.info.Identity.Table,
		Why:  fmt.Sprintf("for %d keys the table has one more row, for which where: does not hold: %s", len(foreign), apply.ShowKeys(foreign)),
		Next: "name in key: the columns that make a row unique in the whole table, or let where: hold for these rows too",
	}
}
