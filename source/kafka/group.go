package kafka

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"

	"recount"
	"recount/source"
)

// Processed returns where a consumer group stands, by the archive's partitions.
func (s *Source) Processed(ctx context.Context, group string, cursor source.Cursor) (map[string]string, error) {
	known, err := holdings(cursor)
	if err != nil {
		return nil, recount.Located(err, s.where())
	}
	if err := s.asleep(ctx, group); err != nil {
		return nil, err
	}
	committed, err := s.admin.FetchOffsets(ctx, group)
	if err != nil {
		return nil, s.explained("read the offsets of group "+group, err)
	}
	topics, err := s.topics(ctx, s.config.Topics...)
	if err != nil {
		return nil, s.explained("look at the topics", err)
	}
	names := s.names(known)
	found := map[string]string{}
	for _, name := range s.config.Topics {
		for _, p := range topics[name].parts {
			at := place{name, p.Partition}
			o, ok := committed.Lookup(name, p.Partition)
			if !ok || o.At < 0 {
				continue
			}
			if o.Err != nil {
				return nil, s.explained("read the offsets of group "+group, o.Err)
			}
			archived := names.of(at)
			if h, ok := known[at]; ok {
				if archived = h.name; h.mark.Over || h.mark.ID != idText(topics[at.topic].id) {
					// The group reads a log of which nothing is archived yet.
					archived = named(h.base(), h.mark.Generation+1)
				}
			}
			found[archived] = position(o.At)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("group %s has no offset of topic %s: %w", group, strings.Join(s.config.Topics, ", "), recount.ErrNotFound)
	}
	return found, s.bygone(cursor, found)
}

// bygone adds the logs that are no more: nobody can process more of them than was
// archived.
func (s *Source) bygone(cursor source.Cursor, found map[string]string) error {
	newest, err := holdings(cursor)
	if err != nil {
		return err
	}
	for name := range cursor {
		one, err := holdings(source.Cursor{name: cursor[name]})
		if err != nil {
			return err
		}
		for at, h := range one {
			_, stands := found[name]
			if stands || newest[at].name == name && !h.mark.Over {
				continue
			}
			next := h.mark.Next
			if h.mark.Over {
				next = h.mark.Last
			}
			found[name] = position(next)
		}
	}
	return nil
}

// asleep refuses a group with members at work: its offsets move.
func (s *Source) asleep(ctx context.Context, group string) error {
	listed, err := s.admin.ListGroups(ctx)
	if err != nil {
		return s.explained("look for group "+group, err)
	}
	g, ok := listed[group]
	if !ok {
		return fmt.Errorf("group %s: %w", group, recount.ErrNotFound)
	}
	if g.State != "Empty" && g.State != "Dead" {
		return fmt.Errorf("group %s is %s%s: %w", group, strings.ToLower(g.State), s.members(ctx, group), recount.ErrBusy)
	}
	return nil
}

// members says who is at work, as far as brokers tell.
func (s *Source) members(ctx context.Context, group string) string {
	var names []string
	described, err := s.admin.DescribeGroups(ctx, group)
	if err == nil && described[group].Err == nil {
		for _, m := range described[group].Members {
			names = append(names, m.ClientID+" on "+strings.TrimPrefix(m.ClientHost, "/"))
		}
	}
	if len(names) == 0 {
		newer, err := s.admin.DescribeConsumerGroups(ctx, group)
		if err == nil && newer[group].Err == nil {
			for _, m := range newer[group].Members {
				names = append(names, m.ClientID+" on "+strings.TrimPrefix(m.ClientHost, "/"))
			}
		}
	}
	const most = 3
	switch {
	case len(names) == 0:
		return ""
	case len(names) > most:
		names = append(names[:most], fmt.Sprintf("and %d more", len(names)-most))
	}
	return ", with " + strings.Join(names, ", ")
}

// count counts a topic's partitions; recount.ErrNotFound: there is no such topic.
func (s *Source) count(ctx context.Context, topic string) (int, error) {
	found, err := s.topics(ctx, topic)
	for try := 1; try < unknownTries && errors.Is(err, kerr.UnknownTopicOrPartition) && rest(ctx, pause) == nil; try++ {
		found, err = s.topics(ctx, topic)
	}
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return 0, &recount.Error{
			Code: recount.CodeNoTopic, What: fmt.Sprintf("topic %s does not exist", topic), Where: s.where(), Why: "the brokers do not know it, and none is made by the way",
			Next: "make the topic, or name another", Err: errors.Join(recount.ErrNotFound, err),
		}
	}
	return len(found[topic].parts), s.explained("look at topic "+topic, err)
}
