// Package cover answers whether what a snapshot of the archive holds is enough: which
// files a window needs, and what is missing of it. It knows no store and reads no
// file.
package cover

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"recount"
	"recount/internal/archive/positions"
)

// Select returns the files of a snapshot that can hold events of a span of event
// time, and those of events whose time is unknown, in the snapshot's order. A
// zero edge is open.
func Select(s recount.Snapshot, w recount.Window) []recount.DataFile {
	var files []recount.DataFile
	for _, f := range s.Files {
		before := !w.To.IsZero() && !f.FirstTime.Before(w.To)
		after := !w.From.IsZero() && f.LastTime.Before(w.From)
		if !f.TimeKnown || !before && !after {
			files = append(files, f)
		}
	}
	return files
}

// SelectPositions returns the files of a snapshot that can hold events of the
// position windows, in the snapshot's order.
func SelectPositions(s recount.Snapshot, windows []recount.PositionWindow) []recount.DataFile {
	var files []recount.DataFile
	for _, f := range s.Files {
		if slices.ContainsFunc(f.Spans, func(span recount.PositionSpan) bool {
			return slices.ContainsFunc(windows, func(w recount.PositionWindow) bool {
				return w.Partition == span.Partition && span.First < w.To && span.Last >= w.From
			})
		}) {
			files = append(files, f)
		}
	}
	return files
}

// Reach returns, by partition, the first and the last position that the
// snapshot holds.
func Reach(s recount.Snapshot) map[string]recount.PositionSpan {
	reach := map[string]recount.PositionSpan{}
	for _, f := range s.Files {
		for _, span := range f.Spans {
			all, known := reach[span.Partition]
			if !known {
				all = recount.PositionSpan{Partition: span.Partition, First: span.First, Last: span.Last}
			}
			all.First, all.Last = min(all.First, span.First), max(all.Last, span.Last)
			all.Rows += span.Rows
			reach[span.Partition] = all
		}
	}
	return reach
}

// CompletePositions refuses position windows that reach beyond what is archived,
// or into what was lost.
func CompletePositions(s recount.Snapshot, windows []recount.PositionWindow) error {
	reach := Reach(s)
	for _, w := range windows {
		held, known := reach[w.Partition]
		stretch, whole := around(s, w)
		switch {
		case !known:
			return shortOf(s, w.String(), fmt.Sprintf("it holds no event of partition %q; it has: %s", w.Partition, strings.Join(slices.Sorted(maps.Keys(reach)), ", ")))
		case !whole && w.From < held.First:
			return shortOf(s, w.String(), fmt.Sprintf("its first position of partition %s is %s", w.Partition, recount.ShortPosition(held.First)))
		case !whole && !follows(held.Last, w.To):
			return shortOf(s, w.String(), fmt.Sprintf("its last position of partition %s is %s", w.Partition, recount.ShortPosition(held.Last)))
		case !whole && stretch != "":
			return shortOf(s, w.String(), "only parts of that partition were pulled: "+stretch)
		case !s.Since.IsZero() && w.From < held.First:
			return shortOf(s, w.String(), fmt.Sprintf("events before %s were taken out by retention; its first position is now %s", recount.FormatTimestamp(s.Since), recount.ShortPosition(held.First)))
		}
		if span, taken := removed(s, w); taken {
			return shortOf(s, w.String(), fmt.Sprintf("events before %s were taken out by retention, among them such between positions %s and %s",
				recount.FormatTimestamp(s.Since), recount.ShortPosition(span.First), recount.ShortPosition(span.Last)))
		}
		for _, g := range s.Gaps {
			if g.Lost() && g.Partition == w.Partition && g.From < w.To && w.From < g.To {
				return lost(s, w.String(), g)
			}
		}
	}
	return nil
}

// removed finds events that retention took out and that can be of a window: one
// that came late stands among newer ones, which stay.
func removed(s recount.Snapshot, w recount.PositionWindow) (recount.PositionSpan, bool) {
	for _, f := range s.Removed {
		for _, span := range f.Spans {
			if span.Partition == w.Partition && span.First < w.To && span.Last >= w.From {
				return span, true
			}
		}
	}
	return recount.PositionSpan{}, false
}

// around says whether one stretch of what was read holds a window; if none does,
// it names those of the partition, where any was pulled.
func around(s recount.Snapshot, w recount.PositionWindow) (shown string, whole bool) {
	var parts []string
	pulled := false
	for _, r := range s.Reached {
		if r.Partition != w.Partition {
			continue
		}
		pulled = pulled || r.Pulled
		if r.First <= w.From && follows(r.Last, w.To) {
			return "", true
		}
		parts = append(parts, fmt.Sprintf("%s to %s", recount.ShortPosition(r.First), recount.ShortPosition(r.Last)))
	}
	if !pulled {
		return "", false // files that were adopted hold what is beside
	}
	return strings.Join(parts, ", "), false
}

// follows says whether to is at most the position after last.
func follows(last, to string) bool {
	return to <= positions.After(last)
}

// ends returns, by partition, the last position up to which all is in: what is
// followed, with the pulled stretches that begin where it ends; else the first
// stretch that was pulled. Positions without an event count as well.
func ends(s recount.Snapshot) map[string]string {
	last := map[string]string{}
	for _, r := range s.Reached {
		if !r.Pulled {
			last[r.Partition] = r.Last
		}
	}
	for _, r := range s.Reached { // in the order of positions
		held, known := last[r.Partition]
		if !known || r.Last > held && follows(held, r.First) {
			last[r.Partition] = r.Last
		}
	}
	for partition, held := range Reach(s) { // a snapshot that knows no stretches
		if _, known := last[partition]; !known {
			last[partition] = held.Last
		}
	}
	return last
}

// CompleteCut refuses a cut that lies beyond what is archived.
func CompleteCut(s recount.Snapshot, cut map[string]string) error {
	last := ends(s)
	for _, partition := range slices.Sorted(maps.Keys(cut)) {
		held, known := last[partition]
		if !known && strings.Trim(cut[partition], "0") == "" {
			continue // nothing of it was ever processed
		}
		if !known || !follows(held, cut[partition]) {
			why := fmt.Sprintf("the worker stands at position %s of partition %s, the archive ends at %s", recount.ShortPosition(cut[partition]), partition, recount.ShortPosition(held))
			if !known {
				why = fmt.Sprintf("the worker stands at position %s of partition %q, of which nothing is archived", recount.ShortPosition(cut[partition]), partition)
			}
			return shortOf(s, "cut "+partition+":"+recount.ShortPosition(cut[partition]), why)
		}
	}
	return nil
}

func shortOf(s recount.Snapshot, where, why string) error {
	return &recount.Error{
		Code: recount.CodeIncomplete, What: "the archive does not hold all of these positions", Where: fmt.Sprintf("%s, stream %s", where, s.Stream),
		Why: why, Next: fmt.Sprintf("recount archive run %s --once, then look again; check the partition's name and the positions", s.Stream),
	}
}

// SameMapping refuses a stream whose envelopes were made under another mapping
// than the one of the digest: its events would have other ids, times or
// partitions than the configuration says.
func SameMapping(s recount.Snapshot, digest string) error {
	if s.Commit == 0 || s.Mapping == digest {
		return nil
	}
	return &recount.Error{
		Code: recount.CodeMapping, What: fmt.Sprintf("source %s was archived under another mapping", s.Stream), Where: "recount.yaml, sources: " + s.Stream,
		Why:  fmt.Sprintf("event: or timezone: changed since commit %d, so the archived events have other ids, times or partitions than recount.yaml says", s.Commit),
		Next: fmt.Sprintf("put event: and timezone: back as they were, or give the source a new name, such as %s_2, and archive it anew", s.Stream),
	}
}
