// Package originals reads again the files that an archive adopted where they lie.
// The archive holds no copy of them: the stream's source decodes them, after it
// has compared their bytes with the digest that was taken when they were adopted.
//
// One original is several entries of the commit log, one for each hour of event
// time, so that everything that chooses files by hour does so for these as well.
// An event's sequence number is the original's first one plus its place in it.
package originals

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"recount"
	"recount/internal/archive/eventfile"
	"recount/source"
)

// Open returns what reads the adopted files of a stream. It is safe for concurrent
// use, and what it returns stays its own.
type Open func(ctx context.Context, stream string) (source.Originals, error)

// Original is a file that was adopted, with those of its entries that are wanted.
type Original struct {
	source.Original
	FirstSeq int64 // of the first event in the file
	Parts    []Part
}

// Part is one entry: the events of one hour.
type Part struct {
	Index int // among the files that were given to Group
	File  recount.DataFile
}

// Event is an event of an original as it would be archived. It is valid during the
// call alone; what it points to stays.
type Event struct {
	eventfile.Stored
	Part int // index into Parts
	// Format and Header are what Data needs to be read again.
	Format string
	Header string
}

// Group parts files into those that are the archive's own and the originals of
// those that were adopted, all in the order in which they come first.
func Group(files []recount.DataFile) (own []int, adopted []Original) {
	type place struct {
		origin, digest string
		seq            int64
	}
	at := map[place]int{}
	for i, f := range files {
		if f.Origin == "" {
			own = append(own, i)
			continue
		}
		key := place{f.Origin, f.SHA256, f.OriginSeq}
		n, known := at[key]
		if !known {
			n = len(adopted)
			at[key] = n
			adopted = append(adopted, Original{FirstSeq: f.OriginSeq, Original: source.Original{
				Origin: f.Origin, Format: f.Format, Header: f.Header, Bytes: f.Bytes, SHA256: f.SHA256,
			}})
		}
		adopted[n].Parts = append(adopted[n].Parts, Part{Index: i, File: f})
	}
	return own, adopted
}

// Reader reads originals of a stream. Fields are those of the events, where the
// caller needs them; without them, values that cannot stand in a column are told
// without a name.
type Reader struct {
	Open   Open
	Stream string
	Fields []recount.Field
	// Hour tells the entries of an original apart: the hour of a time, or that of
	// none.
	Hour func(micros int64, known bool) int64
}

// Each reads originals, a few at once: each is called with the events of one
// original in order, but for several originals at a time.
func (r Reader) Each(ctx context.Context, list []Original, each func(o int, e *Event) error) error {
	return r.All(ctx, list, func(ctx context.Context, o int) error {
		return r.Read(ctx, list[o], func(e *Event) error { return each(o, e) })
	})
}

// All has work done for each of the originals, a few at once.
func (r Reader) All(ctx context.Context, list []Original, work func(ctx context.Context, o int) error) error {
	const most = 4
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(min(runtime.GOMAXPROCS(0), most))
	for i := range list {
		g.Go(func() error { return work(ctx, i) })
	}
	return g.Wait()
}

// Read hands over those events of an original that are of its parts, in order. A
// file that was changed or is missing is CodeDamaged before the first of them;
// other events than were adopted, CodeDamaged after the last.
func (r Reader) Read(ctx context.Context, o Original, each func(*Event) error) error {
	if r.Open == nil {
		return unsupported(r.Stream, o)
	}
	src, err := r.Open(ctx, r.Stream)
	if err != nil {
		return err
	}
	parts := map[int64]int{}
	for i, p := range o.Parts {
		parts[r.Hour(p.File.FirstTime.UnixMicro(), p.File.TimeKnown)] = i
	}
	rows := make([]int64, len(o.Parts))
	seq := o.FirstSeq - 1
	var handed Event
	err = src.ReadOriginal(ctx, o.Original, func(b source.Batch) error {
		for i := range b.Events {
			e := &b.Events[i]
			seq++
			known, err := eventfile.Prepare(e, r.fields(e))
			if err != nil {
				return err
			}
			part, wanted := parts[r.Hour(e.Time.UnixMicro(), known)]
			if !wanted {
				continue
			}
			rows[part]++
			if e.Time = e.Time.UTC().Truncate(time.Microsecond); !known {
				e.Time = time.Time{}
			}
			handed = Event{Stored: eventfile.Stored{Seq: seq, TimeKnown: known, Event: *e}, Part: part, Format: b.Format, Header: b.Header}
			if err := each(&handed); err != nil {
				return err
			}
		}
		return ctx.Err()
	})
	if err != nil {
		return Holding(err, o)
	}
	for i, p := range o.Parts {
		if rows[i] != p.File.Rows {
			return differs(r.Stream, o, fmt.Sprintf("its bytes are the same, and %d events of it are read where %d were adopted", rows[i], p.File.Rows))
		}
	}
	return nil
}

func (r Reader) fields(e *recount.Event) []recount.Field {
	if r.Fields != nil || len(e.Fields) == 0 {
		return r.Fields
	}
	return make([]recount.Field, len(e.Fields))
}

// Holding adds to a damage which events are hit.
func Holding(err error, o Original) error {
	var e *recount.Error
	if !errors.As(err, &e) || e.Code != recount.CodeDamaged {
		return err
	}
	rows := int64(0)
	for _, p := range o.Parts {
		rows += p.File.Rows
	}
	told := *e
	told.Why += fmt.Sprintf("; the archive reads %d events from it", rows)
	return &told
}

func differs(stream string, o Original, why string) error {
	return &recount.Error{
		Code: recount.CodeDamaged, What: "an adopted file does not give the events that were adopted", Where: o.Origin, Why: why,
		Next: fmt.Sprintf("put the block of source %s in recount.yaml back as it was at the adoption, then: recount archive verify %s", stream, stream),
	}
}

func unsupported(stream string, o Original) error {
	return &recount.Error{
		Code: recount.CodeUnsupported, What: "an adopted file cannot be read", Where: o.Origin,
		Why:  fmt.Sprintf("adopted files are read through source %s, and there is none", stream),
		Next: "put the source back into recount.yaml",
	}
}

// Once gives each stream's source out of one opening.
func Once(open Open) Open {
	var mu sync.Mutex
	opened := map[string]source.Originals{}
	return func(ctx context.Context, stream string) (source.Originals, error) {
		mu.Lock()
		defer mu.Unlock()
		if s := opened[stream]; s != nil {
			return s, nil
		}
		s, err := open(ctx, stream)
		if err == nil {
			opened[stream] = s
		}
		return s, err
	}
}
