package nats

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"recount"
	"recount/source"
	"recount/source/record"
)

// batchMessages is how many messages are asked for and handed over at once.
const batchMessages = 4096

// Read hands over the messages of every stream, from the cursor to where the
// streams ended when it began.
func (s *Source) Read(ctx context.Context, cursor source.Cursor, emit func(source.Batch) error) (source.End, error) {
	if s.env.Now == nil {
		return source.End{}, errors.New("read streams: the source was given no clock")
	}
	begun := s.env.Now()
	all, before, err := s.prepare(ctx, cursor)
	if err != nil {
		return source.End{}, err
	}
	for _, b := range before {
		if err := emit(b); err != nil {
			return source.End{}, err
		}
	}
	for _, r := range all {
		if err := s.stream(ctx, r, emit, nil); err != nil {
			return source.End{}, err
		}
	}
	return source.End{Watermark: begun, Partitions: len(all)}, nil
}

// stream reads one stream from its mark to its end. until, if there is one, says
// at which message to end earlier, itself left out.
func (s *Source) stream(ctx context.Context, r *reading, emit func(source.Batch) error, until func(at time.Time) bool) error {
	if r.mark.Next >= r.end {
		return ctx.Err()
	}
	consumer, err := s.js.OrderedConsumer(ctx, r.stream, jetstream.OrderedConsumerConfig{
		FilterSubjects: s.config.Subjects, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: max(r.mark.Next, 1),
	})
	if err != nil {
		return s.explained("read stream "+r.stream, err)
	}
	for r.mark.Next < r.end {
		messages, err := s.fetch(ctx, consumer)
		if err != nil {
			return s.explained("read stream "+r.stream, err)
		}
		if len(messages) == 0 {
			return s.rest(ctx, r, emit)
		}
		ended, err := s.hand(ctx, r, messages, emit, until)
		if err != nil || ended {
			return err
		}
	}
	return ctx.Err()
}

// message is one message with its place.
type message struct {
	jetstream.Msg

	sequence uint64
	at       time.Time
}

// fetch returns what the server has at once; none says that there is nothing more.
func (s *Source) fetch(ctx context.Context, consumer jetstream.Consumer) ([]message, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	got, err := consumer.FetchNoWait(batchMessages)
	if err != nil {
		return nil, err
	}
	var list []message
	for m := range got.Messages() {
		meta, err := m.Metadata()
		if err != nil {
			return nil, fmt.Errorf("read what the server says of a message: %w", err)
		}
		list = append(list, message{Msg: m, sequence: meta.Sequence.Stream, at: meta.Timestamp})
	}
	if err := got.Error(); err != nil && len(list) == 0 {
		return nil, err
	}
	return list, nil
}

// rest passes the sequences up to the end after the last message came: it asks the
// server for the next message first, since a slow server looks like an empty one.
func (s *Source) rest(ctx context.Context, r *reading, emit func(source.Batch) error) error {
	subjects := s.config.Subjects
	if len(subjects) == 0 {
		subjects = []string{">"}
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, subject := range subjects {
		next, err := r.handle.GetMsg(ctx, r.mark.Next, jetstream.WithGetMsgSubject(subject))
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
		case err != nil:
			return s.explained("look for the next message of "+r.stream, err)
		case next.Sequence < r.end:
			return s.explained("read stream "+r.stream, fmt.Errorf("message %d is there and did not come: %w", next.Sequence, recount.ErrTransient))
		}
	}
	return emit(r.batch(r.end, s.holes(r, r.mark.Next, r.end)...))
}

// holes are the sequences of a stream that hold no message. With subjects chosen,
// the others hold messages of other subjects, and nothing is said of them.
func (s *Source) holes(r *reading, from, to uint64) []recount.Gap {
	if from >= to || len(s.config.Subjects) > 0 {
		return nil
	}
	return []recount.Gap{r.gap(from, to, recount.GapCompacted)}
}

// hand emits messages, and tells whether until ended the reading.
func (s *Source) hand(ctx context.Context, r *reading, messages []message, emit func(source.Batch) error, until func(time.Time) bool) (ended bool, err error) {
	var records []record.Record
	var gaps []recount.Gap
	next, bytes := r.mark.Next, int64(0)
	for _, m := range messages {
		if m.sequence >= r.end || until != nil && until(m.at) {
			ended = true
			break
		}
		if m.sequence < next {
			return false, s.explained("read stream "+r.stream, fmt.Errorf("message %d came after %d: %w", m.sequence, next-1, recount.ErrTransient))
		}
		gaps = append(gaps, s.holes(r, next, m.sequence)...)
		next = m.sequence + 1
		rec := recordOf(m)
		if rec.Replayed() {
			gaps = append(gaps, r.gap(m.sequence, next, recount.GapReplay))
			continue
		}
		bytes += int64(len(rec.Value))
		records = append(records, rec)
	}
	if ended && until == nil && next < r.end { // what came after the end shows that nothing else is before it
		gaps = append(gaps, s.holes(r, next, r.end)...)
		next = r.end
	}
	if next == r.mark.Next {
		return ended, nil
	}
	events, header, err := s.decoder.Events(ctx, r.partition, records)
	if err != nil {
		return false, s.explained("read values of stream "+r.stream, err)
	}
	b := r.batch(next, gaps...)
	b.Events, b.Format, b.Header, b.Bytes = events, s.decoder.Format(), header, bytes
	return ended, emit(b)
}

// recordOf is a message as the archive keeps it.
func recordOf(m message) record.Record {
	headers := []recount.Header{{Name: subjectHeader, Value: []byte(m.Subject())}}
	for _, name := range slices.Sorted(maps.Keys(m.Headers())) {
		for _, value := range m.Headers()[name] {
			headers = append(headers, recount.Header{Name: name, Value: []byte(value)})
		}
	}
	value := m.Data()
	if value == nil {
		value = []byte{} // NATS has no tombstones: a message without bytes is an empty one
	}
	return record.Record{Position: position(m.sequence), Time: m.at, Appended: true, Value: value, Headers: headers}
}

// Wait returns when a stream has more than the cursor says, or is another.
func (s *Source) Wait(ctx context.Context, cursor source.Cursor) error {
	const every = 250 * time.Millisecond
	for {
		all, before, err := s.prepare(ctx, cursor)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the caller waits no longer
		}
		if err != nil || len(before) > 0 || slices.ContainsFunc(all, func(r *reading) bool { return r.mark.Next < r.end }) {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every):
		}
	}
}

// ReadSpan hands over a part of the streams. A span of time is one of the moments
// at which the server took messages in, which grow with the sequence.
func (s *Source) ReadSpan(ctx context.Context, span source.Span, emit func(source.Batch) error) (source.End, error) {
	all, before, err := s.prepare(ctx, span.Cursor)
	if err != nil {
		return source.End{}, err
	}
	for _, b := range before {
		// What a stream that is still there has lost before the span is not part of it.
		if slices.ContainsFunc(all, func(r *reading) bool { return r.partition == b.Partition }) {
			continue
		}
		if err := emit(b); err != nil {
			return source.End{}, err
		}
	}
	for _, r := range all {
		if err := s.span(ctx, r, span, emit); err != nil {
			return source.End{}, err
		}
	}
	return source.End{Partitions: len(all)}, nil
}

func (s *Source) span(ctx context.Context, r *reading, span source.Span, emit func(source.Batch) error) error {
	if len(span.Positions) == 0 {
		from, lost, err := s.firstAt(ctx, r, span.From)
		if err != nil {
			return err
		}
		var until func(time.Time) bool
		if !span.To.IsZero() {
			until = func(at time.Time) bool { return !at.Before(span.To) }
		}
		return s.stretch(ctx, r, lost, from, r.end, emit, until)
	}
	for _, w := range span.Positions {
		if w.Partition != r.partition {
			continue
		}
		one := *r
		from := sequence(w.From, 0)
		if err := s.stretch(ctx, &one, from, from, min(sequence(w.To, r.end), r.end), emit, nil); err != nil {
			return err
		}
	}
	return nil
}

// stretch reads the sequences from one on; those from lost on would have been part
// of it.
func (s *Source) stretch(ctx context.Context, r *reading, lost, from, end uint64, emit func(source.Batch) error, until func(time.Time) bool) error {
	r.end, r.mark.Pulled = end, true
	gone := min(r.first, end)
	r.mark.Next = max(from, gone)
	if lost < gone && r.limited {
		if err := emit(r.batch(r.mark.Next, r.gap(max(lost, 1), gone, recount.GapRetention))); err != nil {
			return err
		}
	}
	return s.stream(ctx, r, emit, until)
}

// firstAt finds the first sequence that was taken in at or after a time, and from
// where on it could have been if it is gone.
func (s *Source) firstAt(ctx context.Context, r *reading, at time.Time) (from, lost uint64, err error) {
	if at.IsZero() {
		return r.first, 1, nil
	}
	consumer, err := s.js.OrderedConsumer(ctx, r.stream, jetstream.OrderedConsumerConfig{
		FilterSubjects: s.config.Subjects, DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &at,
	})
	if err != nil {
		return 0, 0, s.explained("read stream "+r.stream, err)
	}
	got, err := consumer.FetchNoWait(1)
	if err != nil {
		return 0, 0, s.explained("read stream "+r.stream, err)
	}
	from = r.end
	for m := range got.Messages() {
		meta, err := m.Metadata()
		if err != nil {
			return 0, 0, s.explained("read stream "+r.stream, err)
		}
		from = meta.Sequence.Stream
	}
	if err := got.Error(); err != nil && !errors.Is(err, nats.ErrTimeout) {
		return 0, 0, s.explained("read stream "+r.stream, err)
	}
	// An older message, of whatever subject, says that none of the span is gone.
	asking, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	oldest, err := r.handle.GetMsg(asking, r.first)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
	case err != nil:
		return 0, 0, s.explained("look for the oldest message of "+r.stream, err)
	case oldest.Time.Before(at):
		return from, from, nil
	}
	return from, 1, nil
}
