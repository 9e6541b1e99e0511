package app

import (
	"context"
	"runtime/debug"
	"slices"

	"recount/adapter"
	"recount/internal/archive"
	"recount/internal/config"
	"recount/source"
)

// importMemory is the soft limit of the heap during an import.
const importMemory = 320 << 20

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

// ArchiveRun reads each source to its present end into the archive.
func (a *App) ArchiveRun(ctx context.Context, sources []string) ([]ArchiveRan, error) {
	list, err := a.named(sources)
	if err != nil {
		return nil, err
	}
	var out []ArchiveRan
	for _, src := range list {
		ran, err := a.archiveRun(ctx, src)
		if err != nil {
			return out, err
		}
		out = append(out, ran)
	}
	return out, nil
}

func (a *App) archiveRun(ctx context.Context, src config.Source) (ran ArchiveRan, err error) {
	began := a.now()
	// No engine runs beside an import, so it may have more of the memory: under
	// the limit of other commands the collector would take half of the time.
	if before := debug.SetMemoryLimit(-1); before < importMemory {
		debug.SetMemoryLimit(importMemory)
		defer debug.SetMemoryLimit(before)
	}
	arch, err := a.openArchive(ctx)
	if err != nil {
		return ran, err
	}
	s, err := a.openSource(ctx, src)
	if err != nil {
		return ran, err
	}
	defer joined(&err, s.Close)
	digest, err := src.MappingDigest()
	if err != nil {
		return ran, err
	}
	res, err := arch.Run(ctx, archive.RunOptions{
		Stream: src.Name, Source: s, Fields: src.Mapping.Fields, MappingDigest: digest, Lateness: src.Lateness,
		QuarantineMax: src.QuarantineMax, Progress: a.opts.Progress, Program: a.opts.Program,
	})
	return ArchiveRan{
		Source: src.Name, Events: res.Events, Repeats: res.Repeats, Conflicts: res.Conflicts, Quarantined: res.Faults, Files: res.Files,
		Bytes: res.Bytes, Commits: res.Commits, Snapshot: res.Snapshot, Watermark: res.Watermark, TookMS: a.now().Sub(began).Milliseconds(),
	}, err
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
