package run

import (
	"encoding/binary"
	"time"
)

// bucketBytes is how many bytes of a key are the start of its bucket.
const bucketBytes = 8

// buckets remembers the bucket of the last time: those of neighbours are mostly
// the same.
type buckets struct{ from, to int64 }

// appendBucket adds the start of the event's bucket. An event without a time has
// none, and is in none of the buckets: feeds hold no such event.
func (s *scatterer) appendBucket(key []byte, block *chunk, row int) []byte {
	times := &block.columns[s.plan.time]
	t := times.int64(row)
	if t < s.bucket.from || t >= s.bucket.to {
		start := s.spec.Bucket.Floor(time.UnixMicro(t).UTC())
		s.bucket = buckets{start.UnixMicro(), s.spec.Bucket.Next(start).UnixMicro()}
	}
	return binary.LittleEndian.AppendUint64(key, uint64(s.bucket.from)) //nolint:gosec // the same bits
}

// bucketOf reads the start of the bucket from a key.
func bucketOf(key []byte) int64 {
	return int64(binary.LittleEndian.Uint64(key[len(key)-bucketBytes:])) //nolint:gosec // the same bits
}
