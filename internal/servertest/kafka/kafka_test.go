package kafka_test

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"recount/internal/servertest/kafka"
)

func TestABrokerKeepsItsDataOverStopsAndCrashes(t *testing.T) {
	b := kafka.New(t, kafka.Options{Lines: []string{"num.partitions=3"}})
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr), kgo.DefaultProduceTopic("orders"), kgo.ConsumeTopics("orders"))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	made, err := kadm.NewClient(cl).CreateTopic(ctx, -1, -1, nil, "orders")
	if err != nil || made.NumPartitions != 3 {
		t.Fatalf("create topic: got %d partitions and %v, want 3", made.NumPartitions, err)
	}
	produce := func(value string) {
		t.Helper()
		if err := cl.ProduceSync(ctx, kgo.StringRecord(value)).FirstErr(); err != nil {
			t.Fatalf("produce %s: %v", value, err)
		}
	}
	produce("before")
	if err := b.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := b.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	produce("after a stop")
	b.Kill9()
	if err := b.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	produce("after a crash")
	got := map[string]bool{}
	for len(got) < 3 && ctx.Err() == nil {
		cl.PollFetches(ctx).EachRecord(func(r *kgo.Record) { got[string(r.Value)] = true })
	}
	if len(got) != 3 {
		t.Errorf("got %v, want the three records", got)
	}
}
