package app

import (
	"context"
	"errors"
	"slices"

	"recount"
	"recount/internal/app/incident"
	"recount/internal/config"
	"recount/internal/plan"
	"recount/target"
)

// RunChecked is what became of the rows that a run wrote in one table.
type RunChecked struct {
	Run         string
	Table       string
	Calculation string
	Rows        int64
	Stand       int64 // still read as written
	MovedOn     int64 // read otherwise, and are right
	// Overwritten are the keys of rows that are wrong again: as they were before
	// the run, or as a hypothesis gives them. Changed are those of rows that
	// read otherwise and that nothing explains.
	Overwritten [][]recount.Value
	Changed     [][]recount.Value
	// Note says what could not be looked at; empty: nothing.
	Note string
}

// CheckRequest asks what became of the rows of a run.
type CheckRequest struct {
	Run string
	// As is the version of the logic that is to be run for all events; empty: as
	// the run's plan was made.
	As string
}

// CheckRun looks again at the rows that a run corrected, after traffic has gone
// over them, and names the corrections that were overwritten.
func (a *App) CheckRun(ctx context.Context, req CheckRequest) ([]RunChecked, error) {
	calc, run, err := a.findRun(ctx, req.Run)
	if err != nil {
		return nil, err
	}
	tables, err := a.runTables(ctx, calc, run)
	if err != nil {
		return nil, err
	}
	var out []RunChecked
	for _, t := range tables {
		if t.Run.Role != recount.RoleResult {
			continue
		}
		if a.as = req.As; a.as == "" {
			a.as = t.Run.As
		}
		checked, err := a.checkTable(ctx, t)
		if err != nil {
			return nil, err
		}
		checked.Run = run.ID
		out = append(out, checked)
	}
	return out, nil
}

func (a *App) checkTable(ctx context.Context, t plan.RunTable) (out RunChecked, err error) {
	out = RunChecked{Table: t.Run.Table, Calculation: t.Run.Calculation, Rows: int64(len(t.Undo))}
	calc, err := a.Project.Calculation(t.Run.Calculation)
	if err != nil {
		return out, err
	}
	now, err := a.rowsNow(ctx, calc, t)
	if err != nil {
		return out, err
	}
	var other []recount.Change
	for _, c := range t.Undo {
		if slices.Equal(now[recount.KeyText(c.Key)], c.After) {
			out.Stand++
			continue
		}
		other = append(other, c)
	}
	switch {
	case len(other) == 0:
		return out, nil
	case t.Run.RolledBack != "":
		out.Note = "run " + recount.WholeID(t.Run.RolledBack) + " took it back, so its rows read otherwise"
		return out, nil
	case t.Run.Kind == recount.PlanRollback:
		out.Note = "a rollback writes what was before, so rows that read otherwise by now are not told to be right or wrong"
		return out, nil
	}
	again, err := a.changesNow(ctx, t.Run)
	if e, ok := errors.AsType[*recount.Error](err); ok && e.Code == recount.CodeNoCut {
		again, out.Note = nil, "how far the rows are by now is not known, so those that moved on are not told from changed ones: "+e.Why
	} else if err != nil {
		return out, err
	}
	for _, c := range other {
		change, wrong := again[recount.KeyText(c.Key)]
		before := slices.Equal(now[recount.KeyText(c.Key)], c.Before)
		switch {
		case before || wrong && change.Cause != recount.CauseUnknown && change.Cause != "":
			out.Overwritten = append(out.Overwritten, c.Key)
		case wrong || again == nil:
			out.Changed = append(out.Changed, c.Key)
		default:
			out.MovedOn++
		}
	}
	return out, nil
}

// rowsNow reads the rows of a run as they are now, by their key's text; nil where
// there is none.
func (a *App) rowsNow(ctx context.Context, calc config.Calculation, t plan.RunTable) (rows map[string][]recount.Value, err error) {
	live, err := a.openTarget(ctx, calc, false)
	if err != nil {
		return nil, err
	}
	defer joined(&err, live.Close)
	keys := make([][]recount.Value, len(t.Undo))
	for i, c := range t.Undo {
		keys[i] = c.Key
	}
	columns := planNames(t.Run.Columns)
	for _, f := range t.Run.Filled {
		columns = append(columns, f.Column)
	}
	rows = map[string][]recount.Value{}
	scan := target.Scan{Key: planNames(t.Run.Key), Columns: columns, Window: t.Run.Window, Keys: keys}
	filled := map[string]bool{}
	for _, c := range t.Undo {
		filled[recount.KeyText(c.Key)] = len(c.After) > len(t.Run.Columns)
	}
	return rows, live.Scan(ctx, scan, func(row recount.Row) error {
		text := recount.KeyText(row.Key)
		if rows[text] = row.Values; !filled[text] {
			rows[text] = row.Values[:len(t.Run.Columns)]
		}
		return nil
	})
}

func planNames(columns []recount.PlanColumn) []string {
	out := make([]string, len(columns))
	for i, c := range columns {
		out[i] = c.Name
	}
	return out
}

// changesNow plans the run's window again and returns the rows that are wrong by
// now, by their key's text.
func (a *App) changesNow(ctx context.Context, run recount.Run) (map[string]recount.Change, error) {
	asked := run.Asked
	if asked.From.IsZero() && asked.To.IsZero() { // a run of an older version
		asked = run.Window
	}
	hits, err := incident.PlannedHits(host{a}, recount.PlanBody{Asked: asked, Positions: run.Positions, IDs: run.IDs})
	if err != nil {
		return nil, err
	}
	r, err := incident.Prepare(ctx, host{a}, run.Calculation, hits)
	if err != nil {
		return nil, err
	}
	if err := r.ReadCut(ctx, ""); err != nil {
		return nil, err
	}
	p, err := incident.Plan(ctx, []*incident.Incident{r}, Overrides{AllowEmpty: true, AcceptTwoWay: true, WithoutQuarantined: true})
	if err != nil {
		return nil, err
	}
	out := map[string]recount.Change{}
	for _, c := range p.Changes {
		if c.Action != recount.ActionExcluded {
			out[recount.KeyText(c.Key)] = c
		}
	}
	return out, nil
}
