package archive

import (
	"fmt"
	"time"

	"recount"
)

// Select returns the files of a snapshot that can hold events of a window, and
// those of events whose time is unknown, in the snapshot's order.
func Select(s recount.Snapshot, w recount.Window) []recount.DataFile {
	var files []recount.DataFile
	for _, f := range s.Files {
		if !f.TimeKnown || w.Overlaps(f.FirstTime, f.LastTime) {
			files = append(files, f)
		}
	}
	return files
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
