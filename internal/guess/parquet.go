package guess

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	parquetfile "github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"recount"
)

// readParquet reads the first rows. The library panics on some damaged files.
func (t *Table) readParquet(ctx context.Context, f *os.File) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("read %q: it is damaged: %v", t.Path, p)
		}
	}()
	r, err := parquetfile.NewParquetReader(f)
	if err != nil {
		return fmt.Errorf("read %q: %w", t.Path, err)
	}
	const batch = 4096
	reader, err := pqarrow.NewFileReader(r, pqarrow.ArrowReadProperties{BatchSize: batch}, memory.DefaultAllocator)
	if err != nil {
		return fmt.Errorf("read %q: %w", t.Path, err)
	}
	records, err := reader.GetRecordReader(ctx, nil, nil)
	if err != nil {
		return fmt.Errorf("read %q: %w", t.Path, err)
	}
	defer records.Release()
	c := newCollector(t)
	for !c.full() {
		rows, err := records.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read %q: %w", t.Path, err)
		}
		c.batch(rows)
	}
	c.done()
	return nil
}

func (c *collector) batch(rows arrow.RecordBatch) {
	for _, field := range rows.Schema().Fields() {
		if typ, ok := declaredType(field.Type); ok {
			c.t.Types[field.Name] = typ
		}
	}
	for n := range int(rows.NumRows()) {
		c.row()
		for i, column := range rows.Columns() {
			name := rows.ColumnName(i)
			text := cellText(column, n)
			if path := dollar(name); path != "" && insideJSON(text) {
				c.nested(path, []byte(text), 1)
			} else {
				c.set(name, text)
			}
		}
	}
}

func declaredType(t arrow.DataType) (recount.Type, bool) {
	switch t.ID() { //nolint:exhaustive // all others show what they are
	case arrow.DECIMAL32, arrow.DECIMAL64, arrow.DECIMAL128:
		if d, ok := t.(arrow.DecimalType); ok {
			return recount.Decimal(int(d.GetPrecision()), int(d.GetScale())), true
		}
	case arrow.BOOL:
		return recount.Type{Kind: recount.KindBool}, true
	case arrow.DATE32, arrow.DATE64:
		return recount.Type{Kind: recount.KindDate}, true
	case arrow.LIST, arrow.LARGE_LIST, arrow.FIXED_SIZE_LIST, arrow.MAP:
		return recount.Type{Kind: recount.KindJSON}, true
	}
	return recount.Type{}, false
}

// cellText is the text that the files source makes of a value.
func cellText(column arrow.Array, row int) string {
	if column.IsNull(row) {
		return ""
	}
	if a, ok := column.(*array.Timestamp); ok {
		if t, ok := a.DataType().(*arrow.TimestampType); ok {
			layout := "2006-01-02T15:04:05.999999999"
			if t.TimeZone != "" {
				layout += "Z"
			}
			return a.Value(row).ToTime(t.Unit).UTC().Format(layout)
		}
	}
	return column.ValueStr(row)
}
