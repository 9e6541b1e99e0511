package apply

import (
	"context"
	"errors"
	"fmt"

	"recount"
	"recount/target"
)

func (r *runner) write(ctx context.Context) error {
	act := r.progress().Begin("writing rows", int64(len(r.writes)))
	defer act.End()
	for _, group := range byAction(r.writes) {
		n, err := r.tx.Write(ctx, r.key, r.columns, group)
		if errors.Is(err, recount.ErrMoved) {
			return r.stale(group[:1], "a row was taken or changed while it was written ("+err.Error()+"), near")
		}
		if err != nil {
			return err
		}
		if n != int64(len(group)) {
			return &recount.Error{
				Code: recount.CodeAffected, What: "the database changed another number of rows than planned", Where: showIdentity(r.plan.Body.Target),
				Why:  fmt.Sprintf("%d rows were to be changed by %s, it says %d", len(group), group[0].Action, n),
				Next: "plan again; if it comes back, look for triggers or rules that swallow writes (recount doctor names them)",
			}
		}
		act.Add(n)
	}
	return nil
}

func (r *runner) readBack(ctx context.Context) error {
	wrong, err := r.differing(ctx, r.tx.Read)
	if err != nil {
		return err
	}
	if len(wrong) > 0 {
		return &recount.Error{
			Code: recount.CodeReadBack, What: "a row did not read back as it was written", Where: showIdentity(r.plan.Body.Target),
			Why:  fmt.Sprintf("%d rows hold something else inside the transaction: %s", len(wrong), ShowKeys(wrong)),
			Next: "look for triggers, defaults or rounding that change what is written (recount doctor names them)",
		}
	}
	r.receipt.Verified = true
	return nil
}

// differing reads the written rows with read and returns the keys of those that
// do not hold their after-image.
func (r *runner) differing(ctx context.Context, read func(context.Context, []string, []string, [][]recount.Value, func(recount.Row) error) error) ([][]recount.Value, error) {
	want := make(map[string][]recount.Value, len(r.writes))
	for _, c := range r.writes {
		if c.After != nil {
			want[recount.KeyText(c.Key)] = c.After
		}
	}
	right := make(map[string]bool, len(want))
	err := read(ctx, r.key, r.columns, keysOf(r.writes), func(row recount.Row) error {
		text := recount.KeyText(row.Key)
		after, planned := want[text]
		right[text] = planned && sameValues(after, row.Values)
		return nil
	})
	if err != nil {
		return nil, err
	}
	var wrong [][]recount.Value
	for _, c := range r.writes {
		there, ok := right[recount.KeyText(c.Key)]
		gone := c.After == nil && !there && !ok
		if !gone && !there {
			wrong = append(wrong, c.Key)
		}
	}
	return wrong, nil
}

func sameValues(a, b []recount.Value) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return len(a) == len(b)
}

func (r *runner) record(ctx context.Context) error {
	b := r.plan.Body
	r.receipt.Applied = int64(len(r.writes))
	return r.tx.Record(ctx, recount.Run{
		ID: r.receipt.Run, Plan: r.plan.ID, Kind: b.Kind, Table: b.Target.Table, At: r.opts.Now, By: r.opts.By,
		Applied: int64(len(r.writes)), Held: b.Rows.Held, Extra: b.Rows.Extra, Excluded: b.Rows.Excluded, Window: b.Window,
		Overrides: append([]string{}, r.opts.Overrides...), Of: b.Run, Calculation: b.Calculation, Key: b.Key, Columns: b.Columns,
	}, r.writes)
}

func (r *runner) commit(ctx context.Context) error {
	err := r.tx.Commit(ctx)
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
	moved, err := r.differing(ctx, func(ctx context.Context, key, columns []string, keys [][]recount.Value, each func(recount.Row) error) error {
		return r.target.Scan(ctx, target.Scan{Key: key, Columns: columns, Keys: keys}, each)
	})
	if err != nil {
		return &recount.Error{
			Code: recount.CodeTargetDown, What: "the rows could not be looked at again", Where: showIdentity(r.plan.Body.Target),
			Why: err.Error(), Changed: fmt.Sprintf("all %d planned rows: run %s was committed and read back right before", len(r.writes), r.receipt.Run),
			Next: "recount runs shows the run", Err: err,
		}
	}
	r.receipt.Moved = moved
	return nil
}

func (r *runner) progress() recount.Progress {
	if r.opts.Progress == nil {
		return recount.Quiet{}
	}
	return r.opts.Progress
}
