package livetest_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
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

// TestATopicThatWasOnlyPulledAndMadeAnewLosesNothing deletes a topic between two
// pulls, and between a pull and a run.
func TestATopicThatWasOnlyPulledAndMadeAnewLosesNothing(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "orders"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	anew := func() {
		t.Helper()
		cl, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...))
		if err != nil {
			t.Fatal(err)
		}
		defer cl.Close()
		admin := kadm.NewClient(cl)
		if _, err := admin.DeleteTopic(t.Context(), "orders"); err != nil {
			t.Fatal(err)
		}
		if _, err := admin.CreateTopic(t.Context(), 2, 1, nil, "orders"); err != nil {
			t.Fatal(err)
		}
	}
	a := archive.Open(&mem.Store{}, clock.System{})
	opts := options(overKafka(t, c.ListenAddrs()))
	pull := func(from, to, want int, lost recount.Code) {
		t.Helper()
		opts.Pull = &source.Span{From: noon.Add(time.Duration(from) * time.Second), To: noon.Add(time.Duration(to) * time.Second)}
		if res, err := a.Run(t.Context(), opts); res.Events != int64(want) || code(err) != lost {
			t.Errorf("pull %d to %d: %+v and %v, want %d events", from, to, res, err, want)
		}
		opts.Pull = nil
	}
	produce(t, c.ListenAddrs(), 0, 40)
	pull(10, 30, 20, "")
	pull(0, 10, 10, "")
	pull(20, 40, 10, "")
	anew()
	produce(t, c.ListenAddrs(), 100, 140)
	pull(110, 130, 20, recount.CodeLost) // what else was in the older topic
	anew()
	produce(t, c.ListenAddrs(), 200, 240)
	res, err := a.Run(t.Context(), opts)
	wantCode(t, err, recount.CodeLost) // what of the second one was not pulled
	if res.Events != 40 || res.Known != 0 {
		t.Errorf("run: %+v, want 40 events", res)
	}
	produce(t, c.ListenAddrs(), 240, 250)
	if res := mustRun(t, a, opts); res.Events != 10 {
		t.Errorf("the next run: %+v, want 10 events", res)
	}
	want := "0:[20, 9223372036854775807) 0@2:[0, 5) 0@2:[15, 9223372036854775807) 1:[20, 9223372036854775807) 1@2:[0, 5) 1@2:[15, 9223372036854775807)"
	var lost []string
	for _, g := range mustSnapshot(t, a).Gaps {
		lost = append(lost, g.String())
	}
	if slices.Sort(lost); strings.Join(lost, " ") != want {
		t.Errorf("lost: got %s, want %s", strings.Join(lost, " "), want)
	}
}
