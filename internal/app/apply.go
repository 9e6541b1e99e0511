package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"recount"
	"recount/internal/app/incident"
	"recount/internal/apply"
	"recount/internal/config"
	"recount/internal/plan"
	"recount/target"
)

// ApplyRequest asks for an apply.
type ApplyRequest struct {
	File      string
	Confirm   string // the table's name, typed by the person or given by a flag; several joined by commas
	Overrides Overrides
	// Before is called before each step; nil: nothing is (see apply.Options).
	Before func(step string) error
}

// RollbackRequest asks for a rollback.
type RollbackRequest struct {
	Run     string
	Confirm string
}

// ApplyTable returns the name that must be typed to apply the plan: that of its
// table, those of several joined by commas.
func (a *App) ApplyTable(_ context.Context, file string) (string, error) {
	p, err := a.loadPlan(file)
	if err != nil {
		return "", err
	}
	return strings.Join(p.Tables(), ","), nil
}

// Apply carries a plan out, all of it or nothing.
func (a *App) Apply(ctx context.Context, req ApplyRequest) (receipt recount.Receipt, err error) {
	began := a.now()
	p, err := a.loadPlan(req.File)
	if err != nil {
		return receipt, err
	}
	if err := confirmed(strings.Join(p.Tables(), ","), req.Confirm, "apply "+req.File); err != nil {
		return receipt, err
	}
	if expired(p, began) {
		return receipt, hasExpired(p, req.File)
	}
	overrides, err := overridden(p, req)
	if err != nil {
		return receipt, err
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
		OtherPlace: calc.Target.Apply != nil, Beside: a.beside(calc), Explained: a.explainedParts(p),
	})
	receipt.TookMS = a.now().Sub(began).Milliseconds()
	return receipt, err
}

// stepTexts says what an apply of the plan does, step by step.
func stepTexts(p *recount.Plan) []string {
	var out []string
	for _, step := range apply.StepsOf(p) {
		out = append(out, step.Text)
	}
	return out
}

func hasExpired(p *recount.Plan, file string) error {
	return &recount.Error{
		Code: recount.CodePlanExpired, What: fmt.Sprintf("plan %.8s has expired", p.ID), Where: file,
		Why:  "it was good until " + recount.FormatTimestamp(p.Header.Expires) + "; what was reviewed may no longer be what is live",
		Next: againCommand(p),
	}
}

// explainedParts gives apply, for each table that is written by delta, the
// question whether a row as it is now is still explained. Rows of closed buckets
// and those of a paused worker must be as planned.
func (a *App) explainedParts(p *recount.Plan) []apply.Explained {
	var out []apply.Explained
	for _, part := range p.Parts() {
		b := part.Body
		if b.Write != recount.WriteDelta || b.Taken == nil || b.Taken.Kind == recount.CutPaused {
			out = append(out, nil)
			continue
		}
		out = append(out, incident.Unexplained(host{a}, b))
	}
	return out
}

// beside opens the other tables of a plan for apply's last look.
func (a *App) beside(calc config.Calculation) func(context.Context, string) (target.Target, error) {
	return func(ctx context.Context, table string) (target.Target, error) {
		return a.openTable(ctx, calc, table, true)
	}
}

// overridden returns the flags that the run records: those of the plan, and
// those without which this apply is refused.
func overridden(p *recount.Plan, req ApplyRequest) ([]string, error) {
	overrides := slices.Clone(p.Body.Overrides)
	add := func(flag string) {
		if !slices.Contains(overrides, flag) {
			overrides = append(overrides, flag)
		}
	}
	for _, part := range p.Parts() {
		if c := part.Body.Control; c != nil && c.Wrong > 0 {
			if !req.Overrides.NoControl {
				return nil, redControl(part.Body, req.File)
			}
			add("--no-control")
		}
		if part.Body.WorkerState == recount.StateOwn {
			if !req.Overrides.WorkerWillReload {
				return nil, ownState(part.Body, req.File)
			}
			add("--worker-will-reload")
		}
	}
	return overrides, nil
}

func ownState(b recount.PlanBody, file string) error {
	return &recount.Error{
		Code: recount.CodeWorkerState, What: "the worker would overwrite the correction", Where: fmt.Sprintf("%s, calculation %s", file, b.Calculation),
		Why:  "worker_state: own says that it keeps its own state, and writes rows from that",
		Next: "correct the worker's state too, or have it reload the rows after the apply: then add --worker-will-reload, which is recorded",
	}
}

// checkReading looks, where apply: names another connection, whether the reading
// one still leads to the plan's tables.
func (a *App) checkReading(ctx context.Context, calc config.Calculation, p *recount.Plan) error {
	if calc.Target.Apply == nil {
		return nil
	}
	for _, part := range p.Parts() {
		if err := a.sameTable(ctx, calc, part.Body); err != nil {
			return err
		}
	}
	return nil
}

func (a *App) sameTable(ctx context.Context, calc config.Calculation, b recount.PlanBody) (err error) {
	t, err := a.openTable(ctx, calc, b.Target.Table, false)
	if err != nil {
		return err
	}
	defer joined(&err, t.Close)
	info, err := t.Info(ctx)
	if err != nil {
		return err
	}
	if info.LedgerHidden {
		info.Identity.Ledger = b.Target.Ledger // the writing role will tell
	}
	return apply.SameTarget(b, info, false)
}

func againCommand(p *recount.Plan) string {
	return "recount plan " + p.Body.Calculation + " " + strings.Join(p.Body.AskedFlags(), " ")
}

func redControl(b recount.PlanBody, file string) error {
	c := b.Control
	if len(c.Reasons) > 0 && c.Reasons[0].Line != "" {
		return incident.RedReason(c, fmt.Sprintf("%s, calculation %s", file, b.Calculation))
	}
	return &recount.Error{
		Code: recount.CodeControl, What: "the control window is red", Where: fmt.Sprintf("%s, calculation %s", file, b.Calculation),
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
	switch {
	case typed == "":
		why = "a write needs the table's name, so that no script changes the wrong one"
	case strings.Contains(table, ","):
		why = fmt.Sprintf("the tables are %q, %q was given", table, typed)
	}
	return &recount.Error{
		Code: recount.CodeConfirm, What: "the write was not confirmed", Where: "recount " + command, Why: why,
		Next: fmt.Sprintf("recount %s --confirm %s", command, table),
	}
}

// Runs lists the runs of all targets, newest first, those of several tables
// once. Targets that have no ledger have no runs.
func (a *App) Runs(ctx context.Context) ([]recount.Run, error) {
	var all []recount.Run
	err := a.eachTarget(ctx, func(_ config.Calculation, runs []recount.Run) {
		all = append(all, runs...)
	})
	slices.SortStableFunc(all, func(x, y recount.Run) int { return y.At.Compare(x.At) })
	whole := map[string]bool{}
	for _, run := range all {
		whole[run.ID] = true
	}
	all = slices.DeleteFunc(all, func(run recount.Run) bool {
		id := recount.WholeID(run.ID)
		return id != run.ID && whole[id]
	})
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
	id = recount.WholeID(id)
	err := a.eachTarget(ctx, func(calc config.Calculation, runs []recount.Run) {
		for _, run := range runs {
			part := recount.WholeID(run.ID) != run.ID
			if strings.HasPrefix(run.ID, id) && id != "" && !part && !slices.ContainsFunc(found, func(f recount.Run) bool { return f.ID == run.ID }) {
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

// RollbackTable returns the name that must be typed to roll the run back: that
// of its table, those of several joined by commas.
func (a *App) RollbackTable(ctx context.Context, run string) (string, error) {
	_, found, err := a.findRun(ctx, run)
	return strings.Join(found.AllTables(), ","), err
}

// Rollback takes a run back by a plan made from its undo record: rows that moved
// since are left and listed.
func (a *App) Rollback(ctx context.Context, req RollbackRequest) (receipt recount.Receipt, err error) {
	began := a.now()
	calc, run, err := a.findRun(ctx, req.Run)
	if err != nil {
		return receipt, err
	}
	if err := confirmed(strings.Join(run.AllTables(), ","), req.Confirm, "rollback "+req.Run); err != nil {
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
	tables, err := a.runTables(ctx, calc, run)
	if err != nil {
		return receipt, err
	}
	p, err := plan.Rollback(tables)
	if err != nil {
		return receipt, err
	}
	p.Header = recount.PlanHeader{Made: began, Expires: began.Add(planLife), By: a.opts.User, Program: a.opts.Program}
	if err := plan.Seal(p); err != nil {
		return receipt, err
	}
	receipt, err = apply.Run(ctx, t, p, apply.Options{By: a.opts.User, Now: began, Progress: a.opts.Progress, Beside: a.beside(calc)})
	receipt.TookMS = a.now().Sub(began).Milliseconds()
	return receipt, err
}

// runTables reads what the ledger holds of a run, table by table.
func (a *App) runTables(ctx context.Context, calc config.Calculation, run recount.Run) ([]plan.RunTable, error) {
	var out []plan.RunTable
	for i, table := range run.AllTables() {
		t, err := a.runTable(ctx, calc, table, recount.PartID(run.ID, i+1))
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

func (a *App) runTable(ctx context.Context, calc config.Calculation, table, id string) (out plan.RunTable, err error) {
	t, err := a.openTable(ctx, calc, table, true)
	if err != nil {
		return out, err
	}
	defer joined(&err, t.Close)
	if out.Info, err = t.Info(ctx); err != nil {
		return out, err
	}
	runs, err := t.Runs(ctx)
	if err != nil {
		return out, err
	}
	i := slices.IndexFunc(runs, func(r recount.Run) bool { return r.ID == id })
	if i < 0 {
		return out, &recount.Error{
			Code: recount.CodeNoRun, What: fmt.Sprintf("run %s cannot be rolled back", recount.WholeID(id)), Where: out.Info.Identity.Place + " " + table,
			Why: "the ledger of this table does not have its part of the run", Next: "recount runs lists the runs; look whether the table was renamed",
		}
	}
	out.Run = runs[i]
	err = t.Undo(ctx, id, func(c recount.Change) error {
		out.Undo = append(out.Undo, c)
		return nil
	})
	return out, err
}

// ScriptRequest asks for a plan that is to be run by hand.
type ScriptRequest struct {
	File      string
	Overrides Overrides
}

// Scripted is a plan that may be run by hand.
type Scripted struct {
	Plan *recount.Plan
	File string
	// Overrides are the flags that the run records.
	Overrides []string
}

// Script reads a plan back and refuses it where apply would, as far as the plan
// alone tells: no target is opened.
func (a *App) Script(_ context.Context, req ScriptRequest) (Scripted, error) {
	p, err := a.loadPlan(req.File)
	if err != nil {
		return Scripted{}, err
	}
	if expired(p, a.now()) {
		return Scripted{}, hasExpired(p, req.File)
	}
	overrides, err := overridden(p, ApplyRequest{File: req.File, Overrides: req.Overrides})
	if err != nil {
		return Scripted{}, err
	}
	for _, part := range p.Parts() {
		if n := part.Body.Rows.Writes(); n > part.Body.MaxChanges {
			return Scripted{}, &recount.Error{
				Code: recount.CodeLimit, What: "the plan changes more rows than its limit", Where: fmt.Sprintf("%s, table %s", req.File, part.Body.Target.Table),
				Why:  fmt.Sprintf("it changes %d rows, the limit is %d", n, part.Body.MaxChanges),
				Next: "raise limits: {changes: …} in recount.yaml and plan again, if so many changes are meant",
			}
		}
	}
	return Scripted{Plan: p, File: req.File, Overrides: overrides}, nil
}
