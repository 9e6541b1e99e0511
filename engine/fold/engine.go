// Package fold is the engine of folds: calculations that take the events of a key
// one after the other. It lies over an engine that knows which events count, and
// asks that for everything that is not about a fold's own code. Where this code
// runs is a matter of its Kind.
package fold

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"recount"
	"recount/adapter"
	"recount/engine"
	"recount/engine/fold/gofold"
	"recount/engine/fold/process"
	"recount/engine/fold/run"
)

func init() {
	adapter.Register(adapter.Declare(adapter.Engine, "fold",
		"Runs folds, of a process or of this program's own, over events that another engine chooses.",
		func(_ context.Context, env adapter.Env, _ Config) (engine.Engine, error) {
			return New(builtin(env.Unsandboxed)...), nil
		}))
}

// Config is the engine's block: it has no key.
type Config struct{}

// builtin are the kinds that the program has.
func builtin(unsandboxed bool) []Kind {
	return []Kind{gofold.New(gofold.Options{Unsandboxed: unsandboxed}), process.New(process.Options{Unsandboxed: unsandboxed})}
}

// Engine runs folds. By itself it only checks them: a session needs an engine
// below it (Over).
type Engine struct {
	kinds []Kind
	base  engine.Engine // nil: nothing lies below
	known *described
}

// described remembers what folds said of themselves: to ask one may cost a process.
type described struct {
	mu   sync.Mutex
	says map[string]run.Description
}

// New returns an engine of the kinds.
func New(kinds ...Kind) *Engine {
	return &Engine{kinds: kinds, known: &described{says: map[string]run.Description{}}}
}

// Over returns an engine that runs folds, and base's logic by base. Its Close
// closes both.
func (e *Engine) Over(base engine.Engine) engine.Engine {
	return &Engine{kinds: e.kinds, base: base, known: e.known}
}

// Kind returns "fold", or the base's kind.
func (e *Engine) Kind() string {
	if e.base != nil {
		return e.base.Kind()
	}
	return "fold"
}

// Close ends what kinds and base have started.
func (e *Engine) Close() error {
	var errs []error
	for _, k := range e.kinds {
		errs = append(errs, k.Close())
	}
	if c, ok := e.base.(interface{ Close() error }); ok {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// Check asks a fold what it returns.
func (e *Engine) Check(ctx context.Context, logic recount.Logic, fields []recount.Field) ([]recount.Column, error) {
	if !logic.Fold() && e.base != nil {
		return e.base.Check(ctx, logic, fields)
	}
	_, d, err := e.describe(ctx, logic, fields)
	if err != nil {
		return nil, err
	}
	return d.Columns, nil
}

// CheckCondition asks the base.
func (e *Engine) CheckCondition(ctx context.Context, condition string, fields []recount.Field) error {
	if e.base == nil {
		return unsupported("check a condition over events")
	}
	return e.base.CheckCondition(ctx, condition, fields)
}

// Open opens a session over one of the base.
func (e *Engine) Open(ctx context.Context, input engine.Input) (engine.Session, error) {
	if e.base == nil {
		return nil, unsupported("replay events")
	}
	base, err := e.base.Open(ctx, input)
	if err != nil {
		return nil, err
	}
	return newSession(e, base, input), nil
}

func unsupported(act string) error {
	return fmt.Errorf("%s: the engine of folds needs another one below it: %w", act, recount.ErrUnsupported)
}

// describe finds the kind of a fold and what the fold says of itself.
func (e *Engine) describe(ctx context.Context, logic recount.Logic, fields []recount.Field) (Kind, run.Description, error) {
	i := slices.IndexFunc(e.kinds, func(k Kind) bool { return k.Name() == logic.Kind })
	if i < 0 {
		return nil, run.Description{}, &recount.Error{
			Code: recount.CodeUnsupported, What: fmt.Sprintf("this engine does not run logic of kind %q", logic.Kind), Where: logic.Path,
			Why: "this program has no such kind of fold", Next: "give the calculation sql:, worker: or go:", Err: recount.ErrUnsupported,
		}
	}
	kind := e.kinds[i]
	id := logic.Kind + " " + logic.Digest + " " + fmt.Sprint(fields, logic.By)
	e.known.mu.Lock()
	d, ok := e.known.says[id]
	e.known.mu.Unlock()
	if ok {
		return kind, d, nil
	}
	d, err := kind.Describe(ctx, logic, fields)
	if err != nil {
		return nil, d, fmt.Errorf("check %s: %w", name(logic), err)
	}
	if err := sound(d, logic, fields); err != nil {
		return nil, d, err
	}
	if logic.Digest != "" {
		e.known.mu.Lock()
		e.known.says[id] = d
		e.known.mu.Unlock()
	}
	return kind, d, nil
}

// sound refuses a description that cannot be.
func sound(d run.Description, logic recount.Logic, fields []recount.Field) error {
	bad := func(why, next string) error {
		return &recount.Error{Code: recount.CodeWorkerAnswer, What: "what the fold says of itself cannot be used", Where: logic.Path, Why: why, Next: next}
	}
	seen := map[string]bool{}
	for _, c := range d.Columns {
		lower := strings.ToLower(c.Name)
		switch {
		case c.Name == "":
			return bad("a column of its rows has no name", "name all columns")
		case lower == recount.StateColumn:
			return bad("it has a column "+recount.StateColumn+", which is the name of the state", "name the column otherwise")
		case seen[lower]:
			return bad("column "+c.Name+" stands there twice", "name each column once")
		}
		seen[lower] = true
	}
	if len(d.Columns) == 0 {
		return bad("its rows have no column", "declare the columns of its rows")
	}
	known := func(name string) bool {
		return slices.Contains(envelope, name) || slices.ContainsFunc(fields, func(f recount.Field) bool { return f.Name == name })
	}
	for _, name := range d.Reads {
		if !known(name) {
			return bad("it reads "+name+", which is no field of the stream", "declare it under fields: of the source, or do not read it")
		}
	}
	for _, name := range logic.By {
		if !slices.ContainsFunc(fields, func(f recount.Field) bool { return f.Name == name }) {
			return bad("by names "+name+", which is no field of the stream", "name fields of the source under by:")
		}
	}
	return nil
}

// envelope are the columns of events beside their fields.
var envelope = []string{"id", "stream", "type", "partition", "position", "time", "ingest_time", "key", "data", "headers", "hit"}

func name(logic recount.Logic) string {
	if logic.Path == "" {
		return "a fold"
	}
	return logic.Path
}
