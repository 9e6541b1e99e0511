package app

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"recount"
	"recount/internal/archive"
	"recount/internal/archive/iceberg"
	"recount/internal/config"
	"recount/store"
)

// CompactRequest asks for small files to be joined.
type CompactRequest struct {
	Sources []string
	Target  int64 // bytes; 0: the archive's own
	DryRun  bool
}

// ArchiveCompacted is the outcome for one stream.
type ArchiveCompacted struct {
	archive.CompactResult
	DryRun bool
	TookMS int64
}

// ArchiveCompact joins the small files of the named streams, or of all.
func (a *App) ArchiveCompact(ctx context.Context, req CompactRequest) ([]ArchiveCompacted, error) {
	arch, streams, err := a.streams(ctx, req.Sources)
	if err != nil {
		return nil, err
	}
	var out []ArchiveCompacted
	for _, stream := range streams {
		began := a.now()
		dir, err := a.folder("compact")
		if err != nil {
			return out, err
		}
		res, err := arch.Compact(ctx, archive.CompactOptions{
			Stream: stream, Target: req.Target, DryRun: req.DryRun, Dir: dir, Program: a.opts.Program,
		})
		if err == nil || res.Commits > 0 {
			out = append(out, ArchiveCompacted{CompactResult: res, DryRun: req.DryRun, TookMS: a.now().Sub(began).Milliseconds()})
		}
		if err != nil {
			return out, err
		}
	}
	return out, nil
}

// ExpireRequest asks for old events to be taken out, and for what nothing refers
// to any more to be deleted.
type ExpireRequest struct {
	Sources []string
	// Before is a time as a person types it; empty: each source's retention says.
	Before string
	// Keep is for how long older snapshots stay readable.
	Keep      time.Duration
	Leftovers bool
	DryRun    bool
}

// ArchiveExpired is the outcome for one stream.
type ArchiveExpired struct {
	archive.ExpireResult
	Asked  time.Time // before it was rounded down to the hour; zero: no event
	DryRun bool
}

// runsKept is for how long a run keeps the files of its snapshot.
const runsKept = 30 * 24 * time.Hour

// ArchiveExpire takes old events out of the named streams, or of all, and deletes
// files that no plan in the project's folder and no run refers to. A plan that
// cannot be read keeps all; a ledger that cannot be read is an error, and nothing
// is done.
func (a *App) ArchiveExpire(ctx context.Context, req ExpireRequest) ([]ArchiveExpired, error) {
	before, err := req.before()
	if err != nil {
		return nil, err
	}
	arch, streams, err := a.streams(ctx, req.Sources)
	if err != nil {
		return nil, err
	}
	needs, err := a.needs(ctx)
	if err != nil {
		return nil, err
	}
	var out []ArchiveExpired
	for _, stream := range streams {
		asked := before
		if src := a.Project.Sources[stream]; asked.IsZero() && src.Retention > 0 {
			asked = a.now().UTC().Add(-src.Retention)
		}
		res, err := arch.Expire(ctx, archive.ExpireOptions{
			Stream: stream, Before: asked, Keep: req.Keep, Needs: needs.of(stream), Leftovers: req.Leftovers, DryRun: req.DryRun, Program: a.opts.Program,
		})
		if err == nil || res.Files > 0 || res.Deleted.Count > 0 {
			out = append(out, ArchiveExpired{ExpireResult: res, Asked: asked, DryRun: req.DryRun})
		}
		if err != nil {
			return out, err
		}
	}
	return out, nil
}

// ExpireStreams names the streams that a request is about, joined by commas: what
// has to be confirmed.
func (a *App) ExpireStreams(ctx context.Context, req ExpireRequest) (string, error) {
	_, streams, err := a.streams(ctx, req.Sources)
	return strings.Join(streams, ","), err
}

func (r ExpireRequest) before() (time.Time, error) {
	if r.Before == "" {
		return time.Time{}, nil
	}
	at, err := recount.ParseTimestamp(r.Before)
	if err != nil {
		return at, &recount.Error{
			Code: recount.CodeUsage, What: "--before is no time", Where: "--before " + r.Before, Why: err.Error(), Err: err,
			Next: "write the time with its offset, such as 2024-06-10T12:00:00Z",
		}
	}
	return at.UTC(), nil
}

// needs is what refers to older snapshots: by stream, and of any stream.
type needs map[string][]archive.Need

const anyStream = ""

func (n needs) of(stream string) []archive.Need { return slices.Concat(n[anyStream], n[stream]) }

// needs reads the plans in the project's folder and the ledgers of all targets.
func (a *App) needs(ctx context.Context) (needs, error) {
	found := needs{}
	files, err := os.ReadDir(a.opts.Dir)
	if err != nil {
		return nil, &recount.Error{
			Code: recount.CodeExpire, What: "the project's plans cannot be looked at", Where: a.opts.Dir, Why: err.Error(), Err: err,
			Next: "make the folder readable: files that a plan refers to must stay",
		}
	}
	for _, f := range files {
		if filepath.Ext(f.Name()) != ".plan" {
			continue
		}
		by := "plan " + f.Name() + " refers to them"
		p, err := a.loadPlan(f.Name())
		if err != nil {
			found[anyStream] = append(found[anyStream], archive.Need{Snapshot: "unknown", By: "plan " + f.Name() + " cannot be read, and may refer to them"})
			continue
		}
		for _, part := range p.Parts() {
			if stream := part.Body.Stream; part.Body.Snapshot != "" {
				found[stream] = append(found[stream], archive.Need{Snapshot: part.Body.Snapshot, By: by})
			}
		}
	}
	err = a.eachTarget(ctx, func(calc config.Calculation, runs []recount.Run) {
		for _, run := range runs {
			if a.now().Sub(run.At) < runsKept {
				// A plan is applied within its life, so its snapshot is no older.
				found[calc.Source] = append(found[calc.Source], archive.Need{At: run.At.Add(-planLife), By: "run " + recount.WholeID(run.ID) + " refers to them"})
			}
		}
	})
	return found, err
}

// RegisterRequest asks for the archive's files to be made tables of a catalog.
type RegisterRequest struct {
	Sources []string
	Iceberg string // the catalog's folder, as typed
}

// ArchiveRegistered is the outcome for one stream.
type ArchiveRegistered struct {
	iceberg.Registered
	Catalog string // its file, as typed
	TookMS  int64
}

// ArchiveRegister brings the tables of the named streams, or of all, up to their
// newest snapshots.
func (a *App) ArchiveRegister(ctx context.Context, req RegisterRequest) ([]ArchiveRegistered, error) {
	arch, streams, err := a.streams(ctx, req.Sources)
	if err != nil {
		return nil, err
	}
	local, ok := a.store.(store.Local)
	if !ok {
		return nil, &recount.Error{
			Code: recount.CodeUnsupported, What: "only an archive on a disk can be registered", Where: arch.Place(),
			Why:  "the tables name the archive's own files, and readers must reach them as files",
			Next: "register a copy of the archive on a disk, or read its Parquet files by their folders (docs/archive.md)",
		}
	}
	dir, err := filepath.Abs(a.path(req.Iceberg))
	if err != nil {
		return nil, err
	}
	var out []ArchiveRegistered
	for _, stream := range streams {
		began := a.now()
		snapshot, err := arch.Snapshot(ctx, stream)
		if err != nil {
			return out, err
		}
		done, err := iceberg.Register(ctx, iceberg.Options{Dir: dir, Snapshot: snapshot, Now: began, Path: func(name string) (string, error) {
			path, err := local.Path(name)
			if err != nil {
				return "", err
			}
			return filepath.Abs(path)
		}})
		if err != nil {
			return out, err
		}
		out = append(out, ArchiveRegistered{
			Registered: done, Catalog: filepath.Join(req.Iceberg, iceberg.CatalogFile), TookMS: a.now().Sub(began).Milliseconds(),
		})
	}
	return out, nil
}
