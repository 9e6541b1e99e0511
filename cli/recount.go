package cli

import (
	"context"
	"io"
	"path/filepath"

	"recount"
	"recount/cli/views"
	"recount/internal/app"
)

// Recount is what the command line needs of a project: *app.App.
type Recount interface {
	Archive(ctx context.Context, req app.ArchiveRequest) ([]app.ArchiveRan, error)
	ArchiveAdopt(ctx context.Context, sources []string) ([]app.ArchiveRan, error)
	ArchiveLs(ctx context.Context, sources []string) ([]app.ArchiveStream, error)
	ArchiveLsAt(ctx context.Context, source, snapshot string) ([]app.ArchiveStream, error)
	ArchiveVerify(ctx context.Context, sources []string) ([]app.ArchiveReport, error)
	ArchiveCat(ctx context.Context, source, event string) ([]app.ArchivedEvent, error)
	ArchiveCompact(ctx context.Context, req app.CompactRequest) ([]app.ArchiveCompacted, error)
	ArchiveExpire(ctx context.Context, req app.ExpireRequest) ([]app.ArchiveExpired, error)
	ExpireStreams(ctx context.Context, req app.ExpireRequest) (string, error)
	ArchiveRegister(ctx context.Context, req app.RegisterRequest) ([]app.ArchiveRegistered, error)
	Replay(ctx context.Context, req app.PlanRequest, w io.Writer, json bool) (app.Replayed, error)
	Publish(ctx context.Context, req app.PublishRequest) (app.Published, error)
	Effects(ctx context.Context, req app.EffectsRequest, w io.Writer, json bool) (app.Effected, error)
	Diff(ctx context.Context, req app.PlanRequest) (app.Planned, error)
	Plan(ctx context.Context, req app.PlanRequest) (app.Planned, error)
	Show(ctx context.Context, file string) (app.Shown, error)
	Script(ctx context.Context, req app.ScriptRequest) (app.Scripted, error)
	Explain(ctx context.Context, req app.ExplainRequest) (app.Explanation, error)
	Detect(ctx context.Context, req app.DetectRequest) (app.Detected, error)
	Verify(ctx context.Context, req app.PlanRequest) (app.Verified, error)
	Apply(ctx context.Context, req app.ApplyRequest) (recount.Receipt, error)
	ApplyTable(ctx context.Context, file string) (string, error)
	Rollback(ctx context.Context, req app.RollbackRequest) (recount.Receipt, error)
	RollbackTable(ctx context.Context, run string) (string, error)
	Runs(ctx context.Context) ([]recount.Run, error)
	CheckRun(ctx context.Context, req app.CheckRequest) ([]app.RunChecked, error)
	Doctor(ctx context.Context, calculations []string) (app.Diagnosis, error)
	Close() error
}

var _ Recount = (*app.App)(nil)

// open opens the project and gives it to work.
func (c *call) open(ctx context.Context, work func(Recount) error) (err error) {
	open := c.env.Open
	if open == nil {
		open = func(ctx context.Context, o app.Options) (Recount, error) { return app.Open(ctx, o) }
	}
	project, err := open(ctx, c.options())
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := project.Close(); err == nil {
			err = closeErr
		}
	}()
	return work(project)
}

// options are what the project needs of the process.
func (c *call) options() app.Options {
	return app.Options{
		Waits: c.waits,
		Dir:   c.dir(), Registry: c.env.Registry, Clock: c.env.Clock, Progress: c.progress(),
		User: c.env.User, Program: "recount " + c.env.Build.Version, Getenv: c.env.Getenv,
		Unsandboxed: c.unsandboxed,
	}
}

// waits says how a worker that runs beside the live one is to be started.
func (c *call) waits(s app.ShadowStatus) {
	if !c.flags.quiet {
		c.progress().clear()
		_ = views.NewReplay(c.output()).Waits(s) // it is beside the result
	}
}

// dir is the project folder.
func (c *call) dir() string { return c.path(c.flags.dir, c.env.Dir) }

func (c *call) path(name, base string) string {
	if name == "" {
		return base
	}
	if filepath.IsAbs(name) {
		return filepath.Clean(name)
	}
	return filepath.Join(base, name)
}
