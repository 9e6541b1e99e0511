package run

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"recount"
	"recount/engine/result"
)

// groupRows bounds what the writer and the reader of rows hold in memory.
const groupRows = 32768

// write joins what the parts gave into the spec's files.
func (r *runner) write(ctx context.Context) error {
	if r.spec.Out != "" {
		if err := r.writeRows(ctx); err != nil {
			return err
		}
	}
	if r.spec.Effects == "" {
		return nil
	}
	names := effectColumns
	w, err := newWriter(r.spec.Effects, names)
	if err != nil {
		return err
	}
	return w.finish(merge(ctx, r.sources(func(d *results) *records { return d.effects }), func(s *source) error {
		r.result.Effects++
		return w.add(parseValues(nil, s.values, len(names)))
	}))
}

// effectColumns are those of a file of effects.
var effectColumns = []string{"kind", "key", "seq", "partition", "position", "id", "time", "payload"}

func (r *runner) writeRows(ctx context.Context) error {
	names := outColumns(r.spec)
	w, err := newWriter(r.spec.Out, names)
	if err != nil {
		return err
	}
	shape := r.spec.Shape
	var row []recount.Value
	last, any := "", false
	return w.finish(merge(ctx, r.sources(func(d *results) *records { return d.rows }), func(s *source) error {
		key := string(s.sort)
		if r.named() || r.tried() {
			check := r.checkShown
			if r.tried() {
				check = r.checkTried
			}
			row = parseValues(row[:0], s.values, len(names))
			if err := check(row, key == last && any); err != nil {
				return err
			}
		} else {
			row = append(row[:0], parseKey(key, len(shape.Key))...)
			for i, v := range row {
				if v.Null {
					return result.NoKey(shape, row, i, r.of())
				}
			}
			if any && key == last && len(shape.Key) > 0 {
				return result.Twice(shape, row, r.of())
			}
			row = parseValues(row, s.values, len(shape.Values))
		}
		last, any = key, true
		r.result.Rows++
		return w.add(row)
	}))
}

// of says whose rows they are.
func (r *runner) of() result.Of { return result.Of{Where: r.spec.Where, Fold: true} }

func (r *runner) named() bool { return r.spec.Show || r.spec.Alone }

// checkShown refuses a shown row whose key is NULL or stands twice after one event.
func (r *runner) checkShown(row []recount.Value, twice bool) error {
	own := len(r.spec.By) + len(shownOwn)
	if row[own-1].Text != "true" {
		return nil
	}
	key := row[own : own+len(r.spec.Shape.Key)]
	for i, v := range key {
		if v.Null {
			return result.NoKey(r.spec.Shape, key, i, r.of())
		}
	}
	if twice && len(key) > 0 {
		return result.Twice(r.spec.Shape, key, r.of())
	}
	return nil
}

// triedColumn is the column of an attempt's number in a file of rows.
const triedColumn = "attempt"

// checkTried refuses a row of an attempt whose key is NULL or stands there twice.
func (r *runner) checkTried(row []recount.Value, twice bool) error {
	key := row[1 : 1+len(r.spec.Shape.Key)]
	for i, v := range key {
		if v.Null {
			return result.NoKey(r.spec.Shape, key, i, r.of())
		}
	}
	if twice && len(key) > 0 {
		return result.Twice(r.spec.Shape, key, r.of())
	}
	return nil
}

// outColumns names the columns of Out: k0, k1… for the key and v0, v1… for the
// values, as the other engine does; of shown rows, what stands before them too.
func outColumns(s *Spec) (names []string) {
	if s.Show || s.Alone {
		for i := range s.By {
			names = append(names, fmt.Sprintf("by%d", i))
		}
		names = append(names, shownOwn...)
	}
	if s.Single != nil || s.Several > 0 {
		names = append(names, triedColumn)
	}
	for i := range s.Shape.Key {
		names = append(names, fmt.Sprintf("k%d", i))
	}
	for i := range s.Shape.Values {
		names = append(names, fmt.Sprintf("v%d", i))
	}
	return names
}

// sources are the records of all parts.
func (r *runner) sources(of func(*results) *records) (all []*source) {
	for n, d := range r.done {
		if d != nil {
			all = append(all, of(d).sources(n)...)
		}
	}
	return all
}

// parseValues reads n values that appendValues wrote.
func parseValues(to []recount.Value, b []byte, n int) []recount.Value {
	all := string(b)
	at := 0
	for range n {
		size, used := binary.Uvarint(b[at:])
		at += used
		if size == 0 {
			to = append(to, recount.Null)
			continue
		}
		end := at + int(size) - 1 //nolint:gosec // a length of ours
		to = append(to, recount.Text(all[at:end]))
		at = end
	}
	return to
}

// parseKey reads the values that make a recount.KeyText.
func parseKey(text string, n int) (key []recount.Value) {
	if n == 1 && !strings.Contains(text, "\x00") {
		return []recount.Value{recount.Text(text)}
	}
	for range n {
		if rest, null := strings.CutPrefix(text, "\x00N"); null {
			key, text = append(key, recount.Null), rest
			continue
		}
		end := strings.Index(text, "\x00\x00")
		key = append(key, recount.Text(strings.ReplaceAll(text[:end], "\x00\x01", "\x00")))
		text = text[end+2:]
	}
	return key
}

// writer writes rows of texts to a Parquet file. The file has its name once it is
// whole.
type writer struct {
	path    string
	file    *os.File
	parquet *pqarrow.FileWriter
	schema  *arrow.Schema
	columns []*array.StringBuilder
	rows    int
}

const unfinished = ".unfinished"

func newWriter(path string, names []string) (*writer, error) {
	fields := make([]arrow.Field, len(names))
	w := &writer{path: path}
	for i, n := range names {
		fields[i] = arrow.Field{Name: n, Type: arrow.BinaryTypes.String, Nullable: true}
		w.columns = append(w.columns, array.NewStringBuilder(memory.DefaultAllocator))
	}
	w.schema = arrow.NewSchema(fields, nil)
	var err error
	if w.file, err = os.Create(path + unfinished); err != nil {
		return nil, fmt.Errorf("write %q: %w", path, err)
	}
	props := parquet.NewWriterProperties(parquet.WithCompression(compress.Codecs.Snappy), parquet.WithDictionaryDefault(false), parquet.WithStats(false))
	if w.parquet, err = pqarrow.NewFileWriter(w.schema, w.file, props, pqarrow.DefaultWriterProps()); err != nil {
		return nil, errors.Join(fmt.Errorf("write %q: %w", path, err), w.file.Close())
	}
	return w, nil
}

func (w *writer) add(row []recount.Value) error {
	for i, v := range row {
		if v.Null {
			w.columns[i].AppendNull()
		} else {
			w.columns[i].Append(v.Text)
		}
	}
	if w.rows++; w.rows%groupRows != 0 {
		return nil
	}
	return w.flush()
}

func (w *writer) flush() error {
	columns := make([]arrow.Array, len(w.columns))
	for i, c := range w.columns {
		columns[i] = c.NewArray()
		defer columns[i].Release()
	}
	record := array.NewRecordBatch(w.schema, columns, int64(columns[0].Len()))
	defer record.Release()
	if err := w.parquet.Write(record); err != nil {
		return fmt.Errorf("write %q: %w", w.path, err)
	}
	return nil
}

// finish ends the file, or takes it away where err says that it is not whole.
func (w *writer) finish(err error) error {
	if err == nil && len(w.columns) > 0 && w.columns[0].Len() > 0 {
		err = w.flush()
	}
	if e := w.parquet.Close(); err == nil && e != nil {
		err = fmt.Errorf("write %q: %w", w.path, e)
	}
	if err != nil {
		return errors.Join(err, os.Remove(w.path+unfinished))
	}
	if err := os.Rename(w.path+unfinished, w.path); err != nil {
		return fmt.Errorf("write %q: %w", w.path, err)
	}
	return nil
}
