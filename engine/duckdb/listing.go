package duckdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"recount"
	"recount/engine"
	"recount/engine/result"
)

// readEvents reads what the child's events wrote.
func readEvents(ctx context.Context, path string, fields []recount.Field) (events []engine.ReplayEvent, err error) {
	f, err := result.Open(ctx, path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for {
		record, err := f.Next()
		if errors.Is(err, io.EOF) {
			return events, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read events: %w", err)
		}
		columns := eventColumns{record: record}
		for i := range int(record.NumRows()) {
			e, err := columns.event(i, fields)
			if err != nil {
				return nil, fmt.Errorf("read events: %w", err)
			}
			events = append(events, e)
		}
	}
}

// eventColumns reads the columns in the order in which events wrote them.
type eventColumns struct{ record arrow.RecordBatch }

// The columns of the file; the fields follow.
const (
	columnSeq = iota
	columnMark
	columnID
	columnType
	columnPartition
	columnPosition
	columnTime
	columnIngestTime
	columnKey
	columnData
	columnHeaders
	columnFault
	columnBroken
	columnFields
)

func (c eventColumns) event(row int, fields []recount.Field) (engine.ReplayEvent, error) {
	seq, ok := c.record.Column(columnSeq).(*array.Int64)
	if !ok {
		return engine.ReplayEvent{}, fmt.Errorf("column seq is of type %s", c.record.Column(columnSeq).DataType())
	}
	e := engine.ReplayEvent{Seq: seq.Value(row), Mark: recount.MarkKind(c.text(columnMark, row))}
	e.ID, e.Type = c.text(columnID, row), c.text(columnType, row)
	e.Partition, e.Position = c.text(columnPartition, row), c.text(columnPosition, row)
	e.Time, e.IngestTime = c.time(columnTime, row), c.time(columnIngestTime, row)
	e.Key, e.Data = c.bytes(columnKey, row), c.bytes(columnData, row)
	e.Fault = c.text(columnFault, row)
	if broken := c.text(columnBroken, row); broken != "" {
		e.Broken = strings.Split(broken, ",")
	}
	headers, err := readHeaders(c.record.Column(columnHeaders), row)
	if err != nil {
		return e, err
	}
	e.Headers = headers
	for i, f := range fields {
		v, err := result.ValueOf(c.record.Column(columnFields+i), f.Type, row)
		if err != nil {
			return e, fmt.Errorf("field %s: %w", f.Name, err)
		}
		e.Fields = append(e.Fields, v)
	}
	return e, nil
}

func (c eventColumns) text(column, row int) string {
	if v, ok := c.record.Column(column).(*array.String); ok && !v.IsNull(row) {
		return strings.Clone(v.Value(row))
	}
	return ""
}

func (c eventColumns) bytes(column, row int) []byte {
	return bytesOf(c.record.Column(column), row)
}

// bytesOf returns nil for NULL and an empty slice for no bytes.
func bytesOf(values arrow.Array, row int) []byte {
	if v, ok := values.(*array.Binary); ok && !v.IsNull(row) {
		return append([]byte{}, v.Value(row)...)
	}
	return nil
}

func (c eventColumns) time(column, row int) time.Time {
	if v, ok := c.record.Column(column).(*array.Timestamp); ok && !v.IsNull(row) {
		return time.UnixMicro(int64(v.Value(row))).UTC()
	}
	return time.Time{}
}

func readHeaders(values arrow.Array, row int) ([]recount.Header, error) {
	if values.IsNull(row) {
		return nil, nil
	}
	list, ok := values.(*array.List)
	if !ok {
		return nil, fmt.Errorf("headers are of type %s", values.DataType())
	}
	parts, ok := list.ListValues().(*array.Struct)
	if !ok || parts.NumField() != 2 {
		return nil, fmt.Errorf("headers are of type %s", values.DataType())
	}
	start, end := list.ValueOffsets(row)
	var headers []recount.Header
	names, ok := parts.Field(0).(*array.String)
	if !ok {
		return nil, fmt.Errorf("headers are of type %s", values.DataType())
	}
	for i := int(start); i < int(end); i++ {
		headers = append(headers, recount.Header{Name: strings.Clone(names.Value(i)), Value: bytesOf(parts.Field(1), i)})
	}
	return headers, nil
}
