package plan

import (
	"errors"
	"fmt"
	"slices"

	"recount"
)

// Check says whether the plan is whole: each table's counts are those of its
// changes, its causes add up, every change has the images that its action needs,
// a delta leads from one to the other, and all tables are of one database. Apply
// relies on it.
func Check(p *recount.Plan) error {
	parts := p.Parts()
	for i, of := range parts {
		if err := checkPart(of); err != nil {
			if len(parts) > 1 {
				return fmt.Errorf("table %s: %w", of.Body.Target.Table, err)
			}
			return err
		}
		if err := checkBeside(parts[:i], of); err != nil {
			return err
		}
	}
	return nil
}

// checkBeside checks a part against those before it.
func checkBeside(before []recount.PlanPart, of recount.PlanPart) error {
	if len(before) == 0 {
		return nil
	}
	main, own := before[0].Body, of.Body
	here := main.Target
	here.Table = own.Target.Table
	if here != own.Target || main.Kind != own.Kind {
		return fmt.Errorf("table %s is not of the plan's database or kind", own.Target.Table)
	}
	for _, b := range before {
		if b.Body.Target.Table == own.Target.Table {
			return fmt.Errorf("table %s stands in it twice", own.Target.Table)
		}
	}
	return nil
}

func checkPart(of recount.PlanPart) error {
	b := &of.Body
	if err := checkColumns(b); err != nil {
		return err
	}
	var rows recount.RowCounts
	var causes int64
	for i, c := range of.Changes {
		if err := checkChange(b, c); err != nil {
			return fmt.Errorf("change %d: %w", i+1, err)
		}
		rows.Add(c.Action)
		if c.Adjusted {
			rows.Adjusted++
		}
	}
	rows.Checked += b.Rows.Right
	rows.Right = b.Rows.Right
	if rows != b.Rows {
		return fmt.Errorf("its counts %+v are not those of its changes %+v", b.Rows, rows)
	}
	for _, c := range b.Causes {
		causes += c.Rows
	}
	if b.Kind == recount.PlanApply && causes != rows.Writes()+rows.Adjusted {
		return fmt.Errorf("its causes add up to %d, its written and adjusted rows to %d", causes, rows.Writes()+rows.Adjusted)
	}
	e := b.Events
	if e.Read != e.Used+e.Duplicates+e.Quarantined+e.Outside {
		return fmt.Errorf("its events do not add up: %+v", e)
	}
	return nil
}

// checkColumns checks the columns that have a part of their own.
func checkColumns(b *recount.PlanBody) error {
	has := func(columns []recount.PlanColumn, name string) bool {
		return slices.ContainsFunc(columns, func(c recount.PlanColumn) bool { return c.Name == name })
	}
	if b.Bump != "" && (len(b.Columns) == 0 || b.Columns[len(b.Columns)-1].Name != b.Bump) {
		return fmt.Errorf("column %s counts versions, and is not the last", b.Bump)
	}
	for _, f := range b.Filled {
		if has(b.Key, f.Column) || has(b.Columns, f.Column) {
			return fmt.Errorf("column %s is filled, and written too", f.Column)
		}
	}
	if b.Role != recount.RoleAdjust {
		return nil
	}
	if b.Entry == nil || !has(b.Key, b.Entry.Run) {
		return errors.New("its entries do not have the run in their key")
	}
	for _, name := range b.Entry.Amounts {
		if !has(b.Columns, name) {
			return fmt.Errorf("amount %s is no column of its entries", name)
		}
	}
	return nil
}

func checkChange(b *recount.PlanBody, c recount.Change) error {
	if len(c.Key) != len(b.Key) {
		return fmt.Errorf("its key has %d parts, not %d", len(c.Key), len(b.Key))
	}
	before, after := c.Before != nil, c.After != nil
	var ok bool
	switch c.Action {
	case recount.ActionUpdate:
		ok = before && after
	case recount.ActionInsert:
		ok = !before && after
	case recount.ActionDelete, recount.ActionExtra:
		ok = before && !after
	case recount.ActionHeld:
		ok = before || after // after is what would be right
	case recount.ActionExcluded:
		ok = !after
	default:
		return fmt.Errorf("unknown action %q", c.Action)
	}
	if !ok {
		return fmt.Errorf("action %s does not have its images", c.Action)
	}
	for _, image := range [][]recount.Value{c.Before, c.After} {
		if image != nil && len(image) != len(b.Columns) && !filledImage(b, c, image) {
			return fmt.Errorf("an image has %d columns, not %d", len(image), len(b.Columns))
		}
	}
	if err := checkRole(b, c); err != nil {
		return err
	}
	if c.Action == recount.ActionUpdate && b.Bump != "" {
		if last := len(b.Columns) - 1; !follows(c.Before[last], c.After[last]) {
			return fmt.Errorf("version %s does not follow %s", c.After[last], c.Before[last])
		}
	}
	return checkDelta(b, c)
}

// filledImage says whether an image also holds the filled columns: that of a
// row which a run inserted.
func filledImage(b *recount.PlanBody, c recount.Change, image []recount.Value) bool {
	alone := c.Action == recount.ActionInsert || c.Action == recount.ActionDelete
	return alone && b.Kind == recount.PlanRollback && len(image) == len(b.Columns)+len(b.Filled)
}

func follows(before, after recount.Value) bool {
	next, err := recount.Sum(before.Text, "1")
	return !before.Null && !after.Null && err == nil && recount.SameNumber(next, after.Text)
}

// checkRole holds marks and adjustments to inserts; a rollback deletes marks.
func checkRole(b *recount.PlanBody, c recount.Change) error {
	ok := c.Action == recount.ActionInsert || b.Role == recount.RoleMark && b.Kind == recount.PlanRollback && c.Action == recount.ActionDelete
	if b.Role != recount.RoleResult && !ok {
		return fmt.Errorf("action %s in a table of role %s", c.Action, b.Role)
	}
	return nil
}

// checkDelta checks that before plus delta is after, exactly.
func checkDelta(b *recount.PlanBody, c recount.Change) error {
	if b.Write != recount.WriteDelta {
		if c.Delta != nil {
			return errors.New("it has a delta, in a plan that sets values")
		}
		return nil
	}
	if !c.Action.Writes() {
		return nil
	}
	if len(c.Delta) != len(b.Columns) {
		return fmt.Errorf("its delta has %d columns, not %d", len(c.Delta), len(b.Columns))
	}
	if c.Action == recount.ActionDelete && b.Kind == recount.PlanApply {
		return errors.New("a delta deletes no row")
	}
	if c.Action == recount.ActionUpdate && slices.Equal(c.Before, c.After) {
		return errors.New("its delta changes nothing")
	}
	for i, d := range c.Delta {
		column := b.Columns[i].Name
		switch {
		case column == b.Bump && !d.Null:
			return fmt.Errorf("column %s counts versions, and has a delta", column)
		case column == b.Bump:
		case d.Null:
			if c.Action == recount.ActionUpdate && c.Before[i] != c.After[i] {
				return fmt.Errorf("column %s changes without a delta", column)
			}
		case !leads(image(c.Before, i), d, image(c.After, i)):
			return fmt.Errorf("column %s: %s and %s do not make %s", column, image(c.Before, i), d, image(c.After, i))
		}
	}
	return nil
}

// image is a value of an image to which a delta is added: 0 where the row is not
// there, or holds NULL.
func image(values []recount.Value, i int) recount.Value {
	if values == nil || values[i].Null {
		return recount.Text("0")
	}
	return values[i]
}

func leads(before, delta, after recount.Value) bool {
	sum, err := recount.Sum(before.Text, delta.Text)
	return err == nil && recount.SameNumber(sum, after.Text)
}

// Writes returns the changes of the plan's own table that an apply carries out,
// in key order.
func Writes(p *recount.Plan) []recount.Change {
	var out []recount.Change
	for _, c := range p.Changes {
		if c.Action.Writes() {
			out = append(out, c)
		}
	}
	return out
}
