package plan

import (
	"fmt"

	"recount"
)

// RunTable is what the ledger holds of a run's one table, and the table as it is
// now.
type RunTable struct {
	Run  recount.Run
	Info recount.TableInfo
	Undo []recount.Change // in order of their writing
}

// Rollback makes the plan that takes a run back: the same steps with before- and
// after-images changed over. What was added by a delta is taken away from what
// the row holds by then; an adjustment is answered by one of the opposite
// amounts; a version counts on. tables holds the run's own first.
func Rollback(tables []RunTable) (*recount.Plan, error) {
	p := &recount.Plan{}
	for i, t := range tables {
		body := rollbackBody(t)
		back := make([]recount.Change, 0, len(t.Undo))
		for _, c := range t.Undo {
			r, err := reverse(t.Run, c)
			if err != nil {
				return nil, fmt.Errorf("take back row %s of table %s: %w", recount.KeyText(c.Key), t.Run.Table, err)
			}
			back = append(back, r)
		}
		if i > 0 {
			AddPart(p, body, back)
			p.With[i-1].Body.MaxChanges = p.With[i-1].Body.Rows.Writes()
			continue
		}
		body.Notes = append(body.Notes, "takes back run "+t.Run.ID)
		p.Body = body
		Add(p, back)
		p.Body.MaxChanges = p.Body.Rows.Writes()
	}
	return p, nil
}

func rollbackBody(t RunTable) recount.PlanBody {
	run, info := t.Run, t.Info
	return recount.PlanBody{
		Kind: recount.PlanRollback, Calculation: run.Calculation, Window: run.Window, Asked: run.Window, Touched: -1,
		Target: info.Identity, Fingerprint: info.Fingerprint, Hazards: info.Hazards, LastRun: info.LastRun,
		Key: run.Key, Columns: run.Columns, Run: run.ID, Rules: []string{}, Tried: []recount.Cause{},
		Minutes: []recount.MinuteCount{}, Notes: []string{}, Overrides: []string{},
		Role: run.Role, Write: run.Write, Bump: run.Bump, Filled: run.Filled, Entry: run.Entry,
	}
}

// reverse is the change that takes c back.
func reverse(run recount.Run, c recount.Change) (recount.Change, error) {
	if run.Role == recount.RoleAdjust {
		return opposite(run, c)
	}
	r := recount.Change{Key: c.Key, Before: c.After, After: c.Before, Cause: recount.CauseUnknown}
	switch c.Action {
	case recount.ActionInsert:
		r.Action = recount.ActionDelete
	case recount.ActionDelete:
		r.Action = recount.ActionInsert
	case recount.ActionUpdate:
		r.Action = recount.ActionUpdate
		if last := len(run.Columns) - 1; run.Bump != "" && last >= 0 && last < len(r.After) {
			// A version never goes back: whoever still holds the old one must notice.
			next, err := recount.Sum(r.Before[last].Text, "1")
			if err != nil {
				return r, err
			}
			r.After = append([]recount.Value{}, r.After...)
			r.After[last] = recount.Text(next)
		}
	case recount.ActionExtra, recount.ActionHeld, recount.ActionExcluded:
		r.Action = c.Action // never written, so never in an undo record
	}
	if run.Write != recount.WriteDelta {
		return r, nil
	}
	var err error
	r.Delta, err = between(run, r)
	return r, err
}

// between is the delta that leads from a change's before- to its after-image.
func between(run recount.Run, c recount.Change) ([]recount.Value, error) {
	out := make([]recount.Value, len(run.Columns))
	for i, column := range run.Columns {
		out[i] = recount.Null
		t, err := recount.ParseType(column.Type)
		b, a := image(c.Before, i), image(c.After, i)
		if err != nil || !t.Numeric() || column.Name == run.Bump || b == a {
			continue
		}
		minus, err := recount.Negated(b.Text)
		if err != nil {
			return nil, err
		}
		sum, err := recount.Sum(a.Text, minus)
		if err != nil {
			return nil, err
		}
		out[i] = recount.Text(sum)
	}
	return out, nil
}

// opposite is the entry that answers an adjustment.
func opposite(run recount.Run, c recount.Change) (recount.Change, error) {
	r := recount.Change{Action: recount.ActionInsert, Cause: recount.CauseUnknown}
	r.Key, r.After = append([]recount.Value{}, c.Key...), append([]recount.Value{}, c.After...)
	e := run.Entry
	if e == nil {
		return r, fmt.Errorf("the ledger does not say what its columns hold")
	}
	reason := "rolls back run " + recount.WholeID(run.ID)
	for name, text := range map[string]string{e.Reason: reason, e.Run: recount.RunPlaceholder, e.At: recount.AtPlaceholder} {
		place(run, name, &r, func(recount.Value) (recount.Value, error) { return recount.Text(text), nil })
	}
	var fault error
	for _, name := range e.Amounts {
		place(run, name, &r, func(v recount.Value) (recount.Value, error) {
			if v.Null {
				return v, nil
			}
			text, err := recount.Negated(v.Text)
			if err != nil {
				fault = err
			}
			return recount.Text(text), err
		})
	}
	return r, fault
}

// place replaces the value of a column, wherever it stands.
func place(run recount.Run, name string, c *recount.Change, by func(recount.Value) (recount.Value, error)) {
	if name == "" {
		return
	}
	for i, column := range run.Key {
		if column.Name == name {
			c.Key[i], _ = by(c.Key[i])
		}
	}
	for i, column := range run.Columns {
		if column.Name == name && i < len(c.After) {
			c.After[i], _ = by(c.After[i])
		}
	}
}
