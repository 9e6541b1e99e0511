// Package tobus publishes archived events to a bus, in the order in which it is
// given them: those that are not there yet, a batch after the other, each
// acknowledged before the next begins, and not faster than asked. It reads no
// archive, and chooses no event but by what is there.
package tobus

import (
	"context"
	"fmt"
	"time"

	"recount"
	"recount/internal/clock"
	"recount/source"
)

// Batches are small enough to end soon when somebody asks, and large enough to be
// fast.
const (
	mostMessages = 5000
	mostBytes    = 8 << 20
)

// Options say how events are published.
type Options struct {
	ID        string // of the replay
	Publisher source.Publisher
	// There holds the places that are there already; nil: none are.
	There *Places
	// PerSecond bounds how many events a second are published; 0: nothing does.
	PerSecond int64
	Timer     clock.Timer
	// Tell is told of each batch that was acknowledged.
	Tell func(messages int)
}

// Sender publishes events. It is used by one goroutine.
type Sender struct {
	opts  Options
	batch []source.Message
	bytes int64
	began time.Duration // when the first batch went out
	// Sent and Bytes count what was acknowledged, There what was there before.
	Sent, Bytes, There int64
}

// NewSender returns a sender that has published nothing.
func NewSender(opts Options) *Sender { return &Sender{opts: opts} }

// Add publishes an event, at the latest with Flush. It ends between two batches when
// ctx does; a batch that is on its way is waited for, so that what is there is known.
func (s *Sender) Add(ctx context.Context, e *recount.Event) error {
	if s.opts.There != nil && s.opts.There.Has(e.Partition, e.Position) {
		s.There++
		return nil
	}
	m := s.message(e)
	s.batch = append(s.batch, m)
	s.bytes += int64(len(m.Data) + len(m.Key))
	if int64(len(s.batch)) < s.most() && s.bytes < mostBytes {
		return nil
	}
	return s.Flush(ctx)
}

// most is how many events a batch has: at a rate, those of a tenth of a second.
func (s *Sender) most() int64 {
	const parts = 10
	if s.opts.PerSecond == 0 {
		return mostMessages
	}
	return min(max(s.opts.PerSecond/parts, 1), mostMessages)
}

func (s *Sender) message(e *recount.Event) source.Message {
	m := source.Message{Key: e.Key, Data: e.Data, Time: e.Time, Partition: e.Partition, Headers: make([]recount.Header, 0, len(e.Headers)+2)}
	for _, h := range e.Headers {
		if h.Name != source.HeaderReplay && h.Name != source.HeaderPosition {
			m.Headers = append(m.Headers, h)
		}
	}
	m.Headers = append(m.Headers, recount.Header{Name: source.HeaderReplay, Value: []byte(s.opts.ID)},
		recount.Header{Name: source.HeaderPosition, Value: fmt.Appendf(nil, "%s@%s", e.Partition, e.Position)})
	return m
}

// Flush publishes what was added and is not published yet.
func (s *Sender) Flush(ctx context.Context) error {
	if len(s.batch) == 0 {
		return nil
	}
	s.wait(ctx)
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.opts.Publisher.Publish(context.WithoutCancel(ctx), s.batch); err != nil {
		return err
	}
	s.Sent += int64(len(s.batch))
	s.Bytes += s.bytes
	if s.opts.Tell != nil {
		s.opts.Tell(len(s.batch))
	}
	clear(s.batch)
	s.batch, s.bytes = s.batch[:0], 0
	return nil
}

// wait returns when the batch may go out at the rate that was asked for, or when ctx
// ends.
func (s *Sender) wait(ctx context.Context) {
	if s.opts.PerSecond == 0 {
		return
	}
	if s.Sent == 0 {
		s.began = s.opts.Timer.Passed()
		return
	}
	due := s.began + time.Duration(float64(s.Sent)/float64(s.opts.PerSecond)*float64(time.Second))
	if early := due - s.opts.Timer.Passed(); early > 0 {
		s.opts.Timer.Sleep(ctx, early)
	}
}
