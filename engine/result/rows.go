// Package result reads the Parquet files in which engines write rows: the columns
// of a result in order, each in the form of its type or as canonical text.
package result

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

// File reads a Parquet file batch by batch.
type File struct {
	path  string
	file  *file.Reader
	batch pqarrow.RecordReader
	keep  bool
}

// Open opens a file that is removed when it is closed.
func Open(ctx context.Context, path string) (*File, error) { return open(ctx, path, nil) }

// open reads the leaf columns named; nil: all.
func open(ctx context.Context, path string, columns []string) (*File, error) {
	f, err := file.OpenParquetFile(path, false)
	if err != nil {
		return nil, fmt.Errorf("open %q: %w", path, err)
	}
	var leaves []int
	for _, name := range columns {
		i := f.MetaData().Schema.ColumnIndexByName(name)
		if i < 0 {
			return nil, errors.Join(fmt.Errorf("open %q: there is no column %q", path, name), f.Close())
		}
		leaves = append(leaves, i)
	}
	r, err := pqarrow.NewFileReader(f, pqarrow.ArrowReadProperties{BatchSize: batchRows}, memory.DefaultAllocator)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %q: %w", path, err), f.Close())
	}
	batch, err := r.GetRecordReader(ctx, leaves, nil)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %q: %w", path, err), f.Close())
	}
	return &File{path: path, file: f, batch: batch}, nil
}

// Next returns the next batch, which is valid until the next call, or io.EOF.
func (f *File) Next() (arrow.RecordBatch, error) { return f.batch.Read() }

// Close closes the file and removes it.
func (f *File) Close() error {
	f.batch.Release()
	err := f.file.Close()
	if f.keep {
		return err
	}
	return errors.Join(err, os.Remove(f.path))
}

// Of is whose result rows are, for messages.
type Of struct {
	Where string // names the logic
	Fold  bool   // it is a fold: no SQL
}

// Rows are the rows of one run, in key order.
type Rows struct {
	file    *File
	shape   recount.Shape
	of      Of
	record  arrow.RecordBatch
	columns []Appender
	at      int
	row     recount.Row
	last    []recount.Value
	text    []byte
	ends    []int
	read    int64
	err     error
	done    bool
}

// OpenRows opens a file of rows sorted by key: its columns are those of the
// shape, key first. The file is removed when the rows are closed. of names the
// logic in messages.
func OpenRows(ctx context.Context, path string, shape recount.Shape, of Of) (*Rows, error) {
	f, err := Open(ctx, path)
	if err != nil {
		return nil, err
	}
	n := len(shape.Key) + len(shape.Values)
	return &Rows{
		file: f, shape: shape, of: of, columns: make([]Appender, n), ends: make([]int, n),
		row: recount.Row{Key: make([]recount.Value, len(shape.Key)), Values: make([]recount.Value, len(shape.Values))},
	}, nil
}

// Shape gives the columns.
func (r *Rows) Shape() recount.Shape { return r.shape }

// Err tells why Next ended.
func (r *Rows) Err() error { return r.err }

// Path is the file, as long as the rows are not closed.
func (r *Rows) Path() (path string, open bool) { return r.file.path, !r.done }

// Close removes the file.
func (r *Rows) Close() error {
	if r.done {
		return nil
	}
	r.done = true
	return r.file.Close()
}

// Next returns the next row, which is valid until the next call.
func (r *Rows) Next() (recount.Row, bool) {
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
func (r *Rows) fill() bool {
	record, err := r.file.Next()
	if errors.Is(err, io.EOF) {
		return false
	}
	if err != nil {
		r.err = fmt.Errorf("read rows: %w", err)
		return false
	}
	r.record, r.at = record, 0
	for i := range r.columns {
		if r.columns[i], err = NewAppender(record.Column(i), r.column(i).Type); err != nil {
			r.err = fmt.Errorf("read column %s: %w", r.column(i).Name, err)
			return false
		}
	}
	return true
}

func (r *Rows) column(i int) recount.Column {
	if i < len(r.shape.Key) {
		return r.shape.Key[i]
	}
	return r.shape.Values[i-len(r.shape.Key)]
}

// null marks a NULL among ends.
const null = -1

// take makes the row at r.at. All texts of a row share one string: few
// allocations, and a row that is kept keeps no batch alive.
func (r *Rows) take() error {
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
func (r *Rows) checkKey() error {
	for i, v := range r.row.Key {
		if v.Null {
			return NoKey(r.shape, r.row.Key, i, r.of)
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
		return fmt.Errorf("read rows: key %s comes after one that sorts behind it", KeyText(r.shape, r.row.Key))
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

func (r *Rows) twice() error { return Twice(r.shape, r.row.Key, r.of) }

// Twice is the error of a result that has a key twice.
func Twice(shape recount.Shape, key []recount.Value, of Of) error {
	return of.badKey("the result has a key twice", KeyText(shape, key))
}

// NoKey is the error of a row with NULL in the key column numbered column.
func NoKey(shape recount.Shape, key []recount.Value, column int, of Of) error {
	return of.badKey("a row of the result has NULL in its key column "+shape.Key[column].Name, KeyText(shape, key))
}

func (of Of) badKey(why, key string) error {
	next := "name in `key` the columns that tell rows apart, group the SQL by them, and keep NULL out with WHERE"
	if of.Fold {
		next = "name in `key` the columns that tell rows apart, and let the fold fill them in every row; rows of different keys of `by` must differ in them"
	}
	return &recount.Error{Code: recount.CodeResultKey, What: "the result has no unique key", Where: of.Where, Why: why + ": " + key, Next: next}
}

// KeyText shows a key to a person.
func KeyText(shape recount.Shape, key []recount.Value) string {
	var parts []string
	for i, v := range key {
		parts = append(parts, shape.Key[i].Name+"="+v.String())
	}
	return strings.Join(parts, ", ")
}
