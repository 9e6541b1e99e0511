package kafka

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"recount"
	"recount/adapter"
	"recount/source"
	"recount/source/record"
)

// TestATopicOfAvro reads values whose schema a registry has: while it is down,
// reading ends before them and goes on there.
func TestATopicOfAvro(t *testing.T) {
	var up atomic.Bool
	registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		switch {
		case !up.Load():
			w.WriteHeader(http.StatusServiceUnavailable)
		case q.URL.Path == "/schemas/ids/7":
			_, _ = w.Write([]byte(`{"schema":"{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"id\",\"type\":\"string\"},{\"name\":\"n\",\"type\":\"long\"}]}"}`))
		default:
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(`{"error_code":40403}`))
		}
	}))
	defer registry.Close()
	w, _ := fake(t)
	topic := w.topic(t, 1)
	value := func(schema byte, n byte) *kgo.Record {
		return &kgo.Record{Topic: topic, Value: []byte{0, 0, 0, 0, schema, 2, 'a' + n, 2 * n}, Timestamp: time.UnixMilli(1718021364000)}
	}
	send(t, w.client(t), value(7, 1), value(9, 2), value(7, 3))
	s := w.open(t, func(c *Config, env *adapter.Env) {
		c.Values = record.Values{Format: "avro", Registry: record.Registry{URL: registry.URL}}
		env.Mapping.Time = "record:timestamp"
	}, topic)
	var got []recount.Event
	var header, format string
	emit := func(b source.Batch) error {
		got, header, format = append(got, b.Events...), b.Header, b.Format
		return nil
	}
	if _, err := s.Read(t.Context(), source.Cursor{}, emit); !errors.Is(err, recount.ErrUnreachable) || len(got) > 0 {
		t.Fatalf("without the registry: %d events, %v", len(got), err)
	}
	up.Store(true)
	if _, err := s.Read(t.Context(), source.Cursor{}, emit); err != nil || len(got) != 3 {
		t.Fatalf("got %d events, %v", len(got), err)
	}
	for i, want := range []string{"1", "", "3"} {
		if got[i].Fields[0].Text != want || (got[i].Fault != "") != (want == "") {
			t.Errorf("event %d: got %v (%s), want %s", i, got[i].Fields, got[i].Fault, want)
		}
	}
	registry.Close()
	reads, err := s.Decoder(format, header)
	if err != nil {
		t.Fatal(err)
	}
	if again := reads.Decode(got[2]); again.Fields[0].Text != "3" || again.ID != "d" {
		t.Errorf("out of the archive: got %v", again)
	}
}
