package plan

import (
	"fmt"

	"recount"
)

// Check says whether the plan is whole: its counts are those of its changes, its
// causes add up, and every change has the images that its action needs. Apply
// relies on it.
func Check(p *recount.Plan) error {
	var rows recount.RowCounts
	var causes int64
	for i, c := range p.Changes {
		if err := checkChange(p, c); err != nil {
			return fmt.Errorf("change %d: %w", i+1, err)
		}
		rows.Add(c.Action)
	}
	rows.Checked += p.Body.Rows.Right
	rows.Right = p.Body.Rows.Right
	if rows != p.Body.Rows {
		return fmt.Errorf("its counts %+v are not those of its changes %+v", p.Body.Rows, rows)
	}
	for _, c := range p.Body.Causes {
		causes += c.Rows
	}
	if p.Body.Kind == recount.PlanApply && causes != rows.Writes() {
		return fmt.Errorf("its causes add up to %d, its written rows to %d", causes, rows.Writes())
	}
	e := p.Body.Events
	if e.Read != e.Used+e.Duplicates+e.Quarantined+e.Outside {
		return fmt.Errorf("its events do not add up: %+v", e)
	}
	return nil
}

func checkChange(p *recount.Plan, c recount.Change) error {
	if len(c.Key) != len(p.Body.Key) {
		return fmt.Errorf("its key has %d parts, not %d", len(c.Key), len(p.Body.Key))
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
		if image != nil && len(image) != len(p.Body.Columns) {
			return fmt.Errorf("an image has %d columns, not %d", len(image), len(p.Body.Columns))
		}
	}
	return nil
}

// Writes returns the changes that an apply carries out, in key order.
func Writes(p *recount.Plan) []recount.Change {
	var out []recount.Change
	for _, c := range p.Changes {
		if c.Action.Writes() {
			out = append(out, c)
		}
	}
	return out
}
