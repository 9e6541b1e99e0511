package kafka

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"recount/internal/archive"
	"recount/internal/clock"
	broker "recount/internal/servertest/kafka"
	"recount/source"
	"recount/store/mem"
)

// liveOverACrash archives a topic live while its broker is killed: each record is
// in the archive once.
func liveOverACrash(t *testing.T, w world, b *broker.Broker) {
	topic := w.topic(t, 2)
	s, store := w.open(t, nil, topic), &mem.Store{}
	a := archive.Open(store, clock.System{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var events atomic.Int64
	ended := make(chan error, 1)
	go func() {
		_, err := a.Run(ctx, archive.RunOptions{
			Stream: "orders", Source: s, Fields: mapping().Fields, MappingDigest: "m", Program: "test", Live: true, Flush: 200 * time.Millisecond,
			Tell: func(s archive.Status) { events.Store(s.Result.Events) },
		})
		ended <- err
	}()
	const each, rounds = 200, 10
	for n := range rounds {
		if n == rounds/2 {
			wait(t, "some is archived", func() bool { return events.Load() > 0 })
			b.Kill9()
			pass(t, time.Second)
			if err := b.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		send(t, w.client(t), append(rows(topic, 0, n*each, (n+1)*each), rows(topic, 1, n*each, (n+1)*each)...)...)
	}
	wait(t, "all is archived", func() bool { return events.Load() == 2*each*rounds })
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Fatalf("live run: got %v, want its end on request", err)
	}
	snapshot, err := a.Snapshot(t.Context(), "orders")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]int64{}
	for _, f := range snapshot.Files {
		for _, span := range f.Spans {
			rows[span.Partition] += span.Rows
		}
	}
	for _, p := range []string{"0", "1"} {
		if rows[p] != each*rounds {
			t.Errorf("partition %s: got %d events, want %d", p, rows[p], each*rounds)
		}
	}
	if len(snapshot.Reached) != 2 || snapshot.Reached[0].Last != position(each*rounds-1) {
		t.Errorf("reached: got %v, want both partitions whole", snapshot.Reached)
	}
	known, err := holdings(source.Cursor(snapshot.Cursor))
	if err != nil || known[place{topic, 1}].mark.Next != each*rounds {
		t.Errorf("cursor: got %v and %v", snapshot.Cursor, err)
	}
	if len(snapshot.Gaps) > 0 {
		t.Errorf("gaps: got %v, want none", snapshot.Gaps)
	}
}
