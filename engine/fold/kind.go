package fold

import (
	"context"

	"recount"
	"recount/engine/fold/run"
)

// Kind runs the folds of one Logic.Kind. It is safe for concurrent use.
type Kind interface {
	// Name is the Logic.Kind.
	Name() string
	// Describe says what a fold is, and refuses one that does not fit the fields of
	// its stream. It runs over no event. Its answer for a digest never changes.
	Describe(ctx context.Context, logic recount.Logic, fields []recount.Field) (run.Description, error)
	// Run runs a fold over the events of a spec. Errors are whole: of kind
	// *recount.Error where a person can mend them.
	Run(ctx context.Context, logic recount.Logic, spec run.Spec) (run.Result, error)
	// Close ends all that the kind has started.
	Close() error
}
