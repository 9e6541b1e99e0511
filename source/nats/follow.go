package nats

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go/jetstream"

	"recount/source"
)

// Follow asks the durable consumer of that name what it has left. A subject is one
// partition: the numbers of its stream are those of other subjects too.
func (p *publisher) Follow(ctx context.Context, group string) (f source.Following, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	explained := func(err error) error {
		return p.source.explained("follow consumer "+group+" of stream "+p.stream, err)
	}
	stream, err := p.source.js.Stream(ctx, p.stream)
	if err != nil {
		return f, explained(err)
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(p.subject))
	if err != nil {
		return f, explained(err)
	}
	part := source.FollowedPart{Partition: p.subject, Messages: int64(info.State.Subjects[p.subject])} //nolint:gosec // no stream holds as many
	part.Left = part.Messages
	consumer, err := stream.Consumer(ctx, group)
	switch {
	case errors.Is(err, jetstream.ErrConsumerNotFound):
	case err != nil:
		return f, explained(err)
	default:
		c := consumer.CachedInfo()
		part.Left = int64(c.NumPending) + int64(c.NumAckPending) //nolint:gosec // no stream holds as many
		// Push consumers say whether somebody listens, pull consumers how many wait.
		if f.Members = c.NumWaiting; c.PushBound {
			f.Members = 1
		}
	}
	f.Parts = []source.FollowedPart{part}
	return f, nil
}

var _ source.Followed = (*publisher)(nil)
