package kafka

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"recount"
	"recount/source"
)

// ReadSpan hands over a part of the topics. A span of time is one of the records'
// own timestamps, whatever the mapping takes the event's time from: of each
// partition, from the first record at or after From up to the first one at or
// after To. No record with such a timestamp lies before that part. One that was
// written after a newer one can lie behind it: the part goes on until none of the
// next lookAhead records is of the span, since one producer whose clock is ahead
// would else hide all that follows its record.
func (s *Source) ReadSpan(ctx context.Context, span source.Span, emit func(source.Batch) error) (source.End, error) {
	a, v, err := s.prepare(ctx, span.Cursor)
	if err != nil {
		return source.End{}, err
	}
	for _, b := range a.over {
		if err := handOver(ctx, b, emit); err != nil {
			return source.End{}, err
		}
	}
	var parts []stretch
	if len(span.Positions) > 0 {
		parts = byPositions(a.readings, span.Positions)
	} else {
		if err := s.pending(ctx, v, span.To); err != nil {
			return source.End{}, err
		}
		if parts, err = s.byTime(ctx, a.readings, span.From, span.To); err != nil {
			return source.End{}, err
		}
	}
	for len(parts) > 0 {
		var now, later []stretch
		taken := map[place]bool{}
		for _, p := range parts {
			if taken[p.reading.place] {
				later = append(later, p)
				continue
			}
			taken[p.reading.place] = true
			now = append(now, p)
		}
		if err := s.readStretches(ctx, now, emit); err != nil {
			return source.End{}, err
		}
		parts = later
	}
	return source.End{Partitions: len(v.parts)}, nil
}

// pending refuses a span of which a part is in a transaction that is still open:
// it cannot be read, and would be called whole without it.
func (s *Source) pending(ctx context.Context, v view, to time.Time) error {
	since, err := s.watermark(ctx, to, v)
	if err != nil || to.IsZero() || !since.Before(to) {
		return err
	}
	return &recount.Error{
		Code: recount.CodeIncomplete, What: "a transaction is open, so that the span is not whole yet", Where: s.where(),
		Why:  fmt.Sprintf("its first record is of %s; records after it cannot be read before it ends", recount.FormatTimestamp(since)),
		Next: "run the command again when the transaction has ended, or give an earlier --to",
	}
}

// readStretches reads one stretch each of several partitions.
func (s *Source) readStretches(ctx context.Context, parts []stretch, emit func(source.Batch) error) error {
	var readings []*reading
	for _, p := range parts {
		r := *p.reading
		r.pulls = true
		r.end = min(p.to, r.end)
		r.next, r.fetched = p.lostFrom, p.lostFrom
		if to := min(r.start, p.to); to > r.next {
			if err := handOver(ctx, r.lost(to, s.env.Now()), emit); err != nil {
				return err
			}
		}
		r.next, r.fetched = max(p.from, r.next), max(p.from, r.next)
		readings = append(readings, &r)
	}
	return s.readAll(ctx, readings, emit)
}

// stretch is a part of a partition.
type stretch struct {
	reading  *reading
	from, to int64
	// lostFrom is the first offset that would have been part of it, or could have.
	lostFrom int64
}

func byPositions(readings []*reading, windows []recount.PositionWindow) []stretch {
	var parts []stretch
	for _, w := range windows {
		for _, r := range readings {
			if r.name == w.Partition {
				from := offset(w.From)
				parts = append(parts, stretch{reading: r, from: from, to: offset(w.To), lostFrom: from})
			}
		}
	}
	return parts
}

// offset reads a position; an empty edge of a window is open.
func offset(position string) int64 {
	n, err := strconv.ParseInt(position, 10, 64)
	if err != nil {
		if position == "" {
			return 0
		}
		return math.MaxInt64
	}
	return n
}

func (s *Source) byTime(ctx context.Context, readings []*reading, from, to time.Time) ([]stretch, error) {
	first, err := s.firstAt(ctx, from)
	if err != nil {
		return nil, err
	}
	// A log may begin with offsets that hold no record.
	oldest, err := s.firstAt(ctx, time.UnixMilli(0))
	if err != nil {
		return nil, err
	}
	past, err := s.firstAt(ctx, to)
	if err != nil {
		return nil, err
	}
	var parts []stretch
	for _, r := range readings {
		p := stretch{reading: r, from: first[r.place], to: r.end, lostFrom: first[r.place]}
		if !to.IsZero() {
			p.to = past[r.place]
		}
		if p.from <= max(r.start, oldest[r.place]) {
			// Nothing before From is left, so that deleted records can have been in it.
			p.lostFrom = 0
		}
		if !to.IsZero() {
			if err := s.lookBehind(ctx, &p, from, to); err != nil {
				return nil, err
			}
		}
		parts = append(parts, p)
	}
	return parts, nil
}

// lookAhead is how many offsets behind a span of time are looked at.
const lookAhead = 1000

// lookBehind moves the end of a stretch behind records of its span that stand after
// a newer one.
func (s *Source) lookBehind(ctx context.Context, p *stretch, from, to time.Time) error {
	for at := p.to; at < p.reading.end; {
		r := *p.reading
		r.next, r.fetched, r.end = max(at, r.start), max(at, r.start), min(at+lookAhead, r.end)
		last := int64(-1)
		f := fetcher{source: s, leader: r.leader, open: []*reading{&r}, each: func(rec *kgo.Record) {
			if when := timeOf(rec.Timestamp); !when.Before(from) && when.Before(to) {
				last = rec.Offset
			}
		}}
		if r.next < r.end {
			if err := f.run(ctx); err != nil {
				return s.explained("look at the records behind a span", err)
			}
		}
		if last < p.to {
			return nil
		}
		p.to = min(last+1, p.reading.end)
		at = max(p.to, r.fetched)
	}
	return nil
}

// firstAt finds the first offset at or after a time; the log's end where there is
// none.
func (s *Source) firstAt(ctx context.Context, at time.Time) (map[place]int64, error) {
	if at.IsZero() {
		return nil, nil
	}
	milli := at.UnixMilli()
	if at.Truncate(time.Millisecond).Before(at) {
		milli++ // a record's time has milliseconds
	}
	found, err := s.offsets(ctx, func(ctx context.Context, topics ...string) (kadm.ListedOffsets, error) {
		return s.admin.ListOffsetsAfterMilli(ctx, max(milli, 0), topics...)
	})
	return found, s.explained("find the records of a time", err)
}
