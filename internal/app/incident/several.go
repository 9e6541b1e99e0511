package incident

import (
	"context"
	"fmt"

	"recount"
)

// planning is one calculation of a plan, with its live table.
type planning struct {
	r *Incident
	l *live
}

// Plan makes one plan of calculations, each with the tables beside its results,
// from one moment of the archive. It is not sealed and has no header.
func Plan(ctx context.Context, calculations []*Incident, overrides Overrides) (p *recount.Plan, err error) {
	var list []planning
	defer func() {
		for _, one := range list {
			if one.l.early != nil {
				err = closing(one.l.early, err)
			}
			err = closing(one.l.target, err)
		}
	}()
	for _, r := range calculations {
		l, err := r.openLive(ctx)
		if err != nil {
			return nil, err
		}
		list = append(list, planning{r, l})
		if err := together(list[:len(list)-1], r, l); err != nil {
			return nil, err
		}
	}
	if err := early(ctx, list); err != nil {
		return nil, err
	}
	for _, one := range list {
		next, err := one.plan(ctx, overrides)
		if err != nil {
			return nil, err
		}
		if p == nil {
			p = next
			continue
		}
		p.With = append(p.With, next.Parts()...)
	}
	return p, nil
}

// plan replays, compares and puts the plan of one calculation together.
func (one planning) plan(ctx context.Context, overrides Overrides) (p *recount.Plan, err error) {
	if err := one.r.start(ctx); err != nil {
		return nil, err
	}
	defer joined(&err, one.r.close)
	return one.r.makePlan(ctx, one.l, overrides)
}

// together refuses a calculation that does not fit the plan of others: all must
// be written in one transaction.
func together(before []planning, r *Incident, l *live) error {
	if len(before) == 0 {
		return nil
	}
	first, now := before[0].l.info.Identity, l.info.Identity
	refuse := func(why, next string) error {
		return &recount.Error{
			Code: recount.CodeSeveral, What: fmt.Sprintf("calculations %s and %s do not fit one plan", before[0].r.calc.Name, r.calc.Name),
			Where: "recount.yaml, calculations", Why: why, Next: next,
		}
	}
	switch {
	case first.Adapter != now.Adapter || first.Place != now.Place || first.Server != now.Server:
		return refuse(fmt.Sprintf("their tables lie in %s and in %s, and one transaction cannot hold both", first.Place, now.Place), "plan them one by one")
	case first.Adapter == "files":
		return refuse("files are replaced one by one, never together", "plan them one by one")
	}
	for _, one := range before {
		if one.l.info.Identity.Table == now.Table {
			return refuse("both correct table "+now.Table, "plan them one by one")
		}
	}
	return nil
}
