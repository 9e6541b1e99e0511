package apply

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"recount"
	"recount/target"
)

// part is one table of the plan on its way through the steps.
type part struct {
	n       int // counted from 1
	body    *recount.PlanBody
	tx      target.Tx
	info    recount.TableInfo
	key     []string
	columns []string         // those of the plan, then those that an insert fills
	writes  []recount.Change // what is written, in key order
	after   [][]recount.Value
	left    [][]recount.Value
}

func partsOf(p *recount.Plan) []*part {
	var out []*part
	for i, of := range p.Parts() {
		own := &part{n: i + 1, body: &of.Body, key: names(of.Body.Key), columns: names(of.Body.Columns)}
		for _, f := range of.Body.Filled {
			own.columns = append(own.columns, f.Column)
		}
		for _, c := range of.Changes {
			if c.Action.Writes() {
				own.writes = append(own.writes, c)
			}
		}
		out = append(out, own)
	}
	return out
}

func names(columns []recount.PlanColumn) []string {
	out := make([]string, len(columns))
	for i, c := range columns {
		out[i] = c.Name
	}
	return out
}

func (p *part) table() string { return p.body.Target.Table }

// fill adds the filled columns to what an apply inserts. A rollback's images
// have them already, where the row had been filled.
func (p *part) fill() error {
	if p.body.Kind != recount.PlanApply || len(p.body.Filled) == 0 {
		return nil
	}
	var values []recount.Value
	for _, f := range p.body.Filled {
		column, ok := p.info.Column(f.Column)
		if !ok {
			return &recount.Error{
				Code: recount.CodeNoTable, What: "the table has no column " + f.Column, Where: showIdentity(p.body.Target),
				Why: "on_insert: fills it", Next: "correct on_insert: in recount.yaml, and plan again",
			}
		}
		v, err := column.Fit(column.Type, recount.Text(f.Text))
		if err != nil {
			return p.doesNotFit("on_insert: fills column "+f.Column+" with it", err)
		}
		values = append(values, v)
	}
	for i, c := range p.writes {
		if c.Action == recount.ActionInsert {
			p.writes[i].After = slices.Concat(c.After, values)
		}
	}
	return nil
}

func (p *part) doesNotFit(what string, err error) error {
	return &recount.Error{
		Code: recount.CodeDoesNotFit, What: "a value does not fit its column", Where: showIdentity(p.body.Target), Why: what + ": " + err.Error(),
		Next: "widen the column, or leave such rows out, and plan again", Err: err,
	}
}

// know fills in what only the apply knows: which run writes the row, and when.
func (p *part) know(run string, at time.Time) error {
	if p.body.Role == recount.RoleResult {
		return nil
	}
	replace := func(values []recount.Value, columns []string) ([]recount.Value, error) {
		out := slices.Clone(values)
		for i, v := range out {
			switch v.Text {
			case recount.RunPlaceholder:
				out[i] = recount.Text(run)
			case recount.AtPlaceholder:
				// Whole seconds: any column of times can hold them.
				column, _ := p.info.Column(columns[i])
				text := recount.FormatTimestamp(at.UTC().Truncate(time.Second))
				if column.Type.Kind == recount.KindDate {
					text = at.UTC().Format(time.DateOnly)
				}
				fitted, err := column.Fit(column.Type, recount.Text(text))
				if err != nil {
					return nil, p.doesNotFit("the moment of the run in column "+columns[i], err)
				}
				out[i] = fitted
			}
		}
		return out, nil
	}
	for i, c := range p.writes {
		var err error
		if p.writes[i].Key, err = replace(c.Key, p.key); err != nil {
			return err
		}
		if c.After == nil {
			continue
		}
		if p.writes[i].After, err = replace(c.After, p.columns); err != nil {
			return err
		}
	}
	return nil
}

// afterward turns a change into one whose before-image is what the change left
// behind, to ask whether that is still so.
func afterward(c recount.Change) recount.Change {
	switch c.Action {
	case recount.ActionDelete:
		return recount.Change{Action: recount.ActionInsert, Key: c.Key, After: c.Before}
	case recount.ActionInsert:
		return recount.Change{Action: recount.ActionDelete, Key: c.Key, Before: c.After}
	case recount.ActionUpdate, recount.ActionExtra, recount.ActionHeld, recount.ActionExcluded:
	}
	return recount.Change{Action: c.Action, Key: c.Key, Before: c.After, After: c.Before}
}

// group is changes of one action and one width: what a target takes at once.
type group struct {
	columns []string
	changes []recount.Change
}

// groups lists the changes of an action, those with filled columns apart.
func (p *part) groups(changes []recount.Change, a recount.Action) []group {
	byWidth := map[int][]recount.Change{}
	for _, c := range changes {
		if c.Action == a {
			w := p.width(c)
			byWidth[w] = append(byWidth[w], c)
		}
	}
	var out []group
	for _, w := range slices.Sorted(maps.Keys(byWidth)) {
		out = append(out, group{p.columns[:w], byWidth[w]})
	}
	return out
}

// width is how many columns a change's images have.
func (p *part) width(c recount.Change) int {
	return min(max(len(c.Before), len(c.After)), len(p.columns))
}

// actions is the order of writing: what frees a key comes before what takes it.
var actions = []recount.Action{recount.ActionDelete, recount.ActionUpdate, recount.ActionInsert}

// moved asks the transaction which of the changes no longer find their row as it
// was.
func (p *part) moved(ctx context.Context, changes []recount.Change) ([]recount.Change, error) {
	var moved []recount.Change
	for _, a := range actions {
		for _, g := range p.groups(changes, a) {
			m, err := p.tx.Moved(ctx, p.key, g.columns, g.changes)
			if err != nil {
				return nil, err
			}
			moved = append(moved, m...)
		}
	}
	return moved, nil
}

// leave drops rows from a rollback and lists them.
func (p *part) leave(moved []recount.Change) {
	gone := map[string]bool{}
	for _, c := range moved {
		if text := recount.KeyText(c.Key); !gone[text] {
			gone[text] = true
			p.left = append(p.left, c.Key)
		}
	}
	p.writes = slices.DeleteFunc(p.writes, func(c recount.Change) bool { return gone[recount.KeyText(c.Key)] })
}

// entriesGone lists, in a rollback of adjustments, the opposite entries whose
// first one is no longer there with its amounts: nothing is left to be answered.
func (p *part) entriesGone(ctx context.Context) ([]recount.Change, error) {
	e := p.body.Entry
	if p.body.Role != recount.RoleAdjust || e == nil || len(p.writes) == 0 {
		return nil, nil
	}
	run := slices.Index(p.key, e.Run)
	if run < 0 {
		return nil, errors.New("the run is no part of the entries' key")
	}
	keys := make([][]recount.Value, len(p.writes))
	for i, c := range p.writes {
		keys[i] = slices.Clone(c.Key)
		keys[i][run] = recount.Text(recount.WholeID(p.body.Run))
	}
	found := map[string][]recount.Value{}
	err := p.tx.Read(ctx, p.key, e.Amounts, keys, func(row recount.Row) error {
		found[recount.KeyText(row.Key)] = row.Values
		return nil
	})
	if err != nil {
		return nil, err
	}
	var gone []recount.Change
	for i, c := range p.writes {
		amounts, ok := found[recount.KeyText(keys[i])]
		for j, name := range e.Amounts {
			ok = ok && answers(amounts[j], c.After[slices.Index(p.columns, name)])
		}
		if !ok {
			gone = append(gone, c)
		}
	}
	return gone, nil
}

// answers says whether two amounts cancel each other.
func answers(a, b recount.Value) bool {
	if a.Null || b.Null {
		return a == b
	}
	sum, err := recount.Sum(a.Text, b.Text)
	return err == nil && recount.SameNumber(sum, "0")
}

// ordered sorts tables so that those to which foreign keys lead come before
// those from which they lead. Tables in a circle keep the plan's order, and the
// note says so.
func ordered(parts []*part) (order []*part, note string) {
	left := slices.Clone(parts)
	for len(left) > 0 {
		free := slices.IndexFunc(left, func(p *part) bool {
			return !slices.ContainsFunc(left, func(other *part) bool {
				return other != p && slices.Contains(p.info.References, other.table())
			})
		})
		if free < 0 {
			var circle []string
			for _, p := range left {
				circle = append(circle, p.table())
			}
			note = fmt.Sprintf("foreign keys lead in a circle between %s: they were written in the plan's order", strings.Join(circle, ", "))
			return append(order, left...), note
		}
		order = append(order, left[free])
		left = slices.Delete(left, free, free+1)
	}
	return order, ""
}
