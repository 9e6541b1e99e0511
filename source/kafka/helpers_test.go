package kafka

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"recount"
	"recount/adapter"
	"recount/internal/clock"
	"recount/source"
)

var topics atomic.Int64

// world is a broker, real or fake, and what a test does to it.
type world struct {
	addr  string
	admin *kadm.Client
}

// fake returns a broker inside this process.
func fake(t testing.TB, options ...kfake.Opt) (world, *kfake.Cluster) {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(2)}, options...)...)
	if err != nil {
		t.Fatalf("start a fake broker: %v", err)
	}
	t.Cleanup(c.Close)
	return reach(t, strings.Join(c.ListenAddrs(), ",")), c
}

func reach(t testing.TB, addr string) world {
	t.Helper()
	w := world{addr: addr}
	w.admin = kadm.NewClient(w.client(t))
	return w
}

func (w world) client(t testing.TB, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(strings.Split(w.addr, ",")...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(72 << 20),
		kgo.MetadataMinAge(50 * time.Millisecond), kgo.ProducerLinger(0),
	}, options...)...)
	if err != nil {
		t.Fatalf("make a client: %v", err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// topic makes a topic of its own for the test.
func (w world) topic(t testing.TB, partitions int, configs ...string) string {
	t.Helper()
	name := fmt.Sprintf("orders%d", topics.Add(1))
	w.make(t, name, partitions, configs...)
	return name
}

// make makes a topic; configs are key=value.
func (w world) make(t testing.TB, name string, partitions int, configs ...string) {
	t.Helper()
	set := map[string]*string{}
	for _, c := range configs {
		k, v, _ := strings.Cut(c, "=")
		set[k] = &v
	}
	// A topic that was just deleted may still be on its way out.
	for range 100 {
		_, err := w.admin.CreateTopic(t.Context(), int32(partitions), 1, set, name)
		if err == nil {
			return
		}
		if !strings.Contains(err.Error(), "EXISTS") {
			t.Fatalf("make topic %s: %v", name, err)
		}
		pass(t, 50*time.Millisecond)
	}
	t.Fatalf("topic %s stays there", name)
}

// row is a record whose payload the tests read.
func row(topic string, partition int, n int) *kgo.Record {
	at := time.Date(2024, 6, 10, 12, 0, 0, 0, time.UTC).Add(time.Duration(n) * time.Second)
	value, err := json.Marshal(map[string]any{"id": fmt.Sprint("e", n), "at": at.Format(time.RFC3339), "n": n})
	if err != nil {
		panic(err)
	}
	return &kgo.Record{Topic: topic, Partition: int32(partition), Key: fmt.Appendf(nil, "k%d", n%5), Value: value, Timestamp: at}
}

func rows(topic string, partition, from, to int) []*kgo.Record {
	var list []*kgo.Record
	for n := from; n < to; n++ {
		list = append(list, row(topic, partition, n))
	}
	return list
}

func send(t testing.TB, cl *kgo.Client, records ...*kgo.Record) {
	t.Helper()
	if err := cl.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatalf("produce: %v", err)
	}
}

// transact produces inside a transaction and ends it.
func (w world) transact(t testing.TB, cl *kgo.Client, end kgo.TransactionEndTry, records ...*kgo.Record) {
	t.Helper()
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	send(t, cl, records...)
	if err := cl.EndTransaction(t.Context(), end); err != nil {
		t.Fatalf("end transaction: %v", err)
	}
	w.settle(t, records[0].Topic, records[len(records)-1].Offset+2)
}

// settle waits until a transaction's marker stands in the log, which comes after
// the answer: the stable end is at least at an offset.
func (w world) settle(t testing.TB, topic string, end int64) {
	t.Helper()
	wait(t, "the transaction ends", func() bool {
		ends, err := w.admin.ListCommittedOffsets(t.Context(), topic)
		o, _ := ends.Lookup(topic, 0)
		return err == nil && o.Err == nil && o.Offset >= end
	})
}

func mapping() recount.Mapping {
	return recount.Mapping{ID: "id", Time: "at", Zone: time.UTC, Fields: []recount.Field{{Name: "n", Type: recount.Type{Kind: recount.KindInt64}}}}
}

func (w world) open(t testing.TB, change func(*Config, *adapter.Env), topics ...string) *Source {
	t.Helper()
	c := Config{Brokers: strings.Split(w.addr, ","), Topics: topics}
	env := adapter.Env{Stream: "orders", Mapping: mapping(), Now: now}
	if change != nil {
		change(&c, &env)
	}
	s, err := Open(t.Context(), env, c)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s.(*Source) //nolint:forcetypeassert // Open returns nothing else
}

// log is what was read of a stream, by partition: events and gaps as texts, in the
// order of their positions.
type log map[string][]string

// read reads on from cursor, moves it, and checks that no offset is passed without
// a word.
func read(t testing.TB, s *Source, cursor source.Cursor) log {
	t.Helper()
	got, _ := readEnd(t, s, cursor)
	return got
}

func readEnd(t testing.TB, s *Source, cursor source.Cursor) (log, source.End) {
	t.Helper()
	got := log{}
	end, err := s.Read(t.Context(), cursor, func(b source.Batch) error {
		cursor[b.Partition] = b.Cursor
		got.add(b)
		return nil
	})
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	return got, end
}

// add puts runs of events together: e 0-4 means five.
func (l log) add(b source.Batch) {
	events, gaps := b.Events, b.Gaps
	for len(events) > 0 || len(gaps) > 0 {
		if len(gaps) > 0 && (len(events) == 0 || gaps[0].From < events[0].Position) {
			g := gaps[0]
			runs := l[b.Partition]
			if n := len(runs); n > 0 { // one gap can be told in two batches
				if from, joins := strings.CutSuffix(runs[n-1], "-"+recount.ShortPosition(g.From)); joins && strings.HasPrefix(from, string(g.Reason)+" ") {
					runs[n-1] = from + "-" + recount.ShortPosition(g.To)
					gaps = gaps[1:]
					continue
				}
			}
			l[b.Partition] = append(runs, fmt.Sprintf("%s %s-%s", g.Reason, recount.ShortPosition(g.From), recount.ShortPosition(g.To)))
			gaps = gaps[1:]
			continue
		}
		n := 1
		for n < len(events) && (len(gaps) == 0 || events[n].Position < gaps[0].From) {
			n++
		}
		l[b.Partition] = append(l[b.Partition], fmt.Sprintf("events %s-%s", recount.ShortPosition(events[0].Position), recount.ShortPosition(events[n-1].Position)))
		events = events[n:]
	}
}

func (l log) want(t testing.TB, want log) {
	t.Helper()
	if fmt.Sprint(l) != fmt.Sprint(want) {
		t.Errorf("read:\n got  %v\n want %v", l, want)
	}
}

func wait(t testing.TB, what string, done func() bool) {
	t.Helper()
	for end := now().Add(30 * time.Second); !done(); {
		if now().After(end) {
			t.Fatalf("%s: it did not happen within 30 s", what)
		}
		pass(t, 20*time.Millisecond)
	}
}

func soon(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func replaceOnce(text, old, with string) string { return strings.Replace(text, old, with, 1) }

func kadmOffsets(topic string, partition int32, at int64) kadm.Offsets {
	offsets := kadm.Offsets{}
	offsets.AddOffset(topic, partition, at, -1)
	return offsets
}

func now() time.Time { return clock.System{}.Now() }

// pass lets some time go by.
func pass(t testing.TB, d time.Duration) {
	t.Helper()
	_ = rest(t.Context(), d)
}
