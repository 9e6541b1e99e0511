package kafka

import (
	"testing"

	broker "recount/internal/servertest/kafka"
	"recount/source"
)

// BenchmarkRead reads 300,000 records of about 110 bytes from four partitions of a
// real broker.
func BenchmarkRead(b *testing.B) {
	w := reach(b, broker.Start(b).Addr)
	topic, cl := w.topic(b, 4), w.client(b)
	const each = 75_000
	for p := range 4 {
		for n := 0; n < each; n += 5000 {
			send(b, cl, rows(topic, p, n, n+5000)...)
		}
	}
	s := w.open(b, nil, topic)
	for b.Loop() {
		n, bytes := 0, int64(0)
		if _, err := s.Read(b.Context(), nil, func(got source.Batch) error {
			n += len(got.Events)
			bytes += got.Bytes
			return nil
		}); err != nil || n != 4*each {
			b.Fatalf("got %d events and %v, want %d", n, err, 4*each)
		}
		b.SetBytes(bytes)
	}
	b.ReportMetric(float64(b.N)*4*each/b.Elapsed().Seconds(), "events/s")
}
