package kafka

import (
	"math/bits"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"

	"recount/source/record"
)

// A bus gives gigabytes, and what is read of it lives for a moment. Its memory is
// used again: that of a fetch once all its pieces were taken, that of a piece once
// whoever took it says so. What nobody gives back is garbage like any other.

// fetched is the memory of what one partition's fetch decompressed, which the
// pieces cut of it point into.
type fetched struct {
	buffers [][]byte
	users   atomic.Int32
}

// release gives the memory back with the last user.
func (f *fetched) release() {
	if f.users.Add(-1) > 0 {
		return
	}
	for _, b := range f.buffers {
		if size := bits.Len(uint(cap(b))); size > 0 && size <= largestSize {
			inflated[size-1].Put(&b)
		}
	}
	f.buffers = nil
}

// inflated are buffers by the power of two that they have room for at least. Larger
// ones are not kept: a batch is seldom so large.
var inflated [largestSize]sync.Pool

const largestSize = 23 // bits

// inflater decompresses batches for one fetcher, into the memory of what is fetched.
type inflater struct {
	inner kgo.Decompressor
	into  *fetched
	times int // as large as it came the last batch was, rounded up
}

func newInflater() *inflater {
	d := &inflater{times: 4}
	d.inner = kgo.DefaultDecompressor(d)
	return d
}

// Decompress is the client's, which asks d for room.
func (d *inflater) Decompress(src []byte, codec kgo.CompressionCodecType) ([]byte, error) {
	out, err := d.inner.Decompress(src, codec)
	if err == nil && codec != kgo.CodecNone {
		d.into.buffers = append(d.into.buffers, out)
		d.times = len(out)/max(len(src), 1) + 1
	}
	return out, err
}

// GetDecompressBytes offers room for a batch like the last one. Where it is not
// enough the client makes more, and that is what is kept.
func (d *inflater) GetDecompressBytes(compressed []byte, _ kgo.CompressionCodecType) []byte {
	size := bits.Len(uint(d.times * len(compressed)))
	if size >= largestSize {
		return nil
	}
	if b, ok := inflated[size].Get().(*[]byte); ok {
		return *b
	}
	return make([]byte, 0, 1<<size)
}

// PutDecompressBytes is called where a batch cannot be decompressed.
func (d *inflater) PutDecompressBytes([]byte) {}

// recordPool lends a fetcher the client's records, which are cut into pieces and of
// no use after that.
type recordPool struct{ free, lent [][]kgo.Record }

// GetRecords lends n records.
func (p *recordPool) GetRecords(n int) []kgo.Record {
	var found []kgo.Record
	if last := len(p.free) - 1; last >= 0 {
		found, p.free = p.free[last], p.free[:last]
	}
	if cap(found) < n {
		found = make([]kgo.Record, 0, n)
	}
	p.lent = append(p.lent, found)
	return found
}

// PutRecords is called for batches of which nothing is kept.
func (p *recordPool) PutRecords([]kgo.Record) {}

// back takes back what was lent.
func (p *recordPool) back() {
	for _, r := range p.lent {
		clear(r[:cap(r)])
	}
	p.free, p.lent = append(p.free, p.lent...), p.lent[:0]
}

// room is the memory of a piece.
type room struct {
	records []record.Record
	digits  []byte
	decoded record.Room
}

var rooms = sync.Pool{New: func() any { return &room{} }}

// release gives the memory of a piece back. Nothing may use it any more.
func (p *piece) release() {
	clear(p.room.records)
	p.room.decoded.Clear()
	rooms.Put(p.room)
	p.room, p.events, p.records = nil, nil, nil
	p.fetched.release()
}

// lend gives a piece room for so many records.
func lend(records int) *room {
	r, ok := rooms.Get().(*room)
	if !ok {
		r = &room{}
	}
	if cap(r.records) < records {
		r.records = make([]record.Record, 0, records)
	}
	if n := records * positionDigits; cap(r.digits) < n {
		r.digits = make([]byte, 0, n)
	}
	r.records, r.digits = r.records[:0], r.digits[:0]
	return r
}
