package gofold

import (
	"context"
	"encoding/json"
	"fmt"

	"recount"
	"recount/engine/fold/run"
)

// Inside is Kind for a simulator, which plays thousands of runs of folds that are
// its own: they run in this very process, with its clock, its chance and all that it
// may do. No adapter offers it.
type Inside struct{ *Kind }

// NewInside returns the kind.
func NewInside() Inside { return Inside{New(Options{})} }

// Run runs the fold by what a process of its own would be told, and would answer.
func (Inside) Run(ctx context.Context, logic recount.Logic, spec run.Spec) (run.Result, error) {
	sent, err := json.Marshal(request{Fold: logic.Text, Path: logic.Path, Spec: spec, Seed: surroundings(spec).Seed})
	if err != nil {
		return run.Result{}, fmt.Errorf("say what to fold: %w", err)
	}
	var r request
	if err := json.Unmarshal(sent, &r); err != nil {
		return run.Result{}, fmt.Errorf("read what to fold: %w", err)
	}
	return folded(ctx, r, nil)
}
