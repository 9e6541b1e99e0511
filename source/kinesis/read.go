package kinesis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"golang.org/x/sync/errgroup"

	"recount"
	"recount/source"
	"recount/source/record"
)

const (
	mostRecords = 10_000 // that the service gives at once
	// mostShards is how many are read at the same time.
	mostShards = 8
	// pause is between two requests to a shard that has no more at once: the service
	// takes five a second from all readers together.
	pause = 250 * time.Millisecond
	// stale is the part of the retention after which a cursor is written anew though
	// nothing came, so that a quiet shard is not taken for one that lost records.
	stale = 4
)

// Read hands over the records of every shard, from the cursor to where the shards
// ended when they were asked. Children are read after their parents.
func (s *Source) Read(ctx context.Context, cursor source.Cursor, emit func(source.Batch) error) (source.End, error) {
	if s.env.Now == nil {
		return source.End{}, errors.New("read shards: the source was given no clock")
	}
	begun := s.env.Now()
	r, err := s.begin(ctx, cursor, emit)
	if err != nil {
		return source.End{}, err
	}
	if err := r.lost(); err != nil {
		return source.End{}, err
	}
	for {
		ready := r.ready()
		if len(ready) == 0 {
			return source.End{Watermark: begun, Partitions: len(r.shards)}, ctx.Err()
		}
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(mostShards)
		for _, id := range ready {
			g.Go(func() error { return r.shard(ctx, id) })
		}
		if err := g.Wait(); err != nil {
			return source.End{}, err
		}
	}
}

// reading is one call of Read.
type reading struct {
	source    *Source
	retention time.Duration
	made      time.Time // when the stream was
	shards    []shard
	asked     map[string]bool // shards that were read to their present end

	mu    sync.Mutex
	marks map[string]mark
	emit  func(source.Batch) error
}

func (s *Source) begin(ctx context.Context, cursor source.Cursor, emit func(source.Batch) error) (*reading, error) {
	r := &reading{source: s, emit: emit, asked: map[string]bool{}}
	var err error
	if r.marks, err = marks(cursor); err != nil {
		return nil, s.located(err)
	}
	if r.shards, err = s.shards(ctx); err != nil {
		return nil, err
	}
	r.retention, r.made, err = s.retention(ctx)
	return r, err
}

func (r *reading) hand(b source.Batch, m mark) error {
	b.Cursor = m.text()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.marks[b.Partition] = m
	return r.emit(b)
}

func (r *reading) mark(id string) mark {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.marks[id]
}

// lost tells of shards that are gone with what was not read of them, and before the
// first read of all that the stream is older than what it keeps.
func (r *reading) lost() error {
	now := r.source.env.Now()
	if horizon := now.Add(-r.retention); len(r.marks) == 0 && len(r.shards) > 0 && !r.made.IsZero() && r.made.Before(horizon) {
		id := r.shards[0].id
		g := recount.Gap{Partition: id, From: zeroPosition, To: firstPosition, Reason: recount.GapRetention, Before: horizon.UTC().Truncate(time.Second).Add(time.Minute)}
		if err := r.hand(source.Batch{Partition: id, Gaps: []recount.Gap{g}}, mark{At: now}); err != nil {
			return err
		}
	}
	for _, id := range r.gone() {
		m := r.marks[id]
		m.Done = true
		if err := r.hand(source.Batch{Partition: id, Gaps: []recount.Gap{lostAfter(id, m.Last, beyond)}}, m); err != nil {
			return err
		}
	}
	return nil
}

// gone lists the shards that were not read to their ends and are no longer listed.
func (r *reading) gone() []string {
	var list []string
	for id, m := range r.marks {
		if !m.Done && !slices.ContainsFunc(r.shards, func(s shard) bool { return s.id == id }) {
			list = append(list, id)
		}
	}
	slices.Sort(list)
	return list
}

func lostAfter(id, last, to string) recount.Gap {
	return recount.Gap{Partition: id, From: after(last), To: to, Reason: recount.GapRetention}
}

// ready lists the shards that can be read now: not read yet, with all parents read
// to their ends or gone.
func (r *reading) ready() []string {
	var list []string
	for _, sh := range r.shards {
		if r.asked[sh.id] || r.marks[sh.id].Done {
			continue
		}
		waits := slices.ContainsFunc(sh.parents, func(parent string) bool {
			listed := slices.ContainsFunc(r.shards, func(s shard) bool { return s.id == parent })
			return listed && !r.marks[parent].Done
		})
		if !waits {
			list = append(list, sh.id)
		}
	}
	for _, id := range list {
		r.asked[id] = true
	}
	return list
}

// shard reads one shard to its present end.
func (r *reading) shard(ctx context.Context, id string) error {
	m := r.mark(id)
	kind := types.ShardIteratorTypeTrimHorizon
	if m.Last != "" {
		kind = types.ShardIteratorTypeAfterSequenceNumber
	}
	iterator, err := r.source.iterator(ctx, id, kind, m.Last, nil)
	if err != nil {
		return err
	}
	overtaken, err := r.overtaken(ctx, id, m)
	if err != nil {
		return err
	}
	return r.walk(ctx, walk{shard: id, iterator: iterator, mark: m, overtaken: overtaken})
}

// overtaken says whether records after the mark may have been removed: those that
// came since are younger than the mark's time, so that only a mark older than the
// retention can have lost any, and it has not while its own record is still there.
func (r *reading) overtaken(ctx context.Context, id string, m mark) (bool, error) {
	if m.Last == "" || r.source.env.Now().Sub(m.At) < r.retention {
		return false, nil
	}
	iterator, err := r.source.iterator(ctx, id, types.ShardIteratorTypeAtSequenceNumber, m.Last, nil)
	if err != nil {
		return false, err
	}
	out, err := r.source.records(ctx, id, iterator, 1)
	if err != nil {
		return false, err
	}
	return len(out.Records) == 0 || aws.ToString(out.Records[0].SequenceNumber) != m.Last, nil
}

// walk is a way through a shard.
type walk struct {
	shard     string
	iterator  *string
	mark      mark
	overtaken bool
	until     func(types.Record) bool // nil: to the present end
	span      bool                    // the walk moves no cursor
}

func (r *reading) walk(ctx context.Context, w walk) error {
	for w.iterator != nil {
		asked := r.source.env.Now()
		out, err := r.source.records(ctx, w.shard, w.iterator, mostRecords)
		if expired := (*types.ExpiredIteratorException)(nil); errors.As(err, &expired) && w.mark.Last != "" {
			w.iterator, err = r.source.iterator(ctx, w.shard, types.ShardIteratorTypeAfterSequenceNumber, w.mark.Last, nil)
			if err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return r.source.explained("read "+w.shard, err)
		}
		records, ended := out.Records, false
		if w.until != nil {
			if i := slices.IndexFunc(records, w.until); i >= 0 {
				records, ended = records[:i], true
			}
		}
		atEnd := aws.ToInt64(out.MillisBehindLatest) == 0 && len(out.Records) == 0 || out.NextShardIterator == nil
		if err := r.take(ctx, &w, records, out.NextShardIterator == nil, atEnd, asked); err != nil {
			return err
		}
		if ended || atEnd {
			return nil
		}
		w.iterator = out.NextShardIterator
		if len(out.Records) == 0 { // an empty answer is not the end while the shard is behind
			if err := rest(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

func rest(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(pause):
		return nil
	}
}

func (s *Source) records(ctx context.Context, shard string, iterator *string, limit int32) (*kinesis.GetRecordsOutput, error) {
	out, err := s.client.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: iterator, Limit: aws.Int32(limit)})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", shard, err)
	}
	return out, nil
}

// take hands over what one answer holds.
func (r *reading) take(ctx context.Context, w *walk, list []types.Record, closed, atEnd bool, asked time.Time) error {
	b := source.Batch{Partition: w.shard, Format: r.source.decoder.Format()}
	var records []record.Record
	for i := range list {
		parts, err := recordsOf(&list[i])
		if err != nil {
			return r.source.explained("read "+w.shard, err)
		}
		records = append(records, parts...)
		b.Bytes += int64(len(list[i].Data))
	}
	if w.overtaken {
		to := beyond
		if len(records) > 0 {
			to = records[0].Position
		}
		if len(records) > 0 || atEnd && closed {
			b.Gaps = append(b.Gaps, lostAfter(w.shard, w.mark.Last, to))
			w.overtaken = false
		}
	}
	before := w.mark
	if len(list) > 0 {
		w.mark.Last = aws.ToString(list[len(list)-1].SequenceNumber)
		w.mark.At = asked
	}
	if atEnd && !w.overtaken {
		w.mark.At = asked
	}
	w.mark.Done = closed
	var err error
	if b.Events, b.Header, err = r.source.decoder.Events(ctx, w.shard, records); err != nil {
		return r.source.explained("read values of "+w.shard, err)
	}
	if w.span {
		if len(b.Events) == 0 {
			return nil
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.emit(b)
	}
	aged := w.mark.Last != "" && w.mark.At.Sub(before.At) > r.retention/stale
	if len(b.Events)+len(b.Gaps) == 0 && w.mark.Last == before.Last && w.mark.Done == before.Done && !aged {
		return nil
	}
	return r.hand(b, w.mark)
}

// Wait looks about once a second whether Read would find something.
func (s *Source) Wait(ctx context.Context, cursor source.Cursor) error {
	found := errors.New("something new")
	for {
		_, err := s.Read(ctx, cursor, func(source.Batch) error { return found })
		if ctx.Err() != nil || errors.Is(err, found) {
			return nil //nolint:nilerr // nothing went wrong
		}
		if err != nil {
			return err
		}
		for range 2 {
			if rest(ctx) != nil {
				return nil //nolint:nilerr // the caller waits no longer
			}
		}
	}
}

// Overtaken says what Read would tell as lost.
func (s *Source) Overtaken(ctx context.Context, cursor source.Cursor) ([]recount.Gap, error) {
	r, err := s.begin(ctx, cursor, nil)
	if err != nil {
		return nil, err
	}
	var lost []recount.Gap
	for _, id := range r.gone() {
		lost = append(lost, lostAfter(id, r.marks[id].Last, beyond))
	}
	for _, sh := range r.shards {
		m := r.marks[sh.id]
		if m.Done {
			continue
		}
		overtaken, err := r.overtaken(ctx, sh.id, m)
		if err != nil {
			return nil, err
		}
		if overtaken {
			lost = append(lost, lostAfter(sh.id, m.Last, beyond))
		}
	}
	return lost, nil
}

// ReadSpan hands over a part of the stream. A span of time is one of the moments
// at which the service took records in.
func (s *Source) ReadSpan(ctx context.Context, span source.Span, emit func(source.Batch) error) (source.End, error) {
	r, err := s.begin(ctx, span.Cursor, emit)
	if err != nil {
		return source.End{}, err
	}
	for _, sh := range r.shards {
		if len(span.Positions) == 0 {
			err = r.times(ctx, sh.id, span.From, span.To)
		} else {
			err = r.positions(ctx, sh.id, span.Positions)
		}
		if err != nil {
			return source.End{}, err
		}
	}
	return source.End{Partitions: len(r.shards)}, nil
}

// times reads a span of time. What retention took of it is told by the time alone:
// the stream says no more of what is gone.
func (r *reading) times(ctx context.Context, id string, from, to time.Time) error {
	if from.After(r.source.env.Now()) {
		return nil // some servers take no such time
	}
	kind, at := types.ShardIteratorTypeTrimHorizon, (*time.Time)(nil)
	trimmed := from.Before(r.source.env.Now().Add(-r.retention))
	if !trimmed { // of what lies before the horizon, all that is still there belongs to the span
		kind, at = types.ShardIteratorTypeAtTimestamp, &from
	}
	iterator, err := r.source.iterator(ctx, id, kind, "", at)
	if err != nil {
		return err
	}
	w := walk{shard: id, iterator: iterator, span: true}
	if !to.IsZero() {
		w.until = func(rec types.Record) bool { return !aws.ToTime(rec.ApproximateArrivalTimestamp).Before(to) }
	}
	if trimmed && (!from.IsZero() || r.mark(id).Last != "") {
		if err := r.early(w); err != nil {
			return err
		}
	}
	return r.walk(ctx, w)
}

// early tells that records before a walk are gone. Where they stood is not known:
// the gap is one position wide, since whatever it covered would count as read.
func (r *reading) early(w walk) error {
	g := recount.Gap{Partition: w.shard, From: zeroPosition, To: firstPosition, Reason: recount.GapRetention}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.emit(source.Batch{Partition: w.shard, Gaps: []recount.Gap{g}})
}

func (r *reading) positions(ctx context.Context, id string, windows []recount.PositionWindow) error {
	for _, p := range windows {
		if p.Partition != id {
			continue
		}
		// A window's edge need be no record's: the walk begins at the shard's beginning
		// and passes what lies before the window.
		iterator, err := r.source.iterator(ctx, id, types.ShardIteratorTypeTrimHorizon, "", nil)
		if err != nil {
			return err
		}
		w := walk{shard: id, iterator: iterator, span: true, until: func(rec types.Record) bool {
			at, err := position(aws.ToString(rec.SequenceNumber), 0)
			return p.To != "" && err == nil && at >= p.To
		}}
		keep := r.emit
		r.emit = func(b source.Batch) error {
			b.Events = slices.DeleteFunc(b.Events, func(e recount.Event) bool { return e.Position < p.From || p.To != "" && e.Position >= p.To })
			if len(b.Events) == 0 {
				return nil
			}
			return keep(b)
		}
		err = r.walk(ctx, w)
		r.emit = keep
		if err != nil {
			return err
		}
	}
	return nil
}

var (
	_ source.Waiter  = (*Source)(nil)
	_ source.Spanned = (*Source)(nil)
	_ source.Resumer = (*Source)(nil)
)
