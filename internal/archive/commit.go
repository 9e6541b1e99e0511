package archive

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"recount"
	"recount/internal/archive/eventfile"
	"recount/internal/archive/idindex"
	"recount/source"
)

// commit makes what the run has read since its last commit part of the archive:
// files first, then marks, then the entry that names them. pulled are the spans
// that are whole with it.
func (r *run) commit(ctx context.Context, pulled []spanEntry) (err error) {
	ch := r.chain
	defer func() { r.broken = r.broken || err != nil }()
	if _, err := r.archive.catchUp(ctx, ch, nil); err != nil {
		return err
	}
	watermark := r.watermark
	if r.opts.Pull != nil {
		watermark = ch.snapshot.Watermark
	}
	c := &commit{
		Stream: r.opts.Stream, Number: ch.snapshot.Commit + 1, Previous: ch.snapshot.ID,
		At: r.archive.clock.Now().UTC().Truncate(time.Microsecond), Program: r.opts.Program, Mapping: r.opts.MappingDigest,
		Fields: fieldEntries(r.opts.Fields), Lateness: r.opts.Lateness.String(), Watermark: timeText(watermark), LastSeq: r.seq,
		Cursor: maps.Clone(r.cursor), Counts: counts{Events: r.events}, Gaps: r.gaps, Pulled: pulled, PulledCursor: maps.Clone(r.pulled),
		Dense: r.opts.Source.Info().Dense && r.events+int64(len(r.gaps)) > 0,
		Files: []fileEntry{}, Marks: []marksEntry{}, Marked: []markedEntry{},
	}
	if r.batch != nil {
		files, err := r.batch.finish()
		if err != nil {
			return err
		}
		r.batch.close()
		r.batch = nil
		c.Files = files
	}
	if r.adoption != nil {
		c.Files = append(c.Files, r.adoption.entries...)
	}
	if err := r.judge(ctx, c); err != nil {
		return err
	}
	r.attempt = c
	digest, err := r.archive.putAfter(ctx, ch, c)
	if err != nil {
		return err
	}
	if err := ch.add(c, digest); err != nil {
		return fmt.Errorf("commit %d: %w", c.Number, err)
	}
	ch.note(c, digest)
	r.index.committed(c.LastSeq)
	r.committed(c)
	r.settle(ctx)
	if r.opts.Pull != nil {
		return nil
	}
	return r.acknowledge(ctx)
}

// acknowledge tells a source that must know what is in the archive.
func (r *run) acknowledge(ctx context.Context) error {
	s, ok := r.opts.Source.(source.Acknowledger)
	if !ok {
		return nil
	}
	if err := s.Committed(ctx, maps.Clone(r.chain.cursor)); err != nil {
		return fmt.Errorf("tell source %q what is archived: %w", r.opts.Stream, err)
	}
	return nil
}

// committed counts a commit that was made and begins the next batch.
func (r *run) committed(c *commit) {
	r.result.Events += c.Counts.Events
	r.result.Repeats += c.Counts.Repeats
	r.result.Conflicts += c.Counts.Conflicts
	r.result.Faults += c.Counts.Faults
	r.result.Files += len(c.Files)
	var origin string
	for _, f := range c.Files { // the entries of one original stand together
		if f.Origin == "" || f.Origin != origin {
			r.result.Bytes += f.Bytes
		} else {
			r.result.Files--
		}
		origin = f.Origin
	}
	r.result.Commits++
	r.result.Gaps += len(c.Gaps)
	r.result.Snapshot, r.result.Watermark = r.chain.snapshot.ID, r.chain.snapshot.Watermark
	var lost []recount.Gap
	for _, g := range c.Gaps {
		if g.Lost() && !slices.Contains(r.begins, g) {
			lost = append(lost, g)
		}
	}
	r.result.Lost = append(r.result.Lost, lost...)
	r.attempt = nil
	r.forget()
	r.alarm.set()
	r.opts.Tell(Status{Stream: r.opts.Stream, Result: r.result, Lost: lost})
}

// addGaps takes in the positions of a batch that hold no event, but for those
// that were read before.
func (r *run) addGaps(b source.Batch) error {
	of := b.Partition
	if len(b.Events) > 0 { // whose partition a file's name or a column can say
		of = b.Events[0].Partition
	}
	for _, g := range b.Gaps {
		if err := checkTexts("gap of partition "+b.Partition, g.Partition, g.From, g.To, string(g.Reason)); err != nil {
			return err
		}
		switch g.Reason {
		case recount.GapControl, recount.GapCompacted, recount.GapReplay, recount.GapRetention:
		default:
			return fmt.Errorf("gap %s has the unknown reason %q", g, g.Reason)
		}
		if g.Partition != b.Partition && g.Partition != of || g.From >= g.To {
			return fmt.Errorf("gap %s of partition %q is none", g, b.Partition)
		}
	}
	pulling := r.opts.Pull != nil
	if r.first && !pulling {
		if _, known := r.place()[b.Partition]; !known {
			r.begins = append(r.begins, b.Gaps...)
		}
	}
	if !r.chain.reached.Twice(pulling) {
		r.gaps = append(r.gaps, b.Gaps...)
		return nil
	}
	for _, g := range b.Gaps {
		r.gaps = append(r.gaps, r.chain.reached.Outside(g, pulling)...)
	}
	return nil
}

// lost is the error of a run that found events deleted before it could read them.
func (r *run) lost() error {
	if len(r.result.Lost) == 0 {
		return nil
	}
	return LostError(r.opts.Stream, r.result.Lost, r.result.Events)
}

// LostError is the error for events that a source deleted before they were
// archived. events is how many were committed beside them.
func LostError(stream string, gaps []recount.Gap, events int64) error {
	const most = 8
	var parts []string
	for i, g := range gaps {
		if i == most {
			parts = append(parts, fmt.Sprintf("and %d more", len(gaps)-most))
			break
		}
		parts = append(parts, fmt.Sprintf("partition %s, %s", g.Partition, g.Positions()))
	}
	return &recount.Error{
		Code: recount.CodeLost, What: fmt.Sprintf("events of source %s were deleted before they were archived", stream),
		Where: "stream " + stream + ", " + strings.Join(parts, "; "), Why: "the source no longer holds them, and the archive had not read them yet",
		Changed: fmt.Sprintf("%d events were committed; the lost positions are recorded as a gap", events),
		Next:    "bring them in from another copy if there is one; run the archiver more often, or raise the source's retention",
	}
}

// close ends what a run holds.
func (r *run) close() {
	r.forget()
	if r.index != nil {
		r.index.close()
	}
}

// forget drops what was read and not committed.
func (r *run) forget() {
	if r.index != nil {
		r.index.forget()
	}
	if r.batch != nil {
		r.batch.close()
		r.batch = nil
	}
	r.events, r.bytes, r.faults, r.gaps, r.ids, r.broken = 0, 0, nil, nil, idindex.Set{}, false
	r.cursor, r.pulled = source.Cursor{}, source.Cursor{}
	r.adoption.forget()
}

// judge writes the marks of a batch: faults as they were read, repeats and
// conflicts as they are found now. It fills in the commit's counts.
func (r *run) judge(ctx context.Context, c *commit) error {
	sink := newSpool()
	w := eventfile.NewMarksWriter(sink, r.opts.Stream)
	if err := w.Write(r.faults); err != nil {
		return err
	}
	c.Counts.Faults = int64(len(r.faults))
	if !r.ids.Empty() {
		res := newResolver(r.archive, r.chain, c, &r.ids, r.opts.MemoryBudget, r.opts.Source.Info().Own)
		if err := r.index.narrow(ctx, r.chain, res); err != nil {
			return fmt.Errorf("find repeats in commit %d: %w", c.Number, err)
		}
		if err := res.resolve(ctx, w.Write); err != nil {
			return fmt.Errorf("find repeats in commit %d: %w", c.Number, err)
		}
		res.count(c)
	}
	if w.Rows() == 0 {
		return nil
	}
	if err := w.Close(); err != nil {
		return err
	}
	name, digest, err := r.archive.keep(ctx, fmt.Sprintf("%s%08d", marksFolder(r.opts.Stream), c.Number), sink)
	if err != nil {
		return err
	}
	c.Marks = append(c.Marks, marksEntry{Name: name, SHA256: digest, Bytes: sink.size, Rows: w.Rows()})
	return nil
}
