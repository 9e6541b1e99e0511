package app

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"recount"
	"recount/internal/app/incident"
	"recount/internal/archive"
	"recount/internal/config"
	"recount/source"
)

// importMemory is the soft limit of the heap during an import, beside what a
// request asks for.
const importMemory = 256 << 20

// ArchiveRequest asks for a run of the archiver.
type ArchiveRequest struct {
	Sources []string // none: all
	// Live reads on at the present end, all sources at once, until the context ends.
	Live bool
	// Span brings in a span by itself; nil: what is new.
	Span *WindowRequest
	// Memory is the budget of all batches together, in bytes; 0: 128 MiB for each
	// source.
	Memory int64
	// Tell is told where the runs stand, by several goroutines, one after the other.
	Tell func(ArchiveStatus)
}

// ArchiveStatus is where the run of one source stands.
type ArchiveStatus struct {
	ArchiveRan
	// Err is why the run waits, for Retry; nil: it goes on.
	Err   error
	Retry time.Duration
	// Lost are gaps whose events were found to be lost just now.
	Lost []recount.Gap
}

// ArchiveRun reads each source to its present end into the archive.
func (a *App) ArchiveRun(ctx context.Context, sources []string) ([]ArchiveRan, error) {
	return a.Archive(ctx, ArchiveRequest{Sources: sources})
}

// Archive brings events into the archive. What was archived before an error is in
// the result too.
func (a *App) Archive(ctx context.Context, req ArchiveRequest) ([]ArchiveRan, error) {
	list, err := a.named(req.Sources)
	if err != nil {
		return nil, err
	}
	if req.Memory > 0 {
		req.Memory /= int64(len(list))
	}
	// No engine runs beside an import, so it may have more of the memory: under
	// the limit of other commands the collector would take half of the time.
	if before, wanted := debug.SetMemoryLimit(-1), importMemory+req.Memory*int64(len(list)); before < wanted {
		debug.SetMemoryLimit(wanted)
		defer debug.SetMemoryLimit(before)
	}
	runs := make([]*archiving, len(list))
	var told sync.Mutex
	for i, src := range list {
		r, err := a.archiving(ctx, src, req)
		if err != nil {
			return nil, errors.Join(err, closeAll(runs[:i]))
		}
		r.opts.Tell = func(st archive.Status) {
			if req.Tell != nil {
				told.Lock()
				defer told.Unlock()
				req.Tell(ArchiveStatus{ArchiveRan: r.ran(st.Result), Err: st.Err, Retry: st.Retry, Lost: st.Lost})
			}
		}
		runs[i] = r
	}
	out, err := a.archiveAll(ctx, runs, req.Live)
	return out, errors.Join(err, closeAll(runs))
}

// archiving is the run of one source.
type archiving struct {
	app     *App
	name    string
	archive *archive.Archive
	source  source.Source
	opts    archive.RunOptions
	began   time.Time
}

func closeAll(runs []*archiving) error {
	var errs []error
	for _, r := range runs {
		errs = append(errs, r.source.Close())
	}
	return errors.Join(errs...)
}

// archiveAll runs one source after the other or, live, all at once. Of those, the
// first error asks all others to end.
func (a *App) archiveAll(ctx context.Context, runs []*archiving, live bool) ([]ArchiveRan, error) {
	results := make([]ArchiveRan, len(runs))
	if !live {
		var lost error
		for i, r := range runs {
			ran, err := r.run(ctx)
			results[i] = ran
			var e *recount.Error
			if errors.As(err, &e) && e.Code == recount.CodeLost && lost == nil {
				lost, err = err, nil // all else is in, and other sources can be read
			}
			if err != nil {
				if ran.Commits == 0 {
					return results[:i], err
				}
				return results[:i+1], err
			}
		}
		return results, lost
	}
	g, ctx := errgroup.WithContext(ctx)
	for i, r := range runs {
		g.Go(func() (err error) {
			results[i], err = r.run(ctx)
			return err
		})
	}
	err := g.Wait()
	var e *recount.Error
	if !errors.As(err, &e) || e.Code != recount.CodeInterrupted {
		return made(results), err
	}
	if len(runs) > 1 {
		total := int64(0)
		for _, ran := range results {
			total += ran.Events
		}
		told := *e
		told.Where, told.Changed = "recount archive run", fmt.Sprintf("%d events were committed, of all sources; the next run goes on after them", total)
		err = &told
	}
	return results, err
}

// made leaves out runs that an error ended before they committed anything.
func made(results []ArchiveRan) []ArchiveRan {
	return slices.DeleteFunc(results, func(r ArchiveRan) bool { return r.Commits == 0 })
}

// archiving makes a source's run ready.
func (a *App) archiving(ctx context.Context, src config.Source, req ArchiveRequest) (*archiving, error) {
	arch, err := a.openArchive(ctx)
	if err != nil {
		return nil, err
	}
	digest, err := src.MappingDigest()
	if err != nil {
		return nil, err
	}
	var span *source.Span
	if req.Span != nil {
		if span, err = req.Span.span(); err != nil {
			return nil, err
		}
	}
	s, err := a.openSource(ctx, src)
	if err != nil {
		return nil, err
	}
	return &archiving{app: a, name: src.Name, archive: arch, source: s, began: a.now(), opts: archive.RunOptions{
		Stream: src.Name, Source: s, Fields: src.Mapping.Fields, MappingDigest: digest, Lateness: src.Lateness, Flush: src.Flush, Live: req.Live,
		QuarantineMax: src.QuarantineMax, MemoryBudget: req.Memory, Pull: span, Progress: a.opts.Progress, Program: a.opts.Program,
	}}, nil
}

// span is the span of a source that a window names.
func (r WindowRequest) span() (*source.Span, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	if r.clock() == recount.ByPosition {
		list, err := r.positions()
		return &source.Span{Positions: list}, err
	}
	w, err := r.times()
	return &source.Span{From: w.From, To: w.To}, err
}

func (r *archiving) run(ctx context.Context) (ArchiveRan, error) {
	r.began = r.app.now()
	res, err := r.archive.Run(ctx, r.opts)
	return r.ran(res), err
}

func (r *archiving) ran(res archive.RunResult) ArchiveRan {
	return ArchiveRan{
		Source: r.name, Events: res.Events, Repeats: res.Repeats, Conflicts: res.Conflicts, Quarantined: res.Faults, Files: res.Files,
		Bytes: res.Bytes, Commits: res.Commits, Gaps: res.Gaps, Known: res.Known, Snapshot: res.Snapshot, Watermark: res.Watermark,
		TookMS: r.app.now().Sub(r.began).Milliseconds(),
	}
}

// pullFor brings in what an incident over these events reads, as far as the archive
// lacks it.
func (a *App) pullFor(ctx context.Context, name string, hits recount.Hits) error {
	calc, err := a.Project.Calculation(name)
	if err != nil {
		return err
	}
	if hits.IDs != nil {
		return wrongFlags("--pull and --ids do not go together", "a source has no index of ids, so that nobody knows what to bring in", "name the window by times or positions")
	}
	for again := false; ; again = true {
		r, err := incident.Prepare(ctx, host{a}, name, hits)
		var needs recount.Window
		lacking := false
		if err == nil {
			needs, lacking, err = r.Needs(ctx)
		}
		var e *recount.Error
		switch {
		case err == nil && !lacking:
			return nil
		case err == nil:
			return a.pull(ctx, calc.Source, needs, nil)
		case again || !errors.As(err, &e) || e.Code != recount.CodeNoArchive && e.Code != recount.CodeIncomplete:
			return err
		}
		// What is hit says what else is read.
		if err := a.pull(ctx, calc.Source, hits.Window, hits.Positions); err != nil {
			return err
		}
	}
}

// pull brings in a span of a source by itself; one without a beginning is brought
// in by an ordinary run. Whether lost events matter is for those who read.
func (a *App) pull(ctx context.Context, name string, span recount.Window, positions []recount.PositionWindow) (err error) {
	src, err := a.Project.Source(name)
	if err != nil {
		return err
	}
	r, err := a.archiving(ctx, src, ArchiveRequest{})
	if err != nil {
		return err
	}
	defer joined(&err, r.source.Close)
	if span.To.IsZero() {
		span.To = a.now()
	}
	if !span.From.IsZero() || len(positions) > 0 {
		r.opts.Pull = &source.Span{From: span.From, To: span.To, Positions: positions}
	}
	_, err = r.run(ctx)
	var e *recount.Error
	if errors.As(err, &e) && e.Code == recount.CodeLost {
		return nil
	}
	return err
}
