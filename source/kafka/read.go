package kafka

import (
	"context"
	"slices"

	"recount"
	"recount/source"
	"recount/source/record"
)

// Read hands over the committed records of every partition, from the cursor to
// where the partitions ended when it began.
func (s *Source) Read(ctx context.Context, cursor source.Cursor, emit func(source.Batch) error) (source.End, error) {
	// The clock is read before the ends, so that it never claims too much.
	begun := s.env.Now()
	a, v, err := s.prepare(ctx, cursor)
	if err != nil {
		return source.End{}, err
	}
	watermark, err := s.watermark(ctx, begun, v)
	if err != nil {
		return source.End{}, err
	}
	for _, b := range a.before {
		if err := handOver(ctx, b, emit); err != nil {
			return source.End{}, err
		}
	}
	if err := s.readAll(ctx, a.readings, emit); err != nil {
		return source.End{}, err
	}
	return source.End{Watermark: watermark, Partitions: len(v.parts)}, nil
}

// readAll reads what there is to read, if anything.
func (s *Source) readAll(ctx context.Context, all []*reading, emit func(source.Batch) error) error {
	if !slices.ContainsFunc(all, func(r *reading) bool { return r.next < r.end }) {
		return ctx.Err()
	}
	compacted, err := s.compacted(ctx)
	if err != nil {
		return err
	}
	for _, r := range all {
		r.compacted = compacted[r.topic]
	}
	return s.stream(ctx, all, emit)
}

func handOver(ctx context.Context, b source.Batch, emit func(source.Batch) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return emit(b)
}

// Wait returns when a partition has more than the cursor says, or is another.
func (s *Source) Wait(ctx context.Context, cursor source.Cursor) error {
	const often = 2 * pause
	for {
		news, err := s.news(ctx, cursor)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the end of the context is no error
		}
		if err != nil || news {
			return err
		}
		if rest(ctx, often) != nil {
			return nil //nolint:nilerr // the end of the context is no error
		}
	}
}

func (s *Source) news(ctx context.Context, cursor source.Cursor) (bool, error) {
	a, _, err := s.prepare(ctx, cursor)
	if err != nil {
		return false, err
	}
	if len(a.before) > 0 {
		return true, nil
	}
	for _, r := range a.readings {
		if r.next < r.end {
			return true, nil
		}
	}
	return false, nil
}

// piece is a run of offsets of one partition that was fetched: what it holds and
// what it does not.
type piece struct {
	reading *reading
	fetched *fetched // where its records lie
	room    *room
	records []record.Record
	gaps    []recount.Gap
	next    int64 // the first offset after it
	epoch   int32
	bytes   int64

	// What becomes of it, once ready is closed.
	ready  chan struct{}
	events []recount.Event
	header string
	err    error
}

// batch is what a piece hands over; its reading stands behind it then.
func (p *piece) batch(format string) source.Batch {
	r := p.reading
	r.next, r.last = p.next, p.epoch
	return source.Batch{
		Partition: r.name, Events: p.events, Gaps: p.gaps, Cursor: r.cursor(), Format: format, Header: p.header, Bytes: p.bytes,
		Release: p.release,
	}
}
