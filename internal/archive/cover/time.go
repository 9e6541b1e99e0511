package cover

import (
	"fmt"
	"strings"
	"time"

	"recount"
)

// Complete refuses a window whose events may not all be in the archive: those that
// are needed, up to their lateness after its end, and those that are read for it,
// of which a zero edge is open. A needed end that is zero is for CompleteCut to
// check. Events are in before the watermark, where the stream
// was followed, and in the spans that were pulled.
func Complete(s recount.Snapshot, needed, read recount.Window) error {
	end := needed.To.Add(s.Lateness)
	if err := within(s, needed, read.From, end); err != nil {
		return err
	}
	if !s.Since.IsZero() && read.From.Before(s.Since) {
		why := fmt.Sprintf("events before %s were taken out by retention, and the calculation reads from %s on", recount.FormatTimestamp(s.Since), recount.FormatTimestamp(read.From))
		if read.From.IsZero() {
			why = fmt.Sprintf("events before %s were taken out by retention, and the calculation remembers all events", recount.FormatTimestamp(s.Since))
		}
		return incomplete(s, needed, why, "choose a later window, or put the removed files back from a copy and archive them anew")
	}
	for _, g := range s.Gaps {
		if !g.Lost() {
			continue
		}
		from, to := lostTimes(s, g)
		if before(from, read.To) && before(read.From, to) {
			return lost(s, needed.String(), g)
		}
	}
	return nil
}

// before says whether a lies before b; a zero a is the beginning, a zero b the
// end.
func before(a, b time.Time) bool { return a.IsZero() || b.IsZero() || a.Before(b) }

// within checks that all between two instants is in.
func within(s recount.Snapshot, needed recount.Window, from, end time.Time) error {
	if s.Followed && !s.Watermark.IsZero() && !end.After(s.Watermark) {
		return nil
	}
	run := fmt.Sprintf("recount archive run %s --once", s.Stream)
	if needed.To.IsZero() {
		if s.Followed {
			return nil
		}
		return incomplete(s, needed, "only spans of the stream were pulled, and the calculation reads up to the cut", run)
	}
	// Of the last events before the watermark some may have come late, after it.
	if sure := s.Watermark.Add(-s.Lateness); s.Followed && !s.Watermark.IsZero() && sure.After(from) {
		from = sure
	}
	if !from.IsZero() && Pulled(s, recount.Window{From: from, To: end}) {
		return nil
	}
	why := "no run has read the source to its end yet"
	switch {
	case !s.Watermark.IsZero():
		why = fmt.Sprintf("events are in up to %s", recount.FormatTimestamp(s.Watermark))
		if s.Lateness > 0 {
			why += fmt.Sprintf(", and those of the window may come up to %s late, so until %s", s.Lateness, recount.FormatTimestamp(end))
		}
		why += "; missing: the last " + lasting(s.Watermark, end)
	case len(s.Pulled) > 0 && from.IsZero():
		why = "only spans of the stream were pulled, and the calculation remembers all events"
	case len(s.Pulled) > 0:
		parts := make([]string, len(s.Pulled))
		for i, p := range s.Pulled {
			parts[i] = p.String()
		}
		const most = 4
		if more := len(parts) - most; more > 0 {
			parts = append(parts[:most], fmt.Sprintf("and %d more", more))
		}
		why = fmt.Sprintf("only these spans were pulled: %s; needed is %s", strings.Join(parts, ", "), recount.Window{From: from, To: end})
		run = fmt.Sprintf("recount archive run %s --from %s --to %s, or plan with --pull", s.Stream, recount.FormatTimestamp(from), recount.FormatTimestamp(end))
	}
	return incomplete(s, needed, why, run)
}

// lasting writes how long a span is. A time.Duration would end at 292 years.
func lasting(from, to time.Time) string {
	const day = 24 * 60 * 60
	if seconds := to.Unix() - from.Unix(); seconds >= 2*day {
		return fmt.Sprintf("%d days", seconds/day)
	}
	return to.Sub(from).Round(time.Second).String()
}

func incomplete(s recount.Snapshot, w recount.Window, why, next string) error {
	return &recount.Error{
		Code: recount.CodeIncomplete, What: "the archive does not hold the whole window", Where: fmt.Sprintf("%s, stream %s", w, s.Stream), Why: why, Next: next,
	}
}

// lost is the error for a window that may need events which are gone.
func lost(s recount.Snapshot, where string, g recount.Gap) error {
	from, to := lostTimes(s, g)
	when := "at a time that nothing bounds"
	switch {
	case !from.IsZero() && !to.IsZero():
		when = fmt.Sprintf("between %s and %s", recount.FormatTimestamp(from), recount.FormatTimestamp(to))
	case !from.IsZero():
		when = "after " + recount.FormatTimestamp(from)
	case !to.IsZero():
		when = "before " + recount.FormatTimestamp(to)
	}
	return &recount.Error{
		Code: recount.CodeIncomplete, What: "events that the window may need were lost", Where: fmt.Sprintf("%s, stream %s", where, s.Stream),
		Why:  fmt.Sprintf("%s of partition %s were deleted by the source before they were archived; they happened %s", g.Positions(), g.Partition, when),
		Next: "choose a window that lies apart from them; if another copy of those events exists, archive it as a source of its own",
	}
}

// lostTimes bounds the event times of a gap by those of its neighbours in the
// partition, as far as the commit log knows them: it never says too little. A zero
// edge is open.
func lostTimes(s recount.Snapshot, g recount.Gap) (from, to time.Time) {
	for _, f := range s.Files {
		if !f.TimeKnown {
			continue
		}
		for _, span := range f.Spans {
			if span.Partition != g.Partition {
				continue
			}
			// One of its events came before the gap, and is no older than the file's first.
			if span.First < g.From && (from.IsZero() || f.FirstTime.After(from)) {
				from = f.FirstTime
			}
			if span.Last >= g.To && (to.IsZero() || f.LastTime.Before(to)) {
				to = f.LastTime
			}
		}
	}
	if !from.IsZero() {
		from = from.Add(-s.Lateness)
	}
	if !to.IsZero() {
		to = to.Add(s.Lateness + time.Microsecond)
	}
	// Where nothing came after it, the source may know how late it was when they were gone.
	if before := g.Before.Add(s.Lateness); !g.Before.IsZero() && (to.IsZero() || before.Before(to)) {
		to = before
	}
	return from, to
}

// Pulled says whether a span of time lies whole in those that were pulled. What
// comes late may come after one was pulled, and stand before the next one in the
// source: two spans are one only where they share as much.
func Pulled(s recount.Snapshot, w recount.Window) bool {
	reach, from := w.From, w.From
	for moved := true; moved && reach.Before(w.To); {
		moved = false
		for _, p := range s.Pulled {
			if !p.From.After(from) && p.To.After(reach) {
				reach, from, moved = p.To, p.To.Add(-s.Lateness), true
			}
		}
	}
	return !reach.Before(w.To)
}
