package kafka

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"recount"
	"recount/source"
)

// view is how the topics stood at one moment.
type view struct {
	parts []part
	// pending are the partitions whose records beyond the end belong to a
	// transaction that is still open.
	pending []*part
}

// part is a partition of a view.
type part struct {
	place
	id     kadm.TopicID
	leader int32
	epoch  int32 // of the leader
	start  int64 // the first offset that the log still holds
	end    int64 // the first one after its last committed record
}

const (
	// pause is how long something that is about to change is left alone.
	pause = 250 * time.Millisecond
	// unknownTries is how often a topic that is not known is asked for: a broker that
	// has just started may not know its topics yet.
	unknownTries = 4
)

// rest waits a while, or until ctx ends.
func rest(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// look asks the brokers how the topics stand, and asks again while a partition has
// no leader or a broker is only just coming up.
func (s *Source) look(ctx context.Context) (view, error) {
	const tries = int(patience / pause)
	// A broker that swallows what it is sent takes longer for each try.
	within, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	for try := 1; ; try++ {
		v, err := s.lookOnce(within)
		if within.Err() != nil && ctx.Err() == nil {
			return v, s.explained("look at the topics", again{errors.New("no broker answered in time")})
		}
		unknown := errors.Is(err, kerr.UnknownTopicOrPartition)
		if err == nil || !passes(err) || noHost(err) || try >= tries || unknown && try >= unknownTries {
			return v, s.explained("look at the topics", err)
		}
		if err := rest(ctx, pause); err != nil {
			return view{}, err
		}
	}
}

func (s *Source) lookOnce(ctx context.Context) (view, error) {
	topics, err := s.topics(ctx, s.config.Topics...)
	if err != nil {
		return view{}, err
	}
	starts, err := s.offsets(ctx, s.admin.ListStartOffsets)
	if err != nil {
		return view{}, err
	}
	// The high watermark first: a stable offset that is lower than an older high
	// watermark means an open transaction, and never a record that came between.
	highs, err := s.offsets(ctx, s.admin.ListEndOffsets)
	if err != nil {
		return view{}, err
	}
	ends, err := s.offsets(ctx, s.admin.ListCommittedOffsets)
	if err != nil {
		return view{}, err
	}
	var v view
	var open []int
	for _, name := range s.config.Topics {
		for _, p := range topics[name].parts {
			at := place{name, p.Partition}
			if _, listed := ends[at]; !listed {
				return view{}, fmt.Errorf("topic %s, partition %d is new: %w", name, p.Partition, kerr.LeaderNotAvailable)
			}
			one := part{place: at, id: topics[name].id, leader: p.Leader, epoch: p.LeaderEpoch, start: starts[at], end: ends[at]}
			if highs[at] > ends[at] {
				open = append(open, len(v.parts))
			}
			v.parts = append(v.parts, one)
		}
	}
	for _, i := range open {
		v.pending = append(v.pending, &v.parts[i])
	}
	return v, nil
}

// topic is how a topic stands.
type topic struct {
	id    kadm.TopicID
	parts []kmsg.MetadataResponseTopicPartition // by number
}

// topics describes topics, whole or not at all. It asks the brokers: the client's
// own memory can be of a topic that was made anew since.
func (s *Source) topics(ctx context.Context, names ...string) (map[string]topic, error) {
	req := kmsg.NewPtrMetadataRequest()
	for _, name := range names {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &name
		req.Topics = append(req.Topics, t)
	}
	answer, err := req.RequestWith(ctx, s.client)
	if err != nil {
		return nil, err
	}
	found := map[string]topic{}
	for _, t := range answer.Topics {
		if t.Topic == nil {
			continue
		}
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return nil, fmt.Errorf("topic %s: %w", *t.Topic, err)
		}
		for _, p := range t.Partitions {
			if p.Leader < 0 {
				return nil, fmt.Errorf("topic %s, partition %d: %w", *t.Topic, p.Partition, kerr.LeaderNotAvailable)
			}
		}
		slices.SortFunc(t.Partitions, func(a, b kmsg.MetadataResponseTopicPartition) int { return int(a.Partition - b.Partition) })
		found[*t.Topic] = topic{id: t.TopicID, parts: t.Partitions}
	}
	for _, name := range names {
		if _, ok := found[name]; !ok {
			return nil, fmt.Errorf("topic %s: %w", name, kerr.UnknownTopicOrPartition)
		}
	}
	return found, nil
}

// offsets asks for one offset of every partition.
func (s *Source) offsets(ctx context.Context, list func(context.Context, ...string) (kadm.ListedOffsets, error)) (map[place]int64, error) {
	listed, err := list(ctx, s.config.Topics...)
	if err != nil {
		return nil, err
	}
	found := map[place]int64{}
	for topic, parts := range listed {
		for number, o := range parts {
			if o.Err != nil {
				return nil, fmt.Errorf("topic %s, partition %d: %w", topic, number, o.Err)
			}
			found[place{topic, number}] = o.Offset
		}
	}
	return found, nil
}

// compacted finds which topics keep the newest record of a key alone. Where the
// user may not read settings, no topic is known to.
func (s *Source) compacted(ctx context.Context) (map[string]bool, error) {
	described, err := s.admin.DescribeTopicConfigs(ctx, s.config.Topics...)
	if err != nil && !refused(err) {
		return nil, s.explained("read the settings of the topics", err)
	}
	found := map[string]bool{}
	for _, topic := range described {
		if topic.Err != nil && !refused(topic.Err) {
			return nil, s.explained("read the settings of topic "+topic.Name, topic.Err)
		}
		for _, c := range topic.Configs {
			if c.Key == "cleanup.policy" && c.Value != nil {
				found[topic.Name] = hasWord(*c.Value, "compact")
			}
		}
	}
	return found, nil
}

// cutBack finds the partitions whose log no longer holds what the archive has read
// of it: by partition, where the log leaves the archived one. It happens where a
// broker that had fallen behind became the leader.
func (s *Source) cutBack(ctx context.Context, v view, known map[place]held) (map[place]int64, error) {
	var ask kadm.OffsetForLeaderEpochRequest
	starts := map[place]int64{}
	for _, p := range v.parts {
		starts[p.place] = p.start
		h, ok := known[p.place]
		if ok && !h.mark.Over && h.mark.ID == idText(p.id) && h.mark.Epoch >= 0 && p.epoch > h.mark.Epoch {
			ask.Add(p.topic, p.partition, h.mark.Epoch)
		}
	}
	found := map[place]int64{}
	if len(ask) == 0 {
		return found, nil
	}
	answer, err := s.admin.OffsetForLeaderEpoch(ctx, ask)
	if err != nil {
		return nil, s.explained("ask where the logs were cut", err)
	}
	for topic, parts := range answer {
		for number, o := range parts {
			at := place{topic, number}
			switch {
			case o.Err != nil:
				return nil, s.explained(fmt.Sprintf("ask where the log of %s-%d was cut", topic, number), o.Err)
			case o.EndOffset >= starts[at] && o.EndOffset < known[at].mark.Next:
				// An earlier one says only that retention took the epoch away.
				found[at] = o.EndOffset
			}
		}
	}
	return found, nil
}

// watermark is the moment before which every record is read: when the ends were
// asked for, or the first record of a transaction that was open then.
func (s *Source) watermark(ctx context.Context, begun time.Time, v view) (time.Time, error) {
	for _, p := range v.pending {
		at, known, err := s.timeAt(ctx, p)
		if err != nil {
			return time.Time{}, s.explained("look at an open transaction", err)
		}
		if known && at.Before(begun) {
			begun = at
		}
	}
	return begun, nil
}

// Check asks whether the topics can be read. What stands in the archive is not
// known here: Overtaken looks at that.
func (s *Source) Check(ctx context.Context) error {
	if _, err := s.lookOnce(ctx); err != nil {
		return s.explained("look at the topics", err)
	}
	_, err := s.compacted(ctx)
	return err
}

// Overtaken tells what retention and topics made anew have taken away after cursor.
func (s *Source) Overtaken(ctx context.Context, cursor source.Cursor) ([]recount.Gap, error) {
	a, _, err := s.prepare(ctx, cursor)
	if err != nil {
		return nil, err
	}
	return a.lost, nil
}

// prepare looks at the topics and finds what a read after cursor has to do.
func (s *Source) prepare(ctx context.Context, cursor source.Cursor) (assignment, view, error) {
	known, err := holdings(cursor)
	if err != nil {
		return assignment{}, view{}, recount.Located(err, s.where())
	}
	v, err := s.look(ctx)
	if err != nil {
		return assignment{}, view{}, err
	}
	cut, err := s.cutBack(ctx, v, known)
	if err != nil {
		return assignment{}, view{}, err
	}
	return s.assign(v, known, cut), v, nil
}

func noHost(err error) bool {
	dns, ok := errors.AsType[*net.DNSError](err)
	return ok && dns.IsNotFound
}

// byLeader groups readings by the broker that leads them.
func byLeader(all []*reading) map[int32][]*reading {
	groups := map[int32][]*reading{}
	for _, r := range all {
		groups[r.leader] = append(groups[r.leader], r)
	}
	return groups
}

func hasWord(list, word string) bool {
	return slices.Contains(splitWords(list), word)
}
