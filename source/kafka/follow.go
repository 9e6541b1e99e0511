package kafka

import (
	"context"
	"errors"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"

	"recount/source"
)

// Follow compares the group's committed offsets with the topic's ends.
func (p *publisher) Follow(ctx context.Context, group string) (f source.Following, err error) {
	s := p.source
	explained := func(err error) error { return s.explained("follow group "+group+" on topic "+p.topic, err) }
	starts, err := s.admin.ListStartOffsets(ctx, p.topic)
	if err != nil {
		return f, explained(err)
	}
	ends, err := s.admin.ListEndOffsets(ctx, p.topic)
	if err != nil {
		return f, explained(err)
	}
	// Offsets are read after the ends, so that they can only be further. A broker that
	// never had a group has no coordinator before it is asked for one.
	committed, err := s.admin.FetchOffsets(ctx, group)
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) && !errors.Is(err, kerr.CoordinatorNotAvailable) {
		return f, explained(err)
	}
	if err := errors.Join(starts.Error(), ends.Error()); err != nil {
		return f, explained(err)
	}
	for _, end := range ends.Offsets().Sorted() {
		first, _ := starts.Lookup(p.topic, end.Partition)
		part := source.FollowedPart{Partition: strconv.Itoa(int(end.Partition)), Messages: end.At - first.Offset}
		next := first.Offset
		if o, ok := committed.Lookup(p.topic, end.Partition); ok && o.Err == nil {
			next = max(next, o.At)
			part.Beyond = o.At > end.At
		}
		part.Left = max(end.At-next, 0)
		f.Parts = append(f.Parts, part)
	}
	f.Members, err = s.working(ctx, group)
	return f, err
}

// working counts the members of a group, of either protocol.
func (s *Source) working(ctx context.Context, group string) (int, error) {
	listed, err := s.admin.ListGroups(ctx)
	if err != nil {
		return 0, s.explained("look for group "+group, err)
	}
	g, ok := listed[group]
	if !ok || g.State == "Empty" || g.State == "Dead" {
		return 0, nil
	}
	if described, err := s.admin.DescribeGroups(ctx, group); err == nil && described[group].Err == nil && len(described[group].Members) > 0 {
		return len(described[group].Members), nil
	}
	if newer, err := s.admin.DescribeConsumerGroups(ctx, group); err == nil && newer[group].Err == nil && len(newer[group].Members) > 0 {
		return len(newer[group].Members), nil
	}
	return 1, nil // it is not empty
}

var _ source.Followed = (*publisher)(nil)
