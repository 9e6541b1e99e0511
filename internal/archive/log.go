package archive

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"golang.org/x/sync/errgroup"

	"recount"
	"recount/internal/archive/eventfile"
	"recount/internal/archive/logorder"
	"recount/internal/archive/originals"
)

// LogOptions say which events are read in the order of the log.
type LogOptions struct {
	Snapshot recount.Snapshot
	Files    []recount.DataFile // of the snapshot
	// Wanted chooses among their events. It is asked for each of them in every
	// reading, and must answer the same.
	Wanted   func(*LogEvent) bool
	Dir      string // an empty folder for copies
	Progress recount.Progress
}

// LogEvent is an archived event as it came. It is valid during the call alone; what
// it points to stays.
type LogEvent struct {
	eventfile.Stored
	Mark recount.MarkKind // empty: sound
}

// Log reads events in the order of the log: within a partition by position, over
// all partitions by arrival wherever that does not contradict it. It is used by one
// goroutine.
type Log struct {
	archive *Archive
	opts    LogOptions
	parts   []logPart // by growing sequence number
	marks   map[int64]recount.MarkKind
	legs    []logorder.Leg
}

// logPart is one file, or one original.
type logPart struct {
	path        string // on this machine; empty: adopted
	file        recount.DataFile
	adopted     originals.Original
	first, last int64
}

// Log verifies every byte of the files and marks, then hands over the wanted events
// in order of arrival and learns from them how the log lies. each may keep nothing
// of an event.
func (a *Archive) Log(ctx context.Context, opts LogOptions, each func(*LogEvent) error) (*Log, error) {
	if opts.Progress == nil {
		opts.Progress = recount.Quiet{}
	}
	l := &Log{archive: a, opts: opts, marks: map[int64]recount.MarkKind{}}
	if err := l.verify(ctx); err != nil {
		return nil, err
	}
	if err := l.readMarks(ctx); err != nil {
		return nil, err
	}
	var order logorder.Order
	err := l.scan(ctx, logorder.All(), func(e *LogEvent, commit int64) error {
		order.Add(commit, e.Seq, e.Partition, e.Position)
		return each(e)
	})
	if err != nil {
		return nil, err
	}
	l.legs = order.Legs()
	return l, nil
}

// Each hands over the wanted events in the order of the log.
func (l *Log) Each(ctx context.Context, each func(*LogEvent) error) error {
	for _, leg := range l.legs {
		if err := l.scan(ctx, leg, func(e *LogEvent, _ int64) error { return each(e) }); err != nil {
			return err
		}
	}
	return nil
}

// verify compares the files with their digests, and makes copies of those that lie
// on no disk of this machine. Originals are compared whenever they are read.
func (l *Log) verify(ctx context.Context) error {
	own, adopted := originals.Group(l.opts.Files)
	total := int64(0)
	for _, i := range own {
		total += l.opts.Files[i].Bytes
	}
	act := l.opts.Progress.Begin("verify archive", total)
	defer act.End()
	l.parts = make([]logPart, len(own), len(own)+len(adopted))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readers())
	for n, i := range own {
		f := l.opts.Files[i]
		g.Go(func() error {
			path, err := l.archive.local(ctx, f.Name, f.Bytes, f.SHA256, filepath.Join(l.opts.Dir, fmt.Sprintf("log-%06d.parquet", n)))
			l.parts[n] = logPart{path: path, file: f, first: f.FirstSeq, last: f.LastSeq}
			act.Add(f.Bytes)
			return l.archive.damagedFile(f, err)
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, o := range adopted {
		p := logPart{adopted: o, file: o.Parts[0].File, first: o.Parts[0].File.FirstSeq, last: o.Parts[0].File.LastSeq}
		for _, part := range o.Parts {
			p.first, p.last = min(p.first, part.File.FirstSeq), max(p.last, part.File.LastSeq)
		}
		l.parts = append(l.parts, p)
	}
	slices.SortStableFunc(l.parts, func(x, y logPart) int { return int(x.first - y.first) })
	return nil
}

// readMarks keeps the judgments about events of the files.
func (l *Log) readMarks(ctx context.Context) error {
	marked, last := int64(0), int64(0)
	for _, f := range l.opts.Files {
		marked += f.Repeats + f.Conflicts + f.Faults
		last = max(last, f.LastSeq)
	}
	if marked == 0 {
		return nil
	}
	first := l.parts[0].first
	for _, m := range l.opts.Snapshot.Marks {
		if err := l.archive.verifyMarks(ctx, m); err != nil {
			return err
		}
		err := l.archive.openFile(ctx, m.Name, func(ef *eventfile.File) error {
			marks, err := ef.Marks()
			for _, mark := range marks {
				// What quarantines an event says more than that it was sent again.
				if now := l.marks[mark.Seq]; mark.Seq >= first && mark.Seq <= last && (now == "" || now == recount.MarkRepeat) {
					l.marks[mark.Seq] = mark.Kind
				}
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// scan hands over the wanted events of a leg, with the commit that brought each, in
// order of arrival. Files are open only between their first event and their last.
func (l *Log) scan(ctx context.Context, leg logorder.Leg, each func(e *LogEvent, commit int64) error) (err error) {
	var open []*logCursor
	defer func() {
		for _, c := range open {
			err = errors.Join(err, c.file.Close())
		}
	}()
	hand := func(s *eventfile.Stored, f recount.DataFile) error {
		e := LogEvent{Stored: *s, Mark: l.marks[s.Seq]}
		if !leg.Has(s.Seq, s.Partition, s.Position) || !l.opts.Wanted(&e) {
			return nil
		}
		return each(&e, f.Brought(s.Seq))
	}
	waiting := slices.DeleteFunc(slices.Clone(l.parts), func(p logPart) bool { return p.last < leg.From || p.first > leg.To })
	for len(open) > 0 || len(waiting) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		first, until := earliest(open)
		switch {
		case len(waiting) > 0 && (first < 0 || waiting[0].first <= open[first].seq()):
			p := waiting[0]
			waiting = waiting[1:]
			if p.path == "" {
				o := p.adopted
				err := l.archive.reader(l.opts.Snapshot.Stream, nil).Read(ctx, o, func(e *originals.Event) error { return hand(&e.Stored, o.Parts[e.Part].File) })
				if err != nil {
					return err
				}
				continue
			}
			c, err := openCursor(p)
			if err != nil {
				return err
			}
			open = append(open, c)
		default:
			c := open[first]
			if len(waiting) > 0 {
				until = min(until, waiting[0].first)
			}
			for ok := true; ok && c.seq() < until; {
				if err := hand(&c.events[0], c.part); err != nil {
					return err
				}
				if ok, err = c.next(); err != nil {
					return err
				}
				if !ok {
					open = slices.Delete(open, first, first+1)
					if err := c.file.Close(); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

// earliest is the cursor with the smallest sequence number, and the next smallest.
func earliest(open []*logCursor) (first int, until int64) {
	first, until = -1, int64(1)<<62
	for i, c := range open {
		switch {
		case first < 0:
			first = i
		case c.seq() < open[first].seq():
			first, until = i, open[first].seq()
		default:
			until = min(until, c.seq())
		}
	}
	return first, until
}

// logCursor reads one file, a row group at a time.
type logCursor struct {
	part   recount.DataFile
	file   *eventfile.File
	group  int
	events []eventfile.Stored
}

func openCursor(p logPart) (*logCursor, error) {
	ef, err := openLocal(p.path)
	if err != nil {
		return nil, err
	}
	c := &logCursor{part: p.file, file: ef}
	if ok, err := c.fill(); !ok || err != nil {
		return nil, errors.Join(err, fmt.Errorf("read %q: it holds no event", p.file.Name), ef.Close())
	}
	return c, nil
}

func (c *logCursor) seq() int64 { return c.events[0].Seq }

// next goes on to the next event; false at the end.
func (c *logCursor) next() (bool, error) {
	c.events = c.events[1:]
	if len(c.events) > 0 {
		return true, nil
	}
	return c.fill()
}

func (c *logCursor) fill() (bool, error) {
	for c.group < c.file.Groups() {
		events, err := c.file.Events(c.group, nil)
		if err != nil {
			return false, fmt.Errorf("read %q: %w", c.part.Name, err)
		}
		c.group++
		if c.events = events; len(events) > 0 {
			return true, nil
		}
	}
	return false, nil
}
