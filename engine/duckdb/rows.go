package duckdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"recount"
)

// batchRows is how many rows are in memory at once, besides the pages they come
// from.
const batchRows = 8192

// parquetFile reads a file that the child wrote, batch by batch. The file is
// removed when it is closed.
type parquetFile struct {
	path  string
	file  *file.Reader
	batch pqarrow.RecordReader
}

func openParquet(ctx context.Context, path string) (*parquetFile, error) {
	f, err := file.OpenParquetFile(path, false)
	if err != nil {
		return nil, fmt.Errorf("open %q: %w", path, err)
	}
	r, err := pqarrow.NewFileReader(f, pqarrow.ArrowReadProperties{BatchSize: batchRows}, memory.DefaultAllocator)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %q: %w", path, err), f.Close())
	}
	batch, err := r.GetRecordReader(ctx, nil, nil)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %q: %w", path, err), f.Close())
	}
	return &parquetFile{path: path, file: f, batch: batch}, nil
}

func (p *parquetFile) close() error {
	p.batch.Release()
	return errors.Join(p.file.Close(), os.Remove(p.path))
}

// rows are the rows of one run, read from the child's file.
type rows struct {
	*parquetFile
	shape   recount.Shape
	where   string
	record  arrow.RecordBatch
	columns []appender
	at      int
	row     recount.Row
	last    []recount.Value
	text    []byte
	ends    []int
	read    int64
	err     error
	done    bool
}

func openRows(ctx context.Context, path string, shape recount.Shape, where string) (*rows, error) {
	f, err := openParquet(ctx, path)
	if err != nil {
		return nil, err
	}
	n := len(shape.Key) + len(shape.Values)
	return &rows{
		parquetFile: f, shape: shape, where: where, columns: make([]appender, n), ends: make([]int, n),
		row: recount.Row{Key: make([]recount.Value, len(shape.Key)), Values: make([]recount.Value, len(shape.Values))},
	}, nil
}

func (r *rows) Shape() recount.Shape { return r.shape }

func (r *rows) Err() error { return r.err }

func (r *rows) Close() error {
	if r.done {
		return nil
	}
	r.done = true
	return r.close()
}

func (r *rows) Next() (recount.Row, bool) {
	if r.err != nil || r.done {
		return recount.Row{}, false
	}
	for r.record == nil || r.at == int(r.record.NumRows()) {
		if !r.fill() {
			return recount.Row{}, false
		}
	}
	if r.err = r.take(); r.err != nil {
		return recount.Row{}, false
	}
	r.at++
	return r.row, true
}

// fill reads the next batch.
func (r *rows) fill() bool {
	record, err := r.batch.Read()
	if errors.Is(err, io.EOF) {
		return false
	}
	if err != nil {
		r.err = fmt.Errorf("read rows: %w", err)
		return false
	}
	r.record, r.at = record, 0
	for i := range r.columns {
		if r.columns[i], err = newAppender(record.Column(i), r.column(i).Type); err != nil {
			r.err = fmt.Errorf("read column %s: %w", r.column(i).Name, err)
			return false
		}
	}
	return true
}

func (r *rows) column(i int) recount.Column {
	if i < len(r.shape.Key) {
		return r.shape.Key[i]
	}
	return r.shape.Values[i-len(r.shape.Key)]
}

// null marks a NULL among ends.
const null = -1

// take makes the row at r.at. All texts of a row share one string: few
// allocations, and a row that is kept keeps no batch alive.
func (r *rows) take() error {
	r.text = r.text[:0]
	for i, c := range r.columns {
		if c.values.IsNull(r.at) {
			r.ends[i] = null
			continue
		}
		var err error
		if r.text, err = c.add(r.text, r.at); err != nil {
			return fmt.Errorf("read column %s: %w", r.column(i).Name, err)
		}
		r.ends[i] = len(r.text)
	}
	all, start := string(r.text), 0
	r.last = append(r.last[:0], r.row.Key...)
	for i, end := range r.ends {
		v := recount.Null
		if end != null {
			v = recount.Value{Text: all[start:end]}
			start = end
		}
		if i < len(r.row.Key) {
			r.row.Key[i] = v
		} else {
			r.row.Values[i-len(r.row.Key)] = v
		}
	}
	return r.checkKey()
}

// checkKey refuses a key that is NULL or stands twice; the order that shows the
// second is checked too.
func (r *rows) checkKey() error {
	for i, v := range r.row.Key {
		if v.Null {
			return r.badKey("a row of the result has NULL in its key column "+r.shape.Key[i].Name, r.keyText())
		}
	}
	r.read++
	if r.read == 1 || len(r.row.Key) == 0 {
		return nil
	}
	switch order := compareKeys(r.last, r.row.Key); {
	case order == 0:
		return r.twice()
	case order > 0:
		return fmt.Errorf("read rows: key %s comes after one that sorts behind it", r.keyText())
	}
	return nil
}

// compareKeys orders keys as recount.KeyText does, without making the texts.
func compareKeys(a, b []recount.Value) int {
	for i := range a {
		if c := strings.Compare(a[i].Text, b[i].Text); c != 0 {
			return c
		}
	}
	return 0
}

func (r *rows) twice() error { return r.badKey("the result has a key twice", r.keyText()) }

func (r *rows) badKey(why, key string) error {
	return &recount.Error{
		Code: recount.CodeResultKey, What: "the result has no unique key", Where: r.where, Why: why + ": " + key,
		Next: "name in `key` the columns that tell rows apart, group the SQL by them, and keep NULL out with WHERE",
	}
}

// keyText shows the key to a person.
func (r *rows) keyText() string {
	var parts []string
	for i, v := range r.row.Key {
		parts = append(parts, r.shape.Key[i].Name+"="+v.String())
	}
	return strings.Join(parts, ", ")
}
