package eventfile

import (
	"errors"
	"fmt"
	"time"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/metadata"

	"recount"
)

// File reads a file of events or of marks, column by column and row group by row
// group. Its bytes must have been verified. It is used by one goroutine.
type File struct {
	r      *file.Reader
	levels []int16
	bytes  []parquet.ByteArray
	longs  []int64
}

// Open reads the footer.
func Open(r parquet.ReaderAtSeeker) (f *File, err error) {
	defer recovered(&err)
	pr, err := file.NewParquetReader(r)
	if err != nil {
		return nil, fmt.Errorf("read footer: %w", err)
	}
	return &File{r: pr}, nil
}

// recovered turns a panic of the Parquet library into an error: it panics on
// some files that are none.
func recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("read parquet: %v", p)
	}
}

// Close ends the reading; the file under it stays open.
func (f *File) Close() error {
	// The library closes what it was given where that can be closed.
	return f.r.Close()
}

// Groups is the number of row groups.
func (f *File) Groups() int { return f.r.NumRowGroups() }

// Rows is the number of rows, of one group or, for -1, of all.
func (f *File) Rows(group int) int64 {
	if group < 0 {
		return f.r.NumRows()
	}
	return f.r.MetaData().RowGroups[group].NumRows
}

// Meta returns what the file says of itself.
func (f *File) Meta() Meta {
	kv := f.r.MetaData().KeyValueMetadata()
	get := func(key string) string {
		if v := kv.FindValue(key); v != nil {
			return *v
		}
		return ""
	}
	return Meta{Stream: get("recount.stream"), Format: get("recount.payload"), Header: get("recount.header")}
}

// ErrNoColumn says that a file lacks a column.
var ErrNoColumn = errors.New("no such column")

func (f *File) chunk(group int, column string) (file.ColumnChunkReader, error) {
	i := f.r.MetaData().Schema.ColumnIndexByName(column)
	if i < 0 {
		return nil, fmt.Errorf("column %q: %w", column, ErrNoColumn)
	}
	chunk, err := f.r.RowGroup(group).Column(i)
	if err != nil {
		return nil, fmt.Errorf("column %q: %w", column, err)
	}
	return chunk, nil
}

// buffers makes room for a batch of a group's rows.
func (f *File) buffers(group int) {
	n := int(min(f.Rows(group), batchRows))
	if len(f.levels) < n {
		f.levels = make([]int16, n)
		f.bytes = make([]parquet.ByteArray, n)
		f.longs = make([]int64, n)
	}
}

// Texts calls each for every row of a column of byte strings; v is nil where
// there is none, and valid during the call alone.
func (f *File) Texts(group int, column string, each func(row int, v []byte) error) (err error) {
	defer recovered(&err)
	chunk, err := f.chunk(group, column)
	if err != nil {
		return err
	}
	defer func() { _ = chunk.Close() }()
	cr, ok := chunk.(*file.ByteArrayColumnChunkReader)
	if !ok {
		return fmt.Errorf("column %q is no text", column)
	}
	f.buffers(group)
	return forRows(chunk, f.levels, func(defs []int16) (int64, int, error) {
		// Values point into their page, so a batch must not go past its end.
		return cr.ReadBatchInPage(int64(len(f.bytes)), f.bytes, defs, nil)
	}, func(row, value int) error {
		if value < 0 {
			return each(row, nil)
		}
		v := []byte(f.bytes[value])
		if v == nil {
			v = []byte{}
		}
		return each(row, v)
	})
}

// Longs calls each for every row of a column of INT64.
func (f *File) Longs(group int, column string, each func(row int, v int64, ok bool) error) (err error) {
	defer recovered(&err)
	chunk, err := f.chunk(group, column)
	if err != nil {
		return err
	}
	defer func() { _ = chunk.Close() }()
	cr, ok := chunk.(*file.Int64ColumnChunkReader)
	if !ok {
		return fmt.Errorf("column %q is no int64", column)
	}
	f.buffers(group)
	return forRows(chunk, f.levels, func(defs []int16) (int64, int, error) {
		return cr.ReadBatchInPage(int64(len(f.longs)), f.longs, defs, nil)
	}, func(row, value int) error {
		if value < 0 {
			return each(row, 0, false)
		}
		return each(row, f.longs[value], true)
	})
}

// forRows walks a column that has at most one value a row. value is -1 for none.
func forRows(chunk file.ColumnChunkReader, levels []int16, read func(defs []int16) (int64, int, error), each func(row, value int) error) error {
	optional := chunk.Descriptor().MaxDefinitionLevel() > 0
	row := 0
	for chunk.HasNext() {
		defs := levels
		if !optional {
			defs = nil
		}
		n, values, err := read(defs)
		if err != nil {
			return err
		}
		if !optional {
			n = int64(values)
		}
		if n == 0 {
			break
		}
		value := 0
		for i := range int(n) {
			at := -1
			if !optional || levels[i] > 0 {
				at = value
				value++
			}
			if err := each(row, at); err != nil {
				return err
			}
			row++
		}
	}
	return chunk.Err()
}

// TextSpan returns the smallest and largest value of a column of byte strings in
// a row group, by its statistics; false where there are none.
func (f *File) TextSpan(group int, column string) (low, high string, ok bool) {
	i := f.r.MetaData().Schema.ColumnIndexByName(column)
	if i < 0 {
		return "", "", false
	}
	chunk, err := f.r.MetaData().RowGroup(group).ColumnChunk(i)
	if err != nil {
		return "", "", false
	}
	stats, err := chunk.Statistics()
	if err != nil {
		return "", "", false
	}
	texts, isText := stats.(*metadata.ByteArrayStatistics)
	if !isText || !texts.HasMinMax() {
		return "", "", false
	}
	return string(texts.Min()), string(texts.Max()), true
}

// Stored is one event of a file.
type Stored struct {
	Seq       int64
	TimeKnown bool
	recount.Event
}

// Events reads the envelope of the wanted rows of a group, in order; a nil wanted
// means all. Fields are left out: they are derived from Data.
func (f *File) Events(group int, wanted func(row int) bool) (events []Stored, err error) {
	defer recovered(&err)
	at := map[int]int{}
	for row := range int(f.Rows(group)) {
		if wanted == nil || wanted(row) {
			at[row] = len(at)
		}
	}
	events = make([]Stored, len(at))
	event := func(row int) *Stored {
		if i, ok := at[row]; ok {
			return &events[i]
		}
		return nil
	}
	texts := func(column string, set func(e *Stored, v []byte)) {
		if err == nil {
			err = f.Texts(group, column, func(row int, v []byte) error {
				if e := event(row); e != nil && v != nil {
					set(e, v)
				}
				return nil
			})
		}
	}
	longs := func(column string, set func(e *Stored, v int64)) {
		if err == nil {
			err = f.Longs(group, column, func(row int, v int64, ok bool) error {
				if e := event(row); e != nil && ok {
					set(e, v)
				}
				return nil
			})
		}
	}
	longs("seq", func(e *Stored, v int64) { e.Seq = v })
	texts("id", func(e *Stored, v []byte) { e.ID = string(v) })
	texts("type", func(e *Stored, v []byte) { e.Type = string(v) })
	texts("partition", func(e *Stored, v []byte) { e.Partition = string(v) })
	texts("position", func(e *Stored, v []byte) { e.Position = string(v) })
	longs("time", func(e *Stored, v int64) { e.Time, e.TimeKnown = time.UnixMicro(v).UTC(), true })
	longs("ingest_time", func(e *Stored, v int64) { e.IngestTime = time.UnixMicro(v).UTC() })
	texts("key", func(e *Stored, v []byte) { e.Key = append([]byte{}, v...) })
	texts("data", func(e *Stored, v []byte) { e.Data = append([]byte{}, v...) })
	texts("fault", func(e *Stored, v []byte) { e.Fault = string(v) })
	if err == nil {
		err = f.headers(group, event)
	}
	if err != nil {
		return nil, err
	}
	return events, nil
}

// headers reads the list of headers; it is the one column with several values a
// row.
func (f *File) headers(group int, event func(row int) *Stored) error {
	row := -1
	if err := f.leaf(group, "headers.list.element.name", func(def, rep int16, v []byte) {
		if rep == 0 {
			row++
		}
		e := event(row)
		if e == nil || def == defNoList {
			return
		}
		if e.Headers == nil {
			e.Headers = []recount.Header{}
		}
		if def >= defElement {
			e.Headers = append(e.Headers, recount.Header{Name: string(v)})
		}
	}); err != nil {
		return err
	}
	row = -1
	element := 0
	return f.leaf(group, "headers.list.element.value", func(def, rep int16, v []byte) {
		if rep == 0 {
			row++
			element = 0
		}
		if e := event(row); e != nil && def == defValue {
			e.Headers[element].Value = append([]byte{}, v...)
		}
		element++
	})
}

// leaf walks a column of byte strings with its levels. v is nil where def says
// that there is no value.
func (f *File) leaf(group int, column string, each func(def, rep int16, v []byte)) error {
	chunk, err := f.chunk(group, column)
	if err != nil {
		return err
	}
	defer func() { _ = chunk.Close() }()
	cr, ok := chunk.(*file.ByteArrayColumnChunkReader)
	if !ok {
		return fmt.Errorf("column %q is no text", column)
	}
	f.buffers(group)
	full := chunk.Descriptor().MaxDefinitionLevel()
	reps := make([]int16, len(f.levels))
	for chunk.HasNext() {
		n, _, err := cr.ReadBatchInPage(int64(len(f.bytes)), f.bytes, f.levels, reps)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		value := 0
		for i := range int(n) {
			var v []byte
			if f.levels[i] == full {
				v = f.bytes[value]
				value++
			}
			each(f.levels[i], reps[i], v)
		}
	}
	return chunk.Err()
}
