package archive

import (
	"context"
	"slices"
	"time"

	"recount"
)

// StreamSummary says what the archive holds of a stream, by its commit log
// alone.
type StreamSummary struct {
	Stream    string
	Snapshot  string // digest of the newest commit
	Commits   int64
	At        time.Time // of the newest commit
	Program   string    // that made it
	Watermark time.Time // zero: nothing is complete yet
	Lateness  time.Duration
	Fields    []recount.Field
	Total     Span
	// Gaps are the positions that hold no event, as the commits recorded them.
	Gaps []recount.Gap
	// Pulled are the spans of time that were brought in by themselves.
	Pulled []recount.Window
	// Since: events before it were taken out by retention. Zero: none were.
	Since time.Time
	Hours []HourSummary // in order of time; the unknown one last
}

// HourSummary is what one hour's folder holds.
type HourSummary struct {
	Start time.Time // UTC
	Known bool      // false for events whose time cannot be read
	Span
}

// Span sums up files.
type Span struct {
	Files     int
	Events    int64
	Bytes     int64
	First     time.Time // of the known times
	Last      time.Time
	Repeats   int64
	Conflicts int64
	Faults    int64
}

func (s *Span) add(f recount.DataFile) {
	s.Files++
	s.Events += f.Rows
	s.Bytes += f.Bytes
	s.Repeats += f.Repeats
	s.Conflicts += f.Conflicts
	s.Faults += f.Faults
	if !f.TimeKnown {
		return
	}
	if s.First.IsZero() && s.Last.IsZero() || f.FirstTime.Before(s.First) {
		s.First = f.FirstTime
	}
	if f.LastTime.After(s.Last) {
		s.Last = f.LastTime
	}
}

// Ls sums up the named streams, or all that the archive holds. A named stream
// without a commit is CodeNoArchive.
func (a *Archive) Ls(ctx context.Context, streams ...string) ([]StreamSummary, error) {
	if len(streams) == 0 {
		var err error
		if streams, err = a.Streams(ctx); err != nil {
			return nil, err
		}
	}
	list := []StreamSummary{}
	for _, stream := range streams {
		ch, err := a.load(ctx, stream)
		if err != nil {
			return nil, err
		}
		if ch.snapshot.Commit == 0 {
			return nil, a.nothing(stream)
		}
		list = append(list, ch.summary())
	}
	return list, nil
}

// LsAt sums up a stream as an older snapshot had it, which is named by its id or
// the first 8 digits of it or more.
func (a *Archive) LsAt(ctx context.Context, stream, id string) (StreamSummary, error) {
	ch, err := a.loadAt(ctx, stream, id)
	if err != nil {
		return StreamSummary{}, err
	}
	return ch.summary(), nil
}

func (ch *chain) summary() StreamSummary {
	s, newest := ch.snapshot, ch.commits[len(ch.commits)-1]
	sum := StreamSummary{
		Stream: s.Stream, Snapshot: s.ID, Commits: s.Commit, At: newest.at, Program: newest.program, Watermark: s.Watermark,
		Lateness: s.Lateness, Fields: s.Fields, Hours: []HourSummary{},
		Gaps: s.Gaps, Pulled: s.Pulled, Since: s.Since,
	}
	byHour := map[hour]*HourSummary{}
	for _, f := range s.Files {
		h := unknownHour
		if f.TimeKnown {
			h = hourOf(f.FirstTime.UnixMicro())
		}
		if byHour[h] == nil {
			byHour[h] = &HourSummary{Known: f.TimeKnown}
			if f.TimeKnown {
				byHour[h].Start = h.start()
			}
		}
		byHour[h].add(f)
		sum.Total.add(f)
	}
	// An original counts in each of its hours, and once in all of them.
	sum.Total.Files, sum.Total.Bytes = sizeOf(s.Files)
	hours := make([]hour, 0, len(byHour))
	for h := range byHour {
		hours = append(hours, h)
	}
	slices.Sort(hours)
	for _, h := range hours {
		sum.Hours = append(sum.Hours, *byHour[h])
	}
	return sum
}
