package app

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"recount"
)

// closing closes c after err.
func closing(c interface{ Close() error }, err error) error { return errors.Join(err, c.Close()) }

// planOne makes the plan of one calculation, with the tables beside its results.
func (a *App) planOne(ctx context.Context, name string, req PlanRequest, before *recount.Plan) (p *recount.Plan, err error) {
	r, err := a.prepare(ctx, name, req.Window)
	if err != nil {
		return nil, err
	}
	return r.planned(ctx, req.Overrides, before)
}

// planned replays, compares and puts the plan of one calculation together.
func (r *replaying) planned(ctx context.Context, overrides Overrides, before *recount.Plan) (p *recount.Plan, err error) {
	l, err := r.openLive(ctx)
	if err != nil {
		return nil, err
	}
	defer joined(&err, l.target.Close)
	if before != nil {
		if err := together(before, r, l); err != nil {
			return nil, err
		}
	}
	if err := r.readEarly(ctx, l); err != nil {
		return nil, err
	}
	if l.early != nil {
		defer joined(&err, l.early.Close)
	}
	if err := r.start(ctx); err != nil {
		return nil, err
	}
	defer joined(&err, r.close)
	return r.makePlan(ctx, l, overrides)
}

// together refuses a calculation that does not fit the plan of others: all must
// be written in one transaction, from one moment of the archive.
func together(before *recount.Plan, r *replaying, l *live) error {
	first, now := before.Body.Target, l.info.Identity
	refuse := func(why, next string) error {
		return &recount.Error{
			Code: recount.CodeSeveral, What: fmt.Sprintf("calculations %s and %s do not fit one plan", before.Body.Calculation, r.calc.Name),
			Where: "recount.yaml, calculations", Why: why, Next: next,
		}
	}
	switch {
	case first.Adapter != now.Adapter || first.Place != now.Place || first.Server != now.Server:
		return refuse(fmt.Sprintf("their tables lie in %s and in %s, and one transaction cannot hold both", first.Place, now.Place), "plan them one by one")
	case first.Adapter == "files":
		return refuse("files are replaced one by one, never together", "plan them one by one")
	case before.Body.Stream == r.source.Name && before.Body.Snapshot != r.snapshot.ID:
		return refuse("the archive grew while the first was planned", "plan again")
	}
	for _, part := range before.Parts() {
		if part.Body.Target.Table == now.Table {
			return refuse("both correct table "+now.Table, "plan them one by one")
		}
	}
	return nil
}

// planAll makes one plan of all the calculations that are asked for.
func (a *App) planAll(ctx context.Context, req PlanRequest) (*recount.Plan, error) {
	p, err := a.planOne(ctx, req.Calculation, req, nil)
	if err != nil {
		return nil, err
	}
	for _, name := range req.With {
		next, err := a.planOne(ctx, name, req, p)
		if err != nil {
			return nil, err
		}
		p.With = append(p.With, next.Parts()...)
	}
	return p, nil
}

// calculations names all calculations that are asked for.
func (r PlanRequest) calculations() string {
	return strings.Join(append([]string{r.Calculation}, r.With...), "+")
}
