package kafka

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"recount"
	"recount/source"
)

// Reads says whether the topic is one of the source's own.
func (s *Source) Reads(destination string) bool { return slices.Contains(s.config.Topics, destination) }

// Publisher opens a topic, which must exist.
func (s *Source) Publisher(ctx context.Context, destination string) (source.Publisher, error) {
	there, err := s.count(ctx, destination)
	if err != nil {
		return nil, err
	}
	// A partition is kept only where it says as much there as it did here.
	keeps := len(s.config.Topics) == 1
	if keeps {
		here, err := s.count(ctx, s.config.Topics[0])
		if err != nil {
			return nil, err
		}
		keeps = here == there
	}
	options := append(slices.Clone(s.options),
		kgo.DefaultProduceTopic(destination), kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(partitioner(keeps)), kgo.ProducerBatchMaxBytes(maxMessage), kgo.MaxBufferedBytes(maxAnswer),
		// What is given up is not sent again by this client: the next one looks for
		// what is there.
		kgo.AllowIdempotentProduceCancellation(),
	)
	client, err := kgo.NewClient(options...)
	if err != nil {
		return nil, s.misconfigured("the client cannot be made", err.Error(), "correct the block kafka:")
	}
	return &publisher{source: s, topic: destination, client: client}, nil
}

// delivery bounds how long messages may wait for their acknowledgements, where the
// broker is gone. The client's own bound counts from their timestamps, which are old.
const delivery = time.Minute

// partitioner sends a message to the number of its archive partition, where keeps
// says so; else by its key, as Kafka's own clients do; and one without a key by its
// archive partition, so that those of one stay in order.
func partitioner(keeps bool) kgo.Partitioner {
	byHash := kgo.StickyKeyPartitioner(nil)
	return kgo.BasicConsistentPartitioner(func(topic string) func(*kgo.Record, int) int {
		hash := byHash.ForTopic(topic)
		return func(r *kgo.Record, n int) int {
			from, _ := r.Context.Value(archived{}).(string)
			if number, ok := numberOf(from); keeps && ok && int(number) < n {
				return int(number)
			}
			if r.Key == nil {
				return hash.Partition(&kgo.Record{Key: []byte(from)}, n)
			}
			return hash.Partition(r, n)
		}
	})
}

// archived is the key under which a record's context has its archive partition.
type archived struct{}

// publisher writes to one topic, with an idempotent producer: what is sent again
// after a lost answer stands there once, and in order.
type publisher struct {
	source *Source
	topic  string
	client *kgo.Client
}

// Publish returns when all messages are acknowledged by all replicas in sync.
func (p *publisher) Publish(ctx context.Context, messages []source.Message) error {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(p.source.delivery, delivery))
	defer cancel()
	records := make([]*kgo.Record, len(messages))
	for i, m := range messages {
		r := &kgo.Record{Key: m.Key, Value: m.Data, Timestamp: sendable(m.Time), Context: context.WithValue(ctx, archived{}, m.Partition)}
		for _, h := range m.Headers {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Name, Value: h.Value})
		}
		records[i] = r
	}
	if err := p.client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return p.source.unsent("publish to topic "+p.topic, err)
	}
	return nil
}

// unsent is explained, of a write.
func (s *Source) unsent(act string, err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		err = errors.New("no acknowledgement came in time") // of ours, it is nobody's end
	}
	err = s.explained(act, err)
	if e, ok := errors.AsType[*recount.Error](err); ok {
		switch e.Code { //nolint:exhaustive // the others say the same of a write
		case recount.CodeSourceDown:
			e.What, e.Next = "Kafka does not take the messages", "check brokers: of the source, and that enough of them run"
		case recount.CodeSourceAccess:
			e.Next = "check sasl: of the source, and that its user may write to the destination"
		}
	}
	return err
}

// sendable is the nearest time that the client can send: its clock counts in
// nanoseconds, and brokers refuse what lies before 1970.
func sendable(t time.Time) time.Time {
	first, last := time.UnixMilli(0), time.Unix(0, math.MaxInt64)
	switch {
	case t.Before(first):
		return first
	case t.After(last):
		return last
	}
	return t
}

// Published looks through the whole topic, at headers alone: messages of several
// archive partitions can lie in one, and a batch that was cut by a crash is there in
// some partitions and not in others.
func (p *publisher) Published(ctx context.Context, name, value string, each func(partition, position string)) error {
	config := p.source.config
	config.Topics = []string{p.topic}
	reader := &Source{env: p.source.env, config: config, decoder: p.source.decoder, client: p.source.client, admin: p.source.admin}
	a, _, err := reader.prepare(ctx, nil)
	if err != nil {
		return err
	}
	look := func(r *kgo.Record) {
		ours, position := false, ""
		for _, h := range r.Headers {
			switch {
			case h.Key == name && string(h.Value) == value:
				ours = true
			case h.Key == source.HeaderPosition:
				position = string(h.Value)
			}
		}
		// A partition's name can hold an @ itself: 3@2.
		if at := strings.LastIndexByte(position, '@'); ours && at >= 0 {
			each(position[:at], position[at+1:])
		}
	}
	for _, r := range a.readings {
		if r.next >= r.end {
			continue
		}
		f := fetcher{source: reader, leader: r.leader, open: []*reading{r}, each: look}
		if err := f.run(ctx); err != nil {
			return p.source.explained("look through topic "+p.topic, err)
		}
	}
	return nil
}

// Close ends the connections; nothing is left to be sent.
func (p *publisher) Close() error {
	p.client.Close()
	return nil
}

var (
	_ source.Waiter  = (*Source)(nil)
	_ source.Spanned = (*Source)(nil)
	_ source.Grouped = (*Source)(nil)
	_ source.Resumer = (*Source)(nil)
	_ source.Bus     = (*Source)(nil)
)
