package run

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"time"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/zeebo/xxh3"

	"recount"
)

// nullHash is the hash of a NULL key.
const nullHash = 0x9E3779B97F4A7C15

// hash of a row's key. Its upper bits choose the part, its lower ones the place
// in a part's table.
func (p *plan) hash(c *chunk, row int) uint64 {
	k := &c.columns[p.key]
	if k.null(row) {
		return nullHash
	}
	if k.width == 8 {
		return mix(binary.LittleEndian.Uint64(k.data[row*8:]))
	}
	return xxh3.Hash(k.at(row))
}

// hashes adds the hashes of the rows [from, to).
func (p *plan) hashes(to []uint64, c *chunk, from, end int) []uint64 {
	k := &c.columns[p.key]
	switch {
	case k.valid != nil || k.width != 0 && k.width != 8:
		for row := from; row < end; row++ {
			to = append(to, p.hash(c, row))
		}
	case k.width == 8:
		for row := from; row < end; row++ {
			to = append(to, mix(binary.LittleEndian.Uint64(k.data[row*8:])))
		}
	default:
		at := k.start(from)
		for _, till := range k.ends[from:end] {
			to = append(to, xxh3.Hash(k.data[at:till]))
			at = till
		}
	}
	return to
}

// mix spreads the bits of a number over all of it (the end of splitmix64).
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// hashKey is hash for a key's bytes.
func (p *plan) hashKey(key []byte, null bool) uint64 {
	if null {
		return nullHash
	}
	if p.slots[p.key].width == 8 {
		return mix(binary.LittleEndian.Uint64(key))
	}
	return xxh3.Hash(key)
}

// appendKey adds the bytes that tell a row's By apart: equal if and only if the
// canonical values are.
func (p *plan) appendKey(b []byte, c *chunk, row int) ([]byte, error) {
	for _, i := range p.by {
		col := &c.columns[i]
		if col.null(row) {
			b = append(b, 0)
			continue
		}
		b = append(b, 1)
		v := col.at(row)
		switch s := p.slots[i]; {
		case s.form == formDouble:
			b = appendDoubleKey(b, math.Float64frombits(binary.LittleEndian.Uint64(v)))
		case s.width > 0:
			b = append(b, v...)
		case s.typ.Kind == recount.KindJSON:
			text, err := recount.Canonical(s.typ, string(v))
			if err != nil {
				return b, fmt.Errorf("read key %s: %w", s.name, err)
			}
			b = appendTextKey(b, text)
		default:
			b = appendTextKey(b, v)
		}
	}
	return b, nil
}

func appendTextKey[T string | []byte](b []byte, v T) []byte {
	b = binary.AppendUvarint(b, uint64(len(v)))
	return append(b, v...)
}

// appendDoubleKey has one form for 0 and -0, and one for NaN.
func appendDoubleKey(b []byte, f float64) []byte {
	if f == 0 {
		return binary.LittleEndian.AppendUint64(b, 0) // of either sign
	}
	if math.IsNaN(f) {
		f = math.NaN()
	}
	return binary.LittleEndian.AppendUint64(b, math.Float64bits(f))
}

// keyOf returns the bytes of a key that is given as canonical values.
func (p *plan) keyOf(values []recount.Value) (key []byte, null bool, err error) {
	if len(values) != len(p.by) {
		return nil, false, fmt.Errorf("a key has %d values, not %d", len(values), len(p.by))
	}
	for i, v := range values {
		s := p.slots[p.by[i]]
		if !p.keyOwn {
			if v.Null {
				return nil, true, nil
			}
			key, err = s.appendText(nil, v.Text)
			return key, false, err
		}
		if v.Null {
			key = append(key, 0)
			continue
		}
		key = append(key, 1)
		switch {
		case s.form == formDouble:
			f, err := strconv.ParseFloat(v.Text, 64)
			if err != nil {
				return nil, false, fmt.Errorf("key %s: %q is no double", s.name, v.Text)
			}
			key = appendDoubleKey(key, f)
		case s.width > 0:
			if key, err = s.appendText(key, v.Text); err != nil {
				return nil, false, err
			}
		default:
			key = appendTextKey(key, v.Text)
		}
	}
	return key, false, nil
}

// appendText adds the bytes of a canonical text as the slot keeps them.
func (s slot) appendText(b []byte, text string) ([]byte, error) {
	fault := func(err error) ([]byte, error) {
		return nil, fmt.Errorf("key %s: %q does not fit: %w", s.name, text, err)
	}
	switch s.form {
	case formInt64:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return fault(err)
		}
		return binary.LittleEndian.AppendUint64(b, uint64(n)), nil //nolint:gosec // the same bits
	case formTime:
		at, err := recount.ParseTimestamp(text)
		if err != nil {
			return fault(err)
		}
		return binary.LittleEndian.AppendUint64(b, uint64(at.UnixMicro())), nil //nolint:gosec // the same bits
	case formDate:
		at, err := time.Parse(time.DateOnly, text)
		if err != nil {
			return fault(err)
		}
		const day = 24 * 60 * 60
		return binary.LittleEndian.AppendUint32(b, uint32(at.Unix()/day)), nil //nolint:gosec // the same bits
	case formBool:
		if text == "true" {
			return append(b, 1), nil
		}
		return append(b, 0), nil
	case formDecimal:
		return s.appendDecimal(b, text)
	case formDouble:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return fault(err)
		}
		return binary.LittleEndian.AppendUint64(b, math.Float64bits(f)), nil
	case formText, formBytes, formHeaders, formOrdinal, formPlace:
	}
	return append(b, text...), nil
}

func (s slot) appendDecimal(b []byte, text string) ([]byte, error) {
	rat, ok := new(big.Rat).SetString(text)
	if !ok {
		return nil, fmt.Errorf("key %s: %q is no decimal", s.name, text)
	}
	scale := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(s.typ.Scale)), nil)
	rat.Mul(rat, new(big.Rat).SetInt(scale))
	if !rat.IsInt() || rat.Num().BitLen() > 127 {
		return nil, fmt.Errorf("key %s: %q is no %s", s.name, text, s.typ)
	}
	n := decimal128.FromBigInt(rat.Num())
	b = binary.LittleEndian.AppendUint64(b, n.LowBits())
	if s.width > 8 {
		b = binary.LittleEndian.AppendUint64(b, uint64(n.HighBits())) //nolint:gosec // the same bits
	}
	return b, nil
}

// values returns By of a row, canonical.
func (p *plan) values(c *chunk, row int) ([]recount.Value, error) {
	values := make([]recount.Value, len(p.by))
	for i, at := range p.by {
		v, err := p.slots[at].value(&c.columns[at], row)
		if err != nil {
			return nil, err
		}
		values[i] = v
	}
	return values, nil
}

// value returns a row's value of a declared field, canonical.
func (s slot) value(c *column, row int) (recount.Value, error) {
	if c.null(row) {
		return recount.Null, nil
	}
	v := c.at(row)
	long := func() int64 { return int64(binary.LittleEndian.Uint64(v)) } //nolint:gosec // the same bits
	switch s.form {
	case formInt64:
		return recount.Text(strconv.FormatInt(long(), 10)), nil
	case formTime:
		return recount.Text(recount.FormatTimestamp(time.UnixMicro(long()))), nil
	case formDouble:
		text, err := recount.Canonical(s.typ, strconv.FormatFloat(math.Float64frombits(uint64(long())), 'g', -1, 64)) //nolint:gosec // the same bits
		return recount.Text(text), err
	case formDate:
		days := int64(int32(binary.LittleEndian.Uint32(v))) //nolint:gosec // the same bits
		const day = 24 * 60 * 60
		return recount.Text(time.Unix(days*day, 0).UTC().Format(time.DateOnly)), nil
	case formBool:
		return recount.Text(strconv.FormatBool(v[0] != 0)), nil
	case formDecimal:
		return recount.Text(s.number(v).ToString(int32(s.typ.Scale))), nil //nolint:gosec // at most 38
	case formText, formBytes, formHeaders, formOrdinal, formPlace:
	}
	if s.typ.Kind == recount.KindJSON {
		text, err := recount.Canonical(s.typ, string(v))
		return recount.Text(text), err
	}
	return recount.Text(string(v)), nil
}

// number reads a decimal's bytes.
func (s slot) number(v []byte) decimal128.Num {
	low := binary.LittleEndian.Uint64(v)
	if s.width == 8 {
		return decimal128.FromI64(int64(low)) //nolint:gosec // the same bits
	}
	return decimal128.New(int64(binary.LittleEndian.Uint64(v[8:])), low) //nolint:gosec // the same bits
}

// ordinal reads the number of a partition.
func (c *chunk) ordinal(slot, row int) uint32 {
	return binary.LittleEndian.Uint32(c.columns[slot].data[row*4:])
}

// bucketBytes is how many bytes of a key are the start of its bucket.
const bucketBytes = 8

// variantBytes is how many bytes of a key are its variant, under Spec.Several.
const variantBytes = 4

// appendVariant adds the variant whose event it is, where there are several.
func (p *plan) appendVariant(key []byte, variant int) []byte {
	if p.spec.Several == 0 {
		return key
	}
	return binary.LittleEndian.AppendUint32(key, uint32(variant)) //nolint:gosec // a few
}

// byOf are the bytes of a key that are of By.
func (p *plan) byOf(key []byte) []byte {
	if p.bucketd {
		key = key[:len(key)-bucketBytes]
	}
	if p.spec.Several > 0 {
		key = key[:len(key)-variantBytes]
	}
	return key
}

// variantOf reads the variant from a key.
func (p *plan) variantOf(key []byte) int {
	return int(binary.LittleEndian.Uint32(key[len(p.byOf(key)):]))
}

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

// A place in the log is one number where positions are numbers, which they mostly
// are: the number of the partition above, the position below.
const (
	placeBits      = 48
	mostPlace      = 1<<placeBits - 1
	mostPartitions = 1 << (64 - placeBits)
)

// errOddPosition says that a position is no number that fits: then positions are
// kept as the texts that they are.
var errOddPosition = errors.New("a position is no number")

// fillPlaces makes the places of a block.
func (s *scatterer) fillPlaces(block *chunk) error {
	p := s.plan
	places, partitions, positions := &block.columns[p.place], &block.columns[p.partition], &block.columns[p.position]
	places.data = slices.Grow(places.data, 8*block.n)[:8*block.n]
	for row := range block.n {
		at, ok := parsePosition(positions.at(row))
		partition := binary.LittleEndian.Uint32(partitions.data[row*4:])
		if !ok || partition >= mostPartitions {
			return errOddPosition
		}
		binary.LittleEndian.PutUint64(places.data[8*row:], uint64(partition)<<placeBits|at)
	}
	places.n = block.n
	return nil
}

// parsePosition reads a position of fixed width that is a number.
func parsePosition(text []byte) (n uint64, ok bool) {
	const width, group = 20, 8 // recount.PositionWidth; digits that are read at once
	if len(text) != width {
		return 0, false
	}
	for _, c := range text[:width-2*group] {
		d := c - '0'
		if d > 9 {
			return 0, false
		}
		n = n*10 + uint64(d)
	}
	high, okHigh := parseDigits(binary.LittleEndian.Uint64(text[width-2*group:]))
	low, okLow := parseDigits(binary.LittleEndian.Uint64(text[width-group:]))
	const tens = 100_000_000 // 10 to the group
	if n = n*tens + high; !okHigh || !okLow || n > mostPlace/tens {
		return 0, false
	}
	n = n*tens + low
	return n, n <= mostPlace
}

// parseDigits reads eight digits, the first in the lowest byte: neighbours are
// joined to numbers of two digits, these to numbers of four, these to one of eight.
func parseDigits(text uint64) (n uint64, ok bool) {
	const zeros, over, upper = 0x3030303030303030, 0x0606060606060606, 0xf0f0f0f0f0f0f0f0
	if text&upper != zeros || (text+over)&upper != zeros {
		return 0, false
	}
	text -= zeros
	text = (text*10 + text>>8) & 0x00ff00ff00ff00ff
	text = (text*100 + text>>16) & 0x0000ffff0000ffff
	return (text*10000 + text>>32) & 0xffffffff, true
}

// rank replaces the numbers of partitions in places by their ranks.
func (p *plan) rank(c *chunk, ranks []uint32) {
	if p.place == none || c.ranked {
		return
	}
	c.ranked = true
	sorted := true
	for i, r := range ranks {
		sorted = sorted && int(r) == i
	}
	if sorted {
		return
	}
	data := c.columns[p.place].data
	for i := 0; i < len(data); i += 8 {
		at := binary.LittleEndian.Uint64(data[i:])
		binary.LittleEndian.PutUint64(data[i:], uint64(ranks[at>>placeBits])<<placeBits|at&mostPlace)
	}
}
