package badinput

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"recount"
	"recount/internal/archive/eventfile"
)

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestLargeMessages sends one of 64 MiB, one that is larger, and small ones around
// them.
func TestLargeMessages(t *testing.T) {
	t.Parallel()
	brokers(t, func(t *testing.T, b *broker) {
		b.topic("orders", 2, "max.message.bytes=104857600")
		p := newProject(t, b, "orders", settings{})
		for n, size := range []int{100, 64 << 20, 80 << 20, 100} {
			r := order("orders", 2*n)
			r.Value = append([]byte(fmt.Sprintf(`{"id":"e%d","at":"2024-06-10T12:00:00Z","n":%d,"x":"`, n, n)), bytes.Repeat([]byte("recount "), size/8)...)
			r.Value = append(r.Value[:size-2], `"}`...)
			b.send(p, "", r)
		}
		p.ok("archive", "run", "--once", "--memory", "16MiB")
		p.whole()
		if o := p.ok("archive", "cat", "0@1"); len(o.stdout) != 64<<20 {
			t.Errorf("cat: got %d bytes", len(o.stdout))
		}
	})
}

func TestTextThatIsNotUTF8(t *testing.T) {
	t.Parallel()
	brokers(t, func(t *testing.T, b *broker) {
		b.topic("orders", 2)
		p := newProject(t, b, "orders", settings{})
		payload, key, head, name := order("orders", 0), order("orders", 2), order("orders", 4), order("orders", 6)
		payload.Value = []byte("{\"id\":\"\xff\xfe\",\"at\":\"2024-06-10T12:00:00Z\",\"n\":1}")
		key.Key = []byte{0xff, 0xfe, 0}
		head.Headers = []kgo.RecordHeader{{Key: "trace", Value: []byte{0xff, 0, 0xfe}}}
		name.Headers = []kgo.RecordHeader{{Key: "tra\xffce", Value: []byte("x")}}
		b.send(p, "", order("orders", 1), payload, key, head, name, order("orders", 8))
		o := p.run("archive", "run", "--once")
		parts := o.fails(t, recount.CodeQuarantine, "quarantine: {max:")
		if !strings.Contains(parts["why"], "UTF-8") || p.commits() != 0 || parts["changed"] != "nothing" {
			t.Errorf("got %v and %d commits", parts, p.commits())
		}
		p.configure(b, "orders", settings{quarantine: 2})
		p.ok("archive", "run", "--once")
		if p.events() != len(p.sent) {
			t.Errorf("%d of %d events", p.events(), len(p.sent))
		}
	})
}

// TestTimesOfAllYears sends orders whose own time, and whose record's, lie where
// no clock should be.
func TestTimesOfAllYears(t *testing.T) {
	t.Parallel()
	brokers(t, func(t *testing.T, b *broker) {
		b.topic("orders", 1, "message.timestamp.after.max.ms=9223372036854775807")
		p := newProject(t, b, "orders", settings{})
		good := []string{`"1969-12-31T23:59:59Z"`, `"9999-12-31T23:59:59.999999Z"`, `"0001-01-01T00:00:01Z"`, `"1969-07-20T20:17:40+02:00"`}
		bad := []string{`"0000-01-01T00:00:00Z"`, `"10000-01-01T00:00:00Z"`, `1718020800000`, `"yesterday"`, `null`, `"9999-12-31T23:59:59-01:00"`}
		for n, at := range append(good, bad...) {
			r := order("orders", 2*n)
			r.Value = fmt.Appendf(nil, `{"id":"e%d","at":%s,"n":%d}`, n, at, n)
			b.send(p, "", r)
		}
		p.run("archive", "run", "--once").fails(t, recount.CodeQuarantine, "quarantine:")
		p.configure(b, "orders", settings{quarantine: len(bad)})
		p.ok("archive", "run", "--once")
		p.whole()
		o := p.ok("archive", "ls")
		for _, year := range []string{"1969", "9999", "0001", "time not readable"} {
			if !strings.Contains(o.stdout, year) {
				t.Errorf("ls does not show %s: %s", year, o.stdout)
			}
		}
	})
}

// TestSecondsThatAreMilliseconds has numbers of another unit than the mapping says.
func TestSecondsThatAreMilliseconds(t *testing.T) {
	t.Parallel()
	b := fakeBroker(t)
	b.topic("orders", 1)
	p := newProject(t, b, "orders", settings{event: "id: id, time: {path: at, unit: s}"})
	for n, at := range []string{"1718020800", "1718020800000", "-1", "-86400000", "1e300", "253402300799"} {
		r := order("orders", 2*n)
		r.Value = fmt.Appendf(nil, `{"id":"e%d","at":%s,"n":%d}`, n, at, n)
		b.send(p, "", r)
	}
	p.run("archive", "run", "--once").fails(t, recount.CodeQuarantine, "quarantine:")
	p.configure(b, "orders", settings{event: "id: id, time: {path: at, unit: s}", quarantine: 2})
	p.ok("archive", "run", "--once")
	p.whole()
}

func TestTimesOfRecords(t *testing.T) {
	t.Parallel()
	brokers(t, func(t *testing.T, b *broker) {
		b.topic("orders", 1, "message.timestamp.after.max.ms=9223372036854775807")
		p := newProject(t, b, "orders", settings{event: `id: id, time: "record:timestamp"`, quarantine: 10})
		sent := 0
		for n, at := range []time.Time{
			time.Date(1969, 12, 31, 23, 59, 59, 0, time.UTC), time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC), time.UnixMilli(0), time.UnixMilli(-1),
			time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), time.UnixMilli(1718020800), time.UnixMilli(1718020800_000_000),
		} {
			if b.raw("orders", at, fmt.Appendf(nil, `{"id":"e%d","n":%d}`, n, n)) {
				sent++
			}
		}
		p.ok("archive", "run", "--once")
		if p.events() != sent {
			t.Errorf("got %d events of %d", p.events(), sent)
		}
		for _, f := range p.snapshot().Files {
			p.each(f.Name, func(e eventfile.Stored) { t.Logf("%s %v %v", e.Position, e.TimeKnown, e.Time) })
		}
		p.ok("archive", "verify")
		p.ok("archive", "ls")
	})
}

// raw writes one record as a producer would whose clock knows all years: the
// client's ends in 2262. It says whether the broker took it.
func (b *broker) raw(topic string, at time.Time, value []byte) bool {
	b.t.Helper()
	cl := b.client()
	defer cl.Close()
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
	m, err := kadm.NewClient(cl).Metadata(b.t.Context(), topic)
	if err != nil {
		b.t.Fatal(err)
	}
	one.TopicID = m.Topics[topic].ID
	req.Topics = []kmsg.ProduceRequestTopic{one}
	answer, err := cl.Broker(int(m.Topics[topic].Partitions[0].Leader)).RetriableRequest(b.t.Context(), req)
	if err != nil {
		b.t.Fatalf("produce: %v", err)
	}
	code := answer.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode //nolint:forcetypeassert // the answer to a produce
	return kerr.ErrorForCode(code) == nil
}

// TestAClockThatJumps sets the clock a day ahead and back while a live run is at
// work: nothing claims to be complete that is not.
func TestAClockThatJumps(t *testing.T) {
	t.Parallel()
	brokers(t, func(t *testing.T, b *broker) {
		b.topic("orders", 2)
		p := newProject(t, b, "orders", settings{})
		b.orders(p, "orders", 0, 10)
		live := p.start("archive", "run")
		wait(t, "some is archived", func() bool { return p.events() == 10 })
		n := 10
		for _, ahead := range []time.Duration{24 * time.Hour, 0, -24 * time.Hour, 0} {
			before := p.snapshot()
			p.clock.ahead.Store(int64(ahead))
			b.orders(p, "orders", n, n+10)
			n += 10
			wait(t, "more is archived", func() bool { return p.events() == n })
			now := p.snapshot()
			if now.Watermark.Before(before.Watermark) || now.Watermark.After((&wall{}).Now().Add(10*time.Minute)) {
				t.Errorf("clock %s ahead: watermark %s after %s", ahead, now.Watermark, before.Watermark)
			}
		}
		after := p.snapshot().Watermark
		wait(t, "the watermark moves again", func() bool { return p.snapshot().Watermark.After(after) })
		live.interrupt()
		// Runs that end know no clock but the machine's: the watermark is its, and
		// nothing else is.
		for _, ahead := range []time.Duration{24 * time.Hour, 0} {
			p.clock.ahead.Store(int64(ahead))
			b.orders(p, "orders", n, n+10)
			n += 10
			p.ok("archive", "run", "--once")
		}
		p.whole()
	})
}

func TestRetentionThatOvertakes(t *testing.T) {
	t.Parallel()
	brokers(t, func(t *testing.T, b *broker) {
		b.topic("orders", 2)
		p := newProject(t, b, "orders", settings{})
		b.orders(p, "orders", 0, 10)
		p.ok("archive", "run", "--once")
		b.orders(p, "orders", 10, 30)
		b.admin(func(admin *kadm.Client) error {
			offsets := kadm.Offsets{}
			offsets.AddOffset("orders", 0, 8, -1)
			_, err := admin.DeleteRecords(context.Background(), offsets)
			return err
		})
		parts := p.run("archive", "run", "--once").fails(t, recount.CodeLost, "retention")
		if !strings.Contains(parts["where"], "partition 0, positions [5, 8)") || !strings.HasPrefix(parts["changed"], "17 events were committed") {
			t.Errorf("got %v", parts)
		}
		p.ok("archive", "run", "--once")
		p.lossy = true
		p.whole("0@5", "0@6", "0@7")
	})
}

func TestATopicThatIsMadeAnew(t *testing.T) {
	t.Parallel()
	brokers(t, func(t *testing.T, b *broker) {
		b.topic("orders", 2)
		p := newProject(t, b, "orders", settings{})
		b.orders(p, "orders", 0, 10)
		live := p.start("archive", "run")
		wait(t, "some is archived", func() bool { return p.events() == 10 })
		b.admin(func(admin *kadm.Client) error {
			_, err := admin.DeleteTopic(context.Background(), "orders")
			return err
		})
		b.topic("orders", 2)
		b.send(p, "@2", order("orders", 10), order("orders", 11))
		wait(t, "the rest is archived", func() bool { return p.events() == 12 })
		live.interrupt()
		p.ok("archive", "run", "--once")
		p.lossy = true
		p.whole()
	})
}
