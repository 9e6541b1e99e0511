package run

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/schema"
)

// leafRows is how many values are asked of a column at once.
const leafRows = 1024

// leaf reads one column of a row group, row by row in blocks.
type leaf struct {
	slot     slot
	chunk    file.ColumnChunkReader
	optional bool
	ordinal  func(name []byte) uint32
	buffers  *buffers
	// known spares a look where others look too: names come again.
	known [knownNames]knownName
}

// knownName is a partition whose number was asked for.
type knownName struct {
	name   string
	number uint32
}

const knownNames = 64

// buffers are what columns of a file are decoded into.
type buffers struct {
	levels [leafRows]int16
	bytes  [leafRows]parquet.ByteArray
	fixed  [leafRows]parquet.FixedLenByteArray
	longs  [leafRows]int64
	ints   [leafRows]int32
	floats [leafRows]float64
	bools  [leafRows]bool
}

// decoder turns n decoded values, of which the levels say where they stand, into
// rows of a column.
type decoder func(c *column, i int)

// read adds up to rows rows to a column and says how many there were.
func (l *leaf) read(c *column, rows int) (int, error) {
	done := 0
	for done < rows && l.chunk.HasNext() {
		n, values, add, err := l.batch(int64(min(rows-done, leafRows)))
		if err != nil {
			return done, fmt.Errorf("read column %q: %w", l.slot.name, err)
		}
		if !l.optional {
			n = int64(values)
		}
		if n == 0 {
			break
		}
		l.add(c, int(n), values, add)
		done += int(n)
	}
	if err := l.chunk.Err(); err != nil {
		return done, fmt.Errorf("read column %q: %w", l.slot.name, err)
	}
	return done, nil
}

func (l *leaf) add(c *column, n, values int, add decoder) {
	if n == values && l.addAll(c, n) {
		return
	}
	if n == values {
		for i := range n {
			add(c, i)
		}
		return
	}
	value := 0
	for i := range n {
		if l.buffers.levels[i] == 0 {
			c.appendNull()
			continue
		}
		add(c, value)
		value++
	}
}

// batch decodes up to n values of one page.
func (l *leaf) batch(n int64) (rows int64, values int, add decoder, err error) {
	b := l.buffers
	var levels []int16
	if l.optional {
		levels = b.levels[:]
	}
	switch r := l.chunk.(type) {
	case *file.ByteArrayColumnChunkReader:
		// Values point into their page, so a batch must not go past its end.
		rows, values, err = r.ReadBatchInPage(n, b.bytes[:], levels, nil)
		return rows, values, l.bytes(), err
	case *file.Int64ColumnChunkReader:
		rows, values, err = r.ReadBatchInPage(n, b.longs[:], levels, nil)
		return rows, values, l.integers(func(i int) int64 { return b.longs[i] }), err
	case *file.Int32ColumnChunkReader:
		rows, values, err = r.ReadBatchInPage(n, b.ints[:], levels, nil)
		return rows, values, l.integers(func(i int) int64 { return int64(b.ints[i]) }), err
	case *file.Float64ColumnChunkReader:
		rows, values, err = r.ReadBatchInPage(n, b.floats[:], levels, nil)
		return rows, values, func(c *column, i int) { c.appendInt64(int64(math.Float64bits(b.floats[i]))) }, err //nolint:gosec // the same bits
	case *file.BooleanColumnChunkReader:
		rows, values, err = r.ReadBatchInPage(n, b.bools[:], levels, nil)
		return rows, values, func(c *column, i int) {
			v := byte(0)
			if b.bools[i] {
				v = 1
			}
			c.data = append(c.data, v)
			c.end(true)
		}, err
	case *file.FixedLenByteArrayColumnChunkReader:
		rows, values, err = r.ReadBatchInPage(n, b.fixed[:], levels, nil)
		return rows, values, func(c *column, i int) { l.slot.appendBigEndian(c, b.fixed[i]) }, err
	}
	return 0, 0, nil, fmt.Errorf("a column of type %s", l.chunk.Type())
}

func (l *leaf) bytes() decoder {
	b := l.buffers
	switch l.slot.form {
	case formOrdinal:
		return func(c *column, i int) {
			c.data = binary.LittleEndian.AppendUint32(c.data, l.number(b.bytes[i]))
			c.end(true)
		}
	case formDecimal:
		return func(c *column, i int) { l.slot.appendBigEndian(c, b.bytes[i]) }
	case formText, formBytes, formHeaders, formInt64, formTime, formDouble, formDate, formBool, formPlace:
	}
	return func(c *column, i int) { c.append(b.bytes[i]) }
}

// number is the number of a partition. Its last byte mostly tells it from others
// of its kind.
func (l *leaf) number(name []byte) uint32 {
	k := &l.known[0]
	if n := len(name); n > 0 {
		k = &l.known[name[n-1]%knownNames]
	}
	if k.name != string(name) || len(name) == 0 {
		k.name, k.number = string(name), l.ordinal(name)
	}
	return k.number
}

func (l *leaf) integers(get func(i int) int64) decoder {
	switch l.slot.width {
	case 4:
		return func(c *column, i int) {
			c.data = binary.LittleEndian.AppendUint32(c.data, uint32(get(i))) //nolint:gosec // the same bits
			c.end(true)
		}
	case 16:
		return func(c *column, i int) {
			v := get(i)
			c.data = binary.LittleEndian.AppendUint64(c.data, uint64(v))     //nolint:gosec // the same bits
			c.data = binary.LittleEndian.AppendUint64(c.data, uint64(v>>63)) //nolint:gosec // the sign
			c.end(true)
		}
	}
	return func(c *column, i int) { c.appendInt64(get(i)) }
}

// appendBigEndian adds a number in two's complement, as Parquet has decimals.
func (s slot) appendBigEndian(c *column, v []byte) {
	var b [16]byte
	if len(v) > 0 && v[0] >= 0x80 {
		for i := range b {
			b[i] = 0xff
		}
	}
	for i, x := range v {
		if at := len(v) - 1 - i; at < len(b) {
			b[at] = x
		}
	}
	c.data = append(c.data, b[:s.width]...)
	c.end(true)
}

// fits says whether a file's column can be read as the slot's form.
func (s slot) fits(d *schema.Column) bool {
	switch t := d.PhysicalType(); s.form {
	case formText, formBytes, formOrdinal:
		return t == parquet.Types.ByteArray
	case formInt64, formTime:
		return t == parquet.Types.Int64
	case formDouble:
		return t == parquet.Types.Double
	case formDate:
		return t == parquet.Types.Int32
	case formBool:
		return t == parquet.Types.Boolean
	case formDecimal:
		decimal, ok := d.LogicalType().(schema.DecimalLogicalType)
		return ok && int(decimal.Scale()) == s.typ.Scale && int(decimal.Precision()) <= s.typ.Precision
	case formHeaders, formPlace:
	}
	return true
}

// addAll adds n values at once, where none is NULL and they are kept as they come.
func (l *leaf) addAll(c *column, n int) bool {
	if c.valid != nil {
		return false
	}
	switch l.chunk.(type) {
	case *file.Int64ColumnChunkReader:
		if l.slot.width != 8 {
			return false
		}
		c.data = append(c.data, arrow.Int64Traits.CastToBytes(l.buffers.longs[:n])...)
	case *file.ByteArrayColumnChunkReader:
		switch {
		case l.slot.form == formOrdinal:
			at := len(c.data)
			c.data = slices.Grow(c.data, 4*n)[:at+4*n]
			for i, v := range l.buffers.bytes[:n] {
				binary.LittleEndian.PutUint32(c.data[at+4*i:], l.number(v))
			}
		case l.slot.width != 0:
			return false
		default:
			for _, v := range l.buffers.bytes[:n] {
				c.data = append(c.data, v...)
				c.ends = append(c.ends, uint32(len(c.data))) //nolint:gosec // a chunk is far smaller
			}
		}
	default:
		return false
	}
	c.n += n
	return true
}
