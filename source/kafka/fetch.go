package kafka

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"recount"
	"recount/source"
)

const (
	fetchBytes     = 16 << 20 // one answer of a broker
	partitionBytes = 1 << 20  // of it, one partition
	fetchWait      = 500      // milliseconds
)

// errAgain says that a broker could not answer now and the partitions have to be
// looked up again.
var errAgain = errors.New("the partitions have moved")

// errMoved says that a log became another while it was read.
var errMoved = errors.New("the log is another by now")

// again wraps what made a fetch stop that can succeed later.
type again struct{ cause error }

func (a again) Error() string   { return a.cause.Error() }
func (a again) Unwrap() []error { return []error{errAgain, a.cause} }

// stream reads all readings to their ends. Where a broker goes away it finds the
// partitions anew and goes on; it gives up when nothing came for a while.
func (s *Source) stream(ctx context.Context, all []*reading, emit func(source.Batch) error) error {
	patient := time.NewTimer(patience)
	defer patient.Stop()
	for {
		var open []*reading
		var before int64
		for _, r := range all {
			r.fetched = r.next
			before += r.next
			if r.next < r.end {
				open = append(open, r)
			}
		}
		if len(open) == 0 {
			return nil
		}
		err := s.round(ctx, open, emit)
		switch {
		case err == nil:
			continue
		case ctx.Err() != nil:
			return fmt.Errorf("read topics: %w", ctx.Err())
		case !errors.Is(err, errAgain):
			return err
		}
		for _, r := range all {
			before -= r.next
		}
		if before != 0 {
			patient.Reset(patience)
		}
		select {
		case <-patient.C:
			return s.explained("fetch records", err)
		default:
		}
		if err := rest(ctx, pause); err != nil {
			return fmt.Errorf("read topics: %w", err)
		}
		if err := s.refresh(ctx, open, emit); err != nil {
			return err
		}
	}
}

// refresh finds who leads the partitions now, and where their logs begin.
func (s *Source) refresh(ctx context.Context, open []*reading, emit func(source.Batch) error) error {
	v, err := s.look(ctx)
	if err != nil {
		return err
	}
	now := map[place]part{}
	for _, p := range v.parts {
		now[p.place] = p
	}
	for _, r := range open {
		p, ok := now[r.place]
		if !ok || p.id != r.id {
			return s.moved(fmt.Sprintf("topic %s was deleted while it was read", r.topic))
		}
		if p.end < r.next {
			return s.moved(fmt.Sprintf("the log of %s-%d was cut back while it was read", r.topic, r.partition))
		}
		r.leader = p.leader
		if p.start > r.next {
			if err := handOver(ctx, r.lost(p.start, s.env.Now()), emit); err != nil {
				return err
			}
		}
	}
	return nil
}

// moved is an error that the next read resolves: it finds another generation.
func (s *Source) moved(why string) error {
	return s.explained("fetch records", fmt.Errorf("%w: %s", errMoved, why))
}

// round fetches from every leader at once, and hands over in the order of each
// partition. It ends when all is read or the first leader has trouble.
func (s *Source) round(ctx context.Context, open []*reading, emit func(source.Batch) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	workers := runtime.GOMAXPROCS(0)
	queue := make(chan *piece, workers)
	slots := make(chan struct{}, workers)
	groups := byLeader(open)
	troubles := make([]error, 0, len(groups))
	var mu sync.Mutex
	var fetchers, decoders sync.WaitGroup
	for leader, group := range groups {
		fetchers.Go(func() {
			f := fetcher{source: s, leader: leader, open: group, out: func(p *piece) error {
				select {
				case slots <- struct{}{}:
				case <-ctx.Done():
					return ctx.Err()
				}
				decoders.Go(func() {
					p.events, p.header, p.err = s.decoder.EventsIn(ctx, p.reading.name, p.records, &p.room.decoded)
					p.records = nil // the events have what they hold
					close(p.ready)
					<-slots
				})
				select {
				case queue <- p:
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			}}
			err := f.run(ctx)
			mu.Lock()
			defer mu.Unlock()
			troubles = append(troubles, err)
		})
	}
	go func() {
		fetchers.Wait()
		close(queue)
	}()
	err := s.drain(ctx, queue, emit)
	cancel()
	for range queue { // what is left belongs to nobody
	}
	fetchers.Wait()
	decoders.Wait()
	if err != nil {
		return err
	}
	return worst(troubles)
}

// worst prefers a trouble that does not pass by itself.
func worst(troubles []error) error {
	var found error
	for _, err := range troubles {
		if err != nil && (found == nil || errors.Is(found, errAgain)) {
			found = err
		}
	}
	return found
}

func (s *Source) drain(ctx context.Context, queue <-chan *piece, emit func(source.Batch) error) error {
	for p := range queue {
		select {
		case <-p.ready:
		case <-ctx.Done():
			return ctx.Err()
		}
		if p.err != nil {
			return p.err
		}
		if err := handOver(ctx, p.batch(s.decoder.Format()), emit); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// fetcher reads the partitions of one leader.
type fetcher struct {
	source *Source
	leader int32
	open   []*reading
	out    func(*piece) error
	each   func(*kgo.Record) // where it is set, records are looked at and not handed out
	empty  int               // answers in a row in which nobody had anything
}

func (f *fetcher) run(ctx context.Context) error {
	memory := &recordPool{}
	inflater := newInflater()
	for len(f.open) > 0 {
		answer, err := f.fetch(ctx)
		if err != nil {
			return err
		}
		var full, hungry, done []*reading
		for i, r := range f.open {
			p := find(answer, r)
			if p == nil {
				return again{fmt.Errorf("partition %d of %s is missing in the answer", r.partition, r.topic)}
			}
			before := r.fetched
			if err := f.take(r, p, inflater, memory, i == 0 && answer.ThrottleMillis == 0); err != nil {
				return err
			}
			switch {
			case r.fetched >= r.end:
				done = append(done, r)
			case r.fetched > before:
				full = append(full, r)
			default:
				hungry = append(hungry, r)
			}
		}
		if len(done)+len(full) > 0 {
			f.empty = 0
		} else {
			f.empty++
		}
		// Who got nothing stands in front: a large message comes whole for the first.
		f.open = append(hungry, full...)
	}
	return nil
}

func (f *fetcher) fetch(ctx context.Context) (*kmsg.FetchResponse, error) {
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.IsolationLevel = fetchWait, 1, fetchBytes, 1
	req.SessionEpoch = -1 // no session: each request says all
	for _, r := range f.open {
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.FetchOffset, p.PartitionMaxBytes, p.CurrentLeaderEpoch = r.partition, r.fetched, partitionBytes, -1
		t := kmsg.NewFetchRequestTopic()
		t.Topic, t.TopicID, t.Partitions = r.topic, r.id, []kmsg.FetchRequestTopicPartition{p}
		if n := len(req.Topics); n > 0 && req.Topics[n-1].Topic == r.topic {
			req.Topics[n-1].Partitions = append(req.Topics[n-1].Partitions, p)
			continue
		}
		req.Topics = append(req.Topics, t)
	}
	answer, err := f.source.client.Broker(int(f.leader)).Request(ctx, req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if refused(err) {
			return nil, f.source.explained("fetch records", err)
		}
		return nil, again{err}
	}
	got, ok := answer.(*kmsg.FetchResponse)
	if !ok {
		return nil, fmt.Errorf("fetch records: the answer is a %T", answer)
	}
	return got, f.failed("the answer", kerr.ErrorForCode(got.ErrorCode))
}

// failed tells an error that passes from one that does not.
func (f *fetcher) failed(of string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, kerr.OffsetOutOfRange), errors.Is(err, kerr.UnknownTopicID), errors.Is(err, kerr.InconsistentTopicID), kerr.IsRetriable(err):
		return again{fmt.Errorf("%s: %w", of, err)}
	}
	return f.source.explained("fetch records of "+of, err)
}

// damaged is the error for a log that its own broker cannot read.
func (f *fetcher) damaged(of string, offset int64, err error) error {
	return &recount.Error{
		Code: recount.CodeSourceData, What: "records cannot be read", Where: fmt.Sprintf("%s, %s at offset %d", f.source.where(), of, offset), Why: err.Error(), Err: err,
		Next: "the broker's log is damaged there: let its replicas mend it, or delete the records up to that offset; the next run tells them as lost",
	}
}

// take cuts one partition's part of an answer into pieces. sole says that nothing
// else kept the broker from sending what there is.
func (f *fetcher) take(r *reading, p *kmsg.FetchResponseTopicPartition, d *inflater, memory *recordPool, sole bool) error {
	of := fmt.Sprintf("%s-%d", r.topic, r.partition)
	asked := r.fetched
	if err := kerr.ErrorForCode(p.ErrorCode); errors.Is(err, kerr.CorruptMessage) {
		return f.damaged(of, asked, err)
	} else if err != nil {
		return f.failed(of, err)
	}
	into := &fetched{}
	into.users.Add(1)
	defer into.release()
	d.into = into
	got, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
		Offset: asked, IsolationLevel: kgo.ReadCommitted(), Topic: r.topic, Partition: r.partition, Pools: []kgo.Pool{memory},
	}, p, d, nil)
	defer memory.back()
	if got.Err != nil {
		return f.damaged(of, next, got.Err)
	}
	const twice = 2
	if next == asked && len(p.RecordBatches) == 0 && sole && f.empty >= twice && p.HighWatermark >= r.end && p.LastStableOffset >= r.end {
		next = r.end // compaction has left nothing up to the end
	}
	if f.each != nil {
		for _, rec := range got.Records {
			f.each(rec)
		}
		r.fetched = next
		return nil
	}
	for _, piece := range cut(r, got.Records, min(next, r.end), leaderships(p.RecordBatches), into) {
		if err := f.out(piece); err != nil {
			return err
		}
	}
	return nil
}

func find(answer *kmsg.FetchResponse, r *reading) *kmsg.FetchResponseTopicPartition {
	for i := range answer.Topics {
		t := &answer.Topics[i]
		if t.Topic != r.topic && (t.Topic != "" || t.TopicID != r.id) {
			continue
		}
		for j := range t.Partitions {
			if t.Partitions[j].Partition == r.partition {
				return &t.Partitions[j]
			}
		}
	}
	return nil
}

// timeAt is the time of the first batch of an open transaction.
func (s *Source) timeAt(ctx context.Context, p *part) (time.Time, bool, error) {
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.SessionEpoch = 0, 0, 1, -1
	at := kmsg.NewFetchRequestTopicPartition()
	at.Partition, at.FetchOffset, at.PartitionMaxBytes, at.CurrentLeaderEpoch = p.partition, p.end, 1, -1
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID, t.Partitions = p.topic, p.id, []kmsg.FetchRequestTopicPartition{at}
	req.Topics = []kmsg.FetchRequestTopic{t}
	answer, err := s.client.Broker(int(p.leader)).RetriableRequest(ctx, req)
	if err != nil {
		return time.Time{}, false, err
	}
	got, ok := answer.(*kmsg.FetchResponse)
	if !ok || len(got.Topics) == 0 || len(got.Topics[0].Partitions) == 0 {
		return time.Time{}, false, nil
	}
	if err := kerr.ErrorForCode(got.Topics[0].Partitions[0].ErrorCode); err != nil {
		return time.Time{}, false, err
	}
	var batch kmsg.RecordBatch
	if err := batch.ReadFrom(got.Topics[0].Partitions[0].RecordBatches); err != nil {
		return time.Time{}, false, nil //nolint:nilerr // the transaction ended meanwhile, or the log is older than batches
	}
	return time.UnixMilli(batch.FirstTimestamp), true, nil
}
