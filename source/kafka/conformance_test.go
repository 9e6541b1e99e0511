package kafka

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"

	"recount"
	"recount/adapter"
	broker "recount/internal/servertest/kafka"
	"recount/source"
	"recount/source/sourcetest"
)

func TestConformance(t *testing.T) {
	w, _ := fake(t)
	sourcetest.Run(t, harness(w))
}

func TestConformanceRealBroker(t *testing.T) {
	sourcetest.Run(t, harness(reach(t, broker.Start(t).Addr)))
}

func harness(w world) sourcetest.Harness {
	return sourcetest.Harness{Make: func(t *testing.T, m recount.Mapping, partitions [][]sourcetest.Row) sourcetest.Stream {
		t.Helper()
		topic, cl := w.topic(t, len(partitions)), w.client(t)
		m.Key = "" // the record's
		made := sourcetest.Stream{Source: w.open(t, func(_ *Config, e *adapter.Env) { e.Mapping = m }, topic)}
		for p, list := range partitions {
			records := recordsOf(t, topic, p, list)
			send(t, cl, records...)
			var payloads [][]byte
			for _, r := range records {
				payloads = append(payloads, r.Value)
			}
			made.Payloads = append(made.Payloads, payloads)
		}
		made.Grow = func(t *testing.T, p int, list []sourcetest.Row) {
			t.Helper()
			send(t, cl, recordsOf(t, topic, p, list)...)
		}
		made.Skip = func(t *testing.T, p int) recount.GapReason {
			t.Helper()
			own := row(topic, p, 0)
			own.Headers = []kgo.RecordHeader{{Key: source.HeaderReplay, Value: []byte("r1")}}
			send(t, cl, own)
			return recount.GapReplay
		}
		made.Stored = func(p int) []time.Time {
			var times []time.Time
			for _, r := range partitions[p] {
				at, _ := time.Parse(time.RFC3339Nano, r.Time)
				times = append(times, at)
			}
			return times
		}
		made.Destination = func(t *testing.T) (string, source.Source) {
			t.Helper()
			name := w.topic(t, len(partitions))
			return name, w.open(t, func(_ *Config, e *adapter.Env) { e.Mapping = m }, name)
		}
		made.Consume = w.consume
		return made
	}}
}

// consume reads as a member of a group, commits what it read, and leaves.
func (w world) consume(t *testing.T, topic, group string, n int) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(w.addr, ",")...), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for n > 0 {
		fetched := cl.PollRecords(t.Context(), n)
		if err := fetched.Err(); err != nil {
			t.Fatal(err)
		}
		n -= fetched.NumRecords()
		if err := cl.CommitRecords(t.Context(), fetched.Records()...); err != nil {
			t.Fatal(err)
		}
	}
	if err := cl.LeaveGroupContext(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func recordsOf(t *testing.T, topic string, partition int, rows []sourcetest.Row) []*kgo.Record {
	t.Helper()
	var list []*kgo.Record
	for _, r := range rows {
		at, err := time.Parse(time.RFC3339Nano, r.Time)
		if err != nil {
			at = time.UnixMilli(0)
		}
		list = append(list, &kgo.Record{Topic: topic, Partition: int32(partition), Key: []byte(r.User), Value: value(t, r), Timestamp: at})
	}
	return list
}

// value writes a row as JSON. A note that is no UTF-8 goes in byte by byte, as a
// careless producer would write it.
func value(t *testing.T, r sourcetest.Row) []byte {
	t.Helper()
	note, broken := r.Note, !utf8.ValidString(r.Note)
	if broken {
		note = "NOTE"
	}
	b, err := json.Marshal(map[string]string{"id": r.ID, "time": r.Time, "user": r.User, "value": r.Value, "note": note})
	if err != nil {
		t.Fatal(err)
	}
	if broken {
		b = []byte(replaceOnce(string(b), note, r.Note))
	}
	return b
}
