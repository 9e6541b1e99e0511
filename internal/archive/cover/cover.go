// Package cover answers whether what a snapshot of the archive holds is enough: which
// files a window needs, and what is missing of it. It knows no store and reads no
// file.
package cover

import (
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"time"

	"recount"
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

// CompletePositions refuses position windows that reach beyond what is archived.
func CompletePositions(s recount.Snapshot, windows []recount.PositionWindow) error {
	reach := Reach(s)
	for _, w := range windows {
		held, known := reach[w.Partition]
		switch {
		case !known:
			return shortOf(s, w.String(), fmt.Sprintf("it holds no event of partition %q; it has: %s", w.Partition, strings.Join(slices.Sorted(maps.Keys(reach)), ", ")))
		case w.From < held.First:
			return shortOf(s, w.String(), fmt.Sprintf("its first position of partition %s is %s", w.Partition, recount.ShortPosition(held.First)))
		case !follows(held.Last, w.To):
			return shortOf(s, w.String(), fmt.Sprintf("its last position of partition %s is %s", w.Partition, recount.ShortPosition(held.Last)))
		}
	}
	return nil
}

// follows says whether to is at most the position after last.
func follows(last, to string) bool {
	if to <= last {
		return true
	}
	n, ok := new(big.Int).SetString(last, 10)
	if !ok {
		return false
	}
	return to <= recount.PadPosition(n.Add(n, big.NewInt(1)).String())
}

// CompleteCut refuses a cut that lies beyond what is archived.
func CompleteCut(s recount.Snapshot, cut map[string]string) error {
	reach := Reach(s)
	for _, partition := range slices.Sorted(maps.Keys(cut)) {
		held, known := reach[partition]
		if !known && strings.Trim(cut[partition], "0") == "" {
			continue // nothing of it was ever processed
		}
		if !known || !follows(held.Last, cut[partition]) {
			why := fmt.Sprintf("the worker stands at position %s of partition %s, the archive ends at %s", recount.ShortPosition(cut[partition]), partition, recount.ShortPosition(held.Last))
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

// Complete refuses a window whose events may not all be in the archive yet:
// complete means to + lateness <= watermark.
func Complete(s recount.Snapshot, w recount.Window) error {
	needed := w.To.Add(s.Lateness)
	if !s.Watermark.IsZero() && !needed.After(s.Watermark) {
		return nil
	}
	why := "no run has read the source to its end yet"
	if !s.Watermark.IsZero() {
		why = fmt.Sprintf("events are in up to %s", recount.FormatTimestamp(s.Watermark))
		if s.Lateness > 0 {
			why += fmt.Sprintf(", and those of the window may come up to %s late, so until %s", s.Lateness, recount.FormatTimestamp(needed))
		}
		why += fmt.Sprintf("; missing: the last %s", needed.Sub(s.Watermark).Round(time.Second))
	}
	return &recount.Error{
		Code: recount.CodeIncomplete, What: "the archive does not hold the whole window", Where: fmt.Sprintf("%s, stream %s", w, s.Stream),
		Why: why, Next: fmt.Sprintf("recount archive run %s --once", s.Stream),
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

// Pulled says whether a span of time lies whole in those that were pulled.
func Pulled(s recount.Snapshot, w recount.Window) bool {
	from := w.From
	for moved := true; moved && from.Before(w.To); {
		moved = false
		for _, p := range s.Pulled {
			if !p.From.After(from) && p.To.After(from) {
				from, moved = p.To, true
			}
		}
	}
	return !from.Before(w.To)
}
