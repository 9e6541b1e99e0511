package incident

import (
	"context"
	"errors"
	"slices"

	"recount"
	"recount/engine"
)

// course is what a logic has after each event of the row.
type course struct {
	// at has an entry for each of the row's events, nil where no run told it.
	at []*made
}

// after is what one of the two logics, the right one (0) or the other (1), has after
// event i. A fold tells it of all events by one run; else it is replayed up to each.
func (e *explaining) after(ctx context.Context, which, i int) (made, error) {
	v, repeats := e.right, false
	if which == 1 {
		v, repeats = e.under.Variant, e.repeats()
	}
	if e.courses[which] == nil {
		c, err := e.course(ctx, v, repeats)
		if err != nil {
			return made{}, err
		}
		e.courses[which] = c
	}
	if at := e.courses[which].at; i >= 0 && at[i] != nil {
		return *at[i], nil
	}
	got, _, err := e.run(ctx, v, e.upTo(i+1, repeats))
	return got, err
}

// course follows a fold along the row's events.
func (e *explaining) course(ctx context.Context, v engine.Variant, repeats bool) (*course, error) {
	c := &course{at: make([]*made, len(e.events))}
	counted := e.upTo(len(e.events), repeats)
	if !v.Logic.Fold() || len(counted) == 0 {
		return c, nil
	}
	q := engine.StatesQuery{Keys: [][]recount.Value{e.rowKey()}}
	for _, ev := range counted {
		q.Along = append(q.Along, ev.Seq)
	}
	found, err := e.follow(ctx, v, q)
	if errors.Is(err, recount.ErrUnsupported) {
		return c, nil
	}
	if err != nil {
		return nil, err
	}
	var last *made
	for i, ev := range e.events {
		if got, ok := found[ev.Seq]; ok {
			last = &got
		}
		if last == nil { // the row that there is before any of them
			before, _, err := e.run(ctx, v, nil)
			if err != nil {
				return nil, err
			}
			last = &before
		}
		c.at[i] = last
	}
	return c, nil
}

// follow reads what stands after each event that the variant sees, by seq, with the
// state where the logic gives it.
func (e *explaining) follow(ctx context.Context, v engine.Variant, q engine.StatesQuery) (found map[int64]made, err error) {
	with := v
	with.Columns = append(slices.Clone(v.Columns), recount.StateColumn)
	states, err := e.session.States(ctx, with, q)
	stated := !errors.Is(err, recount.ErrUnsupported)
	if !stated {
		states, err = e.session.States(ctx, v, q)
	}
	if err != nil {
		return nil, err
	}
	defer joined(&err, states.Close)
	found = map[int64]made{}
	for {
		one, ok := states.Next()
		if !ok {
			return found, states.Err()
		}
		found[one.Seq] = asMade(one.Values, stated)
	}
}

// asMade takes the state out of a row's values, where it stands behind them.
func asMade(values []recount.Value, stated bool) (got made) {
	if got.row = slices.Clone(values); !stated || values == nil {
		return got
	}
	last := len(got.row) - 1
	if state := got.row[last]; !state.Null {
		got.state = &state.Text
	}
	got.row = got.row[:last:last]
	return got
}
