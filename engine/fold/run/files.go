package run

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"recount"
)

// Events are decoded in blocks before they are looked at, whose columns are to stay
// in the processor's caches: of mostBlock rows, or of fewer large ones.
const (
	leastBlock, mostBlock = 256, 8192
	blockBytes            = 1 << 20
)

// blockRows is how many rows of a group are decoded at once.
func (f *eventFile) blockRows(group int) int {
	meta := f.reader.MetaData()
	rows, size := meta.RowGroups[group].NumRows, int64(0)
	for i, s := range f.plan.slots {
		at := meta.Schema.ColumnIndexByName(s.name)
		if at < 0 || f.plan.made(i) || s.width > 0 {
			continue
		}
		if column, err := meta.RowGroup(group).ColumnChunk(at); err == nil {
			size += column.TotalUncompressedSize()
		}
	}
	return int(min(max(blockBytes*rows/max(size, 1), leastBlock), mostBlock))
}

// eventFile reads the slots of a plan from one Parquet file. It is used by one
// goroutine.
type eventFile struct {
	plan    *plan
	reader  *file.Reader
	path    string
	buffers *buffers
	ordinal func(name []byte) uint32
	// wholes are the slots that are read a row group at a time, by slot.
	wholes map[int]*column
}

// recovered turns a panic of the Parquet library into an error: it panics on
// some files that are none.
func recovered(path string, err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("read %q: %v", path, p)
	}
}

func (p *plan) openFile(path string, b *buffers, ordinal func([]byte) uint32) (f *eventFile, err error) {
	defer recovered(path, &err)
	r, err := file.OpenParquetFile(path, false)
	if err != nil {
		return nil, fmt.Errorf("open %q: %w", path, err)
	}
	return &eventFile{plan: p, reader: r, path: path, buffers: b, ordinal: ordinal, wholes: map[int]*column{}}, nil
}

func (f *eventFile) close() error { return f.reader.Close() }

// groups are the row groups that may hold an event which is read.
func (f *eventFile) groups() (groups []int) {
	for g := range f.reader.NumRowGroups() {
		if f.plan.spec.Feed || f.overlaps(g) {
			groups = append(groups, g)
		}
	}
	return groups
}

// overlaps says whether a row group's times, by its statistics, reach into what
// is read.
func (f *eventFile) overlaps(group int) bool {
	i := f.reader.MetaData().Schema.ColumnIndexByName("time")
	if i < 0 {
		return true
	}
	meta, err := f.reader.MetaData().RowGroup(group).ColumnChunk(i)
	if err != nil {
		return true
	}
	stats, err := meta.Statistics()
	if err != nil {
		return true
	}
	times, ok := stats.(*metadata.Int64Statistics)
	if !ok || !times.HasMinMax() {
		return true
	}
	from, to := f.plan.edges()
	return times.Max() >= from && times.Min() < to
}

// edges are those of what is read, in microseconds since 1970.
func (p *plan) edges() (from, to int64) {
	from, to = math.MinInt64, math.MaxInt64
	if !p.spec.Read.From.IsZero() {
		from = p.spec.Read.From.UnixMicro()
	}
	if !p.spec.Read.To.IsZero() {
		to = p.spec.Read.To.UnixMicro()
	}
	return from, to
}

// each calls use for blocks of a group's rows, in order; a block is valid during
// the call alone. lacking names slots that are not in the file and are filled by
// use.
func (f *eventFile) each(ctx context.Context, group int, block *chunk, use func(*chunk) error) (err error) {
	defer recovered(f.path, &err)
	leaves, err := f.leaves(ctx, group)
	defer func() {
		for _, l := range leaves {
			if l != nil {
				err = errors.Join(err, l.chunk.Close())
			}
		}
	}()
	if err != nil {
		return err
	}
	rows := int(f.reader.MetaData().RowGroups[group].NumRows)
	most := f.blockRows(group)
	for at := 0; at < rows; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(most, rows-at)
		for i := range block.columns {
			c := &block.columns[i]
			c.reset()
			switch {
			case f.wholes[i] != nil:
				for row := at; row < at+n; row++ {
					c.appendFrom(f.wholes[i], row)
				}
			case leaves[i] != nil:
				got, err := leaves[i].read(c, n)
				if err != nil {
					return fmt.Errorf("read %q: %w", f.path, err)
				}
				if got != n {
					return fmt.Errorf("read %q: column %q has fewer rows than its group", f.path, f.plan.slots[i].name)
				}
			}
		}
		block.n = n
		if err := use(block); err != nil {
			return err
		}
		at += n
	}
	return nil
}

// leaves opens the columns of a group; nil where a slot is made and not read.
func (f *eventFile) leaves(ctx context.Context, group int) ([]*leaf, error) {
	leaves := make([]*leaf, len(f.plan.slots))
	rg := f.reader.RowGroup(group)
	for i, s := range f.plan.slots {
		if f.plan.made(i) {
			continue
		}
		if s.form == formHeaders {
			whole, err := f.headers(ctx, group)
			if err != nil {
				return leaves, err
			}
			f.wholes[i] = whole
			continue
		}
		at := f.reader.MetaData().Schema.ColumnIndexByName(s.name)
		if at < 0 {
			return leaves, fmt.Errorf("read %q: there is no column %q", f.path, s.name)
		}
		d := f.reader.MetaData().Schema.Column(at)
		if !s.fits(d) || d.MaxRepetitionLevel() > 0 {
			return leaves, fmt.Errorf("read %q: column %q is of type %s", f.path, s.name, d.LogicalType())
		}
		cr, err := rg.Column(at)
		if err != nil {
			return leaves, fmt.Errorf("read %q: column %q: %w", f.path, s.name, err)
		}
		leaves[i] = &leaf{slot: s, chunk: cr, optional: d.MaxDefinitionLevel() > 0, ordinal: f.ordinal, buffers: f.buffers}
	}
	return leaves, nil
}

// made says that a slot is computed, and in no file.
func (p *plan) made(i int) bool {
	return p.keyOwn && i == p.key || i == p.place || i == p.hit && !p.spec.Feed
}

// headers reads the lists of headers of a group.
func (f *eventFile) headers(ctx context.Context, group int) (*column, error) {
	r, err := pqarrow.NewFileReader(f.reader, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", f.path, err)
	}
	var leaves []int
	sc := f.reader.MetaData().Schema
	for i := range sc.NumColumns() {
		if path := sc.Column(i).ColumnPath(); len(path) > 1 && path[0] == "headers" {
			leaves = append(leaves, i)
		}
	}
	records, err := r.GetRecordReader(ctx, leaves, []int{group})
	if err != nil {
		return nil, fmt.Errorf("read headers of %q: %w", f.path, err)
	}
	defer records.Release()
	out := &column{}
	for {
		record, err := records.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read headers of %q: %w", f.path, err)
		}
		lists, ok := record.Column(0).(*array.List)
		if !ok {
			return nil, fmt.Errorf("read headers of %q: they are %s", f.path, record.Column(0).DataType())
		}
		if err := appendLists(out, lists); err != nil {
			return nil, fmt.Errorf("read headers of %q: %w", f.path, err)
		}
	}
}

func appendLists(out *column, lists *array.List) error {
	pairs, ok := lists.ListValues().(*array.Struct)
	if !ok || pairs.NumField() != 2 {
		return fmt.Errorf("they hold %s", lists.ListValues().DataType())
	}
	for row := range lists.Len() {
		if lists.IsNull(row) {
			out.appendNull()
			continue
		}
		from, to := lists.ValueOffsets(row)
		for i := int(from); i < int(to); i++ {
			for part := range 2 {
				out.data = appendOptional(out.data, pairs.Field(part), i)
			}
		}
		out.end(true)
	}
	return nil
}

// appendOptional adds a value's length plus one, 0 for NULL, and its bytes.
func appendOptional(b []byte, values arrow.Array, i int) []byte {
	if values.IsNull(i) {
		return append(b, 0)
	}
	var v []byte
	switch a := values.(type) {
	case *array.String:
		v = []byte(a.Value(i))
	case *array.Binary:
		v = a.Value(i)
	}
	b = binary.AppendUvarint(b, uint64(len(v))+1)
	return append(b, v...)
}

// parseHeaders reads what appendLists wrote of a row.
func parseHeaders(b []byte) (headers []recount.Header) {
	next := func() (v []byte) {
		n, size := binary.Uvarint(b)
		b = b[size:]
		if n == 0 {
			return nil
		}
		v, b = b[:n-1:n-1], b[n-1:]
		return v
	}
	for len(b) > 0 {
		name := next()
		headers = append(headers, recount.Header{Name: string(name), Value: next()})
	}
	return headers
}
