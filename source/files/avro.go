package files

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/hamba/avro/v2"
)

// datum is binary Avro that is still to be read, and the JSON made of it so far
// (see derive.go). The writer's schema alone says what is in it.
type datum struct {
	in    []byte
	out   []byte
	depth int
}

// What a damaged or hostile file cannot go beyond.
const (
	mostDepth     = 200
	mostSpelled   = maxRecordBytes // bytes of one record as JSON
	mostAvroBlock = 256 << 20
	mostAvroRows  = 4 << 20 // in a block
)

var (
	errAvroCut  = errors.New("it is cut inside of a record")
	errAvroDeep = errors.New("its records are nested more than 200 deep")
	errAvroLong = errors.New("a record is longer than 64 MiB")
)

func (d *datum) long() (int64, error) {
	v, n := binary.Varint(d.in)
	if n <= 0 {
		return 0, errAvroCut
	}
	d.in = d.in[n:]
	return v, nil
}

func (d *datum) take(n int64) ([]byte, error) {
	if n < 0 || n > int64(len(d.in)) {
		return nil, errAvroCut
	}
	b := d.in[:n]
	d.in = d.in[n:]
	return b, nil
}

func (d *datum) bytes() ([]byte, error) {
	n, err := d.long()
	if err != nil {
		return nil, err
	}
	return d.take(n)
}

// value reads one value of the schema.
func (d *datum) value(schema avro.Schema, tail []byte) error {
	if d.depth++; d.depth > mostDepth {
		return errAvroDeep
	}
	defer func() { d.depth-- }()
	if len(d.out) > math.MaxInt32/2 {
		return errAvroLong
	}
	switch s := schema.(type) {
	case *avro.RefSchema:
		return d.value(s.Schema(), tail)
	case *avro.RecordSchema:
		return d.record(s, tail)
	case *avro.UnionSchema:
		at, err := d.long()
		if err != nil {
			return err
		}
		if at < 0 || at >= int64(len(s.Types())) {
			return fmt.Errorf("branch %d of a union of %d", at, len(s.Types()))
		}
		return d.value(s.Types()[at], nil)
	case *avro.ArraySchema:
		return d.items('[', ']', func() error { return d.value(s.Items(), nil) })
	case *avro.MapSchema:
		return d.items('{', '}', func() error {
			key, err := d.bytes()
			if err != nil {
				return err
			}
			d.out = append(appendString(d.out, string(key)), ':')
			return d.value(s.Values(), nil)
		})
	case *avro.EnumSchema:
		at, err := d.long()
		if err != nil {
			return err
		}
		if at < 0 || at >= int64(len(s.Symbols())) {
			return fmt.Errorf("symbol %d of an enum of %d", at, len(s.Symbols()))
		}
		d.out = appendString(d.out, s.Symbols()[at])
		return nil
	case *avro.FixedSchema:
		b, err := d.take(int64(s.Size()))
		if err == nil {
			d.binary(b, s.Logical())
		}
		return err
	case *avro.NullSchema:
		d.out = append(d.out, "null"...)
		return nil
	case *avro.PrimitiveSchema:
		return d.primitive(s)
	}
	return fmt.Errorf("values of type %s are not known", schema.Type())
}

func (d *datum) record(s *avro.RecordSchema, tail []byte) error {
	d.out = append(d.out, '{')
	for i, f := range s.Fields() {
		if i > 0 {
			d.out = append(d.out, ',')
		}
		d.out = append(appendString(d.out, f.Name()), ':')
		if err := d.value(f.Type(), nil); err != nil {
			return fmt.Errorf("field %q: %w", f.Name(), err)
		}
	}
	d.out = append(append(d.out, tail...), '}')
	return nil
}

// items reads the blocks of an array or a map.
func (d *datum) items(open, end byte, item func() error) error {
	d.out = append(d.out, open)
	from := len(d.out)
	for {
		n, err := d.long()
		if err != nil {
			return err
		}
		if n == 0 {
			d.out = append(d.out, end)
			return nil
		}
		if n < 0 { // and the bytes of the block, which nobody needs here
			if _, err := d.long(); err != nil {
				return err
			}
			n = -n
		}
		for range n {
			if len(d.out) > from {
				d.out = append(d.out, ',')
			}
			if err := item(); err != nil {
				return err
			}
			if len(d.out)-from > mostSpelled {
				return errAvroLong
			}
		}
		if n < 0 {
			return errAvroCut
		}
	}
}

func (d *datum) primitive(s *avro.PrimitiveSchema) error {
	switch s.Type() { //nolint:exhaustive // the others are no primitives
	case avro.Boolean:
		b, err := d.take(1)
		if err != nil {
			return err
		}
		d.out = strconv.AppendBool(d.out, b[0] != 0)
	case avro.Int, avro.Long:
		n, err := d.long()
		if err != nil {
			return err
		}
		d.whole(n, s)
	case avro.Float:
		b, err := d.take(4)
		if err != nil {
			return err
		}
		d.out = appendFloat(d.out, float64(math.Float32frombits(binary.LittleEndian.Uint32(b))), 32)
	case avro.Double:
		b, err := d.take(8)
		if err != nil {
			return err
		}
		d.out = appendFloat(d.out, math.Float64frombits(binary.LittleEndian.Uint64(b)), 64)
	case avro.String:
		b, err := d.bytes()
		if err != nil {
			return err
		}
		d.out = appendString(d.out, string(b))
	case avro.Bytes:
		b, err := d.bytes()
		if err != nil {
			return err
		}
		d.binary(b, s.Logical())
	default:
		return fmt.Errorf("values of type %s are not known", s.Type())
	}
	return nil
}

// whole writes a whole number, or the time that it stands for.
func (d *datum) whole(n int64, s *avro.PrimitiveSchema) {
	const day, clockTime, instant = time.DateOnly, "15:04:05.999999999", "2006-01-02T15:04:05.999999999"
	at, layout := time.Time{}, ""
	if l := s.Logical(); l != nil {
		switch l.Type() { //nolint:exhaustive // the others are not of numbers
		case avro.Date:
			at, layout = time.Unix(n*86400, 0), day
		case avro.TimeMillis:
			at, layout = time.UnixMilli(n), clockTime
		case avro.TimeMicros:
			at, layout = time.UnixMicro(n), clockTime
		case avro.TimestampMillis:
			at, layout = time.UnixMilli(n), instant+"Z"
		case avro.TimestampMicros:
			at, layout = time.UnixMicro(n), instant+"Z"
		case avro.LocalTimestampMillis:
			at, layout = time.UnixMilli(n), instant
		case avro.LocalTimestampMicros:
			at, layout = time.UnixMicro(n), instant
		}
	}
	switch {
	case layout != "":
		d.out = append(at.UTC().AppendFormat(append(d.out, '"'), layout), '"')
	case s.Type() == avro.Int:
		d.out = strconv.AppendInt(d.out, n, 10)
	default:
		d.out = append(strconv.AppendInt(append(d.out, '"'), n, 10), '"')
	}
}

// binary writes bytes, or the decimal that they stand for.
func (d *datum) binary(b []byte, logical avro.LogicalSchema) {
	if l, ok := logical.(*avro.DecimalLogicalSchema); ok {
		d.out = appendString(d.out, decimalText(b, l.Scale()))
		return
	}
	d.out = appendBinary(d.out, b)
}

// decimalText spells a number in two's complement, the largest byte first, with
// scale digits after its point.
func decimalText(b []byte, scale int) string {
	n := new(big.Int).SetBytes(b)
	if len(b) > 0 && b[0] >= 0x80 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b)))) //nolint:gosec // a length
	}
	sign := ""
	if n.Sign() < 0 {
		sign = "-"
	}
	digits := n.Abs(n).String()
	if scale <= 0 {
		return sign + digits
	}
	if missing := scale + 1 - len(digits); missing > 0 {
		digits = strings.Repeat("0", missing) + digits
	}
	return sign + digits[:len(digits)-scale] + "." + digits[len(digits)-scale:]
}
