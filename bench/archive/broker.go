package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"recount/internal/servertest/kafka"
)

const partitions = 8

// broker is the Kafka broker with the topic.
type broker struct {
	server *kafka.Broker
	topic  string
}

func (b *bench) prepare(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Join(b.dir, "kafka"), 0o755); err != nil { //nolint:gosec // a scratch folder
		return err
	}
	if missing := kafka.Missing(); missing != "" {
		return fmt.Errorf("there is no Kafka: %s", missing)
	}
	peers := filepath.Join("bench", "archive", "peers", "install.sh")
	if out, err := exec.CommandContext(ctx, "bash", peers, b.peers()).CombinedOutput(); err != nil { //nolint:gosec // our own script
		return fmt.Errorf("%s: %w: %s", peers, err, out)
	}
	b.recount = filepath.Join(b.dir, "recount")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", b.recount, "./cmd/recount").CombinedOutput(); err != nil { //nolint:gosec // our own program
		return fmt.Errorf("build recount: %w: %s", err, out)
	}
	server, err := kafka.Launch(ctx, kafka.Options{Dir: filepath.Join(b.dir, "kafka"), Lines: []string{
		"log.retention.ms=-1", "log.segment.bytes=268435456", "message.max.bytes=10485760",
	}})
	if err != nil {
		return fmt.Errorf("start Kafka: %w", err)
	}
	b.broker = &broker{server: server, topic: fmt.Sprintf("day-%d", b.events)}
	if b.bytes, err = b.broker.fill(ctx, b.events); err != nil {
		return err
	}
	b.s3, err = startBuckets(ctx, b.dir)
	return err
}

func (b *bench) peers() string { return filepath.Join(b.dir, "peers") }

func (b *bench) close() error {
	if b.s3 != nil {
		b.s3.stop()
	}
	return b.broker.server.Stop()
}

// fill makes the topic, unless an earlier run of the benchmark did, and returns
// the bytes of its values. The events are the same in every run.
func (b *broker) fill(ctx context.Context, events int64) (int64, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(b.server.Addr), kgo.ProducerBatchCompression(kgo.Lz4Compression()),
		kgo.ProducerLinger(20*time.Millisecond), kgo.MaxBufferedRecords(100_000), kgo.DefaultProduceTopic(b.topic))
	if err != nil {
		return 0, err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	ends, err := admin.ListEndOffsets(ctx, b.topic)
	there := int64(0)
	if err == nil {
		ends.Each(func(o kadm.ListedOffset) { there += max(o.Offset, 0) })
	}
	if there != events {
		_, _ = admin.DeleteTopics(ctx, b.topic)
		if err := b.create(ctx, b.topic, partitions); err != nil {
			return 0, err
		}
	}
	rng := rand.New(rand.NewPCG(1, 1)) //nolint:gosec // the same events in every run
	bytes := int64(0)
	var failed error
	for i := range events {
		r := order(rng, i, events)
		bytes += int64(len(r.Value))
		if there == events {
			continue
		}
		client.Produce(ctx, r, func(_ *kgo.Record, err error) {
			if err != nil {
				failed = err
			}
		})
	}
	if err := client.Flush(ctx); err != nil {
		return 0, err
	}
	return bytes, failed
}

// create makes a topic.
func (b *broker) create(ctx context.Context, topic string, partitions int32) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(b.server.Addr))
	if err != nil {
		return err
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).CreateTopic(ctx, partitions, 1, nil, topic); err != nil {
		return fmt.Errorf("make topic %s: %w", topic, err)
	}
	return nil
}

// order is an event of about 200 bytes, as shops write them; together they are a
// day's.
func order(rng *rand.Rand, i, n int64) *kgo.Record {
	statuses := []string{"created", "paid", "packed", "shipped", "delivered", "returned"}
	countries := []string{"DE", "FR", "IT", "ES", "PL", "NL", "AT"}
	at := time.Date(2024, 6, 10, 0, 0, 0, 0, time.UTC).Add(time.Duration(i) * (24 * time.Hour / time.Duration(n))).Truncate(time.Millisecond)
	user := fmt.Sprintf("u-%06d", rng.IntN(200_000))
	value := fmt.Sprintf(`{"event_id":"%08x-%08x","order_id":"o-%09d","user_id":"%s","status":"%s","amount":"%d.%02d","currency":"EUR","country":"%s","items":%d,"created_at":"%s"}`,
		rng.Uint32(), rng.Uint32(), rng.IntN(1_000_000_000), user, statuses[rng.IntN(len(statuses))], rng.IntN(500), rng.IntN(100),
		countries[rng.IntN(len(countries))], 1+rng.IntN(9), at.Format("2006-01-02T15:04:05.000Z"))
	return &kgo.Record{Key: []byte(user), Value: []byte(value), Timestamp: at}
}
