package eventfile

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"slices"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"

	"recount"
)

// Part is one row group of a file.
type Part struct {
	File  *File
	Group int
}

// joinedBytes bounds the unpacked bytes of a row group that is joined of several.
const joinedBytes = 32 << 20

// Join writes all rows of files with the columns of meta, in their order, as one
// file. Values are copied column by column, as they stand; row groups that are
// small become large ones. It takes the room of a few pages.
func Join(w io.Writer, meta Meta, files []*File) error {
	node, err := eventSchema(meta.Fields)
	if err != nil {
		return err
	}
	kv, err := eventMetadata(meta)
	if err != nil {
		return err
	}
	props := eventProps(meta.Fields, func(field int) bool { return dictionary(files, envelopeColumns+field) })
	pw, err := file.NewParquetWriterWithError(w, node, file.WithWriterProps(props), file.WithWriteMetadata(kv))
	if err != nil {
		return fmt.Errorf("begin event file: %w", err)
	}
	for _, parts := range together(files) {
		if err := joinGroup(pw, parts); err != nil {
			return err
		}
	}
	if err := pw.Close(); err != nil {
		return fmt.Errorf("end event file: %w", err)
	}
	return nil
}

// dictionary says whether a column has a dictionary in the largest row group.
func dictionary(files []*File, column int) bool {
	var rows int64
	has := false
	for _, f := range files {
		for group := range f.Groups() {
			if f.Rows(group) <= rows {
				continue
			}
			chunk, err := f.r.MetaData().RowGroup(group).ColumnChunk(column)
			if err != nil {
				continue
			}
			rows, has = f.Rows(group), chunk.HasDictionaryPage()
		}
	}
	return has
}

// together shares out the row groups of files: those of one list become one.
func together(files []*File) [][]Part {
	var lists [][]Part
	var rows, bytes int64
	for _, f := range files {
		for group := range f.Groups() {
			n, size := f.Rows(group), f.r.MetaData().RowGroups[group].GetTotalByteSize()
			if len(lists) == 0 || rows+n > MaxGroupRows || bytes+size > joinedBytes {
				lists, rows, bytes = append(lists, nil), 0, 0
			}
			last := len(lists) - 1
			lists[last] = append(lists[last], Part{File: f, Group: group})
			rows, bytes = rows+n, bytes+size
		}
	}
	return lists
}

func joinGroup(pw *file.Writer, parts []Part) (err error) {
	defer recovered(&err)
	group, err := pw.AppendRowGroupChecked()
	if err != nil {
		return fmt.Errorf("begin row group: %w", err)
	}
	for i := range pw.Schema.NumColumns() {
		cw, err := group.NextColumn()
		if err != nil {
			return fmt.Errorf("begin column %d: %w", i, err)
		}
		for _, p := range parts {
			if err := p.File.leaves(p.Group, i, func(b leafBatch) error { return b.write(cw) }); err != nil {
				return fmt.Errorf("copy column %q: %w", cw.Descr().Name(), err)
			}
		}
		if err := cw.Close(); err != nil {
			return fmt.Errorf("end column %q: %w", cw.Descr().Name(), err)
		}
	}
	if err := group.Close(); err != nil {
		return fmt.Errorf("end row group: %w", err)
	}
	return nil
}

// leafBatch is some values of a column with their levels.
type leafBatch struct {
	defs, reps []int16 // nil where the column has none
	levels     int     // how many: rows, or elements of lists
	full       int16   // the definition level that has a value
	values     any     // []int64, []parquet.ByteArray …
}

type chunkReader[T any] interface {
	ReadBatchInPage(batchSize int64, values []T, defs, reps []int16) (total int64, read int, err error)
}

type chunkWriter[T any] interface {
	WriteBatch(values []T, defs, reps []int16) (int64, error)
}

// leaves hands over a column of a row group by batches, which are valid during
// the call alone.
func (f *File) leaves(group, column int, each func(leafBatch) error) (err error) {
	defer recovered(&err)
	chunk, err := f.r.RowGroup(group).Column(column)
	if err != nil {
		return err
	}
	defer func() { _ = chunk.Close() }()
	switch cr := chunk.(type) {
	case *file.Int64ColumnChunkReader:
		return batches[int64](chunk, cr, each)
	case *file.Int32ColumnChunkReader:
		return batches[int32](chunk, cr, each)
	case *file.Float64ColumnChunkReader:
		return batches[float64](chunk, cr, each)
	case *file.BooleanColumnChunkReader:
		return batches[bool](chunk, cr, each)
	case *file.ByteArrayColumnChunkReader:
		return batches[parquet.ByteArray](chunk, cr, each)
	case *file.FixedLenByteArrayColumnChunkReader:
		return batches[parquet.FixedLenByteArray](chunk, cr, each)
	}
	return fmt.Errorf("it has physical type %s, which no event file has", chunk.Type())
}

func batches[T any](chunk file.ColumnChunkReader, cr chunkReader[T], each func(leafBatch) error) error {
	values := make([]T, batchRows)
	full := chunk.Descriptor().MaxDefinitionLevel()
	var defs, reps []int16
	if full > 0 {
		defs = make([]int16, batchRows)
	}
	if chunk.Descriptor().MaxRepetitionLevel() > 0 {
		reps = make([]int16, batchRows)
	}
	for chunk.HasNext() {
		n, read, err := cr.ReadBatchInPage(batchRows, values, defs, reps)
		if err != nil {
			return err
		}
		if full == 0 {
			n = int64(read)
		}
		if n == 0 {
			break
		}
		b := leafBatch{levels: int(n), full: full, values: values[:read]}
		if defs != nil {
			b.defs = defs[:n]
		}
		if reps != nil {
			b.reps = reps[:n]
		}
		if err := each(b); err != nil {
			return err
		}
	}
	return chunk.Err()
}

func (b leafBatch) write(cw file.ColumnChunkWriter) error {
	switch values := b.values.(type) {
	case []int64:
		return put(cw, values, b)
	case []int32:
		return put(cw, values, b)
	case []float64:
		return put(cw, values, b)
	case []bool:
		return put(cw, values, b)
	case []parquet.ByteArray:
		return put(cw, values, b)
	case []parquet.FixedLenByteArray:
		return put(cw, values, b)
	}
	return errors.New("values of an unknown type")
}

func put[T any](cw file.ColumnChunkWriter, values []T, b leafBatch) error {
	typed, ok := cw.(chunkWriter[T])
	if !ok {
		return fmt.Errorf("the column has another type: %s", cw.Type())
	}
	defs := b.defs
	if full := cw.Descr().MaxDefinitionLevel(); full > 0 && defs == nil { // an older file has the column required
		defs = slices.Repeat([]int16{full}, b.levels)
	}
	_, err := typed.WriteBatch(values, defs, b.reps)
	return err
}

// Content is a digest of rows: of each value of each column, in the order of the
// rows. It does not depend on how rows are shared out among files, row groups and
// pages, nor on their encoding.
type Content struct {
	columns []hash.Hash
	rows    int64
	buf     []byte
}

// NewContent returns the digest of no rows of files with these typed columns.
func NewContent(fields []recount.Field) *Content {
	c := &Content{}
	for range envelopeColumns + len(fields) {
		c.columns = append(c.columns, sha256.New())
	}
	return c
}

// Add adds all rows of a file.
func (c *Content) Add(f *File) error {
	if n := f.r.MetaData().Schema.NumColumns(); n != len(c.columns) {
		return fmt.Errorf("it has %d columns, not %d", n, len(c.columns))
	}
	for group := range f.Groups() {
		for i, sum := range c.columns {
			if err := f.leaves(group, i, func(b leafBatch) error { return c.add(sum, b) }); err != nil {
				return fmt.Errorf("read column %d: %w", i, err)
			}
		}
		c.rows += f.Rows(group)
	}
	return nil
}

// Sum is the digest of all rows that were added, in hex.
func (c *Content) Sum() string {
	all := sha256.New()
	_ = binary.Write(all, binary.LittleEndian, c.rows) // a hash takes all bytes
	for _, sum := range c.columns {
		all.Write(sum.Sum(nil))
	}
	return hex.EncodeToString(all.Sum(nil))
}

// add frames each value by whether there is one, in lists by its levels, and bytes
// by their length.
func (c *Content) add(sum hash.Hash, b leafBatch) error {
	value, err := b.appender()
	if err != nil {
		return err
	}
	out, at := c.buf[:0], 0
	for i := range b.levels {
		full := true
		if b.defs != nil {
			full = b.defs[i] == b.full
		}
		switch {
		case b.reps != nil:
			out = append(out, byte(b.defs[i]), byte(b.reps[i]))
		case full: // whether the column may lack it or not
			out = append(out, 1)
		default:
			out = append(out, 0)
		}
		if full {
			out = value(out, at)
			at++
		}
		const often = 64 << 10
		if len(out) > often {
			sum.Write(out)
			out = out[:0]
		}
	}
	sum.Write(out)
	c.buf = out
	return nil
}

// appender returns what appends the nth value to bytes.
func (b leafBatch) appender() (func(out []byte, n int) []byte, error) {
	long := func(out []byte, v uint64) []byte { return binary.LittleEndian.AppendUint64(out, v) }
	text := func(out, v []byte) []byte { return append(long(out, uint64(len(v))), v...) }
	switch v := b.values.(type) {
	case []int64:
		return func(out []byte, n int) []byte { return long(out, uint64(v[n])) }, nil
	case []int32:
		return func(out []byte, n int) []byte { return long(out, uint64(v[n])) }, nil
	case []float64:
		return func(out []byte, n int) []byte { return long(out, math.Float64bits(v[n])) }, nil
	case []bool:
		return func(out []byte, n int) []byte {
			if v[n] {
				return append(out, 1)
			}
			return append(out, 0)
		}, nil
	case []parquet.ByteArray:
		return func(out []byte, n int) []byte { return text(out, v[n]) }, nil
	case []parquet.FixedLenByteArray:
		return func(out []byte, n int) []byte { return text(out, v[n]) }, nil
	}
	return nil, errors.New("values of an unknown type")
}
