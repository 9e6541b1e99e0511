package kafka

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"recount"
	"recount/adapter"
	broker "recount/internal/servertest/kafka"
	"recount/source"
)

// worlds runs a test on a broker in this process and on a real one.
func worlds(t *testing.T, test func(t *testing.T, w world)) {
	t.Helper()
	t.Run("fake", func(t *testing.T) {
		w, _ := fake(t)
		test(t, w)
	})
	t.Run("real", func(t *testing.T) { test(t, reach(t, broker.Start(t).Addr)) })
}

func TestTransactions(t *testing.T) {
	worlds(t, func(t *testing.T, w world) {
		topic, cursor := w.topic(t, 1), source.Cursor{}
		plain, tx := w.client(t), w.client(t, kgo.TransactionalID(t.Name()))
		s := w.open(t, nil, topic)
		send(t, plain, rows(topic, 0, 0, 3)...)
		w.transact(t, tx, kgo.TryCommit, rows(topic, 0, 3, 6)...)
		w.transact(t, tx, kgo.TryAbort, rows(topic, 0, 6, 10)...)
		send(t, plain, rows(topic, 0, 10, 12)...)
		read(t, s, cursor).want(t, log{"0": {"events 0-5", "control 6-12", "events 12-13"}})

		// An open transaction holds back what comes after it, and the watermark.
		if err := tx.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		opened := row(topic, 0, 12)
		opened.Timestamp = now().Add(-time.Hour).Truncate(time.Millisecond)
		send(t, tx, opened)
		send(t, plain, row(topic, 0, 13))
		got, end := readEnd(t, s, cursor)
		got.want(t, log{})
		if !end.Watermark.Equal(opened.Timestamp) {
			t.Errorf("watermark: got %v, want %v, when the open transaction began", end.Watermark, opened.Timestamp)
		}
		// Nor is a span whole into which it reaches.
		none := func(source.Batch) error { return nil }
		span := source.Span{From: opened.Timestamp.Add(-time.Hour), To: opened.Timestamp.Add(time.Millisecond)}
		var told *recount.Error
		if _, err := s.ReadSpan(t.Context(), span, none); !errors.As(err, &told) || told.Code != recount.CodeIncomplete {
			t.Errorf("a span into an open transaction: got %v, want %s", err, recount.CodeIncomplete)
		}
		span.To = opened.Timestamp
		if _, err := s.ReadSpan(t.Context(), span, none); err != nil {
			t.Errorf("a span before it: %v", err)
		}
		if err := tx.EndTransaction(t.Context(), kgo.TryAbort); err != nil {
			t.Fatal(err)
		}
		w.settle(t, topic, 17)
		before := now()
		got, end = readEnd(t, s, cursor)
		got.want(t, log{"0": {"control 14-15", "events 15-15", "control 16-17"}})
		if end.Watermark.Before(before) {
			t.Errorf("watermark: got %v, want one after %v", end.Watermark, before)
		}
		read(t, s, cursor).want(t, log{})
	})
}

func TestATransactionAloneMovesTheCursor(t *testing.T) {
	worlds(t, func(t *testing.T, w world) {
		topic, cursor := w.topic(t, 1), source.Cursor{}
		tx := w.client(t, kgo.TransactionalID(t.Name()))
		s := w.open(t, nil, topic)
		w.transact(t, tx, kgo.TryAbort, rows(topic, 0, 0, 4)...)
		read(t, s, cursor).want(t, log{"0": {"control 0-5"}})
		read(t, s, cursor).want(t, log{})
	})
}

func TestRetentionThatOvertookTheCursorIsAGap(t *testing.T) {
	worlds(t, func(t *testing.T, w world) {
		topic, cursor := w.topic(t, 2), source.Cursor{}
		cl := w.client(t)
		s := w.open(t, nil, topic)
		send(t, cl, append(rows(topic, 0, 0, 10), rows(topic, 1, 0, 10)...)...)
		w.forget(t, topic, 0, 4)
		w.forget(t, topic, 1, 10)
		// What was gone before the archive began is no loss of its own, but a gap.
		if lost, err := s.Overtaken(t.Context(), cursor); err != nil || len(lost) != 0 {
			t.Errorf("overtaken before the first run: got %v and %v, want nothing", lost, err)
		}
		read(t, s, cursor).want(t, log{"0": {"retention 0-4", "events 4-9"}, "1": {"retention 0-10"}})
		send(t, cl, append(rows(topic, 0, 10, 20), rows(topic, 1, 10, 20)...)...)
		w.forget(t, topic, 0, 15)
		w.forget(t, topic, 1, 20)
		lost, err := s.Overtaken(t.Context(), cursor)
		if err != nil || fmt.Sprint(lost) != "[0:[10, 15) 1:[10, 20)]" {
			t.Errorf("overtaken: got %v and %v, want what was deleted", lost, err)
		}
		read(t, s, cursor).want(t, log{"0": {"retention 10-15", "events 15-19"}, "1": {"retention 10-20"}})
		read(t, s, cursor).want(t, log{})
		send(t, cl, row(topic, 1, 20))
		read(t, s, cursor).want(t, log{"1": {"events 20-20"}})
	})
}

// forget deletes the records before an offset, as retention would.
func (w world) forget(t *testing.T, topic string, partition int32, before int64) {
	t.Helper()
	offsets := kadm.Offsets{}
	offsets.AddOffset(topic, partition, before, -1)
	done, err := w.admin.DeleteRecords(t.Context(), offsets)
	if err == nil {
		err = done.Error()
	}
	if err != nil {
		t.Fatalf("delete records: %v", err)
	}
}

func TestATopicMadeAnewIsAnotherGeneration(t *testing.T) {
	worlds(t, func(t *testing.T, w world) {
		topic, cursor := w.topic(t, 3), source.Cursor{}
		s := w.open(t, nil, topic)
		send(t, w.client(t), append(rows(topic, 0, 0, 10), rows(topic, 1, 0, 2)...)...)
		read(t, s, cursor).want(t, log{"0": {"events 0-9"}, "1": {"events 0-1"}})
		for generation := 2; generation <= 3; generation++ {
			if _, err := w.admin.DeleteTopic(t.Context(), topic); err != nil {
				t.Fatal(err)
			}
			w.make(t, topic, 1)
			send(t, w.client(t), rows(topic, 0, 50, 54)...)
			want := log{"0": {"retention 10-9223372036854775807"}, "1": {"retention 2-9223372036854775807"}, "0@2": {"events 0-3"}}
			if generation == 3 {
				want = log{"0@2": {"retention 4-9223372036854775807"}, "0@3": {"events 0-3"}}
			}
			read(t, s, cursor).want(t, want)
			read(t, s, cursor).want(t, log{})
		}
		send(t, w.client(t), row(topic, 0, 60))
		read(t, w.open(t, nil, topic), cursor).want(t, log{"0@3": {"events 4-4"}})
	})
}

func TestAPartitionThatWasAddedIsReadFromItsBeginning(t *testing.T) {
	worlds(t, func(t *testing.T, w world) {
		topic, cursor := w.topic(t, 1), source.Cursor{}
		s := w.open(t, nil, topic)
		send(t, w.client(t), rows(topic, 0, 0, 3)...)
		read(t, s, cursor).want(t, log{"0": {"events 0-2"}})
		if _, err := w.admin.CreatePartitions(t.Context(), 1, topic); err != nil {
			t.Fatal(err)
		}
		send(t, w.client(t), append(rows(topic, 1, 0, 3), row(topic, 0, 3))...)
		read(t, s, cursor).want(t, log{"0": {"events 3-3"}, "1": {"events 0-2"}})
	})
}

func TestPartitionsOfSeveralTopicsNeverMix(t *testing.T) {
	w, _ := fake(t)
	a, b, c := w.topic(t, 2), w.topic(t, 1), w.topic(t, 1)
	for _, topic := range []string{a, b, c} {
		send(t, w.client(t), row(topic, 0, 0))
	}
	cursor := source.Cursor{}
	read(t, w.open(t, nil, a), cursor).want(t, log{"0": {"events 0-0"}})
	// A partition keeps its name when topics come and go.
	send(t, w.client(t), row(a, 0, 1), row(a, 1, 0))
	read(t, w.open(t, nil, a, b), cursor).want(t, log{"0": {"events 1-1"}, a + "-1": {"events 0-0"}, b + "-0": {"events 0-0"}})
	read(t, w.open(t, nil, c), cursor).want(t, log{c + "-0": {"events 0-0"}})
}

func TestOwnReplaysAreGaps(t *testing.T) {
	w, _ := fake(t)
	topic := w.topic(t, 1)
	list := rows(topic, 0, 0, 6)
	for _, r := range list[2:4] {
		r.Headers = []kgo.RecordHeader{{Key: source.HeaderReplay, Value: []byte("4b2e")}}
	}
	send(t, w.client(t), list...)
	read(t, w.open(t, nil, topic), source.Cursor{}).want(t, log{"0": {"events 0-1", "replay 2-4", "events 4-5"}})
}

func TestCompactionLeavesGaps(t *testing.T) {
	test := func(t *testing.T, w world, compact func()) {
		t.Helper()
		topic := w.topic(t, 1, "cleanup.policy=compact", "segment.ms=200", "min.cleanable.dirty.ratio=0.01", "max.compaction.lag.ms=200", "delete.retention.ms=0")
		cl := w.client(t)
		first := rows(topic, 0, 0, 4) // the keys k0 to k3
		for _, r := range first {
			r.Timestamp = now()
		}
		send(t, cl, first...)
		seen := 0
		wait(t, "old records are compacted", func() bool {
			again := rows(topic, 0, 0, 2) // newer ones of k0 and k1
			for _, r := range again {
				r.Timestamp = now()
			}
			send(t, cl, again...)
			compact()
			seen = 0
			_, err := w.open(t, nil, topic).Read(t.Context(), nil, func(b source.Batch) error {
				for _, g := range b.Gaps {
					if g.Reason != recount.GapCompacted {
						t.Fatalf("got gap %s of %s", g, g.Reason)
					}
					seen++
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			pass(t, 100*time.Millisecond)
			return seen > 0
		})
		l := log{}
		if _, err := w.open(t, nil, topic).Read(t.Context(), nil, func(b source.Batch) error { l.add(b); return nil }); err != nil {
			t.Fatal(err)
		}
		covered(t, l["0"])
	}
	t.Run("fake", func(t *testing.T) {
		w, c := fake(t)
		test(t, w, c.Compact)
	})
	t.Run("real", func(t *testing.T) { test(t, reach(t, broker.Start(t).Addr), func() {}) })
}

// covered checks that runs of events and gaps follow each other without a hole.
func covered(t *testing.T, runs []string) {
	t.Helper()
	next := int64(0)
	for _, run := range runs {
		var what string
		var from, to int64
		if _, err := fmt.Sscanf(run, "%s %d-%d", &what, &from, &to); err != nil {
			t.Fatal(err)
		}
		if what == "events" {
			to++
		}
		if from != next {
			t.Errorf("offsets from %d to %d are passed without a word: %v", next, from, runs)
		}
		next = to
	}
}

func TestRecordsKeepAllTheyHave(t *testing.T) {
	worlds(t, func(t *testing.T, w world) {
		topic := w.topic(t, 1, "max.message.bytes=73400320")
		large := bytes.Repeat([]byte("recount "), 8<<20)
		copy(large, `{"id":"big","at":"2024-06-10T12:00:00Z","n":1,"x":"`)
		copy(large[len(large)-2:], `"}`)
		list := []*kgo.Record{
			{Value: nil, Key: []byte("gone"), Headers: []kgo.RecordHeader{{Key: "a", Value: []byte("1")}, {Key: "b"}, {Key: "a", Value: []byte{}}, {Key: "", Value: []byte{0xff, 0}}}},
			{Value: []byte{}, Key: []byte{}},
			{Value: []byte("{\"id\":\"\xff\"}")},
			{Value: large},
		}
		for _, r := range list {
			r.Topic = topic
			if r.Timestamp.IsZero() {
				r.Timestamp = time.Date(2024, 6, 10, 12, 0, 0, 0, time.UTC)
			}
		}
		cl := w.client(t)
		for _, r := range list {
			send(t, cl, r)
		}
		var got []recount.Event
		s := w.open(t, func(_ *Config, e *adapter.Env) { e.Mapping.IngestTime = "record:timestamp" }, topic)
		if _, err := s.Read(t.Context(), nil, func(b source.Batch) error {
			got = append(got, b.Events...)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if len(got) != len(list) {
			t.Fatalf("got %d events, want %d", len(got), len(list))
		}
		for i, e := range got {
			r := list[i]
			if !bytes.Equal(e.Data, r.Value) || (e.Data == nil) != (r.Value == nil) || !bytes.Equal(e.Key, r.Key) || (e.Key == nil) != (r.Key == nil) {
				t.Errorf("record %d: got key %q and %d bytes, want %q and %d bytes", i, e.Key, len(e.Data), r.Key, len(r.Value))
			}
			if !e.IngestTime.Equal(r.Timestamp) {
				t.Errorf("record %d: got time %v, want %v", i, e.IngestTime, r.Timestamp)
			}
		}
		headers := fmt.Sprintf("%q", got[0].Headers)
		if want := `[{"a" "1"} {"b" ""} {"a" ""} {"" "\xff\x00"}]`; headers != want || got[0].Headers[1].Value != nil || got[0].Headers[2].Value == nil {
			t.Errorf("headers: got %s, want %s, and only the second without a value", headers, want)
		}
		if got[2].Fault == "" || got[0].Fault != "" || got[3].ID != "big" {
			t.Errorf("faults: got %q, %q, id %q", got[0].Fault, got[2].Fault, got[3].ID)
		}
	})
}

func TestTimesOfAllYears(t *testing.T) {
	worlds(t, func(t *testing.T, w world) {
		topic := w.topic(t, 1, "message.timestamp.after.max.ms=9223372036854775807")
		want := []time.Time{
			time.Date(1969, 12, 31, 23, 59, 59, 0, time.UTC), time.UnixMilli(-1), time.UnixMilli(0), time.Date(2024, 2, 29, 12, 0, 0, 1e6, time.UTC),
			time.Date(2262, 4, 12, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC),
		}
		var stored []time.Time
		for _, at := range want {
			if w.raw(t, topic, at, []byte(`{"id":"a"}`)) {
				stored = append(stored, at)
			}
		}
		if len(stored) < 4 {
			t.Fatalf("the broker took %d times, want those after 1970 at least", len(stored))
		}
		s := w.open(t, func(_ *Config, e *adapter.Env) { e.Mapping.Time, e.Mapping.Fields = "record:timestamp", nil }, topic)
		var got []time.Time
		if _, err := s.Read(t.Context(), nil, func(b source.Batch) error {
			for _, e := range b.Events {
				got = append(got, e.Time)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if !slices.EqualFunc(got, stored, time.Time.Equal) {
			t.Errorf("times: got %v, want %v", got, stored)
		}
	})
}

// raw writes one record as a producer would whose clock knows all years: the
// client's ends in 2262. It says whether the broker took it.
func (w world) raw(t *testing.T, topic string, at time.Time, value []byte) bool {
	t.Helper()
	body := []byte{0, 0, 0, 1} // attributes, time and offset after the batch's, a key of length -1
	body = append(binary.AppendVarint(body, int64(len(value))), value...)
	body = append(body, 0) // headers
	records := append(binary.AppendVarint(nil, int64(len(body))), body...)
	batch := kmsg.RecordBatch{
		Length: int32(49 + len(records)), PartitionLeaderEpoch: -1, Magic: 2, FirstTimestamp: at.UnixMilli(), MaxTimestamp: at.UnixMilli(),
		ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, NumRecords: 1, Records: records,
	}
	batch.CRC = int32(crc32.Checksum(batch.AppendTo(nil)[21:], crc32.MakeTable(crc32.Castagnoli)))
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = -1, 5000
	part := kmsg.NewProduceRequestTopicPartition()
	part.Records = batch.AppendTo(nil)
	one := kmsg.NewProduceRequestTopic()
	one.Topic, one.Partitions = topic, []kmsg.ProduceRequestTopicPartition{part}
	m, err := w.admin.Metadata(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	one.TopicID = m.Topics[topic].ID
	req.Topics = []kmsg.ProduceRequestTopic{one}
	answer, err := w.client(t).Broker(int(m.Topics[topic].Partitions[0].Leader)).RetriableRequest(t.Context(), req)
	if err != nil {
		t.Fatalf("produce: %v", err)
	}
	code := answer.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode //nolint:forcetypeassert // the answer to a produce
	if err := kerr.ErrorForCode(code); err != nil {
		t.Logf("%v is refused: %v", at, err)
		return false
	}
	return true
}

func TestTheBrokersTimeIsTheIngestTime(t *testing.T) {
	t.Run("real", func(t *testing.T) {
		w := reach(t, broker.Start(t).Addr)
		topic := w.topic(t, 1, "message.timestamp.type=LogAppendTime")
		before := now().Add(-time.Second)
		send(t, w.client(t), row(topic, 0, 0))
		if _, err := w.open(t, nil, topic).Read(t.Context(), nil, func(b source.Batch) error {
			if e := b.Events[0]; e.IngestTime.Before(before) || e.Time.Year() != 2024 {
				t.Errorf("got ingest time %v and time %v, want the broker's and the payload's", e.IngestTime, e.Time)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	})
}

func TestWaitReturnsWithinASecond(t *testing.T) {
	worlds(t, func(t *testing.T, w world) {
		topic, cursor := w.topic(t, 1), source.Cursor{}
		s, cl := w.open(t, nil, topic), w.client(t)
		send(t, cl, row(topic, 0, 0))
		read(t, s, cursor)
		if err := s.Wait(soon(t, 1200*time.Millisecond), cursor); err != nil {
			t.Errorf("nothing new: got %v, want no error when the time is over", err)
		}
		sent := make(chan time.Time, 1)
		go func() {
			pass(t, 300*time.Millisecond)
			cl.ProduceSync(context.Background(), row(topic, 0, 1))
			sent <- now()
		}()
		if err := s.Wait(t.Context(), cursor); err != nil {
			t.Fatal(err)
		}
		if late := now().Sub(<-sent); late > time.Second {
			t.Errorf("got news after %v, want a second at most", late)
		}
		read(t, s, cursor).want(t, log{"0": {"events 1-1"}})
	})
}
