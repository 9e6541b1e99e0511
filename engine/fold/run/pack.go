package run

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/bits"
	"slices"

	"github.com/klauspost/compress/s2"
)

// Chunks are packed while they wait for their part's turn, in memory or in a spill
// file. The numbers of a column mostly lie close together, since a chunk's events
// come in the order of the log: of each that many bytes are kept as the largest
// difference needs, from the least number or from the number before. Texts lose the
// beginning that all of them share.

// How the numbers of a column are packed; the count of bytes of each stands beside it.
const (
	packedPlain = iota << 4 // above the least
	packedSteps             // above the least step from the number before
	packedSplit             // the upper bits and the lower bits apart
	packedWidth = 1<<4 - 1
)

const (
	lowBits = placeBits // of numbers that are split: such are places in the log
	lowMask = 1<<lowBits - 1
	// packSlack follows what is packed, so that numbers can be read eight bytes at a time.
	packSlack = 8
	// longTexts are so many bytes on average: they are worth a compression of their own.
	longTexts = 32
)

var errSpill = errors.New("read spilled events: they are damaged")

// pack adds the chunk's rows as bytes.
func (c *chunk) pack(b []byte, scratch *scratch) []byte {
	b = binary.AppendUvarint(b, uint64(c.n)) //nolint:gosec // a count
	for i := range c.columns {
		b = c.columns[i].pack(b, scratch)
	}
	return append(b, zeros[:packSlack]...)
}

func (c *column) pack(b []byte, scratch *scratch) []byte {
	b = binary.AppendUvarint(b, uint64(c.n)) //nolint:gosec // a count
	if c.n == 0 {
		return b
	}
	if c.valid == nil {
		b = append(b, 0)
	} else {
		b = append(b, 1)
		b = append(b, c.valid...)
	}
	if c.width == 0 {
		return c.packTexts(b, scratch)
	}
	for at := 0; at < c.width; at += 8 {
		scratch.numbers = c.lane(scratch.numbers[:0], at)
		b = packNumbers(b, scratch.numbers, scratch)
	}
	return b
}

// lane adds eight bytes of each value, from the byte at on, as numbers.
func (c *column) lane(to []uint64, at int) []uint64 {
	to = slices.Grow(to, c.n)[:len(to)+c.n]
	switch c.width {
	case 1:
		for i, v := range c.data {
			to[i] = uint64(v)
		}
	case 4:
		for i := range to {
			to[i] = uint64(binary.LittleEndian.Uint32(c.data[4*i:]))
		}
	default:
		data := c.data[at:]
		for i := range to {
			to[i] = binary.LittleEndian.Uint64(data[c.width*i:])
		}
	}
	return to
}

// bytesOf is how many bytes hold the numbers up to most.
func bytesOf(most uint64) int { return (bits.Len64(most) + 7) / 8 }

// span is the least of some numbers, and how far the largest is above.
type span struct{ least, most int64 }

func (s *span) add(v int64) {
	s.least, s.most = min(s.least, v), max(s.most, v)
}

func (s *span) bytes() int { return bytesOf(uint64(s.most) - uint64(s.least)) } //nolint:gosec // wraps as it should

// spans are those of numbers, and of the steps between them.
func spans(v []uint64) (plain, steps span) {
	last := int64(v[0]) //nolint:gosec // the same bits
	plain = span{last, last}
	if len(v) == 1 {
		return plain, steps
	}
	first := int64(v[1] - v[0]) //nolint:gosec // the same bits
	steps = span{first, first}
	for _, x := range v[1:] {
		n := int64(x) //nolint:gosec // the same bits
		plain.add(n)
		steps.add(n - last)
		last = n
	}
	return plain, steps
}

// packNumbers adds numbers in the way that takes least.
func packNumbers(b []byte, v []uint64, scratch *scratch) []byte {
	plain, steps := spans(v)
	width := min(plain.bytes(), steps.bytes())
	const wide = 6 // no more than this is won by splitting less
	if width >= wide {
		low := scratch.low[:0]
		for _, x := range v {
			low = append(low, x&lowMask)
		}
		scratch.low = low
		lowPlain, lowSteps := spans(low)
		high := span{int64(v[0] >> lowBits), int64(v[0] >> lowBits)} //nolint:gosec // few bits
		for _, x := range v {
			high.add(int64(x >> lowBits)) //nolint:gosec // few bits
		}
		if min(lowPlain.bytes(), lowSteps.bytes())+high.bytes() < width {
			b = append(b, packedSplit)
			b = packSpan(b, low, lowPlain, lowSteps)
			for i, x := range v {
				low[i] = x >> lowBits
			}
			return packPlain(b, low, high)
		}
	}
	return packSpan(b, v, plain, steps)
}

func packSpan(b []byte, v []uint64, plain, steps span) []byte {
	if plain.bytes() <= steps.bytes() {
		return packPlain(b, v, plain)
	}
	width := steps.bytes()
	b = append(b, byte(packedSteps|width))
	b = binary.LittleEndian.AppendUint64(b, v[0])
	base := uint64(steps.least) //nolint:gosec // the same bits
	b = binary.LittleEndian.AppendUint64(b, base)
	b, to := room(b, width*(len(v)-1))
	last := v[0]
	for i, x := range v[1:] {
		binary.LittleEndian.PutUint64(to[width*i:], x-last-base)
		last = x
	}
	return b
}

func packPlain(b []byte, v []uint64, plain span) []byte {
	width := plain.bytes()
	b = append(b, byte(packedPlain|width))
	base := uint64(plain.least) //nolint:gosec // the same bits
	b = binary.LittleEndian.AppendUint64(b, base)
	b, to := room(b, width*len(v))
	for i, x := range v {
		binary.LittleEndian.PutUint64(to[width*i:], x-base)
	}
	return b
}

// room lengthens b by size, and returns where that can be written: eight bytes at
// a time, so that the last may go beyond.
func room(b []byte, size int) (longer, to []byte) {
	at := len(b)
	b = slices.Grow(b, size+packSlack)
	return b[:at+size], b[at : at+size+packSlack]
}

func (c *column) packTexts(b []byte, scratch *scratch) []byte {
	lengths, from := scratch.numbers[:0], uint32(0)
	first := c.at(0)
	shared := len(first)
	for _, end := range c.ends {
		lengths = append(lengths, uint64(end-from))
		if shared > 0 {
			shared = sharedPrefix(first[:shared], c.data[from:end])
		}
		from = end
	}
	scratch.numbers = lengths
	b = packNumbers(b, lengths, scratch)
	b = appendTextKey(b, first[:shared])
	body := c.data
	if shared > 0 {
		body, from = scratch.raw[:0], 0
		for _, end := range c.ends {
			body = append(body, c.data[int(from)+shared:end]...)
			from = end
		}
		scratch.raw = body
	}
	if len(body) >= longTexts*c.n {
		scratch.packed = s2.Encode(scratch.packed[:cap(scratch.packed)], body)
		return appendTextKey(append(b, 1), scratch.packed)
	}
	return appendTextKey(append(b, 0), body)
}

// sharedPrefix is how many bytes both begin with.
func sharedPrefix(a, b []byte) int {
	n := min(len(a), len(b))
	if bytes.Equal(a[:n], b[:n]) {
		return n
	}
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// unpacker reads what pack wrote. Lengths are checked, so that a damaged file is an
// error.
type unpacker struct {
	rest    []byte
	damaged bool
}

func (u *unpacker) number() int {
	n, used := binary.Uvarint(u.rest)
	if used <= 0 || n > mostPart {
		u.damaged, u.rest = true, nil
		return 0
	}
	u.rest = u.rest[used:]
	return int(n) //nolint:gosec // bounded
}

func (u *unpacker) take(n int) (v []byte) {
	if n < 0 || n > len(u.rest) {
		u.damaged, u.rest = true, nil
		return nil
	}
	v, u.rest = u.rest[:n], u.rest[n:]
	return v
}

func (u *unpacker) long() uint64 {
	if b := u.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// unpack adds the rows that pack wrote.
func (c *chunk) unpack(b []byte, scratch *scratch) error {
	u := &unpacker{rest: b}
	n := u.number()
	for i := range c.columns {
		u.column(&c.columns[i], n, scratch)
	}
	c.n += n
	if u.damaged || len(u.rest) != packSlack {
		return errSpill
	}
	return nil
}

// column reads a column of a chunk of so many rows: it has as many, or none.
func (u *unpacker) column(c *column, rows int, scratch *scratch) {
	n := u.number()
	if u.damaged = u.damaged || n != 0 && n != rows; n == 0 || u.damaged {
		return
	}
	if nulls := u.take(1); nulls != nil && nulls[0] != 0 {
		c.spellValid()
		c.valid = append(c.valid, u.take(n)...)
	} else if c.valid != nil {
		for range n {
			c.valid = append(c.valid, 1)
		}
	}
	switch c.width {
	case 0:
		u.texts(c, n, scratch)
	case 1:
		for _, v := range u.numbers(n, scratch) {
			c.data = append(c.data, byte(v)) //nolint:gosec // it was one
		}
	case 4:
		for _, v := range u.numbers(n, scratch) {
			c.data = binary.LittleEndian.AppendUint32(c.data, uint32(v)) //nolint:gosec // it was one
		}
	default:
		at := len(c.data)
		c.data = slices.Grow(c.data, n*c.width)[:at+n*c.width]
		for lane := 0; lane < c.width; lane += 8 {
			to := c.data[at+lane:]
			for i, v := range u.numbers(n, scratch) {
				binary.LittleEndian.PutUint64(to[c.width*i:], v)
			}
		}
	}
	c.n += n
}

// numbers reads n numbers; they are valid until the next.
func (u *unpacker) numbers(n int, scratch *scratch) []uint64 {
	v := slices.Grow(scratch.numbers[:0], n)[:n]
	scratch.numbers = v
	mode := u.take(1)
	if mode == nil {
		return nil
	}
	if mode[0] != packedSplit {
		u.span(mode[0], v)
		return v
	}
	if mode = u.take(1); mode == nil {
		return nil
	}
	u.span(mode[0], v)
	high := slices.Grow(scratch.low[:0], n)[:n]
	scratch.low = high
	if mode = u.take(1); mode == nil {
		return nil
	}
	u.span(mode[0], high)
	for i, x := range high {
		v[i] |= x << lowBits
	}
	return v
}

// span reads numbers that packSpan wrote.
func (u *unpacker) span(mode byte, v []uint64) {
	width, last, base := int(mode&packedWidth), uint64(0), u.long()
	if steps := mode&^packedWidth == packedSteps; steps {
		v[0], last, base = base, base, u.long()
		v = v[1:]
	}
	if width > 8 || len(u.rest) < width*len(v)+packSlack {
		u.damaged, u.rest = true, nil
		clear(v)
		return
	}
	from := u.rest
	u.rest = u.rest[width*len(v):]
	mask := ^uint64(0) >> (64 - 8*width)
	if mode&^packedWidth == packedPlain {
		for i := range v {
			v[i] = binary.LittleEndian.Uint64(from[width*i:])&mask + base
		}
		return
	}
	for i := range v {
		last += binary.LittleEndian.Uint64(from[width*i:])&mask + base
		v[i] = last
	}
}

// texts reads n texts.
func (u *unpacker) texts(c *column, n int, scratch *scratch) {
	lengths := u.numbers(n, scratch)
	prefix := u.take(u.number())
	long := u.take(1)
	body := u.take(u.number())
	if u.damaged {
		return
	}
	if long[0] != 0 {
		raw, err := s2.Decode(scratch.raw[:cap(scratch.raw)], body)
		if err != nil {
			u.damaged = true
			return
		}
		scratch.raw, body = raw, raw
	}
	end := uint64(len(c.data))
	size := end + uint64(len(prefix)*n+len(body)) //nolint:gosec // lengths
	for _, length := range lengths {
		if length < uint64(len(prefix)) || length > size-end {
			u.damaged = true
			return
		}
		end += length
		c.ends = append(c.ends, uint32(end)) //nolint:gosec // see mostPart
	}
	if end != size {
		u.damaged = true
		return
	}
	if len(prefix) == 0 {
		c.data = append(c.data, body...)
		return
	}
	c.data = slices.Grow(c.data, int(size)-len(c.data)) //nolint:gosec // checked
	for _, length := range lengths {
		c.data = append(c.data, prefix...)
		own := int(length) - len(prefix) //nolint:gosec // checked
		c.data = append(c.data, body[:own]...)
		body = body[own:]
	}
}

// spellValid gives a column a mark for each row.
func (c *column) spellValid() {
	if c.valid != nil {
		return
	}
	c.valid = make([]byte, c.n)
	for i := range c.valid {
		c.valid[i] = 1
	}
}
