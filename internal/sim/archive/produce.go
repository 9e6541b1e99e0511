package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// sender puts payloads into a stream, and returns when they are in.
type sender interface {
	Send(ctx context.Context, payloads [][]byte) error
	Close() error
}

// producer sends events of known ids, some of them twice.
type producer struct {
	send   sender
	number int
	sent   map[string]int // by SHA-256 of the payload how often it was sent
}

// produce sends a few events every few milliseconds until the context ends.
func (p *producer) produce(ctx context.Context, seed uint64) error {
	rng := rand.New(rand.NewPCG(seed, 1))
	const pace, hours = 10 * time.Millisecond, 3
	tick := time.NewTicker(pace)
	defer tick.Stop()
	var recent [][]byte
	for n := 0; ctx.Err() == nil; {
		var payloads [][]byte
		for range 1 + rng.IntN(5) {
			if len(recent) > 0 && rng.IntN(20) == 0 {
				payloads = append(payloads, recent[rng.IntN(len(recent))])
				continue
			}
			at := noon.Add(-time.Duration(rng.Int64N(int64(hours * time.Hour))))
			payload := fmt.Appendf(nil, `{"id":"%d-%d","at":"%s","user_id":"u%d"}`, p.number, n, at.Format(time.RFC3339Nano), rng.IntN(9))
			payloads, recent = append(payloads, payload), append(recent, payload)
			n++
		}
		if err := p.send.Send(context.WithoutCancel(ctx), payloads); err != nil {
			return err
		}
		for _, payload := range payloads {
			p.sent[digest(payload)]++
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	return p.send.Close()
}

// topic sends to Kafka.
type topic struct{ client *kgo.Client }

func newTopic(ctx context.Context, broker, name string) (sender, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.DefaultProduceTopic(name), kgo.ProducerLinger(0),
		kgo.UnknownTopicRetries(-1)) // a broker that has much to do is slow to know a topic that it just made
	if err != nil {
		return nil, err
	}
	const partitions = 3
	if _, err := kadm.NewClient(client).CreateTopic(ctx, partitions, 1, nil, name); err != nil {
		client.Close()
		return nil, fmt.Errorf("make topic: %w", err)
	}
	return topic{client}, nil
}

// Send produces and waits for the broker.
func (t topic) Send(ctx context.Context, payloads [][]byte) error {
	records := make([]*kgo.Record, len(payloads))
	for i, p := range payloads {
		records[i] = &kgo.Record{Value: p}
	}
	return t.client.ProduceSync(ctx, records...).FirstErr()
}

// Close closes the client.
func (t topic) Close() error {
	t.client.Close()
	return nil
}

// grown is a file that grows, now and then by half a line first.
type grown struct{ file *os.File }

func newFile(name string) (sender, error) {
	f, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	return grown{f}, nil
}

// Send appends lines.
func (g grown) Send(_ context.Context, payloads [][]byte) error {
	for _, p := range payloads {
		for _, part := range [][]byte{p[:len(p)/2], append(p[len(p)/2:len(p):len(p)], '\n')} {
			if _, err := g.file.Write(part); err != nil {
				return err
			}
		}
	}
	return nil
}

// Close closes the file.
func (g grown) Close() error { return g.file.Close() }
