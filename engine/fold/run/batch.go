package run

import (
	"encoding/binary"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"recount"
)

var instants = arrow.FixedWidthTypes.Timestamp_us

// headersType is how lists of headers travel.
var headersType = arrow.ListOf(arrow.StructOf(
	arrow.Field{Name: "name", Type: arrow.BinaryTypes.String},
	arrow.Field{Name: "value", Type: arrow.BinaryTypes.Binary, Nullable: true},
))

// arrowType is the type of a slot's column in a batch.
func (s slot) arrowType() arrow.DataType {
	switch s.form {
	case formText, formOrdinal:
		return arrow.BinaryTypes.String
	case formBytes:
		return arrow.BinaryTypes.Binary
	case formHeaders:
		return headersType
	case formInt64, formPlace:
		return arrow.PrimitiveTypes.Int64
	case formTime:
		return instants
	case formDouble:
		return arrow.PrimitiveTypes.Float64
	case formDate:
		return arrow.FixedWidthTypes.Date32
	case formBool:
		return arrow.FixedWidthTypes.Boolean
	case formDecimal:
		return &arrow.Decimal128Type{Precision: int32(s.typ.Precision), Scale: int32(s.typ.Scale)} //nolint:gosec // at most 38
	}
	return arrow.Null
}

// schema is that of all batches of the plan.
func (p *plan) schema() *arrow.Schema {
	fields := make([]arrow.Field, len(p.reads))
	for i, at := range p.reads {
		fields[i] = arrow.Field{Name: p.spec.Reads[i], Type: arrow.BinaryTypes.String, Nullable: true}
		if at != none {
			fields[i].Type = p.slots[at].arrowType()
		}
	}
	return arrow.NewSchema(fields, nil)
}

// builder makes records out of rows of chunks. A record is valid until the next.
type builder struct {
	plan    *plan
	names   []string // of partitions
	schema  *arrow.Schema
	columns []built // by plan.reads
	seq     []int64
}

// built is the memory of one column.
type built struct {
	data, bits []byte
	ends       []int32
}

func newBuilder(p *plan, names []string) *builder {
	return &builder{plan: p, names: names, schema: p.schema(), columns: make([]built, len(p.reads))}
}

func (b *builder) record(f *filled) arrow.RecordBatch {
	columns := make([]arrow.Array, len(b.plan.reads))
	for i, at := range b.plan.reads {
		if at == none {
			columns[i] = b.columns[i].constant(b.plan.spec.Stream, len(f.refs))
			continue
		}
		columns[i] = b.column(&b.columns[i], at, f)
	}
	b.seq = slices.Grow(b.seq[:0], len(f.refs))[:len(f.refs)]
	if len(f.chunks) == 1 {
		from := f.chunks[0].columns[b.plan.seq].data
		for i, r := range f.refs {
			b.seq[i] = int64(binary.LittleEndian.Uint64(from[8*int(r.row):])) //nolint:gosec // the same bits
		}
	} else {
		for i, r := range f.refs {
			b.seq[i] = f.chunks[r.chunk].columns[b.plan.seq].int64(int(r.row))
		}
	}
	return array.NewRecordBatch(b.schema, columns, int64(len(f.refs)))
}

func (b *builder) column(to *built, slot int, f *filled) arrow.Array {
	s, chunks, refs := b.plan.slots[slot], f.chunks, f.refs
	nulls := to.nulls(slot, chunks, refs)
	var buffers []*memory.Buffer
	switch {
	case s.form == formHeaders:
		return lists(slot, chunks, refs)
	case s.form == formOrdinal:
		to.begin()
		for _, r := range refs {
			to.add(b.names[chunks[r.chunk].ordinal(slot, int(r.row))])
		}
		buffers = to.texts()
	case slot == b.plan.key && s.width == 0:
		to.begin()
		for _, g := range f.groups {
			to.repeat(&g.of.columns[slot], g.row, g.to-g.from)
		}
		buffers = to.texts()
	case s.width == 0 && len(chunks) == 1:
		to.begin()
		to.gather(&chunks[0].columns[slot], refs)
		buffers = to.texts()
	case s.width == 0:
		to.begin()
		for _, r := range refs {
			to.data = append(to.data, chunks[r.chunk].columns[slot].at(int(r.row))...)
			to.end()
		}
		buffers = to.texts()
	case s.form == formBool:
		to.bools(slot, chunks, refs)
		buffers = []*memory.Buffer{nil, memory.NewBufferBytes(to.data)}
	default:
		to.fixed(s, slot, chunks, refs)
		buffers = []*memory.Buffer{nil, memory.NewBufferBytes(to.data)}
	}
	if nulls > 0 {
		buffers[0] = memory.NewBufferBytes(to.bits)
	}
	data := array.NewData(s.arrowType(), len(refs), buffers, nil, nulls, 0)
	defer data.Release()
	return array.MakeFromData(data)
}

// nulls makes the bitmap of rows that have a value and counts those that have
// none; without any there is no bitmap.
func (to *built) nulls(slot int, chunks []*chunk, refs []ref) (nulls int) {
	if len(chunks) == 1 && chunks[0].columns[slot].valid == nil {
		return 0
	}
	for _, r := range refs {
		if chunks[r.chunk].columns[slot].null(int(r.row)) {
			nulls++
		}
	}
	if nulls == 0 {
		return 0
	}
	to.bits = cleared(to.bits, len(refs))
	for i, r := range refs {
		if !chunks[r.chunk].columns[slot].null(int(r.row)) {
			bitutil.SetBit(to.bits, i)
		}
	}
	return nulls
}

// cleared is a bitmap of n zeros.
func cleared(bits []byte, n int) []byte {
	size := int(bitutil.BytesForBits(int64(n)))
	if cap(bits) < size {
		return make([]byte, size)
	}
	bits = bits[:size]
	clear(bits)
	return bits
}

func (to *built) bools(slot int, chunks []*chunk, refs []ref) {
	to.data = cleared(to.data, len(refs))
	for i, r := range refs {
		if chunks[r.chunk].columns[slot].data[r.row] != 0 {
			bitutil.SetBit(to.data, i)
		}
	}
}

func (to *built) fixed(s slot, slot int, chunks []*chunk, refs []ref) {
	to.data = to.data[:0]
	switch {
	case len(chunks) == 1 && s.width == 8:
		to.longs(s, &chunks[0].columns[slot], refs)
	case s.form == formDecimal && s.width == 8:
		for _, r := range refs {
			v := chunks[r.chunk].columns[slot].int64(int(r.row))
			to.data = binary.LittleEndian.AppendUint64(to.data, uint64(v))     //nolint:gosec // the same bits
			to.data = binary.LittleEndian.AppendUint64(to.data, uint64(v>>63)) //nolint:gosec // the sign
		}
	case s.width == 8:
		for _, r := range refs {
			to.data = binary.LittleEndian.AppendUint64(to.data, binary.LittleEndian.Uint64(chunks[r.chunk].columns[slot].data[r.row*8:]))
		}
	default:
		for _, r := range refs {
			to.data = append(to.data, chunks[r.chunk].columns[slot].at(int(r.row))...)
		}
	}
}

// longs is fixed for the values of one chunk.
func (to *built) longs(s slot, from *column, refs []ref) {
	size := 8
	if s.form == formDecimal {
		size = 16
	}
	to.data = slices.Grow(to.data[:0], size*len(refs))[:size*len(refs)]
	data := from.data
	if s.form == formDecimal {
		for i, r := range refs {
			v, out := binary.LittleEndian.Uint64(data[8*int(r.row):]), to.data[16*i:16*i+16]
			binary.LittleEndian.PutUint64(out, v)
			binary.LittleEndian.PutUint64(out[8:], uint64(int64(v)>>63)) //nolint:gosec // the sign
		}
		return
	}
	for i, r := range refs {
		binary.LittleEndian.PutUint64(to.data[8*i:], binary.LittleEndian.Uint64(data[8*int(r.row):]))
	}
}

// gather adds texts of one chunk.
func (to *built) gather(from *column, refs []ref) {
	for _, r := range refs {
		to.data = append(to.data, from.data[from.start(int(r.row)):from.ends[r.row]]...)
		to.end()
	}
}

// repeat adds a text a number of times: it is the key of so many events.
func (to *built) repeat(from *column, row, times int) {
	if times == 0 {
		return
	}
	began, v := len(to.data), from.at(row)
	to.data = append(to.data, v...)
	to.end()
	for have := 1; have < times; {
		n := min(have, times-have)
		to.data = append(to.data, to.data[began:began+n*len(v)]...)
		have += n
	}
	for end := began + len(v); times > 1; times-- {
		end += len(v)
		to.ends = append(to.ends, int32(end)) //nolint:gosec // batches are bounded
	}
}

func (to *built) begin() {
	to.data, to.ends = to.data[:0], append(to.ends[:0], 0)
}

func (to *built) add(s string) {
	to.data = append(to.data, s...)
	to.end()
}

func (to *built) end() { to.ends = append(to.ends, int32(len(to.data))) } //nolint:gosec // batches are bounded

func (to *built) texts() []*memory.Buffer {
	return []*memory.Buffer{nil, memory.NewBufferBytes(arrow.Int32Traits.CastToBytes(to.ends)), memory.NewBufferBytes(to.data)}
}

func (to *built) constant(s string, n int) arrow.Array {
	to.begin()
	for range n {
		to.add(s)
	}
	data := array.NewData(arrow.BinaryTypes.String, n, to.texts(), nil, 0, 0)
	defer data.Release()
	return array.MakeFromData(data)
}

func lists(slot int, chunks []*chunk, refs []ref) arrow.Array {
	b := array.NewListBuilderWithField(memory.DefaultAllocator, headersType.ElemField())
	defer b.Release()
	pairs, _ := b.ValueBuilder().(*array.StructBuilder)
	names, _ := pairs.FieldBuilder(0).(*array.StringBuilder)
	values, _ := pairs.FieldBuilder(1).(*array.BinaryBuilder)
	for _, r := range refs {
		c := &chunks[r.chunk].columns[slot]
		if c.null(int(r.row)) {
			b.AppendNull()
			continue
		}
		b.Append(true)
		for _, h := range parseHeaders(c.at(int(r.row))) {
			pairs.Append(true)
			names.Append(h.Name)
			appendBytes(values, h)
		}
	}
	return b.NewArray()
}

func appendBytes(b *array.BinaryBuilder, h recount.Header) {
	if h.Value == nil {
		b.AppendNull()
		return
	}
	b.Append(h.Value)
}
