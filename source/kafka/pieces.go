package kafka

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"recount"
	"recount/source/record"
)

// A batch has at most so many records, and ends where it has so many bytes.
const (
	batchRecords = 2048
	batchBytes   = 4 << 20
)

// cut makes pieces of what a partition's fetch gave, up to the offset end, and
// moves the reading there. Every offset between is in a record or in a gap.
func cut(r *reading, records []*kgo.Record, end int64, led []leadership, from *fetched) []*piece {
	var all []*piece
	c := cutter{reading: r, next: r.fetched, led: led, from: from}
	for i, rec := range records {
		if rec.Offset >= end {
			break
		}
		c.hole(rec.Offset)
		if c.room == nil {
			c.begin(min(len(records)-i, batchRecords))
		}
		c.add(rec)
		if len(c.records) >= batchRecords || c.bytes >= batchBytes {
			all = append(all, c.piece())
		}
	}
	c.hole(end)
	if len(c.records) > 0 || len(c.gaps) > 0 {
		all = append(all, c.piece())
	}
	r.fetched = c.next
	return all
}

type cutter struct {
	reading *reading
	from    *fetched
	room    *room // of the present piece
	records []record.Record
	digits  []byte // of their positions, one after the other
	gaps    []recount.Gap
	next    int64
	led     []leadership
	bytes   int64
}

// leadership says under whom a batch of the log was written.
type leadership struct {
	from  int64 // its first offset
	epoch int32
}

// leaderships reads the heads of the batches of a fetch, also of those that hold no
// event: a log that was cut back is known by the epoch at its end.
func leaderships(batches []byte) []leadership {
	const lengthAt, epochAt, magicAt, head = 8, 12, 16, 17
	var led []leadership
	for len(batches) >= head && batches[magicAt] >= 2 {
		led = append(led, leadership{int64(binary.BigEndian.Uint64(batches)), int32(binary.BigEndian.Uint32(batches[epochAt:]))})
		size := int64(binary.BigEndian.Uint32(batches[lengthAt:])) + epochAt
		if size > int64(len(batches)) {
			break
		}
		batches = batches[size:]
	}
	return led
}

// epoch is that of the last batch before the next offset, -1 where none is known.
func (c *cutter) epoch() int32 {
	for _, l := range slices.Backward(c.led) {
		if l.from < c.next {
			return l.epoch
		}
	}
	return -1
}

// hole passes offsets that hold no record.
func (c *cutter) hole(to int64) {
	if to <= c.next {
		return
	}
	reason := recount.GapControl
	if c.reading.compacted {
		reason = recount.GapCompacted
	}
	c.pass(to, reason)
}

func (c *cutter) pass(to int64, reason recount.GapReason) {
	from := position(c.next)
	if n := len(c.gaps); n > 0 && c.gaps[n-1].To == from && c.gaps[n-1].Reason == reason {
		c.gaps[n-1].To = position(to)
	} else {
		c.gaps = append(c.gaps, gap(c.reading.name, c.next, to, reason))
	}
	c.next = to
}

// begin makes room for a piece of so many records.
func (c *cutter) begin(records int) {
	c.room = lend(records)
	c.records, c.digits = c.room.records, c.room.digits
}

func (c *cutter) add(rec *kgo.Record) {
	one := record.Record{
		Time: timeOf(rec.Timestamp), Appended: rec.Attrs.TimestampType() == 1, Key: rec.Key, Value: rec.Value,
	}
	for _, h := range rec.Headers {
		one.Headers = append(one.Headers, recount.Header{Name: h.Key, Value: h.Value})
	}
	const overhead = 32 // about what stands around key and value
	c.bytes += int64(len(rec.Key)+len(rec.Value)) + overhead
	if one.Replayed() {
		c.pass(rec.Offset+1, recount.GapReplay)
		return
	}
	c.records = append(c.records, one)
	c.digits = appendPosition(c.digits, rec.Offset)
	c.next = rec.Offset + 1
}

// place gives the records their positions. A few share a text: whoever keeps one
// keeps no more than those.
func (c *cutter) place() {
	const together = 32
	for some := range slices.Chunk(c.records, together) {
		n := len(some) * positionDigits
		text := string(c.digits[:n])
		c.digits = c.digits[n:]
		for i := range some {
			some[i].Position, text = text[:positionDigits], text[positionDigits:]
		}
	}
}

func (c *cutter) piece() *piece {
	c.place()
	if c.room == nil {
		c.room = lend(0)
	}
	c.room.records = c.records
	c.from.users.Add(1)
	p := &piece{
		reading: c.reading, fetched: c.from, room: c.room, records: c.records, gaps: c.gaps, next: c.next, epoch: c.epoch(), bytes: c.bytes,
		ready: make(chan struct{}),
	}
	c.room, c.records, c.digits, c.gaps, c.bytes = nil, nil, nil, nil, 0
	return p
}

// timeOf mends a time beyond the year 2262: the client multiplies a record's
// milliseconds by a million in 64 bits, and what overflows is lost. Since a million
// is 64 times an odd number, the lower 58 bits of the milliseconds can be had back,
// and they hold any year.
func timeOf(t time.Time) time.Time {
	if t.IsZero() { // a record older than timestamps
		return t
	}
	const (
		even = 6 // bits
		// inverse times 15625, which is a million without its even part, is 1 in 64 bits.
		inverse = 0x790fb65668c26139
	)
	milli := uint64(t.UnixNano()) >> even * inverse << even
	return time.UnixMilli(int64(milli) >> even)
}
