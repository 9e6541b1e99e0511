package nats

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// consume reads as a durable consumer.
func (w world) consume(t *testing.T, subject, group string, n int) {
	t.Helper()
	name, err := w.js.StreamNameBySubject(t.Context(), subject)
	if err != nil {
		t.Fatal(err)
	}
	consumer, err := w.js.CreateOrUpdateConsumer(t.Context(), name, jetstream.ConsumerConfig{Durable: group, AckPolicy: jetstream.AckExplicitPolicy, FilterSubject: subject})
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		m, err := consumer.Next()
		if err != nil {
			t.Fatal(err)
		}
		if err := m.DoubleAck(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
