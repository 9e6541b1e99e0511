package incident

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"recount"
	"recount/engine"
	"recount/internal/archive/cover"
	"recount/internal/config"
	"recount/source"
	"recount/target"
)

// spans are the spans of one replay: which events are wrong, which are read, and
// which rows are compared.
type spans struct {
	// hits are the events of the error window.
	hits recount.Hits
	// asked is the hit events' span of event time, before it is widened.
	asked recount.Window
	// window is asked, widened to whole buckets: what $from and $to mean.
	window recount.Window
	// read is the span of event time that the rows remember; a zero edge is open.
	read recount.Window
	// compared holds the buckets of the rows that are compared.
	compared recount.Window
	// unfinished says that compared ends before window does: later buckets are not over.
	unfinished bool
	// until is the cut of a paused worker: by partition, the first position that
	// it has not processed.
	until map[string]string
	taken *recount.CutTaken // nil: closed
	// readAt is when rows that go on were read, before the archive was looked at.
	readAt time.Time
}

// locate finds the hit events and, from them, what has to be read and compared.
func (r *Incident) locate(ctx context.Context) error {
	r.asked = r.hits.Window
	if r.hits.Window.By != recount.ByEvent {
		found, err := r.scout(ctx)
		if err != nil {
			return err
		}
		if found.Events == 0 {
			return r.emptyWindow()
		}
		r.asked = recount.Window{From: found.First, To: found.Last.Add(time.Microsecond), By: r.hits.Window.By}
	}
	r.window = r.calc.Bucket.Widen(r.asked)
	if r.calc.Memory.Kind == recount.MemoryWindow && r.calc.Bucket.None() && r.hits.Window.By != recount.ByEvent {
		r.right.See = engine.SeeHit // the rows hold the window's events and no others
	}
	r.read, r.compared = r.remembered(), r.window
	switch r.calc.Memory.Kind {
	case recount.MemoryDuration:
		r.compared.To = r.calc.Bucket.Widen(recount.Window{From: r.window.To, To: r.window.To.Add(r.calc.Memory.Length)}).To
		if r.bucketed() { // the last bucket that remembers the window is compared whole
			r.read.To = r.compared.To
		}
	case recount.MemoryUnbounded:
		if r.bucketed() {
			r.compared.To = r.calc.Bucket.Floor(r.snapshot.Watermark.Add(-r.source.Lateness))
			r.read.To = r.compared.To
		}
	case recount.MemoryWindow:
		r.closeBuckets()
	}
	return nil
}

// closeBuckets leaves rows out whose bucket is still open. Events that are in the
// window by another clock than their own time can belong to one: its rows go on,
// and what they hold and what is archived are of two moments.
func (r *Incident) closeBuckets() {
	if !r.bucketed() || r.hits.Window.By == recount.ByEvent {
		return
	}
	closed := r.calc.Bucket.Floor(r.snapshot.Watermark.Add(-r.source.Lateness))
	if closed.Before(r.compared.To) && r.compared.From.Before(closed) {
		r.compared.To, r.unfinished = closed, true
	}
}

// typed is the window as it was asked for: under ingest time its edges are no
// event times.
func (r *Incident) typed() recount.Window {
	if r.hits.Window.By == recount.ByIngest {
		return r.hits.Window
	}
	return r.asked
}

// remembered is the span of event time that the rows of the window depend on.
func (r *Incident) remembered() recount.Window {
	read := recount.Window{From: r.window.From, To: r.window.To, By: recount.ByEvent}
	switch r.calc.Memory.Kind {
	case recount.MemoryDuration:
		read.From, read.To = read.From.Add(-r.calc.Memory.Length), read.To.Add(r.calc.Memory.Length)
		if !r.bucketed() { // the rows go on: they are as of the cut
			read.To = time.Time{}
		}
	case recount.MemoryUnbounded:
		read.From, read.To = time.Time{}, time.Time{}
	case recount.MemoryWindow:
	}
	return read
}

// running says that rows are a state that goes on: they belong to no bucket.
func (r *Incident) running() bool {
	return r.calc.Memory.Kind != recount.MemoryWindow && !r.bucketed()
}

// everything says that every row of the window is looked at, not only those of
// touched keys.
func (r *Incident) everything() bool {
	return r.calc.Memory.Kind == recount.MemoryWindow && r.hits.Window.By == recount.ByEvent
}

// scout looks for the hit events of a clock that is not event time: in the files
// that can hold them.
func (r *Incident) scout(ctx context.Context) (found engine.HitSpan, err error) {
	files := r.snapshot.Files
	if r.hits.Window.By == recount.ByPosition {
		if err := cover.CompletePositions(r.snapshot, r.hits.Positions); err != nil {
			return found, err
		}
		files = cover.SelectPositions(r.snapshot, r.hits.Positions)
	}
	if r.hits.Window.By == recount.ByIngest {
		if r.source.Mapping.IngestTime == "" {
			return found, &recount.Error{
				Code: recount.CodeWindow, What: "the window cannot be measured by ingest time", Where: "recount.yaml, sources: " + r.source.Name,
				Why: "the source's events do not say when they were taken in", Next: "name event: {ingest_time: …}, or choose the window by event time or position",
			}
		}
	}
	session, err := r.openEvents(ctx, engine.Input{Read: recount.Window{By: recount.ByEvent}, Hits: r.hits}, files)
	if err != nil {
		return found, err
	}
	defer joined(&err, session.Close)
	if found, err = session.HitSpan(ctx, r.calc.Dedupe); err != nil {
		return found, err
	}
	if found.Missing > 0 {
		return found, unknownIDs(r.hits.IDs.From, found.Missing, r.hits.IDs.Count, found.MissingIDs)
	}
	return found, nil
}

// PlannedHits are the hit events of a plan. A list of ids is read again, and must
// be the one that the plan was made with.
func PlannedHits(host Host, b recount.PlanBody) (recount.Hits, error) {
	hits := recount.Hits{Window: b.Asked, Positions: b.Positions}
	if b.IDs == nil {
		return hits, nil
	}
	ids, err := config.ReadIDs(host.Dir(), b.IDs.From)
	if err != nil {
		return hits, err
	}
	if ids.Digest != b.IDs.Digest {
		return hits, &recount.Error{
			Code: recount.CodePlanDamaged, What: "the list of ids is not the one of the plan", Where: b.IDs.From,
			Why: "it was changed since the plan was made", Next: "plan again with the list as it is now",
		}
	}
	hits.IDs = ids
	return hits, nil
}

func unknownIDs(from string, missing, of int64, some []string) error {
	return &recount.Error{
		Code: recount.CodeNoSuchIDs, What: fmt.Sprintf("%d of %d listed ids are no events", missing, of), Where: from,
		Why:  "the archive holds no sound event with these ids, such as " + strings.Join(some, ", ") + ", so what the list means is not known",
		Next: "check the list, and run recount archive run if they are new; take out ids that never were events",
	}
}

// needed is the window that has to be in the archive whole.
func (r *Incident) needed() recount.Window {
	needed := r.asked
	if r.hits.Window.By == recount.ByEvent {
		needed = r.window
	}
	switch {
	case !r.bucketed():
	case r.calc.Memory.Kind == recount.MemoryDuration:
		needed.To = r.compared.To
	case r.calc.Memory.Kind == recount.MemoryWindow:
		needed = r.compared
	}
	return needed
}

// complete refuses a window that the archive does not hold whole, as far as its
// rows remember.
func (r *Incident) complete() error {
	needed := r.needed()
	if r.hits.Window.By == recount.ByPosition && r.calc.Bucket.None() {
		needed.To = time.Time{} // the cut says up to where events count
	}
	if err := cover.Complete(r.snapshot, needed, r.read); err != nil {
		return r.notOver(err, needed)
	}
	return cover.CompleteCut(r.snapshot, r.until)
}

// notOver says of a window that lies in the future that no run can help yet.
func (r *Incident) notOver(err error, needed recount.Window) error {
	var e *recount.Error
	if !needed.To.After(r.host.Now()) || !errors.As(err, &e) {
		return err
	}
	waits := *e
	waits.Why = fmt.Sprintf("it is not over: its last events may still come until %s", recount.FormatTimestamp(needed.To.Add(r.snapshot.Lateness)))
	waits.Next = fmt.Sprintf("give an earlier --to, or wait for that moment, then: recount archive run %s --once", r.source.Name)
	return &waits
}

// Needs is the span of the source that the incident reads, up to the lateness of
// its last events, and whether the archive lacks any of it. A zero edge is open.
func (r *Incident) Needs(ctx context.Context) (needs recount.Window, lacking bool, err error) {
	if err := r.locate(ctx); err != nil {
		return needs, false, err
	}
	needs = r.read
	if needed := r.needed(); !needs.To.IsZero() && needed.To.After(needs.To) {
		needs.To = needed.To
	}
	if !needs.To.IsZero() {
		needs.To = needs.To.Add(r.snapshot.Lateness)
	}
	err = r.complete()
	var e *recount.Error
	if errors.As(err, &e) && e.Code == recount.CodeIncomplete {
		return needs, true, nil
	}
	return needs, false, err
}

// Reads are the events of which the rows of an incident are made.
type Reads struct {
	Hits     recount.Hits // by event time a zero edge is open
	Until    map[string]string
	Snapshot recount.Snapshot
}

// Reads says which events a worker must be given to make the rows of the window.
// All of them are archived. How far the live rows are must be known.
func (r *Incident) Reads(ctx context.Context) (reads Reads, err error) {
	if err := r.locate(ctx); err != nil {
		return reads, err
	}
	if err := r.complete(); err != nil {
		return reads, err
	}
	reads = Reads{Hits: recount.Hits{Window: r.read}, Until: r.until, Snapshot: r.snapshot}
	reads.Hits.Window.By = recount.ByEvent
	if r.right.See == engine.SeeHit {
		reads.Hits = r.hits
	}
	return reads, nil
}

// Calculation is what the incident recalculates.
func (r *Incident) Calculation() config.Calculation { return r.calc }

// Filled says whether a table of the calculation's database holds any row.
func (r *Incident) Filled(ctx context.Context, table string) (filled bool, err error) {
	t, info, err := r.beside(ctx, table)
	if err != nil {
		return false, err
	}
	defer joined(&err, t.Close)
	if len(info.Columns) == 0 {
		return false, nil
	}
	found := errors.New("there is a row")
	err = t.Scan(ctx, target.Scan{Key: []string{info.Columns[0].Name}}, func(recount.Row) error { return found })
	if errors.Is(err, found) {
		return true, nil
	}
	return false, err
}

// ReadCut finds out how far the live rows have absorbed events; paused is the
// file or group that a flag names, empty where there is none.
func (r *Incident) ReadCut(ctx context.Context, paused string) error {
	cut := r.calc.Cut
	if paused != "" {
		cut.Kind, cut.Paused = recount.CutPaused, paused
	}
	if !r.running() {
		if cut.Kind == recount.CutPaused && r.calc.Memory.Kind == recount.MemoryWindow {
			return nil // closed buckets need no cut, a paused worker does no harm
		}
		return nil
	}
	brought := r.calc.Logic.Brought()
	if asked := cut.Kind == recount.CutColumn || cut.Kind == recount.CutFound; asked && (brought || r.calc.Previous != nil && r.calc.Previous.Brought()) {
		return r.noCutOfRows(brought)
	}
	switch cut.Kind {
	case recount.CutPaused:
		return r.readPaused(ctx, cut.Paused)
	case recount.CutColumn:
		r.taken = &recount.CutTaken{Kind: cut.Kind, How: fmt.Sprintf("each row's column %s says how far it is (%s)", cut.Column, cut.Is)}
	case recount.CutFound:
		if !r.calc.Hypotheses() {
			return noCut(r.calc.Name, "nothing says up to where its rows have absorbed events, and no hypothesis is given that could be recognised in them")
		}
		r.taken = &recount.CutTaken{Kind: cut.Kind, How: "nothing says how far the rows are: a row counts where a hypothesis gives it at one position"}
	case recount.CutClosed:
		if brought {
			return nil // who writes it says that rows and table stand at one moment
		}
		return noCut(r.calc.Name, "cut: closed is for rows of buckets that no event reaches any more, and its rows go on")
	}
	return nil
}

func noCut(calculation, why string) error {
	return &recount.Error{
		Code: recount.CodeNoCut, What: fmt.Sprintf("the cut of calculation %s is not known", calculation), Where: "recount.yaml, calculations: " + calculation, Why: why,
		Next: "stop the worker, write down its positions and give them with --paused FILE; where it commits to a consumer group, --paused group:NAME reads them; or name the column that says how far a row is: position: {column: …, is: offset}",
	}
}

// ofGroup begins the name of a consumer group where a file could stand.
const ofGroup = "group:"

// readPaused reads the positions at which the paused worker stands: out of a file,
// or from the source, where the worker commits to a consumer group.
func (r *Incident) readPaused(ctx context.Context, given string) (err error) {
	if given == "" {
		return noCut(r.calc.Name, "cut: paused needs the positions at which the worker stands")
	}
	if group, ok := strings.CutPrefix(given, ofGroup); ok {
		r.until, err = r.groupStands(ctx, group)
	} else {
		r.until, err = config.ReadPositions(config.Path(r.host.Dir(), given))
	}
	if err != nil {
		return err
	}
	for partition := range cover.Reach(r.snapshot) {
		if _, named := r.until[partition]; !named {
			return noCut(r.calc.Name, fmt.Sprintf("%s does not name partition %q, which the archive holds", given, partition))
		}
	}
	for _, w := range r.hits.Positions {
		if cut, named := r.until[w.Partition]; named && cut < w.To {
			return noCut(r.calc.Name, fmt.Sprintf("the worker stands at %s of partition %s, before the window's end %s: it has not processed those events yet",
				recount.ShortPosition(cut), w.Partition, recount.ShortPosition(w.To)))
		}
	}
	parts := make([]string, 0, len(r.until))
	for _, partition := range sortedNames(r.until) {
		parts = append(parts, partition+":"+recount.ShortPosition(r.until[partition]))
	}
	const most = 8
	if more := len(parts) - most; more > 0 {
		parts = append(slices.Clone(parts[:most]), fmt.Sprintf("and %d more", more))
	}
	r.taken = &recount.CutTaken{Kind: recount.CutPaused, How: "the worker is paused at " + strings.Join(parts, " "), Positions: r.until}
	return nil
}

// groupStands asks the source where a consumer group stands. A group with members
// at work is no paused worker: its positions move while they are read.
func (r *Incident) groupStands(ctx context.Context, group string) (positions map[string]string, err error) {
	src, err := r.host.OpenSource(ctx, r.source)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	grouped, ok := src.(source.Grouped)
	if !ok {
		return nil, &recount.Error{
			Code: recount.CodeUnsupported, What: fmt.Sprintf("source %s has no consumer groups", r.source.Name), Where: src.Info().Place,
			Why: "its kind does not keep how far its readers are", Next: "write the worker's positions down in a file, and give it with --paused FILE", Err: recount.ErrUnsupported,
		}
	}
	positions, err = grouped.Processed(ctx, group, r.snapshot.Cursor)
	next := ""
	switch {
	case errors.Is(err, recount.ErrBusy):
		next = fmt.Sprintf("stop the worker, wait until group %s has no member, and plan again with --paused %s%s", group, ofGroup, group)
	case errors.Is(err, recount.ErrNotFound) && recount.AsError(err).Code == recount.CodeInternal:
		next = "name the group that the worker commits to, --paused group:NAME; or write its positions down in a file, --paused FILE"
	default:
		return positions, err
	}
	refusal := noCut(r.calc.Name, "the worker is not paused: "+err.Error())
	if errors.Is(err, recount.ErrNotFound) {
		refusal = noCut(r.calc.Name, err.Error())
	}
	told := *recount.AsError(refusal)
	told.Next = next
	return nil, &told
}
