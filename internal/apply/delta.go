package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"recount"
)

// errNoNumber says that a row holds nothing to which a delta can be added.
var errNoNumber = errors.New("there is no number to add to")

// resolve locks the rows of a table that is written by delta and turns each
// planned change into one on what the row holds by now. It returns those whose
// row is not explained, gone or taken; place is the table's place in the plan.
func (r *runner) resolve(ctx context.Context, place int, p *part) (moved []recount.Change, err error) {
	now, err := p.lockRows(ctx)
	if err != nil {
		return nil, err
	}
	var explained Explained
	if place < len(r.opts.Explained) && p.body.Kind == recount.PlanApply {
		explained = r.opts.Explained[place]
	}
	refuse, err := p.unexplained(ctx, explained, now)
	if err != nil {
		return nil, err
	}
	kept := p.writes[:0:0]
	for _, c := range p.writes {
		rows := now[recount.KeyText(c.Key)]
		stays := p.body.Kind == recount.PlanApply && explained == nil
		if refuse[recount.KeyText(c.Key)] || len(rows) > 1 || stays && !asPlanned(c, rows) {
			moved = append(moved, c)
			kept = append(kept, c)
			continue
		}
		d, err := p.onto(c, rows)
		switch {
		case errors.Is(err, errNoNumber):
			moved = append(moved, c)
			kept = append(kept, c)
		case err != nil:
			return nil, err
		default:
			kept = append(kept, d)
		}
	}
	p.writes = kept
	return moved, nil
}

// lockRows locks the rows of all changes and returns them by key.
func (p *part) lockRows(ctx context.Context) (map[string][][]recount.Value, error) {
	now := make(map[string][][]recount.Value, len(p.writes))
	err := p.tx.Lock(ctx, p.key, p.columns, keysOf(p.writes), func(row recount.Row) error {
		text := recount.KeyText(row.Key)
		now[text] = append(now[text], row.Values)
		return nil
	})
	return now, err
}

// unexplained asks which of the locked rows the hypothesis does not explain.
func (p *part) unexplained(ctx context.Context, explained Explained, now map[string][][]recount.Value) (map[string]bool, error) {
	if explained == nil {
		return nil, nil
	}
	var rows []recount.Row
	for _, c := range p.writes {
		for _, values := range now[recount.KeyText(c.Key)] {
			rows = append(rows, recount.Row{Key: c.Key, Values: values[:len(p.body.Columns):len(p.body.Columns)]})
		}
	}
	if len(rows) == 0 {
		return nil, nil
	}
	keys, err := explained(ctx, rows)
	out := make(map[string]bool, len(keys))
	for _, key := range keys {
		out[recount.KeyText(key)] = true
	}
	return out, err
}

// asPlanned says whether the row of a change still holds its before-image.
func asPlanned(c recount.Change, rows [][]recount.Value) bool {
	if c.Before == nil {
		return len(rows) == 0
	}
	return len(rows) == 1 && slices.Equal(rows[0][:len(c.Before)], c.Before)
}

// onto is the change on the row as it is now. A row that is to be inserted, and
// that live traffic made meanwhile, gets the difference added; one that is to be
// deleted again, and that traffic has added to, loses it.
func (p *part) onto(c recount.Change, rows [][]recount.Value) (recount.Change, error) {
	switch {
	case asPlanned(c, rows): // its images, byte for byte
		return c, nil
	case len(rows) == 0:
		return c, errNoNumber
	}
	n := len(p.body.Columns)
	before := rows[0][:n:n]
	d := recount.Change{Action: recount.ActionUpdate, Key: c.Key, Before: before, After: slices.Clone(before), Cause: c.Cause, Delta: c.Delta, At: c.At}
	for i, delta := range c.Delta {
		if p.columns[i] == p.body.Bump {
			delta = recount.Text("1")
		}
		if delta.Null {
			continue
		}
		var err error
		if d.After[i], err = p.plus(c, i, before[i], delta); err != nil {
			return d, err
		}
	}
	return d, nil
}

// plus adds exactly, to NULL as to zero, and refuses a sum that the column does
// not hold as it is.
func (p *part) plus(c recount.Change, i int, now, delta recount.Value) (recount.Value, error) {
	if now.Null {
		now = recount.Text("0")
	}
	sum, err := recount.Sum(now.Text, delta.Text)
	if err != nil {
		return now, errNoNumber
	}
	column, _ := p.info.Column(p.columns[i])
	text := sum
	if column.Type.Kind == recount.KindInt64 && strings.Contains(text, ".") {
		text = strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
	}
	v, err := column.Fit(column.Type, recount.Text(text))
	if err == nil && !recount.SameNumber(v.Text, sum) {
		err = fmt.Errorf("%s in column %s: %w: %w", sum, column.Name, recount.ErrInexact, recount.ErrDoesNotFit)
	}
	if err != nil {
		return v, p.doesNotFit(fmt.Sprintf("row %s holds %s, and %s is to be added", ShowKeys([][]recount.Value{c.Key}), now, delta), err)
	}
	return v, nil
}
