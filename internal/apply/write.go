package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"recount"
	"recount/target"
)

// write deletes first, children before their parents, then updates, and inserts
// parents before their children.
func (r *runner) write(ctx context.Context) error {
	act := r.progress().Begin("writing rows", int64(r.count()))
	defer act.End()
	backwards := slices.Clone(r.order)
	slices.Reverse(backwards)
	for _, a := range actions {
		order := r.order
		if a == recount.ActionDelete {
			order = backwards
		}
		for _, p := range order {
			for _, g := range p.groups(p.writes, a) {
				if err := r.writeGroup(ctx, p, g); err != nil {
					return err
				}
				act.Add(int64(len(g.changes)))
			}
		}
	}
	return nil
}

func (r *runner) writeGroup(ctx context.Context, p *part, g group) error {
	n, err := p.tx.Write(ctx, p.key, g.columns, g.changes)
	if errors.Is(err, recount.ErrMoved) {
		return r.stale(map[*part][]recount.Change{p: g.changes[:1]}, "a row was taken or changed while it was written ("+err.Error()+"), near")
	}
	if err != nil || n == int64(len(g.changes)) {
		return err
	}
	if moved, err := p.passing(ctx, g); err != nil || len(moved) > 0 {
		if err != nil {
			return err
		}
		return r.stale(map[*part][]recount.Change{p: moved}, fmt.Sprintf("%d rows were changed by somebody else while the plan was applied", len(moved)))
	}
	return &recount.Error{
		Code: recount.CodeAffected, What: "the database changed another number of rows than planned", Where: showIdentity(p.body.Target),
		Why:  fmt.Sprintf("%d rows were to be changed by %s, it says %d", len(g.changes), g.changes[0].Action, n),
		Next: "plan again; if it comes back, look for triggers or rules that swallow writes (recount doctor names them)",
	}
}

// passing lists the updates and deletes of a group whose row holds neither image:
// somebody else changed it after it was found unmoved.
func (p *part) passing(ctx context.Context, g group) ([]recount.Change, error) {
	held := make(map[string][]recount.Value, len(g.changes))
	err := p.tx.Read(ctx, p.key, g.columns, keysOf(g.changes), func(row recount.Row) error {
		held[recount.KeyText(row.Key)] = row.Values
		return nil
	})
	if err != nil {
		return nil, err
	}
	var moved []recount.Change
	for _, c := range g.changes {
		row, there := held[recount.KeyText(c.Key)]
		switch {
		case c.Action == recount.ActionInsert, !there && c.Action == recount.ActionDelete:
		case there && (slices.Equal(row, c.Before) || c.After != nil && slices.Equal(row, c.After)):
		default:
			moved = append(moved, c)
		}
	}
	return moved, nil
}

func (r *runner) readBack(ctx context.Context) error {
	for _, p := range r.parts {
		wrong, err := p.differing(ctx, p.tx.Read)
		if err != nil {
			return err
		}
		if len(wrong) > 0 {
			return &recount.Error{
				Code: recount.CodeReadBack, What: "a row did not read back as it was written", Where: showIdentity(p.body.Target),
				Why:  fmt.Sprintf("%d rows hold something else inside the transaction: %s", len(wrong), ShowKeys(wrong)),
				Next: "look for triggers, defaults or rounding that change what is written (recount doctor names them)",
			}
		}
	}
	r.receipt.Verified = true
	return nil
}

// reading is how rows are read by their keys.
type reading func(ctx context.Context, key, columns []string, keys [][]recount.Value, each func(recount.Row) error) error

// differing reads the written rows with read and returns the keys of those that
// do not hold their after-image.
func (p *part) differing(ctx context.Context, read reading) ([][]recount.Value, error) {
	var wrong [][]recount.Value
	for _, a := range actions {
		for _, g := range p.groups(p.writes, a) {
			found := make(map[string]bool, len(g.changes)) // whether the row is right
			want := make(map[string][]recount.Value, len(g.changes))
			for _, c := range g.changes {
				want[recount.KeyText(c.Key)] = c.After
			}
			err := read(ctx, p.key, g.columns, keysOf(g.changes), func(row recount.Row) error {
				text := recount.KeyText(row.Key)
				after := want[text]
				found[text] = after != nil && slices.Equal(after, row.Values)
				return nil
			})
			if err != nil {
				return nil, err
			}
			for _, c := range g.changes {
				right, there := found[recount.KeyText(c.Key)]
				if gone := c.After == nil && !there; !gone && !right {
					wrong = append(wrong, c.Key)
				}
			}
		}
	}
	return wrong, nil
}

func (r *runner) record(ctx context.Context) error {
	tables := r.plan.Tables()
	if len(tables) == 1 {
		tables = nil
	}
	r.receipt.Applied = int64(r.count())
	for _, p := range r.parts {
		run := recount.RunOf(r.plan.ID, p.n, *p.body, int64(len(p.writes)), r.opts.Overrides)
		run.ID, run.At, run.By = recount.PartID(r.receipt.Run, p.n), r.opts.Now, r.opts.By
		if p.n == 1 && tables != nil {
			run.Tables, run.Total = tables, r.receipt.Applied
		}
		if err := p.tx.Record(ctx, run, p.writes); err != nil {
			return err
		}
	}
	return nil
}

func (r *runner) commit(ctx context.Context) error {
	err := r.parts[0].tx.Commit(ctx)
	if err == nil || !errors.Is(err, recount.ErrUnknown) {
		return err
	}
	committed, lookErr := r.look(context.WithoutCancel(ctx))
	if lookErr != nil {
		return &recount.Error{
			Code: recount.CodeOutcome, What: "the outcome of the commit is unknown", Where: showIdentity(r.plan.Body.Target),
			Why:     fmt.Sprintf("its answer was lost (%s), and the ledger could not be read (%s)", err, lookErr),
			Changed: "all planned rows, or nothing: never a part", Err: recount.ErrUnknown,
			Next: "when the target answers again, recount runs says which; applying the same plan again is safe either way",
		}
	}
	if !committed {
		return &recount.Error{
			Code: recount.CodeTargetDown, What: "the commit did not happen", Where: showIdentity(r.plan.Body.Target),
			Why: "the connection broke, and the ledger has no trace of the run: " + err.Error(), Err: err,
			Next: "apply the plan again",
		}
	}
	return nil
}

// look asks the ledger whether the run was committed. Its transaction gets the
// writer lock only when the lost one has ended, so that the answer is final.
func (r *runner) look(ctx context.Context) (bool, error) {
	tx, err := r.target.Begin(ctx)
	if err != nil {
		return false, err
	}
	run, applied, err := tx.Applied(ctx, r.plan.ID)
	return applied && run.ID == r.receipt.Run, errors.Join(err, tx.Rollback(ctx))
}

// lookAgain lists the rows that moved on between the commit and now. They were
// right inside the transaction, so this is news, no error.
func (r *runner) lookAgain(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx) // what is committed is told, also to one who interrupts
	for _, p := range r.parts {
		if err := r.lookAt(ctx, p); err != nil {
			return &recount.Error{
				Code: recount.CodeTargetDown, What: "the rows could not be looked at again", Where: showIdentity(p.body.Target),
				Why: err.Error(), Changed: fmt.Sprintf("all %d planned rows: run %s was committed and read back right before", r.count(), r.receipt.Run),
				Next: "recount runs shows the run", Err: err,
			}
		}
	}
	return nil
}

func (r *runner) lookAt(ctx context.Context, p *part) (err error) {
	live := r.target
	if p.n > 1 {
		if live, err = r.opts.Beside(ctx, p.table()); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, live.Close()) }()
	}
	p.after, err = p.differing(ctx, func(ctx context.Context, key, columns []string, keys [][]recount.Value, each func(recount.Row) error) error {
		return live.Scan(ctx, target.Scan{Key: key, Columns: columns, Keys: keys}, each)
	})
	return err
}

// tables adds to the receipt what became of each table's rows.
func (r *runner) tables() {
	committed := slices.Contains(r.receipt.Steps, "commit")
	for _, p := range r.parts {
		r.receipt.Moved, r.receipt.RolledOut = append(r.receipt.Moved, p.after...), append(r.receipt.RolledOut, p.left...)
		if len(r.parts) == 1 {
			return
		}
		rows := p.body.Rows
		t := recount.TableReceipt{
			Table: p.table(), Role: p.body.Role, Held: rows.Stay(), Extra: rows.Extra, Excluded: rows.Excluded, Moved: p.after, RolledOut: p.left,
		}
		if committed {
			t.Applied = int64(len(p.writes))
		}
		r.receipt.Tables = append(r.receipt.Tables, t)
	}
}

func (r *runner) progress() recount.Progress {
	if r.opts.Progress == nil {
		return recount.Quiet{}
	}
	return r.opts.Progress
}
