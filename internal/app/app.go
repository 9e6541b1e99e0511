// Package app holds the use cases of Recount, one for each command: it opens what
// the project names, has package incident say what is wrong in a window, and
// carries plans out. With incident it is the only one that joins the steps; the
// command line and every other surface call it. It prints nothing and asks nobody.
package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"recount"
	"recount/adapter"
	"recount/engine"
	"recount/internal/app/incident"
	"recount/internal/archive"
	"recount/internal/clock"
	"recount/internal/config"
	"recount/store"
	"recount/target"
)

// engineName is the engine that runs SQL.
const engineName = "duckdb"

// foldsName is the engine that runs folds over it.
const foldsName = "fold"

// planLife is how long a plan can be applied.
const planLife = 24 * time.Hour

// Options are what an App needs from its surroundings.
type Options struct {
	Dir      string // the project folder
	Registry *adapter.Registry
	Clock    clock.Clock
	Progress recount.Progress
	User     string // who asks, for plans and ledger
	Program  string // name and version, for plans and commits
	Getenv   func(string) (string, bool)
	// Unsandboxed lets workers run without isolation: plans record it.
	Unsandboxed bool
	// Waits is told once when a worker that runs beside the live one is waited for;
	// nil: nobody is.
	Waits func(ShadowStatus)
}

// App is one project with what it opened so far. It is used by one goroutine at
// a time, and must be closed.
type App struct {
	opts    Options
	Project *config.Project

	store   store.Store
	archive *archive.Archive
	engine  engine.Engine
	scratch string
	as      string // the version of the logic that was asked for
	closers []func() error
}

// Open reads the project's configuration. Adapters are opened when a command
// needs them.
func Open(_ context.Context, opts Options) (*App, error) {
	if opts.Progress == nil {
		opts.Progress = recount.Quiet{}
	}
	project, err := config.Load(opts.Dir, opts.Registry, opts.Getenv)
	if err != nil {
		return nil, err
	}
	return &App{opts: opts, Project: project}, nil
}

// Close ends the engine and removes scratch files.
func (a *App) Close() error {
	var errs []error
	if c, ok := a.engine.(interface{ Close() error }); ok {
		errs = append(errs, c.Close())
	}
	for _, end := range a.closers {
		errs = append(errs, end())
	}
	if a.scratch != "" {
		errs = append(errs, os.RemoveAll(a.scratch))
	}
	return errors.Join(errs...)
}

func (a *App) now() time.Time { return a.opts.Clock.Now() }

// env is what an adapter of the project is given.
func (a *App) env() adapter.Env {
	return adapter.Env{Dir: a.opts.Dir, Now: a.now, Objects: a.openObjects, Unsandboxed: a.opts.Unsandboxed}
}

// path is a path as the person typed it: relative to the project folder.
func (a *App) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(a.opts.Dir, name)
}

// folder returns a new folder for scratch files; Close removes it.
func (a *App) folder(name string) (string, error) {
	if a.scratch == "" {
		dir, err := os.MkdirTemp("", "recount-")
		if err != nil {
			return "", incident.StorageError("make a scratch folder", os.TempDir(), err)
		}
		a.scratch = dir
	}
	dir, err := os.MkdirTemp(a.scratch, name+"-")
	if err != nil {
		return "", incident.StorageError("make a scratch folder", a.scratch, err)
	}
	return dir, nil
}

// openArchive opens the project's archive once.
func (a *App) openArchive(ctx context.Context) (*archive.Archive, error) {
	if a.archive != nil {
		return a.archive, nil
	}
	block, err := a.Project.Resolve(a.Project.Archive.Config)
	if err != nil {
		return nil, err
	}
	s, err := adapter.Open[store.Store](ctx, a.opts.Registry, adapter.Store, a.Project.Archive.Adapter, a.env(), block)
	if err != nil {
		return nil, err
	}
	a.store, a.archive = s, archive.Open(s, a.opts.Clock)
	a.archive.UseOriginals(a.openOriginals)
	return a.archive, nil
}

// openEngine opens the engine once: that of SQL, with the one of folds over it
// where the program has it.
func (a *App) openEngine(ctx context.Context) (engine.Engine, error) {
	if a.engine != nil {
		return a.engine, nil
	}
	base, err := a.openEngineNamed(ctx, engineName)
	if err != nil {
		return nil, err
	}
	a.engine = base
	if _, ok := a.opts.Registry.Lookup(adapter.Engine, foldsName); !ok {
		return base, nil
	}
	folds, err := a.openEngineNamed(ctx, foldsName)
	if err != nil {
		return nil, err
	}
	layered, ok := folds.(engine.Layered)
	if !ok {
		return nil, fmt.Errorf("open engine %q: it lies over no other: %w", foldsName, recount.ErrUnsupported)
	}
	a.engine = layered.Over(base)
	return a.engine, nil
}

func (a *App) openEngineNamed(ctx context.Context, name string) (engine.Engine, error) {
	spec, ok := a.opts.Registry.Lookup(adapter.Engine, name)
	if !ok {
		return nil, fmt.Errorf("open engine %q: %w", name, recount.ErrUnsupported)
	}
	return adapter.Open[engine.Engine](ctx, a.opts.Registry, adapter.Engine, name, a.env(), spec.NewConfig())
}

// openTarget opens a calculation's live table; writing chooses the connection of
// `apply` where there is one.
func (a *App) openTarget(ctx context.Context, calc config.Calculation, writing bool) (target.Target, error) {
	return a.openTable(ctx, calc, calc.Target.Table, writing)
}

// openTable opens another table of a calculation's database.
func (a *App) openTable(ctx context.Context, calc config.Calculation, table string, writing bool) (target.Target, error) {
	block := calc.Target.Config
	if writing && calc.Target.Apply != nil {
		block = calc.Target.Apply.Config
	}
	resolved, err := a.Project.Resolve(block)
	if err != nil {
		return nil, err
	}
	env := a.env()
	env.Table = table
	return adapter.Open[target.Target](ctx, a.opts.Registry, adapter.Target, calc.Target.Adapter, env, resolved)
}
