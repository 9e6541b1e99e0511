package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"recount"
	"recount/internal/app/incident"
	"recount/internal/app/outfile"
	"recount/internal/plan"
)

// Diff replays a window, compares it with the live rows and makes no file.
func (a *App) Diff(ctx context.Context, req PlanRequest) (Planned, error) {
	return a.plan(ctx, req)
}

// Plan is Diff, and writes the plan. It changes nothing else.
func (a *App) Plan(ctx context.Context, req PlanRequest) (Planned, error) {
	if err := a.free(outfile.Plan, req.Out); err != nil {
		return Planned{}, err
	}
	planned, err := a.plan(ctx, req)
	if err != nil {
		return planned, err
	}
	planned.File = req.Out
	if planned.File == "" {
		const digits = 8
		planned.File = fmt.Sprintf("%s-%s.plan", req.calculations(), planned.Plan.ID[:digits])
	}
	return planned, a.writePlan(planned)
}

func (a *App) plan(ctx context.Context, req PlanRequest) (planned Planned, err error) {
	began := a.now()
	p, err := a.planAll(ctx, req)
	if err != nil {
		return planned, err
	}
	made := a.now()
	p.Header = recount.PlanHeader{
		Made: made, Expires: made.Add(planLife), By: a.opts.User, Program: a.opts.Program, TookMS: made.Sub(began).Milliseconds(),
	}
	return Planned{Plan: p, Zone: req.Window.Timezone, TookMS: p.Header.TookMS}, plan.Seal(p)
}

// planAll makes one plan of all the calculations that are asked for.
func (a *App) planAll(ctx context.Context, req PlanRequest) (*recount.Plan, error) {
	a.as = req.As
	var calculations []*incident.Incident
	for _, name := range append([]string{req.Calculation}, req.With...) {
		r, err := a.prepare(ctx, name, req.Window)
		if err == nil {
			err = a.shadowed(ctx, r)
		}
		if err != nil {
			return nil, err
		}
		calculations = append(calculations, r)
	}
	return incident.Plan(ctx, calculations, req.Overrides)
}

// calculations names all calculations that are asked for.
func (r PlanRequest) calculations() string {
	return strings.Join(append([]string{r.Calculation}, r.With...), "+")
}

// writePlan writes the file whole or not at all, and over nothing but a plan.
func (a *App) writePlan(planned Planned) error {
	return outfile.Plan.Write(a.path(planned.File), planned.File, func(w io.Writer) error { return plan.Write(w, planned.Plan) })
}

// loadPlan reads a plan file.
func (a *App) loadPlan(file string) (p *recount.Plan, err error) {
	f, err := os.Open(a.path(file))
	if err != nil {
		code := recount.CodePlanDamaged
		if errors.Is(err, os.ErrNotExist) {
			code = recount.CodeUsage
		}
		return nil, &recount.Error{
			Code: code, What: "the plan cannot be read", Where: file, Why: err.Error(), Err: err,
			Next: "check the name; recount plan says where it saved one",
		}
	}
	defer joined(&err, f.Close)
	return plan.Read(f, file)
}

// Show reads a plan back.
func (a *App) Show(_ context.Context, file string) (Shown, error) {
	p, err := a.loadPlan(file)
	if err != nil {
		return Shown{}, err
	}
	return Shown{Plan: p, File: file, Expired: expired(p, a.now()), Steps: stepTexts(p)}, nil
}

func expired(p *recount.Plan, now time.Time) bool { return !now.Before(p.Header.Expires) }
