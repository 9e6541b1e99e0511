package incident

import (
	"context"
	"errors"
	"slices"

	"recount"
	"recount/engine"
	"recount/internal/replay"
)

// made is what one logic has after some events: the row, nil where it makes none,
// and what a fold remembers, nil where it is none.
type made struct {
	row   []recount.Value
	state *string
}

// run replays just these events under a variant and returns what stands after
// them, and whether other rows came out too.
func (e *explaining) run(ctx context.Context, v engine.Variant, events []engine.ReplayEvent) (got made, others bool, err error) {
	v.Only = make([]int64, len(events))
	for i, ev := range events {
		v.Only[i] = ev.Seq
	}
	rows, stated, err := e.open(ctx, v)
	if err != nil {
		return got, false, err
	}
	defer joined(&err, rows.Close)
	for {
		row, ok := rows.Next()
		if !ok {
			return got, others, rows.Err()
		}
		if recount.KeyText(row.Key) != e.key {
			others = true
			continue
		}
		got = asMade(row.Values, stated)
	}
}

// open runs a variant, with the state beside each row where its logic gives it.
func (e *explaining) open(ctx context.Context, v engine.Variant) (rows engine.Rows, stated bool, err error) {
	if v.Logic.Fold() && !e.mute[v.Logic.Digest] {
		with := v
		with.Columns = append(slices.Clone(v.Columns), recount.StateColumn)
		rows, err = e.session.Run(ctx, with)
		if !errors.Is(err, recount.ErrUnsupported) {
			return rows, true, err
		}
		if e.mute == nil {
			e.mute = map[string]bool{}
		}
		e.mute[v.Logic.Digest] = true
	}
	rows, err = e.session.Run(ctx, v)
	return rows, false, err
}

// steps replays the row after each event, and after all.
func (e *explaining) steps(ctx context.Context) error {
	if e.under = e.hypothesis(); e.under != nil {
		e.out.Against = string(e.under.Cause)
	}
	whole, err := e.after(ctx, 0, len(e.events)-1)
	if err != nil {
		return err
	}
	e.out.Result = whole.row
	if e.under != nil {
		under, err := e.after(ctx, 1, len(e.events)-1)
		if err != nil {
			return err
		}
		e.out.Under = under.row
	}
	for _, ev := range e.events {
		e.out.Steps = append(e.out.Steps, e.step(ev))
	}
	for i := range e.events {
		if e.every || i < mostStepped/2 || i >= len(e.events)-mostStepped/2 {
			if err := e.fill(ctx, i); err != nil {
				return err
			}
		}
	}
	if err := e.parting(ctx); err != nil {
		return err
	}
	for i, ev := range e.events {
		e.out.Steps[i].Note = e.note(ev, e.out.Steps[i], i)
	}
	e.out.Alone, err = e.alone(ctx)
	return err
}

// step is an event that was not replayed yet.
func (e *explaining) step(ev engine.ReplayEvent) ExplainStep {
	return ExplainStep{
		Seq: ev.Seq, ID: ev.ID, Time: ev.Time, Partition: ev.Partition, Position: ev.Position, Fields: e.fields(ev), Skipped: true,
		Counted: ev.Mark == "" || ev.Mark == recount.MarkRepeat && !e.right.Dedupe,
	}
}

// fill replays the row up to and with event i.
func (e *explaining) fill(ctx context.Context, i int) error {
	step := &e.out.Steps[i]
	if !step.Skipped {
		return nil
	}
	right, err := e.after(ctx, 0, i)
	if err != nil {
		return err
	}
	step.Values, step.State, step.Skipped = right.row, right.state, false
	if e.under == nil {
		return nil
	}
	under, err := e.after(ctx, 1, i)
	step.Under, step.UnderState = under.row, under.state
	return err
}

// aroundParting is how many steps are replayed before and after a parting.
const aroundParting = 3

// parting finds the step at which the two logics part in the middle of a long
// history, where not every step is replayed: halves are looked at in turn.
func (e *explaining) parting(ctx context.Context) error {
	if e.under == nil {
		return nil
	}
	steps := e.out.Steps
	same := slices.IndexFunc(steps, func(s ExplainStep) bool { return s.Skipped }) - 1
	if same < 0 || slices.ContainsFunc(steps[:same+1], ExplainStep.Part) {
		return nil
	}
	apart := same + 1 + slices.IndexFunc(steps[same+1:], func(s ExplainStep) bool { return !s.Skipped })
	if !steps[apart].Part() {
		return nil
	}
	for apart-same > 1 {
		half := same + (apart-same)/2
		if err := e.fill(ctx, half); err != nil {
			return err
		}
		if steps[half].Part() {
			apart = half
		} else {
			same = half
		}
	}
	for i := max(apart-aroundParting, 0); i < min(apart+aroundParting, len(steps)); i++ {
		if err := e.fill(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

// hypothesis is the one that the row's cause names, else the previous logic where
// it is given; nil where there is neither, or its logic is not here.
func (e *explaining) hypothesis() *replay.Hypothesis {
	if c := e.out.Change; c.Cause.Single() {
		i := slices.IndexFunc(e.events, func(ev engine.ReplayEvent) bool { return eventName(ev) == c.Event })
		if i < 0 {
			return nil
		}
		v := e.right
		singled(&v, c.Cause, e.events[i:i+1])
		return &replay.Hypothesis{Cause: c.Cause, Variant: v}
	}
	list, _ := replay.Hypotheses(e.calc.Calculation, e.right, true, e.processed)
	for _, cause := range []recount.Cause{e.out.Change.Cause, causePrevious} {
		for _, h := range list {
			if h.Cause == cause && !h.Variant.Logic.Brought() {
				return &h
			}
		}
	}
	return nil
}

// causePrevious is the cause of rows that the previous logic made.
const causePrevious recount.Cause = "previous"

// ofBucket keeps the events of the row's bucket.
func (e *explaining) ofBucket(events []engine.ReplayEvent) []engine.ReplayEvent {
	if !e.bucketed() {
		return events
	}
	at, err := e.bucketTime(e.rowKey())
	if err != nil {
		return nil
	}
	end := e.calc.Bucket.Next(at)
	return slices.DeleteFunc(slices.Clone(events), func(ev engine.ReplayEvent) bool { return ev.Time.Before(at) || !ev.Time.Before(end) })
}

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
	if e, ok := errors.AsType[*recount.Error](err); errors.Is(err, recount.ErrUnsupported) || ok && replay.LogicFault(e.Code) && ctx.Err() == nil {
		// To show rows and states after all events may be what it cannot do: those
		// after a few are not given up for it.
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
