package result

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/parquet/file"

	"recount"
)

// Texts are the rows of a file as values, in its order.
type Texts struct {
	file    *File
	record  arrow.RecordBatch
	names   []string
	columns []Appender
	at      int
	row     []recount.Value
	err     error
	done    bool
}

// OpenTexts opens a file and reads the named columns, in that order. The file
// stays when the rows are closed.
func OpenTexts(ctx context.Context, path string, names []string) (*Texts, error) {
	f, err := open(ctx, path, names)
	if err != nil {
		return nil, err
	}
	f.keep = true
	t := &Texts{file: f, names: names, columns: make([]Appender, len(names)), row: make([]recount.Value, len(names))}
	return t, nil
}

// Next returns the next row, which is valid until the next call.
func (t *Texts) Next() ([]recount.Value, bool) {
	if t.err != nil || t.done {
		return nil, false
	}
	for t.record == nil || t.at == int(t.record.NumRows()) {
		if !t.fill() {
			return nil, false
		}
	}
	for i, c := range t.columns {
		if c.Null(t.at) {
			t.row[i] = recount.Null
			continue
		}
		b, err := c.Append(nil, t.at)
		if err != nil {
			t.err = fmt.Errorf("read %q: %w", t.file.path, err)
			return nil, false
		}
		t.row[i] = recount.Text(string(b))
	}
	t.at++
	return t.row, true
}

func (t *Texts) fill() bool {
	record, err := t.file.Next()
	if errors.Is(err, io.EOF) {
		return false
	}
	if err != nil {
		t.err = fmt.Errorf("read %q: %w", t.file.path, err)
		return false
	}
	t.record, t.at = record, 0
	for i := range t.columns {
		values := record.Column(record.Schema().FieldIndices(t.names[i])[0])
		if t.columns[i], err = NewAppender(values, typeOf(values.DataType())); err != nil {
			t.err = fmt.Errorf("read %q: %w", t.file.path, err)
			return false
		}
	}
	return true
}

// typeOf is the type whose form a column has.
func typeOf(t arrow.DataType) recount.Type {
	switch t := t.(type) {
	case *arrow.Int64Type:
		return recount.Type{Kind: recount.KindInt64}
	case *arrow.Float64Type:
		return recount.Type{Kind: recount.KindDouble}
	case *arrow.BooleanType:
		return recount.Type{Kind: recount.KindBool}
	case *arrow.Decimal128Type:
		return recount.Decimal(int(t.Precision), int(t.Scale))
	case *arrow.TimestampType:
		return recount.Type{Kind: recount.KindTimestamp}
	case *arrow.Date32Type:
		return recount.Type{Kind: recount.KindDate}
	}
	return recount.Type{Kind: recount.KindString}
}

// Err tells why Next ended.
func (t *Texts) Err() error { return t.err }

// Close closes the file.
func (t *Texts) Close() error {
	if t.done {
		return nil
	}
	t.done = true
	return t.file.Close()
}

// Count is how many rows a file has.
func Count(path string) (n int64, err error) {
	f, err := file.OpenParquetFile(path, false)
	if err != nil {
		return 0, fmt.Errorf("open %q: %w", path, err)
	}
	return f.NumRows(), f.Close()
}
