package app

import (
	"context"
	"errors"
	"io"

	"recount"
	"recount/adapter"
	"recount/internal/archive"
	"recount/internal/config"
	"recount/source"
	"recount/store"
)

// ArchiveAdopt makes the files that each source reads part of the archive where
// they lie. Without names, it takes those sources that have files.
func (a *App) ArchiveAdopt(ctx context.Context, sources []string) ([]ArchiveRan, error) {
	list, err := a.named(sources)
	if err != nil {
		return nil, err
	}
	out := []ArchiveRan{}
	var without error
	for _, src := range list {
		ran, err := a.archiveAdopt(ctx, src)
		if e, ok := errors.AsType[*recount.Error](err); ok && e.Code == recount.CodeUnsupported && len(sources) == 0 {
			without = err
			continue
		}
		if err != nil {
			return out, err
		}
		out = append(out, ran)
	}
	if len(out) == 0 {
		return nil, without
	}
	return out, nil
}

func (a *App) archiveAdopt(ctx context.Context, src config.Source) (ran ArchiveRan, err error) {
	began := a.now()
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
	res, err := arch.Adopt(ctx, archive.RunOptions{
		Stream: src.Name, Source: s, Fields: src.Mapping.Fields, MappingDigest: digest, Lateness: src.Lateness,
		QuarantineMax: src.QuarantineMax, Progress: a.opts.Progress, Program: a.opts.Program,
	})
	return ArchiveRan{
		Source: src.Name, Adopted: true, Events: res.Events, Repeats: res.Repeats, Conflicts: res.Conflicts, Quarantined: res.Faults, Files: res.Files,
		Bytes: res.Bytes, Commits: res.Commits, Gaps: res.Gaps, Known: res.Known, Snapshot: res.Snapshot, Watermark: res.Watermark, TookMS: a.now().Sub(began).Milliseconds(),
	}, err
}

// openOriginals opens what reads the adopted files of a stream; Close closes it.
func (a *App) openOriginals(ctx context.Context, stream string) (source.Originals, error) {
	src, err := a.Project.Source(stream)
	if err != nil {
		return nil, err
	}
	s, err := a.openSource(ctx, src)
	if err != nil {
		return nil, err
	}
	o, ok := s.(source.Originals)
	if !ok {
		return nil, errors.Join(s.Close(), &recount.Error{
			Code: recount.CodeConfig, What: "adopted files cannot be read through source " + stream, Where: "recount.yaml, sources: " + stream,
			Why:  "files of this stream were adopted, and the source by that name reads none",
			Next: "put the source back as it was when they were adopted, or give the new one another name",
		})
	}
	a.closers = append(a.closers, s.Close)
	return o, nil
}

// openObjects opens a store for a source that reads files out of it.
func (a *App) openObjects(ctx context.Context, url string) (adapter.Objects, error) {
	at, err := config.StoreAt(a.opts.Registry, url)
	if err != nil {
		return nil, err
	}
	block, err := a.Project.Resolve(at.Config)
	if err != nil {
		return nil, err
	}
	env := adapter.Env{Dir: a.opts.Dir, Now: a.now}
	s, err := adapter.Open[store.Store](ctx, a.opts.Registry, adapter.Store, at.Adapter, env, block)
	if err != nil {
		return nil, err
	}
	return objects{s}, nil
}

// objects is a store as sources see it.
type objects struct{ store store.Store }

func (o objects) Place() string { return o.store.Place() }

func (o objects) List(ctx context.Context, prefix string, each func(name string, size int64) error) error {
	return o.store.List(ctx, prefix, each)
}

func (o objects) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	return o.store.Open(ctx, name)
}
