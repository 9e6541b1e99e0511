package incident

import (
	"context"
	"fmt"

	"recount"
	"recount/internal/apply"
	"recount/target"
)

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
