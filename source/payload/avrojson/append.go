package avrojson

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"

	"recount/source/payload/derive"
)

// The bounds of one value. A few bytes can stand for endless JSON: an array of
// nulls takes none for its items, and a record's names are in no value.
const (
	// MaxDepth is how deep types may lie in each other.
	MaxDepth = 200
	// MaxJSON is how long the JSON of a value may be; a value of n bytes may make n
	// times MaxGrowth more.
	MaxJSON   = 4 << 20
	MaxGrowth = 64
)

var (
	errShort = errors.New("the value ends too early")
	errDeep  = fmt.Errorf("values lie more than %d deep in each other", MaxDepth)
	errLong  = errors.New("its JSON would be too long")
)

// Append appends the JSON of the value that data begins with and returns what
// follows it. After an error, json is b.
func (s *Schema) Append(b, data []byte) (json, rest []byte, err error) {
	r := reader{data: data, most: len(b) + MaxJSON + MaxGrowth*len(data)}
	json, err = r.value(b, s.root, 0)
	if err != nil {
		return b, data, fmt.Errorf("at byte %d of %d: %w", len(data)-len(r.data), len(data), err)
	}
	return json, r.data, nil
}

type reader struct {
	data []byte
	most int // of the JSON
}

func (r *reader) long() (int64, error) {
	v, n := binary.Varint(r.data)
	switch {
	case n == 0:
		return 0, errShort
	case n < 0:
		return 0, errors.New("a number has more than 64 bits")
	}
	r.data = r.data[n:]
	return v, nil
}

func (r *reader) take(n int64) ([]byte, error) {
	if n < 0 {
		return nil, fmt.Errorf("a length is %d", n)
	}
	if n > int64(len(r.data)) {
		return nil, errShort
	}
	taken := r.data[:n:n]
	r.data = r.data[n:]
	return taken, nil
}

func (r *reader) counted() ([]byte, error) {
	n, err := r.long()
	if err != nil {
		return nil, err
	}
	return r.take(n)
}

func (r *reader) value(b []byte, n *node, depth int) ([]byte, error) {
	switch {
	case depth > MaxDepth:
		return b, errDeep
	case len(b) > r.most:
		return b, errLong
	}
	switch n.kind {
	case kindNull:
		return append(b, "null"...), nil
	case kindBoolean, kindInt, kindLong, kindFloat, kindDouble:
		return r.number(b, n)
	case kindBytes, kindString, kindFixed:
		return r.bytes(b, n)
	case kindEnum:
		i, err := r.index(len(n.symbols), "an enum")
		if err != nil {
			return b, err
		}
		return append(b, n.symbols[i]...), nil
	case kindUnion:
		i, err := r.index(len(n.of), "a union")
		if err != nil {
			return b, err
		}
		return r.value(b, n.of[i], depth+1)
	case kindArray:
		return r.blocks(b, n, depth, '[', ']')
	case kindMap:
		return r.blocks(b, n, depth, '{', '}')
	case kindRecord:
		return r.record(b, n, depth)
	}
	return b, fmt.Errorf("a type has the kind %d", n.kind)
}

func (r *reader) index(of int, what string) (int, error) {
	i, err := r.long()
	if err != nil {
		return 0, err
	}
	if i < 0 || i >= int64(of) {
		return 0, fmt.Errorf("%s of %d has the index %d", what, of, i)
	}
	return int(i), nil
}

func (r *reader) number(b []byte, n *node) ([]byte, error) {
	switch n.kind { //nolint:exhaustive // the others are no numbers
	case kindBoolean:
		v, err := r.take(1)
		if err != nil {
			return b, err
		}
		if v[0] > 1 {
			return b, fmt.Errorf("a boolean is %d", v[0])
		}
		return strconv.AppendBool(b, v[0] == 1), nil
	case kindFloat:
		v, err := r.take(4)
		if err != nil {
			return b, err
		}
		return derive.Float(b, float64(math.Float32frombits(binary.LittleEndian.Uint32(v))), 32), nil
	case kindDouble:
		v, err := r.take(8)
		if err != nil {
			return b, err
		}
		return derive.Float(b, math.Float64frombits(binary.LittleEndian.Uint64(v)), 64), nil
	}
	v, err := r.long()
	if err != nil {
		return b, err
	}
	if n.kind == kindInt && int64(int32(v)) != v { //nolint:gosec // the question is whether it fits
		return b, fmt.Errorf("an int is %d", v)
	}
	return whole(b, n, v)
}

func (r *reader) bytes(b []byte, n *node) (_ []byte, err error) {
	var v []byte
	if n.kind == kindFixed {
		v, err = r.take(int64(n.size))
	} else {
		v, err = r.counted()
	}
	switch {
	case err != nil:
		return b, err
	case n.kind == kindString:
		return derive.String(b, string(v)), nil
	}
	return octets(b, n, v)
}

// blocks appends an array, or a map with its keys.
func (r *reader) blocks(b []byte, n *node, depth int, first, last byte) ([]byte, error) {
	b = append(b, first)
	begun := false
	for {
		count, err := r.long()
		if err != nil {
			return b, err
		}
		if count == 0 {
			return append(b, last), nil
		}
		if count < 0 { // the block's size in bytes follows; it is of no use here
			if _, err = r.long(); err != nil {
				return b, err
			}
		}
		// Counted towards zero from either side: the least int64 has no positive.
		for ; count != 0; count -= sign(count) {
			if begun {
				b = append(b, ',')
			}
			begun = true
			if n.kind == kindMap {
				key, err := r.counted()
				if err != nil {
					return b, err
				}
				b = append(derive.String(b, string(key)), ':')
			}
			if b, err = r.value(b, n.of[0], depth+1); err != nil {
				return b, err
			}
		}
	}
}

func sign(n int64) int64 {
	if n < 0 {
		return -1
	}
	return 1
}

func (r *reader) record(b []byte, n *node, depth int) (_ []byte, err error) {
	if n.logical == freeDecimal {
		scale, err := r.long()
		if err != nil {
			return b, err
		}
		v, err := r.counted()
		if err != nil {
			return b, err
		}
		if scale < math.MinInt16 || scale > math.MaxInt16 {
			return b, fmt.Errorf("a decimal has the scale %d", scale)
		}
		return derive.DecimalBytes(b, v, int(scale))
	}
	b = append(b, '{')
	for i := range n.fields {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, n.fields[i].key...)
		if b, err = r.value(b, n.fields[i].typ, depth+1); err != nil {
			return b, err
		}
	}
	return append(b, '}'), nil
}
