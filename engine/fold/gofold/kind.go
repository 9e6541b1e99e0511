package gofold

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"recount"
	"recount/engine/fold/run"
	"recount/worker"
)

// Options change how folds run; the zero Options are those of the command.
type Options struct {
	// Patience is how long a fold may take for one event; 0: a minute.
	Patience time.Duration
	// Deaths bounds how often a run is begun anew since the fold ended its
	// process; 0: the default.
	Deaths int
	// Unsandboxed runs folds without what needs the kernel's help.
	Unsandboxed bool
}

const (
	defaultPatience = time.Minute
	defaultDeaths   = 20
)

// Kind runs the folds of Logic kind go.
type Kind struct {
	options Options
}

// New returns the kind.
func New(o Options) *Kind {
	if o.Patience <= 0 {
		o.Patience = defaultPatience
	}
	if o.Deaths <= 0 {
		o.Deaths = defaultDeaths
	}
	return &Kind{options: o}
}

// Name returns recount.LogicGo.
func (*Kind) Name() string { return recount.LogicGo }

// Close has nothing to end: a process lives as long as its run.
func (*Kind) Close() error { return nil }

// Describe looks the fold up in this program.
func (*Kind) Describe(_ context.Context, logic recount.Logic, fields []recount.Field) (run.Description, error) {
	p, err := bind(logic.Text, logic.Path, logic.By, fields)
	if err != nil {
		return run.Description{}, err
	}
	return run.Description{Columns: p.Columns(), Reads: reads(p), State: p.StateShape() != "", Effects: true}, nil
}

// bind finds a fold and fits it to a stream.
func bind(name, path string, by []string, fields []recount.Field) (worker.Program, error) {
	d, ok := worker.Lookup(name)
	if !ok {
		return nil, unknownFold(name, path)
	}
	for _, field := range by {
		if !slices.ContainsFunc(fields, func(f recount.Field) bool { return f.Name == field }) {
			return nil, &recount.Error{
				Code: recount.CodeWorkerAnswer, What: "the key of the fold cannot be used", Where: path,
				Why: "by names " + field + ", which is no field of the stream", Next: "name fields of the source under by:",
			}
		}
	}
	p, err := d.Bind(fields, by)
	if err != nil {
		return nil, recount.Located(err, path)
	}
	return p, nil
}

func unknownFold(name, path string) error {
	e := &recount.Error{
		Code: recount.CodeFold, What: fmt.Sprintf("this program has no fold %q", name), Where: path,
		Why:  "no fold is registered in it",
		Next: "build the program that calls worker.Register and command.Main, and run that instead (docs/go-worker.md)",
	}
	if names := worker.Names(); len(names) > 0 {
		e.Why = "it has " + strings.Join(names, ", ")
		e.Next = "write one of these names after go:, or register the fold and build the program again"
		if near := recount.Nearest(name, names); near != "" {
			e.Why += "; did you mean " + near + "?"
		}
	}
	return e
}

// Run runs the fold in a process of its own. Where the fold ends the process, the
// event at which it did is left out with its key, and the run begins anew.
func (k *Kind) Run(ctx context.Context, logic recount.Logic, spec run.Spec) (run.Result, error) {
	if _, err := bind(logic.Text, logic.Path, logic.By, spec.Fields); err != nil {
		return run.Result{}, err
	}
	r := request{Fold: logic.Text, Path: logic.Path, Spec: spec, Patience: k.options.Patience, Trail: filepath.Join(spec.Scratch, "trail")}
	var suspect int64
	for deaths := 0; ; deaths++ {
		result, err := k.once(ctx, r)
		died, ok := errors.AsType[*death](err)
		if !ok {
			return result, err
		}
		if spec.Single != nil || spec.Several > 0 {
			return run.Result{}, died.whole(r) // of which folding of the key it was nobody knows
		}
		if deaths >= k.options.Deaths {
			return run.Result{}, died.tooOften(r)
		}
		switch at := died.at; {
		case len(at) == 0:
			return run.Result{}, died.whole(r)
		case len(at) > 1:
			// Several keys were folded at once: one after the other tells whose event it was.
			r.Spec.Threads = 1
		case died.memory && at[0] != suspect:
			// Too little memory may have come of all that went before.
			suspect, r.Spec.Threads = at[0], 1
		default:
			r.Fatal = append(r.Fatal, fatal{Seq: at[0], Why: died.why})
		}
	}
}

// inputs are the files that a run reads.
func inputs(s run.Spec) []string {
	var list []string
	for _, f := range s.Files {
		list = append(list, f.Path)
	}
	list = append(list, s.Marks...)
	if s.Opening != "" {
		list = append(list, s.Opening)
	}
	slices.Sort(list)
	return slices.Compact(list)
}
