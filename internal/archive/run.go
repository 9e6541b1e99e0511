package archive

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"strings"
	"time"
	"unicode/utf8"

	"recount"
	"recount/internal/archive/cover"
	"recount/internal/archive/eventfile"
	"recount/internal/archive/idindex"
	"recount/source"
)

// RunOptions say what a run reads and how it commits.
type RunOptions struct {
	Stream string
	Source source.Source
	Fields []recount.Field
	// MappingDigest names what makes an event's envelope: all of the mapping but
	// its fields. It cannot change within a stream.
	MappingDigest string
	Lateness      time.Duration
	// QuarantineMax is how many faulty events the stream may hold, all commits
	// together; one more ends the run.
	QuarantineMax int64
	// MemoryBudget bounds the rows and encoded files of a batch, in bytes; 0 means
	// 128 MiB. Finding repeats takes up to 18 bytes an event of a commit besides.
	MemoryBudget int64
	// CommitEvents and CommitBytes are after how much a commit is made, at the
	// end of a source's batch; 0 means 4 million events and 512 MiB of payloads.
	CommitEvents int64
	CommitBytes  int64
	// Live goes on at the source's present end until the context ends. Flush is how
	// long events then wait for their commit, by elapsed time; 0 means a minute.
	Live  bool
	Flush time.Duration
	// Pull brings in a span of the source by itself: the cursor and the watermark
	// stay as they are.
	Pull     *source.Span
	Program  string // name and version, for the commit
	Progress recount.Progress
	// Tell is told where the run stands after each commit, and when a live run
	// begins, waits for what is out of reach, or begins anew. It is called by the
	// run's goroutine.
	Tell func(Status)
}

const (
	defaultBudget       = 128 << 20
	defaultCommitEvents = 4_000_000
	defaultCommitBytes  = 512 << 20
	defaultFlush        = time.Minute
)

func (o RunOptions) withDefaults() RunOptions {
	if o.MemoryBudget <= 0 {
		o.MemoryBudget = defaultBudget
	}
	if o.CommitEvents <= 0 {
		o.CommitEvents = defaultCommitEvents
	}
	if o.CommitBytes <= 0 {
		o.CommitBytes = defaultCommitBytes
	}
	if o.Flush <= 0 {
		o.Flush = defaultFlush
	}
	if o.Progress == nil {
		o.Progress = recount.Quiet{}
	}
	if o.Tell == nil {
		o.Tell = func(Status) {}
	}
	return o
}

// RunResult says what a run has committed, also where it ended with an error.
type RunResult struct {
	Events    int64
	Repeats   int64
	Conflicts int64 // marks, also about events of earlier runs
	Faults    int64
	Files     int
	Bytes     int64 // of the files
	Commits   int
	Gaps      int           // that were recorded
	Lost      []recount.Gap // of those, the ones whose events are lost
	Known     int64         // events that were passed by: they were archived before
	Snapshot  string
	Watermark time.Time
	// Partitions counts those that the source looked at.
	Partitions int
}

// Status is where a run stands.
type Status struct {
	Stream string
	Result RunResult // of the run so far
	// Err is why a live run waits, for Retry; nil: it goes on.
	Err   error
	Retry time.Duration
	// Lost are gaps of the newest commit whose events are lost.
	Lost []recount.Gap
}

// run is one reading of a source. It is used by one goroutine.
type run struct {
	archive *Archive
	opts    RunOptions
	chain   *chain
	result  RunResult
	act     recount.Act

	batch  *batch
	free   chan *eventfile.Rows
	ids    idindex.Set
	index  *idIndex
	seq    int64
	events int64
	bytes  int64
	cursor source.Cursor // of the partitions that moved in this batch
	pulled source.Cursor // of those that it pulled from
	faults []recount.Mark
	gaps   []recount.Gap
	// first says that nothing was followed yet. What a source has lost before that, told
	// as begins, is no loss of the archive's.
	first  bool
	begins []recount.Gap
	places []string // where the first faults stand, for the message

	// watermark is that of the newest reading which came to the source's end; all
	// events before it are archived or in the batch.
	watermark time.Time
	ended     bool
	// broken says that the batch holds a part of what was handed over, or could not
	// be written: it must not be committed.
	broken  bool
	attempt *commit // whose outcome is unknown
	alarm   *alarm  // of a live run: time to commit
	wall    wall

	partition string // the last one that was found to be UTF-8

	adoption *adoption // nil: the run copies what it reads
}

// Run reads the source from the cursor of the newest commit to its present end
// and commits what it read. After an error the archive holds what was committed
// so far, and the next run goes on from there. Events that the source has lost
// are CodeLost at the end; all others are in.
func (a *Archive) Run(ctx context.Context, opts RunOptions) (RunResult, error) {
	return a.start(ctx, opts, nil)
}

// start lets one run of a stream in; with an adoption it takes files over instead
// of copying events.
func (a *Archive) start(ctx context.Context, opts RunOptions, ad *adoption) (result RunResult, err error) {
	opts = opts.withDefaults()
	if err := checkStream(opts.Stream); err != nil {
		return RunResult{}, err
	}
	unlock, err := a.lock(ctx, opts.Stream)
	if err != nil {
		return RunResult{}, err
	}
	defer func() {
		if unlockErr := unlock(); err == nil && unlockErr != nil {
			err = fmt.Errorf("unlock stream %q: %w", opts.Stream, unlockErr)
		}
	}()
	r := &run{archive: a, opts: opts, adoption: ad, cursor: source.Cursor{}, pulled: source.Cursor{}, free: make(chan *eventfile.Rows, encoders())}
	defer r.close()
	if opts.Live {
		err = r.live(ctx)
	} else {
		err = r.once(ctx)
	}
	return r.result, err
}

// open reads where the stream stands.
func (r *run) open(ctx context.Context) error {
	ch, err := r.archive.loadToWrite(ctx, r.opts.Stream)
	if err != nil {
		return err
	}
	if err := cover.SameMapping(ch.snapshot, r.opts.MappingDigest); err != nil {
		return err
	}
	if err := r.archive.confirm(ctx, ch); err != nil {
		return err
	}
	if r.chain == nil {
		r.first = !ch.snapshot.Followed
	}
	r.chain, r.seq = ch, ch.lastSeq
	if r.index == nil {
		r.index = newIDIndex(r.archive, r.opts.Stream, ch.head.IDs)
	}
	if ch.snapshot.Watermark.After(r.watermark) {
		r.watermark = ch.snapshot.Watermark
	}
	r.result.Snapshot, r.result.Watermark = ch.snapshot.ID, ch.snapshot.Watermark
	return nil
}

// encoders is how many goroutines encode files.
func encoders() int {
	const most = 4
	return min(runtime.GOMAXPROCS(0), most)
}

func (a *Archive) lock(ctx context.Context, stream string) (unlock func() error, err error) {
	unlock, err = a.store.Lock(ctx, lockName(stream))
	switch {
	case errors.Is(err, recount.ErrUnsupported):
		// The lock is advisory: commits are put if absent, so that of two runs one
		// fails at its first commit.
		return func() error { return nil }, nil
	case errors.Is(err, recount.ErrLocked):
		return nil, &recount.Error{
			Code: recount.CodeArchiveLocked, What: "another process is archiving this stream", Where: a.where(stream), Why: err.Error(), Err: err,
			Next: fmt.Sprintf("leave it to that process: one is enough for a stream. Or end that one first, then recount archive run %s --once", stream),
		}
	case err != nil:
		return nil, fmt.Errorf("lock stream %q: %w", stream, err)
	}
	return unlock, nil
}

// once reads to the present end, or a span by itself, and commits.
func (r *run) once(ctx context.Context) error {
	if err := r.open(ctx); err != nil {
		return r.explained(err)
	}
	r.act = r.opts.Progress.Begin("archive "+r.opts.Stream, 0)
	defer r.act.End()
	// Encoders end with the run, whatever ends it.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	read := r.read
	if r.adoption != nil {
		read = r.readOriginals
	}
	if r.opts.Pull != nil {
		read = r.pull
	} else if err := r.acknowledge(ctx); err != nil {
		return r.explained(err)
	}
	if err := read(ctx, ctx); err != nil {
		return r.explained(err)
	}
	if r.opts.Pull == nil && r.moved() {
		if err := r.commit(ctx, nil); err != nil {
			return r.explained(err)
		}
	}
	return r.lost()
}

// read reads from where the run stands to the source's present end. What is read
// is written under a context of its own, which may last longer.
func (r *run) read(ctx, writing context.Context) error {
	end, err := r.opts.Source.Read(ctx, r.place(), func(b source.Batch) error { return r.emit(ctx, writing, b) })
	if err != nil {
		return err
	}
	r.came(end)
	return nil
}

// came notes that the source was read to its present end.
func (r *run) came(end source.End) {
	r.result.Partitions, r.ended, r.first = end.Partitions, true, false
	if at := r.credible(end.Watermark.UTC()).Truncate(time.Microsecond); at.After(r.watermark) {
		// A clock that was put back takes nothing out of the archive.
		r.watermark = at
	}
}

// place is how far the run has read, committed or not.
func (r *run) place() source.Cursor {
	cursor := r.chain.known()
	maps.Copy(cursor, r.cursor)
	return cursor
}

// moved says whether there is anything to commit.
func (r *run) moved() bool {
	return r.taken() || r.ended && (r.chain.snapshot.Commit == 0 || r.watermark.After(r.chain.snapshot.Watermark))
}

// taken says whether anything was read since the last commit.
func (r *run) taken() bool { return r.events > 0 || len(r.cursor) > 0 || len(r.gaps) > 0 }

// explained says in an error for people what this run has committed before it.
func (r *run) explained(err error) error {
	if err == nil {
		return nil
	}
	e, ok := errors.AsType[*recount.Error](err)
	if !ok {
		if !transient(err) {
			return err
		}
		e = &recount.Error{
			Code: recount.CodeOutOfReach, What: "the source or the archive's store cannot be reached",
			Where: fmt.Sprintf("source %s, %s; archive %s", r.opts.Stream, r.opts.Source.Info().Place, r.archive.Place()), Why: err.Error(), Err: err,
			Next: "see that both run and can be reached from here; then: recount archive run " + r.opts.Stream,
		}
	}
	if r.result.Commits == 0 || e.Changed != "" {
		return e
	}
	told := *e
	told.Changed = fmt.Sprintf("%d events were committed before this; the next run goes on after them", r.result.Events)
	return &told
}

// emit takes a batch of the source in, whole or, with an error, not to be
// committed.
func (r *run) emit(ctx, writing context.Context, b source.Batch) (err error) {
	if err := ctx.Err(); err != nil {
		return err // nothing of it was taken
	}
	fresh := !r.taken()
	defer func() { r.broken = r.broken || err != nil }()
	if err := checkTexts("partition", b.Partition); err != nil {
		return err
	}
	if err := checkTexts("cursor, format or header of partition "+b.Partition, b.Cursor, b.Format, b.Header); err != nil {
		return err
	}
	if err := r.addGaps(b); err != nil {
		return err
	}
	if fresh {
		r.alarm.set()
	}
	if r.batch == nil && len(b.Events) > 0 {
		if err := r.index.begin(writing, r.chain); err != nil {
			return err
		}
		r.batch = newBatch(writing, r.archive, r.chain, r.opts, r.free)
	}
	if err := r.addEvents(writing, b); err != nil {
		return err
	}
	if r.opts.Pull == nil {
		r.cursor[b.Partition] = b.Cursor
	} else if _, followed := r.chain.cursor[b.Partition]; !followed && b.Cursor != "" {
		r.pulled[b.Partition] = b.Cursor
	}
	r.act.Add(int64(len(b.Events)))
	if b.Release != nil {
		b.Release() // the rows have copies
	}
	if r.events >= r.opts.CommitEvents || r.bytes >= r.opts.CommitBytes || r.alarm.ringing() {
		return r.commit(writing, nil)
	}
	return nil
}

func (r *run) addEvents(ctx context.Context, b source.Batch) error {
	p := payload{format: b.Format, header: b.Header}
	pulling := r.opts.Pull != nil
	twice := r.chain.reached.Twice(pulling)
	for i := range b.Events {
		e := &b.Events[i]
		if twice && r.chain.reached.Holds(e.Partition, e.Position, pulling) {
			r.result.Known++
			continue
		}
		if err := r.add(e, p); err != nil {
			return err
		}
		const often = 4096
		if i%often == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *run) add(e *recount.Event, p payload) error {
	known, err := r.take(e)
	if err != nil {
		return err
	}
	return r.batch.add(r.seq, e, known, p)
}

// take gives an event the next sequence number and judges it by itself.
func (r *run) take(e *recount.Event) (timeKnown bool, err error) {
	r.seq++
	known, err := r.prepare(e)
	if err != nil {
		return false, err
	}
	if e.Fault != "" {
		if err := r.quarantine(e, known); err != nil {
			return false, err
		}
	}
	if e.ID != "" {
		hash := idindex.Hash(e.ID)
		r.ids.Add(hash)
		r.index.add(hash, r.seq)
	}
	r.events++
	r.bytes += int64(len(e.Data))
	return known, nil
}

// prepare makes an event fit for the archive (see eventfile.Prepare).
func (r *run) prepare(e *recount.Event) (timeKnown bool, err error) {
	if len(e.Fields) != len(r.opts.Fields) && (len(e.Fields) != 0 || e.Fault == "") {
		return false, fmt.Errorf("event at %s of partition %q has %d fields, not %d", e.Position, e.Partition, len(e.Fields), len(r.opts.Fields))
	}
	if !utf8.ValidString(e.Position) || e.Partition != r.partition {
		if err := checkTexts("partition or position", e.Partition, e.Position); err != nil {
			return false, err
		}
		r.partition = e.Partition
	}
	return eventfile.Prepare(e, r.opts.Fields)
}

func nulls(n int) []recount.Value {
	values := make([]recount.Value, n)
	for i := range values {
		values[i] = recount.Null
	}
	return values
}

func joinFault(fault, more string) string {
	if fault == "" {
		return more
	}
	return fault + "; " + more
}

// quarantine marks a faulty event, or ends the run where there are too many.
func (r *run) quarantine(e *recount.Event, timeKnown bool) error {
	m := recount.Mark{Seq: r.seq, Kind: recount.MarkFault, ID: strings.Clone(e.ID), Broken: e.Broken, Why: e.Fault}
	if timeKnown {
		m.Time = e.Time.Truncate(time.Microsecond)
	}
	r.faults = append(r.faults, m)
	const shown = 3
	if len(r.places) < shown {
		r.places = append(r.places, fmt.Sprintf("%s@%s: %s", e.Partition, recount.ShortPosition(e.Position), e.Fault))
	}
	total := r.chain.totals.Faults + int64(len(r.faults))
	if total <= r.opts.QuarantineMax {
		return nil
	}
	return &recount.Error{
		Code: recount.CodeQuarantine, What: fmt.Sprintf("more than %d events of source %s cannot be read", r.opts.QuarantineMax, r.opts.Stream),
		Where: r.opts.Source.Info().Place, Why: "the first of this run: " + strings.Join(r.places, " · "),
		Next: fmt.Sprintf("look at those events; if event: or fields: are wrong, mend them; if the events are, raise quarantine: {max: %d} of the source", max(2*total, 1)),
	}
}
