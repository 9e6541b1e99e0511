package incident

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"recount"
	"recount/internal/apply"
	"recount/target"
)

// planning is one calculation of a plan, with its live table.
type planning struct {
	r *Incident
	l *live
}

// Plan makes one plan of calculations, each with the tables beside its results,
// from one moment of the archive. It is not sealed and has no header.
func Plan(ctx context.Context, calculations []*Incident, overrides Overrides) (p *recount.Plan, err error) {
	var list []planning
	defer func() {
		for _, one := range list {
			if one.l.early != nil {
				err = closing(one.l.early, err)
			}
			err = closing(one.l.target, err)
		}
	}()
	for _, r := range calculations {
		l, err := r.openLive(ctx)
		if err != nil {
			return nil, err
		}
		list = append(list, planning{r, l})
		if err := together(list[:len(list)-1], r, l); err != nil {
			return nil, err
		}
	}
	if err := early(ctx, list); err != nil {
		return nil, err
	}
	for _, one := range list {
		next, err := one.plan(ctx, overrides)
		if err != nil {
			return nil, err
		}
		if p == nil {
			p = next
			continue
		}
		p.With = append(p.With, next.Parts()...)
	}
	return p, nil
}

// plan replays, compares and puts the plan of one calculation together.
func (one planning) plan(ctx context.Context, overrides Overrides) (p *recount.Plan, err error) {
	if err := one.r.begun(ctx); err != nil {
		return nil, err
	}
	defer joined(&err, one.r.close)
	return one.r.makePlan(ctx, one.l, overrides)
}

// together refuses a calculation that does not fit the plan of others: all must
// be written in one transaction.
func together(before []planning, r *Incident, l *live) error {
	if len(before) == 0 {
		return nil
	}
	first, now := before[0].l.info.Identity, l.info.Identity
	refuse := func(why, next string) error {
		return &recount.Error{
			Code: recount.CodeSeveral, What: fmt.Sprintf("calculations %s and %s do not fit one plan", before[0].r.calc.Name, r.calc.Name),
			Where: "recount.yaml, calculations", Why: why, Next: next,
		}
	}
	switch {
	case first.Adapter != now.Adapter || first.Place != now.Place || first.Server != now.Server:
		return refuse(fmt.Sprintf("their tables lie in %s and in %s, and one transaction cannot hold both", first.Place, now.Place), "plan them one by one")
	case first.Adapter == "files":
		return refuse("files are replaced one by one, never together", "plan them one by one")
	}
	for _, one := range before {
		if one.l.info.Identity.Table == now.Table {
			return refuse("both correct table "+now.Table, "plan them one by one")
		}
	}
	return nil
}

// These bound how long a plan waits for an archiver that is at work to hold the
// events that live rows have absorbed: shortly where a column tells which rows are
// ahead, longer where nothing does.
const (
	archiverAlive = time.Minute
	earlyTries    = 6
	foundTries    = 20
	earlyPause    = 250 * time.Millisecond
)

// settles says that each row stands at a position of its own.
func (r *Incident) settles() bool { return r.taken != nil && r.taken.Kind != recount.CutPaused }

// readEarly reads the rows of a state that goes on before it looks at the
// archive: a row that has absorbed an event which is not archived yet cannot be
// told from one that somebody changed.
func (r *Incident) readEarly(ctx context.Context, l *live) error {
	return early(ctx, []planning{{r, l}})
}

// early is readEarly for all calculations of a plan. Those of one stream get the
// same snapshot of it.
func early(ctx context.Context, list []planning) (err error) {
	read := map[string]bool{} // the streams of rows that were read early
	for _, one := range list {
		if !one.r.settles() {
			continue
		}
		if one.l.frozen, err = one.r.readFrozen(ctx, one.l); err != nil {
			return err
		}
		one.r.readAt = one.r.host.Now()
		if one.l.early, err = one.r.scan(ctx, one.l, one.r.compared, nil); err != nil {
			return err
		}
		read[one.r.source.Name] = true
	}
	moment := map[string]recount.Snapshot{}
	for _, one := range list {
		stream := one.r.source.Name
		if _, known := moment[stream]; !known {
			moment[stream] = one.r.snapshot
			if read[stream] {
				if moment[stream], err = one.r.caughtUp(ctx, one.r.host.Now()); err != nil {
					return err
				}
			}
		}
		one.r.snapshot = moment[stream]
	}
	return nil
}

// caughtUp is the archive of a moment after the time. Where an archiver is at
// work, its next commit is waited for.
func (r *Incident) caughtUp(ctx context.Context, read time.Time) (recount.Snapshot, error) {
	tries := earlyTries
	if r.settles() && r.taken.Kind == recount.CutFound {
		tries = foundTries
	}
	var waiting recount.Act
	for try := 0; ; try++ {
		snapshot, err := r.archive.Snapshot(ctx, r.source.Name)
		if err != nil {
			return snapshot, err
		}
		snapshot.Lateness = r.source.Lateness
		behind := read.Sub(snapshot.Watermark)
		if behind <= 0 || behind > archiverAlive || try >= tries {
			return snapshot, nil
		}
		if waiting == nil {
			waiting = r.host.Progress().Begin("waiting for the archive to hold what the rows hold", 0)
			defer waiting.End()
		}
		select {
		case <-ctx.Done():
			return snapshot, ctx.Err()
		case <-time.After(earlyPause):
		}
	}
}

// mayBeAhead refuses rows of which nothing says how far they are, where they may
// have absorbed events that are not archived yet: one of those could give such a
// row the very value that it had at an earlier position, with another right value
// there. Results that add up are safe: what the hit events lack is the same at
// every position.
func (r *Incident) mayBeAhead(ctx context.Context) error {
	if r.taken.Kind != recount.CutFound || !r.snapshot.Watermark.Before(r.readAt) {
		return nil
	}
	why := ""
	if c, ok := r.inexact(); ok {
		why = "column " + c.Name + " does not add up"
	}
	for _, v := range r.logics() {
		if why != "" {
			break
		}
		_, err := r.additive(ctx, v)
		if e, ok := errors.AsType[*recount.Error](err); ok && e.Code == recount.CodeNotAdditive {
			why = e.Why
		} else if err != nil {
			return err
		}
	}
	if why == "" {
		return nil
	}
	return &recount.Error{
		Code: recount.CodeIncomplete, What: "the live rows may be ahead of the archive", Where: fmt.Sprintf("calculation %s, stream %s", r.calc.Name, r.source.Name),
		Why: fmt.Sprintf("they were read at %s, the archive is complete up to %s, and nothing says how far they are; the result is no plain sum, so where a row stands decides what is right (%s)",
			recount.FormatTimestamp(r.readAt.Truncate(time.Microsecond)), recount.FormatTimestamp(r.snapshot.Watermark), why),
		Next: "plan while an archiver runs beside, or stop the worker and give its positions with --paused FILE or --paused group:NAME, or name the column that says how far a row is (position:)",
	}
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

// checkAlike refuses inserts whose key the table takes for that of a row which is
// there, though it is spelled otherwise: a collation, the blanks of a char(n), the
// case of a uuid. The row would be taken for one that should not be there.
func (r *Incident) checkAlike(ctx context.Context, l *live, changes []recount.Change) error {
	var keys, alike, there [][]recount.Value
	seen := map[string]bool{}
	for _, c := range changes {
		if c.Action != recount.ActionInsert && c.Before != nil {
			seen[recount.KeyText(c.Key)] = true
		}
	}
	for _, c := range changes {
		if c.Action == recount.ActionInsert {
			if keys = append(keys, c.Key); seen[recount.KeyText(c.Key)] { // spelled anew for its column, it is the other row's
				alike, there = append(alike, c.Key), append(there, c.Key)
			}
		}
	}
	texts := slices.ContainsFunc(l.key, func(c recount.Column) bool { return c.Type.Kind == recount.KindString })
	if len(keys) == 0 || !texts {
		return nil
	}
	scan := target.Scan{Key: names(l.key), Columns: names(l.key), Window: r.window, Keys: keys, Alike: true}
	err := l.target.Scan(ctx, scan, func(row recount.Row) error {
		if recount.KeyText(row.Key) != recount.KeyText(row.Values) {
			alike, there = append(alike, row.Key), append(there, row.Values)
		}
		return nil
	})
	if err != nil || len(alike) == 0 {
		return err
	}
	return &recount.Error{
		Code: recount.CodeLiveKey, What: "the table takes two keys for one", Where: l.info.Identity.Place + " " + l.info.Identity.Table,
		Why:  fmt.Sprintf("%d rows are to be inserted whose key it spells otherwise: %s for %s", len(alike), apply.ShowKeys(alike), apply.ShowKeys(there)),
		Next: "let the logic spell keys as the table does, such as lower(key) or trim(key)",
	}
}
