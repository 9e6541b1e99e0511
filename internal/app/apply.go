package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"recount"
	"recount/internal/apply"
	"recount/internal/config"
	"recount/internal/plan"
)

// ApplyRequest asks for an apply.
type ApplyRequest struct {
	File      string
	Confirm   string // the table's name, typed by the person or given by a flag
	Overrides Overrides
	// Before is called before each step; nil: nothing is (see apply.Options).
	Before func(step string) error
}

// RollbackRequest asks for a rollback.
type RollbackRequest struct {
	Run     string
	Confirm string
}

// ApplyTable returns the name that must be typed to apply the plan.
func (a *App) ApplyTable(_ context.Context, file string) (string, error) {
	p, err := a.loadPlan(file)
	if err != nil {
		return "", err
	}
	return p.Body.Target.Table, nil
}

// Apply carries a plan out, all of it or nothing.
func (a *App) Apply(ctx context.Context, req ApplyRequest) (receipt recount.Receipt, err error) {
	began := a.now()
	p, err := a.loadPlan(req.File)
	if err != nil {
		return receipt, err
	}
	if err := confirmed(p.Body.Target.Table, req.Confirm, "apply "+req.File); err != nil {
		return receipt, err
	}
	if expired(p, began) {
		return receipt, &recount.Error{
			Code: recount.CodePlanExpired, What: fmt.Sprintf("plan %.8s has expired", p.ID), Where: req.File,
			Why:  "it was good until " + recount.FormatTimestamp(p.Header.Expires) + "; what was reviewed may no longer be what is live",
			Next: againCommand(p),
		}
	}
	overrides := slices.Clone(p.Body.Overrides)
	if red := p.Body.Control != nil && p.Body.Control.Wrong > 0; red {
		if !req.Overrides.NoControl {
			return receipt, redControl(p, req.File)
		}
		overrides = append(overrides, "--no-control")
	}
	calc, err := a.Project.Calculation(p.Body.Calculation)
	if err != nil {
		return receipt, err
	}
	if err := a.checkReading(ctx, calc, p); err != nil {
		return receipt, err
	}
	t, err := a.openTarget(ctx, calc, true)
	if err != nil {
		return receipt, err
	}
	defer joined(&err, t.Close)
	receipt, err = apply.Run(ctx, t, p, apply.Options{
		By: a.opts.User, Now: began, Overrides: overrides, Progress: a.opts.Progress, Before: req.Before,
		OtherPlace: calc.Target.Apply != nil,
	})
	receipt.TookMS = a.now().Sub(began).Milliseconds()
	return receipt, err
}

// checkReading looks, where apply: names another connection, whether the reading
// one still leads to the plan's target.
func (a *App) checkReading(ctx context.Context, calc config.Calculation, p *recount.Plan) (err error) {
	if calc.Target.Apply == nil {
		return nil
	}
	t, err := a.openTarget(ctx, calc, false)
	if err != nil {
		return err
	}
	defer joined(&err, t.Close)
	info, err := t.Info(ctx)
	if err != nil {
		return err
	}
	if info.LedgerHidden {
		info.Identity.Ledger = p.Body.Target.Ledger // the writing role will tell
	}
	return apply.SameTarget(p, info, false)
}

func againCommand(p *recount.Plan) string {
	return fmt.Sprintf("recount plan %s --from %s --to %s", p.Body.Calculation,
		recount.FormatTimestamp(p.Body.Asked.From), recount.FormatTimestamp(p.Body.Asked.To))
}

func redControl(p *recount.Plan, file string) error {
	c := p.Body.Control
	return &recount.Error{
		Code: recount.CodeControl, What: "the control window is red", Where: fmt.Sprintf("%s, calculation %s", file, p.Body.Calculation),
		Why: fmt.Sprintf("beside the window, where nothing is known to be wrong, %d of %d rows differ (%s): the logic, the archive or the window is not what it is taken for",
			c.Wrong, c.Rows, c.First),
		Next: "widen the window over the whole incident, or mend the logic, and plan again; --no-control applies all the same, and is recorded",
	}
}

func confirmed(table, typed, command string) error {
	if typed == table {
		return nil
	}
	why := fmt.Sprintf("the table is %q, %q was given", table, typed)
	if typed == "" {
		why = "a write needs the table's name, so that no script changes the wrong one"
	}
	return &recount.Error{
		Code: recount.CodeConfirm, What: "the write was not confirmed", Where: "recount " + command, Why: why,
		Next: fmt.Sprintf("recount %s --confirm %s", command, table),
	}
}

// Runs lists the runs of all targets, newest first. Targets that have no ledger
// have no runs.
func (a *App) Runs(ctx context.Context) ([]recount.Run, error) {
	var all []recount.Run
	err := a.eachTarget(ctx, func(_ config.Calculation, runs []recount.Run) {
		all = append(all, runs...)
	})
	slices.SortStableFunc(all, func(x, y recount.Run) int { return y.At.Compare(x.At) })
	all = slices.CompactFunc(all, func(x, y recount.Run) bool { return x.ID == y.ID && x.Table == y.Table })
	return all, err
}

// eachTarget reads the ledger of every calculation's target.
func (a *App) eachTarget(ctx context.Context, each func(config.Calculation, []recount.Run)) error {
	for _, name := range sortedNames(a.Project.Calculations) {
		calc := a.Project.Calculations[name]
		runs, err := a.runsOf(ctx, calc)
		if err != nil {
			return err
		}
		each(calc, runs)
	}
	return nil
}

func (a *App) runsOf(ctx context.Context, calc config.Calculation) (runs []recount.Run, err error) {
	t, err := a.openTarget(ctx, calc, false)
	if err != nil {
		return nil, err
	}
	defer joined(&err, t.Close)
	runs, err = t.Runs(ctx)
	if !errors.Is(err, recount.ErrPermission) || calc.Target.Apply == nil {
		return runs, err
	}
	// The role that applies made the ledger, and may read it.
	w, err := a.openTarget(ctx, calc, true)
	if err != nil {
		return nil, err
	}
	defer joined(&err, w.Close)
	return w.Runs(ctx)
}

// findRun finds a run by its id or a beginning of it that no other has.
func (a *App) findRun(ctx context.Context, id string) (config.Calculation, recount.Run, error) {
	var calcs []config.Calculation
	var found []recount.Run
	err := a.eachTarget(ctx, func(calc config.Calculation, runs []recount.Run) {
		for _, run := range runs {
			if strings.HasPrefix(run.ID, id) && id != "" && !slices.ContainsFunc(found, func(f recount.Run) bool { return f.ID == run.ID }) {
				calcs, found = append(calcs, calc), append(found, run)
			}
		}
	})
	if err != nil {
		return config.Calculation{}, recount.Run{}, err
	}
	if len(found) != 1 {
		why := "no ledger of this project has it"
		if len(found) > 1 {
			why = fmt.Sprintf("%d runs begin with it", len(found))
		}
		return config.Calculation{}, recount.Run{}, &recount.Error{
			Code: recount.CodeNoRun, What: fmt.Sprintf("there is no run %q", id), Where: "recount.yaml's targets", Why: why,
			Next: "recount runs lists them",
		}
	}
	return calcs[0], found[0], nil
}

// RollbackTable returns the name that must be typed to roll the run back.
func (a *App) RollbackTable(ctx context.Context, run string) (string, error) {
	_, found, err := a.findRun(ctx, run)
	return found.Table, err
}

// Rollback takes a run back by a plan made from its undo record: rows that moved
// since are left and listed.
func (a *App) Rollback(ctx context.Context, req RollbackRequest) (receipt recount.Receipt, err error) {
	began := a.now()
	calc, run, err := a.findRun(ctx, req.Run)
	if err != nil {
		return receipt, err
	}
	if err := confirmed(run.Table, req.Confirm, "rollback "+req.Run); err != nil {
		return receipt, err
	}
	if run.RolledBack != "" {
		// Done before: a rollback asked for again changes nothing.
		return recount.Receipt{Run: run.RolledBack, Plan: run.Plan, Kind: recount.PlanRollback, Table: run.Table, Already: true, Verified: true}, nil
	}
	t, err := a.openTarget(ctx, calc, true)
	if err != nil {
		return receipt, err
	}
	defer joined(&err, t.Close)
	info, err := t.Info(ctx)
	if err != nil {
		return receipt, err
	}
	var undo []recount.Change
	err = t.Undo(ctx, run.ID, func(c recount.Change) error {
		undo = append(undo, c)
		return nil
	})
	if err != nil {
		return receipt, err
	}
	p := plan.Rollback(run, info, undo)
	p.Header = recount.PlanHeader{Made: began, Expires: began.Add(planLife), By: a.opts.User, Program: a.opts.Program}
	if err := plan.Seal(p); err != nil {
		return receipt, err
	}
	receipt, err = apply.Run(ctx, t, p, apply.Options{By: a.opts.User, Now: began, Progress: a.opts.Progress})
	receipt.TookMS = a.now().Sub(began).Milliseconds()
	return receipt, err
}
