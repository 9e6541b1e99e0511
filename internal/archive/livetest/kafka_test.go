package livetest_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"recount"
	"recount/adapter"
	"recount/internal/archive"
	"recount/internal/clock"
	"recount/source"
	"recount/source/kafka"
	"recount/store/mem"
)

// produce writes events to both partitions of a topic.
func produce(t *testing.T, brokers []string, from, to int) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for i := from; i < to; i++ {
		value := fmt.Sprintf(`{"id":"e%d","at":%q}`, i, noon.Add(time.Duration(i)*time.Second).Format(time.RFC3339))
		r := &kgo.Record{Topic: "orders", Partition: int32(i % 2), Value: []byte(value), Timestamp: noon.Add(time.Duration(i) * time.Second)}
		if err := cl.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

func overKafka(t *testing.T, brokers []string) source.Source {
	t.Helper()
	env := adapter.Env{Stream: "orders", Now: clock.System{}.Now, Mapping: recount.Mapping{ID: "$.id", Time: "$.at"}}
	src, err := kafka.Open(t.Context(), env, kafka.Config{Brokers: brokers, Topics: []string{"orders"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := src.Close(); err != nil {
			t.Error(err)
		}
	})
	return src
}

// TestALiveRunOverKafka pulls a span, follows what is there and what comes, and
// ends well.
func TestALiveRunOverKafka(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "orders"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	produce(t, c.ListenAddrs(), 0, 100)
	s := &mem.Store{}
	a := archive.Open(s, clock.System{})
	opts := options(overKafka(t, c.ListenAddrs()))
	opts.Pull = &source.Span{From: noon.Add(20 * time.Second), To: noon.Add(40 * time.Second)}
	if res := mustRun(t, a, opts); res.Events != 20 {
		t.Errorf("pulled: %+v", res)
	}
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	more := false
	opts.Pull, opts.Live, opts.Flush = nil, true, 100*time.Millisecond
	opts.Tell = func(st archive.Status) {
		switch {
		case st.Err != nil:
			t.Errorf("it waits: %v", st.Err)
		case st.Result.Events == 80 && !more:
			more = true
			produce(t, c.ListenAddrs(), 100, 150)
		case st.Result.Events == 130:
			stop()
		}
	}
	res, err := a.Run(ctx, opts)
	wantCode(t, err, recount.CodeInterrupted)
	if res.Events != 130 || res.Known != 20 {
		t.Errorf("result: %+v", res)
	}
	snap := mustSnapshot(t, a)
	n := 0
	for key, times := range archivedEvents(t, s, snap) {
		n += times
		if times != 1 {
			t.Errorf("%s is there %d times", key, times)
		}
	}
	if n != 150 {
		t.Errorf("%d events are archived, want 150", n)
	}
	var runs []string
	for _, p := range verified(t, s).Streams[0].Partitions {
		for _, r := range p.Runs {
			runs = append(runs, fmt.Sprintf("%s %s %s-%s", p.Partition, r.Kind, recount.ShortPosition(r.First), recount.ShortPosition(r.Last)))
		}
	}
	if got := strings.Join(runs, ", "); got != "0 sealed 0-74, 1 sealed 0-74" {
		t.Errorf("positions: %s", got)
	}
}
