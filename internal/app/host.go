package app

import (
	"context"
	"time"

	"recount"
	"recount/engine"
	"recount/internal/archive"
	"recount/internal/config"
	"recount/source"
	"recount/target"
)

// host is the project as incidents see it: an App's exported methods are the
// commands alone.
type host struct{ app *App }

func (h host) Calculation(name string) (config.Calculation, error) {
	c, err := h.app.Project.Calculation(name)
	if err != nil || h.app.as == "" {
		return c, err
	}
	return c.AsVersion(h.app.as)
}

func (h host) Source(name string) (config.Source, error) { return h.app.Project.Source(name) }

func (h host) Dir() string { return h.app.opts.Dir }

func (h host) Scratch(name string) (string, error) { return h.app.folder(name) }

func (h host) Archive(ctx context.Context) (*archive.Archive, error) { return h.app.openArchive(ctx) }

func (h host) Engine(ctx context.Context) (engine.Engine, error) { return h.app.openEngine(ctx) }

func (h host) OpenSource(ctx context.Context, src config.Source) (source.Source, error) {
	return h.app.openSource(ctx, src)
}

func (h host) OpenTarget(ctx context.Context, calc config.Calculation, writing bool) (target.Target, error) {
	return h.app.openTarget(ctx, calc, writing)
}

func (h host) Unsandboxed() bool { return h.app.opts.Unsandboxed }

func (h host) Progress() recount.Progress { return h.app.opts.Progress }

func (h host) Now() time.Time { return h.app.now() }
