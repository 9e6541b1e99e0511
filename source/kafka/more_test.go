package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"recount"
	broker "recount/internal/servertest/kafka"
	"recount/source"
)

func TestABrokerThatRestartsInTheMiddleLosesNothing(t *testing.T) {
	t.Parallel() // it waits for a broker of its own most of the time
	b := broker.New(t, broker.Options{})
	w := reach(t, b.Addr)
	topic := w.topic(t, 2)
	const each = 30_000
	send(t, w.client(t), append(rows(topic, 0, 0, each), rows(topic, 1, 0, each)...)...)
	s, cursor, got := w.open(t, nil, topic), source.Cursor{}, log{}
	batches := 0
	_, err := s.Read(t.Context(), cursor, func(one source.Batch) error {
		if batches++; batches == 2 {
			b.Kill9()
			if err := b.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		got.add(one)
		cursor[one.Partition] = one.Cursor
		return nil
	})
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	for _, p := range []string{"0", "1"} {
		covered(t, got[p])
		if last := got[p][len(got[p])-1]; !strings.HasSuffix(last, fmt.Sprint("-", each-1)) {
			t.Errorf("partition %s ends with %s", p, last)
		}
	}
	read(t, s, cursor).want(t, log{})

	// A log whose leader changed after a gap is still the same.
	tx := w.client(t, kgo.TransactionalID(t.Name()))
	w.transact(t, tx, kgo.TryAbort, row(topic, 0, 0), row(topic, 0, 1))
	read(t, s, cursor).want(t, log{"0": {fmt.Sprintf("control %d-%d", each, each+3)}})
	if err := b.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := b.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	send(t, w.client(t), row(topic, 0, 2))
	read(t, s, cursor).want(t, log{"0": {fmt.Sprintf("events %d-%d", each+3, each+3)}})
	t.Run("archived live", func(t *testing.T) { liveOverACrash(t, w, b) })
}

func TestPartitionsThatMoveAreFollowed(t *testing.T) {
	w, c := fake(t)
	topic := w.topic(t, 2)
	send(t, w.client(t), append(rows(topic, 0, 0, 20_000), rows(topic, 1, 0, 20_000)...)...)
	got, batches := log{}, 0
	if _, err := w.open(t, nil, topic).Read(t.Context(), nil, func(b source.Batch) error {
		if batches++; batches < 3 {
			for p := range int32(2) {
				if err := c.MoveTopicPartition(topic, p, 1-c.LeaderFor(topic, p)); err != nil {
					t.Fatal(err)
				}
			}
		}
		got.add(b)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	covered(t, got["0"])
	covered(t, got["1"])
}

func TestALogThatWasCutBackIsAnotherGeneration(t *testing.T) {
	w, c := fake(t)
	topic, cursor := w.topic(t, 1), source.Cursor{}
	s := w.open(t, nil, topic)
	send(t, w.client(t), rows(topic, 0, 0, 10)...)
	read(t, s, cursor).want(t, log{"0": {"events 0-9"}})
	// A leader that lags behind has cut the log at 6, as the new epoch's answer says.
	cut := true
	c.ControlKey(int16(kmsg.OffsetForLeaderEpoch), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if !cut {
			return nil, nil, false
		}
		answer := r.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)   //nolint:forcetypeassert // the key says so
		for _, rt := range r.(*kmsg.OffsetForLeaderEpochRequest).Topics { //nolint:forcetypeassert // the key says so
			one := kmsg.NewOffsetForLeaderEpochResponseTopic()
			one.Topic = rt.Topic
			for _, rp := range rt.Partitions {
				p := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
				p.Partition, p.LeaderEpoch, p.EndOffset = rp.Partition, rp.LeaderEpoch, 6
				one.Partitions = append(one.Partitions, p)
			}
			answer.Topics = append(answer.Topics, one)
		}
		return answer, nil, true
	})
	if err := c.MoveTopicPartition(topic, 0, 1-c.LeaderFor(topic, 0)); err != nil {
		t.Fatal(err)
	}
	read(t, s, cursor).want(t, log{"0": {"retention 10-9223372036854775807"}, "0@2": {"events 6-9"}})
	cut = false
	send(t, w.client(t), row(topic, 0, 10))
	read(t, s, cursor).want(t, log{"0@2": {"events 10-10"}})
}

// TestALogThatWasNotCutBackIsNoOther: leaders change while nothing but gaps is read.
func TestALogThatWasNotCutBackIsNoOther(t *testing.T) {
	w, c := fake(t)
	topic, cursor := w.topic(t, 1), source.Cursor{}
	s, tx := w.open(t, nil, topic), w.client(t, kgo.TransactionalID(t.Name()))
	move := func() {
		t.Helper()
		if err := c.MoveTopicPartition(topic, 0, 1-c.LeaderFor(topic, 0)); err != nil {
			t.Fatal(err)
		}
	}
	send(t, w.client(t), rows(topic, 0, 0, 3)...)
	read(t, s, cursor).want(t, log{"0": {"events 0-2"}})
	move()
	w.transact(t, tx, kgo.TryAbort, rows(topic, 0, 3, 7)...)
	read(t, s, cursor).want(t, log{"0": {"control 3-8"}})
	move()
	read(t, s, cursor).want(t, log{})
	send(t, w.client(t), rows(topic, 0, 8, 10)...)
	w.forget(t, topic, 0, 10)
	read(t, s, cursor).want(t, log{"0": {"retention 8-10"}})
	move()
	read(t, s, cursor).want(t, log{})
	send(t, w.client(t), row(topic, 0, 10))
	read(t, s, cursor).want(t, log{"0": {"events 10-10"}})
}

func TestACrashBetweenTwoGenerationsGoesOnWithTheSecond(t *testing.T) {
	w, _ := fake(t)
	topic, cursor := w.topic(t, 1), source.Cursor{}
	s := w.open(t, nil, topic)
	send(t, w.client(t), rows(topic, 0, 0, 3)...)
	read(t, s, cursor)
	if _, err := w.admin.DeleteTopic(t.Context(), topic); err != nil {
		t.Fatal(err)
	}
	w.make(t, topic, 1)
	send(t, w.client(t), rows(topic, 0, 0, 2)...)
	crash := errors.New("crash")
	if _, err := s.Read(t.Context(), cursor, func(b source.Batch) error {
		if len(b.Events) > 0 {
			return crash
		}
		cursor[b.Partition] = b.Cursor
		return nil
	}); !errors.Is(err, crash) {
		t.Fatalf("got %v", err)
	}
	read(t, s, cursor).want(t, log{"0@2": {"events 0-1"}})
}

func TestSpans(t *testing.T) {
	worlds(t, func(t *testing.T, w world) {
		topic := w.topic(t, 2)
		list := append(rows(topic, 0, 0, 20), rows(topic, 1, 0, 5)...)
		list[12].Timestamp = list[3].Timestamp // it came late
		send(t, w.client(t), list...)
		s, at := w.open(t, nil, topic), func(n int) time.Time { return row(topic, 0, n).Timestamp }
		span := func(span source.Span) log {
			t.Helper()
			got := log{}
			if _, err := s.ReadSpan(t.Context(), span, func(b source.Batch) error { got.add(b); return nil }); err != nil {
				t.Fatalf("read span: %v", err)
			}
			return got
		}
		span(source.Span{From: at(4), To: at(10)}).want(t, log{"0": {"events 4-9"}, "1": {"events 4-4"}})
		span(source.Span{From: at(4).Add(1), To: at(10).Add(-1)}).want(t, log{"0": {"events 5-9"}})
		span(source.Span{From: at(10), To: at(15)}).want(t, log{"0": {"events 10-14"}})
		span(source.Span{From: at(100), To: at(200)}).want(t, log{})
		span(source.Span{Positions: []recount.PositionWindow{
			{Partition: "0", From: position(2), To: position(4)}, {Partition: "0", From: position(18), To: position(40)}, {Partition: "1", From: position(0), To: position(1)},
		}}).want(t, log{"0": {"events 2-3", "events 18-19"}, "1": {"events 0-0"}})

		w.forget(t, topic, 0, 6)
		span(source.Span{From: at(2), To: at(8)}).want(t, log{"0": {"retention 0-6", "events 6-12"}, "1": {"events 2-4"}}) // up to the late one
		span(source.Span{From: at(9), To: at(11)}).want(t, log{"0": {"events 9-10"}})
		span(source.Span{Positions: []recount.PositionWindow{{Partition: "0", From: position(2), To: position(8)}}}).want(t, log{"0": {"retention 2-6", "events 6-7"}})
		span(source.Span{Positions: []recount.PositionWindow{{Partition: "0", From: position(2), To: position(4)}}}).want(t, log{"0": {"retention 2-4"}})
	})
}

// TestARecordFromTheFutureHidesNoneOfASpan has a producer whose clock is ahead.
func TestARecordFromTheFutureHidesNoneOfASpan(t *testing.T) {
	worlds(t, func(t *testing.T, w world) {
		topic := w.topic(t, 1)
		list := rows(topic, 0, 0, 2500)
		list[5].Timestamp = list[2400].Timestamp
		send(t, w.client(t), list...)
		s, at, got := w.open(t, nil, topic), func(n int) time.Time { return row(topic, 0, n).Timestamp }, log{}
		if _, err := s.ReadSpan(t.Context(), source.Span{From: at(3), To: at(1900)}, func(b source.Batch) error { got.add(b); return nil }); err != nil {
			t.Fatalf("read span: %v", err)
		}
		if text := fmt.Sprint(got); text != "map[0:[events 3-1899]]" {
			t.Errorf("got %s", text)
		}
	})
}

func TestWhereAConsumerGroupStands(t *testing.T) {
	worlds(t, func(t *testing.T, w world) {
		topic, cursor := w.topic(t, 3), source.Cursor{}
		s, cl := w.open(t, nil, topic), w.client(t)
		send(t, cl, append(rows(topic, 0, 0, 10), rows(topic, 1, 0, 4)...)...)
		read(t, s, cursor)
		group := "billing-" + topic
		if _, err := s.Processed(t.Context(), group, cursor); !errors.Is(err, recount.ErrNotFound) {
			t.Errorf("no such group: got %v, want ErrNotFound", err)
		}
		member := w.client(t, kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(), kgo.ClientID("worker"))
		n := 0
		for n < 14 {
			n += member.PollFetches(soon(t, 30*time.Second)).NumRecords()
		}
		if err := member.CommitUncommittedOffsets(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err := s.Processed(t.Context(), group, cursor)
		if !errors.Is(err, recount.ErrBusy) || !strings.Contains(err.Error(), "worker on ") {
			t.Errorf("a group at work: got %v, want ErrBusy and who is at work", err)
		}
		member.Close()
		var got map[string]string
		wait(t, "the group is empty", func() bool {
			got, err = s.Processed(t.Context(), group, cursor)
			return err == nil
		})
		if want := map[string]string{"0": position(10), "1": position(4)}; !maps.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}

		// A topic made anew: the group reads another log, and the old one is done.
		if _, err := w.admin.DeleteTopic(t.Context(), topic); err != nil {
			t.Fatal(err)
		}
		w.make(t, topic, 1)
		send(t, w.client(t), rows(topic, 0, 0, 3)...)
		read(t, s, cursor)
		offsets := kadmOffsets(topic, 0, 2)
		if _, err := w.admin.CommitOffsets(t.Context(), group, offsets); err != nil {
			t.Fatal(err)
		}
		got, err = s.Processed(t.Context(), group, cursor)
		if want := map[string]string{"0": position(10), "1": position(4), "0@2": position(2)}; err != nil || !maps.Equal(got, want) {
			t.Errorf("after the topic was made anew: got %v and %v, want %v", got, err, want)
		}
	})
}

func TestErrorsNameWhatToDo(t *testing.T) {
	w, c := fake(t)
	topic := w.topic(t, 1)
	code := func(err error) recount.Code { return recount.AsError(err).Code }
	if err := w.open(t, nil, "nowhere").Check(t.Context()); code(err) != recount.CodeNoTopic {
		t.Errorf("no such topic: got %v", err)
	}
	if _, err := w.open(t, nil, "nowhere").Read(t.Context(), nil, func(source.Batch) error { return nil }); code(err) != recount.CodeNoTopic {
		t.Errorf("no such topic: got %v", err)
	}
	if _, err := w.open(t, nil, topic).Read(t.Context(), source.Cursor{"x": "no cursor"}, func(source.Batch) error { return nil }); code(err) != recount.CodeMapping {
		t.Errorf("a cursor of another kind: got %v", err)
	}
	nowhere := world{addr: "127.0.0.1:1"}
	if err := nowhere.open(t, nil, topic).Check(t.Context()); code(err) != recount.CodeSourceDown || !errors.Is(err, recount.ErrUnreachable) {
		t.Errorf("no broker: got %v", err)
	}
	c.ControlKey(int16(kmsg.Fetch), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		answer := r.ResponseKind().(*kmsg.FetchResponse)   //nolint:forcetypeassert // the key says so
		for _, rt := range r.(*kmsg.FetchRequest).Topics { //nolint:forcetypeassert // the key says so
			one := kmsg.NewFetchResponseTopic()
			one.Topic, one.TopicID = rt.Topic, rt.TopicID
			p := kmsg.NewFetchResponseTopicPartition()
			p.ErrorCode = kerr.CorruptMessage.Code
			one.Partitions = append(one.Partitions, p)
			answer.Topics = append(answer.Topics, one)
		}
		return answer, nil, true
	})
	send(t, w.client(t), row(topic, 0, 0))
	if _, err := w.open(t, nil, topic).Read(t.Context(), nil, func(source.Batch) error { return nil }); code(err) != recount.CodeSourceData {
		t.Errorf("a damaged log: got %v", err)
	}
}

func TestNothingLeftUpToTheEndIsAGap(t *testing.T) {
	w, c := fake(t)
	topic, cursor := w.topic(t, 1, "cleanup.policy=compact"), source.Cursor{}
	send(t, w.client(t), rows(topic, 0, 0, 4)...)
	c.ControlKey(int16(kmsg.Fetch), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		answer := r.ResponseKind().(*kmsg.FetchResponse)   //nolint:forcetypeassert // the key says so
		for _, rt := range r.(*kmsg.FetchRequest).Topics { //nolint:forcetypeassert // the key says so
			one := kmsg.NewFetchResponseTopic()
			one.Topic, one.TopicID = rt.Topic, rt.TopicID
			p := kmsg.NewFetchResponseTopicPartition()
			p.HighWatermark, p.LastStableOffset = 4, 4
			one.Partitions = append(one.Partitions, p)
			answer.Topics = append(answer.Topics, one)
		}
		return answer, nil, true
	})
	read(t, w.open(t, nil, topic), cursor).want(t, log{"0": {"compacted 0-4"}})
}

func TestReadingEndsWithItsContext(t *testing.T) {
	w, _ := fake(t)
	topic := w.topic(t, 1)
	send(t, w.client(t), rows(topic, 0, 0, 10)...)
	s := w.open(t, nil, topic)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Read(ctx, nil, func(source.Batch) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if err := s.Wait(ctx, nil); err != nil {
		t.Errorf("wait: got %v, want no error", err)
	}
}

// TestMemoryIsUsedAgain gives each batch back once it was looked at, while others
// wait: none of those may change by it. Batches are of all sizes and codecs.
func TestMemoryIsUsedAgain(t *testing.T) {
	w, _ := fake(t)
	topic := w.topic(t, 3)
	codecs := []kgo.CompressionCodec{kgo.Lz4Compression(), kgo.ZstdCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.NoCompression()}
	const each = 3000
	for p := range 3 {
		for i, n := 0, 0; n < each; i++ {
			to := min(n+1+i*i*40%700, each)
			send(t, w.client(t, kgo.ProducerBatchCompression(codecs[i%len(codecs)])), rows(topic, p, n, to)...)
			n = to
		}
	}
	s := w.open(t, nil, topic)
	for range 3 {
		n, next := 0, map[string]int{}
		_, err := s.Read(t.Context(), nil, func(b source.Batch) error {
			for _, e := range b.Events {
				want := row(topic, 0, next[b.Partition])
				if string(e.Data) != string(want.Value) || string(e.Key) != string(want.Key) || e.ID != fmt.Sprint("e", next[b.Partition]) || e.Fields[0].Text != fmt.Sprint(next[b.Partition]) {
					t.Fatalf("event %d of partition %s: %s, id %s, fields %v", next[b.Partition], b.Partition, e.Data, e.ID, e.Fields)
				}
				next[b.Partition]++
				n++
			}
			for i := range b.Events { // what would be seen if it were used too early
				for _, c := range [][]byte{b.Events[i].Data, b.Events[i].Key} {
					clear(c)
				}
			}
			b.Release()
			return nil
		})
		if err != nil || n != 3*each {
			t.Fatalf("%d events, %v; want %d", n, err, 3*each)
		}
	}
}
