package app

import (
	"context"
	"fmt"

	"recount"
)

// ScriptRequest asks for a plan that is to be run by hand.
type ScriptRequest struct {
	File      string
	Overrides Overrides
}

// Scripted is a plan that may be run by hand.
type Scripted struct {
	Plan *recount.Plan
	File string
	// Overrides are the flags that the run records.
	Overrides []string
}

// Script reads a plan back and refuses it where apply would, as far as the plan
// alone tells: no target is opened.
func (a *App) Script(_ context.Context, req ScriptRequest) (Scripted, error) {
	p, err := a.loadPlan(req.File)
	if err != nil {
		return Scripted{}, err
	}
	if expired(p, a.now()) {
		return Scripted{}, hasExpired(p, req.File)
	}
	overrides, err := overridden(p, ApplyRequest{File: req.File, Overrides: req.Overrides})
	if err != nil {
		return Scripted{}, err
	}
	for _, part := range p.Parts() {
		if n := part.Body.Rows.Writes(); n > part.Body.MaxChanges {
			return Scripted{}, &recount.Error{
				Code: recount.CodeLimit, What: "the plan changes more rows than its limit", Where: fmt.Sprintf("%s, table %s", req.File, part.Body.Target.Table),
				Why:  fmt.Sprintf("it changes %d rows, the limit is %d", n, part.Body.MaxChanges),
				Next: "raise limits: {changes: …} in recount.yaml and plan again, if so many changes are meant",
			}
		}
	}
	return Scripted{Plan: p, File: req.File, Overrides: overrides}, nil
}
