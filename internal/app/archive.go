package app

import (
	"context"
	"slices"

	"recount/adapter"
	"recount/internal/archive"
	"recount/internal/config"
	"recount/source"
)

// openSource opens a source of the project.
func (a *App) openSource(ctx context.Context, src config.Source) (source.Source, error) {
	block, err := a.Project.Resolve(src.Config)
	if err != nil {
		return nil, err
	}
	env := a.env()
	env.Stream, env.Mapping = src.Name, src.Mapping
	return adapter.Open[source.Source](ctx, a.opts.Registry, adapter.Source, src.Adapter, env, block)
}

// named returns the sources of those names, or all.
func (a *App) named(sources []string) ([]config.Source, error) {
	if len(sources) == 0 {
		sources = sortedNames(a.Project.Sources)
	}
	out := make([]config.Source, len(sources))
	for i, name := range sources {
		src, err := a.Project.Source(name)
		if err != nil {
			return nil, err
		}
		out[i] = src
	}
	return out, nil
}

// streams returns the archive's streams of those names, or all that it holds.
func (a *App) streams(ctx context.Context, sources []string) (*archive.Archive, []string, error) {
	arch, err := a.openArchive(ctx)
	if err != nil {
		return nil, nil, err
	}
	streams, err := arch.Streams(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, name := range sources { // one that is archived may be configured no longer
		if _, err := a.Project.Source(name); err != nil && !slices.Contains(streams, name) {
			return nil, nil, err
		}
	}
	if len(sources) > 0 {
		return arch, sources, nil
	}
	if len(streams) == 0 {
		return arch, sortedNames(a.Project.Sources), nil
	}
	slices.Sort(streams)
	return arch, streams, nil
}
