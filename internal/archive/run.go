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
	Program      string // name and version, for the commit
	Progress     recount.Progress
}

const (
	defaultBudget       = 128 << 20
	defaultCommitEvents = 4_000_000
	defaultCommitBytes  = 512 << 20
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
	if o.Progress == nil {
		o.Progress = recount.Quiet{}
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
	Snapshot  string
	Watermark time.Time
	// Partitions counts those that the source looked at.
	Partitions int
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
	ids    idSet
	seq    int64
	events int64
	bytes  int64
	cursor source.Cursor // of the partitions that moved in this batch
	faults []recount.Mark
	gaps   []recount.Gap
	places []string // where the first faults stand, for the message

	partition string // the last one that was found to be UTF-8

	adoption *adoption // nil: the run copies what it reads
}

// Run reads the source from the cursor of the newest commit to its present end
// and commits what it read. After an error the archive holds what was committed
// so far, and the next run goes on from there.
func (a *Archive) Run(ctx context.Context, opts RunOptions) (RunResult, error) {
	return a.start(ctx, opts, func(ctx context.Context, r *run) (source.End, error) {
		return r.opts.Source.Read(ctx, maps.Clone(r.chain.cursor), func(b source.Batch) error { return r.emit(ctx, b) })
	})
}

// start lets one run of a stream in, and has it read.
func (a *Archive) start(ctx context.Context, opts RunOptions, read func(context.Context, *run) (source.End, error)) (result RunResult, err error) {
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
	ch, err := a.load(ctx, opts.Stream)
	if err != nil {
		return RunResult{}, err
	}
	if err := cover.SameMapping(ch.snapshot, opts.MappingDigest); err != nil {
		return RunResult{}, err
	}
	r := &run{archive: a, opts: opts, chain: ch, seq: ch.lastSeq, cursor: source.Cursor{}, free: make(chan *eventfile.Rows, encoders())}
	r.result.Snapshot, r.result.Watermark = ch.snapshot.ID, ch.snapshot.Watermark
	r.act = opts.Progress.Begin("archive "+opts.Stream, 0)
	defer r.act.End()
	err = r.read(ctx, read)
	return r.result, err
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
			Next: fmt.Sprintf("wait until it is done, then recount archive run %s --once", stream),
		}
	case err != nil:
		return nil, fmt.Errorf("lock stream %q: %w", stream, err)
	}
	return unlock, nil
}

func (r *run) read(ctx context.Context, read func(context.Context, *run) (source.End, error)) (err error) {
	// Encoders end with the run, whatever ends it.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer func() {
		if r.batch != nil {
			r.batch.close()
		}
	}()
	end, err := read(ctx, r)
	if err != nil {
		return r.explained(err)
	}
	r.result.Partitions = end.Partitions
	watermark := r.chain.snapshot.Watermark
	if at := end.Watermark.UTC().Truncate(time.Microsecond); at.After(watermark) {
		// A clock that was put back takes nothing out of the archive.
		watermark = at
	}
	if r.events == 0 && len(r.cursor) == 0 && r.chain.snapshot.Commit > 0 && watermark.Equal(r.chain.snapshot.Watermark) {
		return nil
	}
	return r.explained(r.commit(ctx, watermark))
}

// explained says in an error for people what this run has committed before it.
func (r *run) explained(err error) error {
	var e *recount.Error
	if err == nil || r.result.Commits == 0 || !errors.As(err, &e) || e.Changed != "" {
		return err
	}
	told := *e
	told.Changed = fmt.Sprintf("%d events were committed before this; the next run goes on after them", r.result.Events)
	return &told
}

func (r *run) emit(ctx context.Context, b source.Batch) error {
	if err := checkTexts("partition", b.Partition); err != nil {
		return err
	}
	if err := checkTexts("cursor, format or header of partition "+b.Partition, b.Cursor, b.Format, b.Header); err != nil {
		return err
	}
	if r.batch == nil {
		r.batch = newBatch(ctx, r.archive, r.chain, r.opts, r.free)
	}
	p := payload{format: b.Format, header: b.Header}
	for i := range b.Events {
		if err := r.add(&b.Events[i], p); err != nil {
			return err
		}
		const often = 4096
		if i%often == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
	}
	r.gaps = append(r.gaps, b.Gaps...)
	r.cursor[b.Partition] = b.Cursor
	r.act.Add(int64(len(b.Events)))
	if r.events >= r.opts.CommitEvents || r.bytes >= r.opts.CommitBytes {
		return r.commit(ctx, r.chain.snapshot.Watermark)
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
		r.ids.add(hashID(e.ID))
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
	m := recount.Mark{Seq: r.seq, Kind: recount.MarkFault, ID: e.ID, Broken: e.Broken, Why: e.Fault}
	if timeKnown {
		m.Time = e.Time.Truncate(time.Microsecond)
	}
	r.faults = append(r.faults, m)
	const shown = 3
	if len(r.places) < shown {
		r.places = append(r.places, fmt.Sprintf("%s %s: %s", e.Partition, e.Position, e.Fault))
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
