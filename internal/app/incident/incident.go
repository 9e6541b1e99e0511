// Package incident recalculates one calculation over one error window and says
// what is wrong: it finds the window's events, replays what their rows remember,
// compares the result with what is live, and makes the plan, the rows or the
// explanation of it. It reaches the project through a Host alone, writes nothing
// live and asks nobody. An Incident is used by one goroutine at a time.
package incident

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"recount"
	"recount/engine"
	"recount/internal/archive"
	"recount/internal/archive/cover"
	"recount/internal/config"
	"recount/internal/diff"
	"recount/source"
	"recount/target"
)

// Host is the project that an incident belongs to. What it opens once, the
// archive and the engine, it closes itself; sources and targets are closed by the
// one who opened them.
type Host interface {
	// Calculation and Source look a part of the project up by its name.
	Calculation(name string) (config.Calculation, error)
	Source(name string) (config.Source, error)
	// Dir is the project folder, in which relative paths start.
	Dir() string
	// Scratch makes a new folder, which is gone once the host is closed. name is
	// part of the folder's name, for people.
	Scratch(name string) (string, error)
	Archive(ctx context.Context) (*archive.Archive, error)
	Engine(ctx context.Context) (engine.Engine, error)
	OpenSource(ctx context.Context, src config.Source) (source.Source, error)
	// OpenTarget opens the live table that the calculation names; writing chooses
	// the connection of apply where there is one.
	OpenTarget(ctx context.Context, calc config.Calculation, writing bool) (target.Target, error)
	// Unsandboxed says that workers may run without isolation.
	Unsandboxed() bool
	Progress() recount.Progress
	Now() time.Time
}

// Incident is one calculation over one error window, with what is live.
type Incident struct {
	host      Host
	calc      config.Calculation
	source    config.Source
	archive   *archive.Archive
	snapshot  recount.Snapshot
	spans                     // known when start has returned
	whole     bool            // no checkpoint is used: all events are read
	opening   string          // the file of rows, or states, with which the replay begins; empty: none
	processed *recount.IDList // nil: the calculation names none
	engine    engine.Engine
	session   engine.Session
	right     engine.Variant
	shape     recount.Shape       // the result's columns
	timeKey   int                 // the key column that is a time or date; -1: none
	wrong     []diff.Pair         // the rows of the window that are not right, once they were compared
	elsewhere map[string]*brought // rows that something else made, by their name
	tables    []*table            // reference data, in the order of the configuration
	used      []recount.Version   // the versions that the window needs
	versioned *recount.Logic      // all versions, where calc.Logic is the one that is needed
	unknown   []unjudged          // spans beside the window that cannot be a control
	ignored   int64               // events of types that the logic passes over
	extra     []recount.Field     // the fields that events get from it
}

// Prepare checks logic and configuration of a calculation against each other and
// finds what the archive holds; it replays nothing yet. How far the live rows
// have absorbed events is not known until ReadCut.
func Prepare(ctx context.Context, host Host, name string, hits recount.Hits) (*Incident, error) {
	calc, err := host.Calculation(name)
	if err != nil {
		return nil, err
	}
	src, err := host.Source(calc.Source)
	if err != nil {
		return nil, err
	}
	r, err := Check(ctx, host, calc, src)
	if err != nil {
		return nil, err
	}
	r.hits = hits
	if r.archive, err = host.Archive(ctx); err != nil {
		return nil, err
	}
	if r.snapshot, err = r.archive.Snapshot(ctx, src.Name); err != nil {
		return nil, err
	}
	digest, err := src.MappingDigest()
	if err != nil {
		return nil, err
	}
	if err := cover.SameMapping(r.snapshot, digest); err != nil {
		return nil, err
	}
	r.snapshot.Lateness = src.Lateness // as it is configured now, not as it was when events came in
	return r, nil
}

// PrepareAll is Prepare with all archived events as the window, but for those of
// buckets that may not be closed yet.
func PrepareAll(ctx context.Context, host Host, name string) (*Incident, error) {
	r, err := Prepare(ctx, host, name, recount.Hits{Window: recount.Window{By: recount.ByEvent}})
	if err != nil {
		return nil, err
	}
	first, last, ok := reach(r.snapshot)
	if !ok {
		return nil, r.emptyWindow()
	}
	to := last.Add(1000)
	if r.bucketed() { // newer buckets may not be closed
		to = r.calc.Bucket.Floor(r.snapshot.Watermark.Add(-r.source.Lateness))
	}
	r.hits.Window = recount.Window{From: first, To: to, By: recount.ByEvent}
	return r, nil
}

// Check fits a calculation to its logic and looks at no archive. The incident
// comes back with the error too, and has no window: it is good for Shaped and
// LiveTable alone.
func Check(ctx context.Context, host Host, calc config.Calculation, src config.Source) (r *Incident, err error) {
	r = &Incident{host: host, calc: calc, source: src}
	if r.engine, err = host.Engine(ctx); err != nil {
		return r, err
	}
	return r, r.check(ctx)
}

// Shaped says that the columns of the result are known.
func (r *Incident) Shaped() bool { return len(r.shape.Key) > 0 }

// LiveTable opens the live table, fits it to the calculation and returns what it
// says of itself.
func (r *Incident) LiveTable(ctx context.Context) (info recount.TableInfo, err error) {
	l, err := r.openLive(ctx)
	if err != nil {
		return info, err
	}
	defer joined(&err, l.target.Close)
	return l.info, nil
}

// StorageError is the error for a disk that refuses.
func StorageError(act, where string, err error) error {
	return &recount.Error{
		Code: recount.CodeStorage, What: "could not " + act, Where: where, Why: err.Error(), Err: err,
		Next: "make room or rights there, then run the command again",
	}
}

// joined closes c and adds its error to err's.
func joined(err *error, c func() error) { *err = errors.Join(*err, c()) }

// closing closes c after err.
func closing(c interface{ Close() error }, err error) error { return errors.Join(err, c.Close()) }

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
