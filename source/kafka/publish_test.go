package kafka

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"recount"
	"recount/source"
)

func TestPublish(t *testing.T) {
	worlds(t, func(t *testing.T, w world) {
		from, same, wider := w.topic(t, 3), w.topic(t, 3), w.topic(t, 7)
		s := w.open(t, nil, from)
		if !s.Reads(from) || s.Reads(same) {
			t.Error("reads: want its own topic alone")
		}
		if _, err := s.Publisher(t.Context(), "nowhere"); recount.AsError(err).Code != recount.CodeNoTopic {
			t.Errorf("a topic that is not there: got %v", err)
		}
		var list []source.Message
		for n := range 300 {
			p := fmt.Sprint(n % 3)
			if n%3 == 2 {
				p = "2@2"
			}
			r := row(from, 0, n)
			m := source.Message{Key: r.Key, Data: r.Value, Time: r.Timestamp, Partition: p, Headers: []recount.Header{
				{Name: source.HeaderReplay, Value: []byte("r1")}, {Name: source.HeaderPosition, Value: []byte(p + "@" + position(int64(n)))}, {Name: "null"},
			}}
			if n%2 == 0 {
				m.Key = nil
			}
			if n == 5 {
				m.Data = nil
			}
			list = append(list, m)
		}
		for _, to := range []string{same, wider} {
			p, err := s.Publisher(t.Context(), to)
			if err != nil {
				t.Fatal(err)
			}
			for _, some := range [][]source.Message{list[:100], list[100:]} {
				if err := p.Publish(t.Context(), some); err != nil {
					t.Fatalf("publish: %v", err)
				}
			}
			there := map[string]int{}
			if err := p.Published(t.Context(), source.HeaderReplay, "r1", func(partition, at string) { there[partition+"@"+at]++ }); err != nil {
				t.Fatalf("published: %v", err)
			}
			for _, m := range list {
				if there[string(m.Headers[1].Value)] != 1 {
					t.Errorf("published: got %s %d times, want once", m.Headers[1].Value, there[string(m.Headers[1].Value)])
				}
			}
			if err := p.Published(t.Context(), source.HeaderReplay, "r2", func(partition, at string) { t.Errorf("published of another replay: got %s@%s", partition, at) }); err != nil || len(there) != len(list) {
				t.Errorf("published: got %d and %v, want %d", len(there), err, len(list))
			}
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}
			w.checkOrder(t, to, to == same, list)
		}
	})
}

// checkOrder reads a destination: messages of a key, and those of an archive
// partition without one, are in order and whole.
func (w world) checkOrder(t *testing.T, topic string, kept bool, list []source.Message) {
	t.Helper()
	byID := map[string]source.Message{}
	for _, m := range list {
		byID[string(m.Headers[1].Value)] = m
	}
	cl := w.client(t, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	last, n := map[string]string{}, 0
	for n < len(list) {
		cl.PollFetches(t.Context()).EachRecord(func(r *kgo.Record) {
			n++
			m := byID[string(r.Headers[1].Value)]
			if string(r.Value) != string(m.Data) || (r.Value == nil) != (m.Data == nil) || string(r.Key) != string(m.Key) || !r.Timestamp.Equal(m.Time) || len(r.Headers) != 3 || r.Headers[2].Value != nil {
				t.Errorf("got %v, want %v", r, m)
			}
			if number, _ := numberOf(m.Partition); kept && r.Partition != number {
				t.Errorf("a message of partition %s went to %d", m.Partition, r.Partition)
			}
			group := "key " + string(m.Key)
			if m.Key == nil || kept {
				group = "partition " + m.Partition
			}
			if m.Key != nil && !kept {
				// The order of a key holds for one archive partition.
				group += " of " + m.Partition
			}
			at := string(m.Headers[1].Value)
			if last[group] >= at && len(last[group]) == len(at) {
				t.Errorf("%s: %s comes after %s", group, at, last[group])
			}
			last[group] = at
		})
	}
}

// A broker that is gone ends what is published, and does not hold it for ever.
func TestPublishingEndsWithTheBroker(t *testing.T) {
	w, cluster := fake(t)
	from, to := w.topic(t, 1), w.topic(t, 2)
	s := w.open(t, nil, from)
	s.delivery = time.Second
	p, err := s.Publisher(t.Context(), to)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close() //nolint:errcheck // nothing is there to be closed well
	m := []source.Message{{Data: []byte("x"), Partition: "0"}}
	if err := p.Publish(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	cluster.Close()
	if e := recount.AsError(p.Publish(t.Context(), m)); e.Code != recount.CodeSourceDown || e.What != "Kafka does not take the messages" {
		t.Errorf("got %v", e)
	}
}
