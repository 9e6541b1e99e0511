package process

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"recount"
	"recount/engine/fold/run"
)

// Columns that stand before those that a worker reads.
const (
	columnGroup  = "recount_group"
	columnFlags  = "recount_flags"
	columnSeq    = "recount_seq"
	columnBucket = "recount_bucket"
	columnState  = "recount_state"
	columnWhat   = "recount_what"
	columnAt     = "recount_at"
	columnBlob   = "recount_blob"
)

// The bits of recount_flags.
const (
	flagBegin   = 1
	flagNoEvent = 2
	flagShow    = 4
	flagEnd     = 8
)

var timestampType = &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}

// input makes the records that a worker gets.
type input struct {
	keys

	reads  []string
	show   bool
	schema *arrow.Schema
}

// record makes a record of a batch, and says which row of the batch each of its
// rows is; one below 0 is none: it stands for the group -1-row, which has no event.
func (p *input) record(in run.Batch) (arrow.RecordBatch, []int, error) {
	rows := make([]int, 0, len(in.Seq))
	group, flags, seq := make([]int64, 0, len(in.Seq)), make([]int8, 0, len(in.Seq)), make([]int64, 0, len(in.Seq))
	lead := array.NewRecordBuilder(memory.DefaultAllocator, p.leadSchema())
	defer lead.Release()
	for n, g := range in.Groups {
		first := len(rows)
		for i := g.From; i < g.To; i++ {
			rows, group, seq = append(rows, i), append(group, g.Number), append(seq, in.Seq[i])
			flags = append(flags, p.showFlag())
		}
		if g.From == g.To {
			if !g.Begin && !g.End {
				continue
			}
			rows, group, seq, flags = append(rows, -1-n), append(group, g.Number), append(seq, 0), append(flags, flagNoEvent)
		}
		if g.Begin {
			flags[first] |= flagBegin
		}
		if g.End {
			flags[len(flags)-1] |= flagEnd
		}
		p.appendGroup(lead, g, len(rows)-first)
	}
	lead.Field(0).(*array.Int64Builder).AppendValues(group, nil)
	lead.Field(1).(*array.Int8Builder).AppendValues(flags, nil)
	lead.Field(2).(*array.Int64Builder).AppendValues(seq, nil)
	head := lead.NewRecordBatch()
	defer head.Release()
	columns := append([]arrow.Array(nil), head.Columns()...)
	fields := append([]arrow.Field(nil), head.Schema().Fields()...)
	whole := inOrder(rows)
	for _, name := range p.reads {
		a, err := p.column(in, name, rows, whole)
		if err != nil {
			return nil, nil, err
		}
		defer a.Release()
		columns = append(columns, a)
		fields = append(fields, arrow.Field{Name: name, Type: a.DataType(), Nullable: true})
	}
	schema := arrow.NewSchema(fields, nil)
	if p.schema == nil {
		p.schema = schema
	}
	return array.NewRecordBatch(schema, columns, int64(len(rows))), rows, nil
}

func (p *input) showFlag() int8 {
	if p.show {
		return flagShow
	}
	return 0
}

func (p *input) leadSchema() *arrow.Schema {
	fields := []arrow.Field{
		{Name: columnGroup, Type: arrow.PrimitiveTypes.Int64},
		{Name: columnFlags, Type: arrow.PrimitiveTypes.Int8},
		{Name: columnSeq, Type: arrow.PrimitiveTypes.Int64},
		{Name: columnState, Type: arrow.BinaryTypes.String, Nullable: true},
	}
	if p.bucket {
		fields = append(fields, arrow.Field{Name: columnBucket, Type: timestampType})
	}
	return arrow.NewSchema(fields, nil)
}

// appendGroup appends what belongs to a group as a whole: its state, at its first
// row, and its bucket.
func (p *input) appendGroup(lead *array.RecordBuilder, g run.Group, n int) {
	state := lead.Field(3).(*array.StringBuilder)
	for i := range n {
		if i == 0 && g.Begin && g.Opening != nil {
			state.Append(string(g.Opening))
		} else {
			state.AppendNull()
		}
		if p.bucket {
			lead.Field(4).(*array.TimestampBuilder).Append(arrow.Timestamp(g.Bucket))
		}
	}
}

// column returns a column of the batch in the order of rows. A row without an
// event has its key and nothing else.
func (p *input) column(in run.Batch, name string, rows []int, whole bool) (arrow.Array, error) {
	at := in.Record.Schema().FieldIndices(name)
	if len(at) != 1 {
		return nil, fmt.Errorf("write events for the worker: the batch has no column %q", name)
	}
	a := in.Record.Column(at[0])
	if whole && len(rows) == a.Len() {
		a.Retain()
		return a, nil
	}
	var parts []arrow.Array
	defer func() {
		for _, part := range parts {
			part.Release()
		}
	}()
	for i := 0; i < len(rows); {
		if rows[i] >= 0 {
			end := i + 1
			for end < len(rows) && rows[end] == rows[end-1]+1 {
				end++
			}
			parts = append(parts, array.NewSlice(a, int64(rows[i]), int64(rows[end-1]+1)))
			i = end
			continue
		}
		part, err := p.lone(in.Groups[-1-rows[i]], name, a.DataType())
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
		i++
	}
	if len(parts) == 0 {
		return array.NewSlice(a, 0, 0), nil
	}
	return array.Concatenate(parts, memory.DefaultAllocator)
}

// inOrder says whether rows are 0, 1, 2 and so on.
func inOrder(rows []int) bool {
	for i, r := range rows {
		if r != i {
			return false
		}
	}
	return true
}

// lone makes the one value of a column at a row without an event.
func (p *input) lone(g run.Group, name string, t arrow.DataType) (arrow.Array, error) {
	for n, f := range p.by {
		if f.Name == name && n < len(g.Key) {
			return one(t, g.Key[n])
		}
	}
	return array.MakeArrayOfNull(memory.DefaultAllocator, t, 1), nil
}

// one makes an array of one canonical value.
func one(t arrow.DataType, v recount.Value) (arrow.Array, error) {
	b := array.NewBuilder(memory.DefaultAllocator, t)
	defer b.Release()
	if v.Null {
		b.AppendNull()
		return b.NewArray(), nil
	}
	if d, ok := b.(*array.Decimal128Builder); ok {
		dt := t.(*arrow.Decimal128Type)
		n, err := decimal128.FromString(v.Text, dt.Precision, dt.Scale)
		if err != nil {
			return nil, err
		}
		d.Append(n)
		return b.NewArray(), nil
	}
	if err := b.AppendValueFromString(v.Text); err != nil {
		return nil, err
	}
	return b.NewArray(), nil
}
