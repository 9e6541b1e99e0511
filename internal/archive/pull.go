package archive

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	"recount"
	"recount/internal/archive/cover"
	"recount/source"
)

// pull brings in a span of the source by itself. It may take several commits: the
// last says that the span is whole.
func (r *run) pull(ctx, writing context.Context) error {
	span := *r.opts.Pull
	spanned, ok := r.opts.Source.(source.Spanned)
	if !ok {
		return &recount.Error{
			Code: recount.CodeUnsupported, What: fmt.Sprintf("source %s cannot be read by a span", r.opts.Stream), Where: r.opts.Source.Info().Place,
			Why:  "its kind keeps no index of times and positions, so that it is read from its beginning",
			Next: fmt.Sprintf("recount archive run %s --once: it brings in what is new, and reads nothing twice", r.opts.Stream), Err: recount.ErrUnsupported,
		}
	}
	s := r.chain.snapshot
	if len(span.Positions) == 0 {
		if now := r.archive.clock.Now().UTC().Truncate(time.Microsecond); span.To.After(now) {
			span.To = now // what comes later is not in it
		}
		if !span.From.Before(span.To) {
			return &recount.Error{
				Code: recount.CodeWindow, What: "the span lies in the future", Where: "source " + r.opts.Stream, Why: "nothing of it can have come yet",
				Next: "give an earlier --from",
			}
		}
		if span.From.Before(s.Since) {
			return &recount.Error{
				Code: recount.CodeWindow, What: "the span begins before what the archive keeps", Where: "stream " + r.opts.Stream,
				Why:  fmt.Sprintf("events before %s were taken out by retention", recount.FormatTimestamp(s.Since)),
				Next: "give a later --from, or bring the span in under another source's name",
			}
		}
	}
	end, err := spanned.ReadSpan(ctx, span, func(b source.Batch) error { return r.emit(ctx, writing, b) })
	if err != nil {
		return err
	}
	r.result.Partitions = end.Partitions
	var pulled []spanEntry
	if w := (recount.Window{From: span.From, To: span.To}); len(span.Positions) == 0 && !cover.Pulled(s, w) {
		pulled = []spanEntry{{From: recount.FormatTimestamp(span.From), To: recount.FormatTimestamp(span.To)}}
	}
	if !r.taken() && len(pulled) == 0 {
		return nil
	}
	return r.commit(writing, pulled)
}

// addGaps takes in the positions of a batch that hold no event, but for those
// that were read before.
func (r *run) addGaps(b source.Batch) error {
	for _, g := range b.Gaps {
		if err := checkTexts("gap of partition "+b.Partition, g.Partition, g.From, g.To, string(g.Reason)); err != nil {
			return err
		}
		switch g.Reason {
		case recount.GapControl, recount.GapCompacted, recount.GapReplay, recount.GapRetention:
		default:
			return fmt.Errorf("gap %s has the unknown reason %q", g, g.Reason)
		}
		if g.Partition != b.Partition || g.From >= g.To {
			return fmt.Errorf("gap %s of partition %q is none", g, b.Partition)
		}
	}
	pulling := r.opts.Pull != nil
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
		parts = append(parts, fmt.Sprintf("partition %s, positions [%s, %s)", g.Partition, recount.ShortPosition(g.From), recount.ShortPosition(g.To)))
	}
	return &recount.Error{
		Code: recount.CodeLost, What: fmt.Sprintf("events of source %s were deleted before they were archived", stream),
		Where: "stream " + stream + ", " + strings.Join(parts, "; "), Why: "the source no longer holds them, and the archive had not read them yet",
		Changed: fmt.Sprintf("%d events were committed; the lost positions are recorded as a gap", events),
		Next:    "bring them in from another copy if there is one; run the archiver more often, or raise the source's retention",
	}
}

// place is how far the run has read, committed or not.
func (r *run) place() source.Cursor {
	cursor := maps.Clone(r.chain.cursor)
	maps.Copy(cursor, r.cursor)
	return cursor
}
