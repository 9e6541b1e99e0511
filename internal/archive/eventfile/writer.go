package eventfile

import (
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/parquet/file"
)

// Writer writes one file of events, a row group at a time.
type Writer struct {
	meta Meta
	w    *file.Writer
}

// NewWriter begins a file. first is the first row group that will be written; it
// decides which text columns get a dictionary.
func NewWriter(w io.Writer, meta Meta, first *Rows) (*Writer, error) {
	node, err := eventSchema(meta.Fields)
	if err != nil {
		return nil, err
	}
	kv, err := eventMetadata(meta)
	if err != nil {
		return nil, err
	}
	pw, err := file.NewParquetWriterWithError(w, node, file.WithWriterProps(eventProps(meta.Fields, first.lowCardinality)), file.WithWriteMetadata(kv))
	if err != nil {
		return nil, fmt.Errorf("begin event file: %w", err)
	}
	return &Writer{meta: meta, w: pw}, nil
}

// GroupBytes is about how much memory one row group takes until the file is ended:
// the footer says where each of its columns lies.
func (w *Writer) GroupBytes() int64 {
	const column = 2 << 10
	return int64(envelopeColumns+len(w.meta.Fields)) * column
}

// Write writes one row group.
func (w *Writer) Write(r *Rows) error {
	group, err := w.w.AppendRowGroupChecked()
	if err != nil {
		return fmt.Errorf("begin row group: %w", err)
	}
	write := []func(file.ColumnChunkWriter) error{
		colSeq: r.seq.write, colID: r.id.write, colType: r.kind.write, colPartition: r.partition.write, colPosition: r.position.write,
		colTime: r.time.write, colIngestTime: r.ingest.write, colKey: r.key.write, colData: r.data.write,
		colHeaderName: r.headers.writeNames, colHeaderValue: r.headers.writeValues, colFault: r.fault.write,
	}
	for _, f := range r.fields {
		write = append(write, f.write)
	}
	for i, column := range write {
		cw, err := group.NextColumn()
		if err != nil {
			return fmt.Errorf("begin column %d: %w", i, err)
		}
		if err := column(cw); err != nil {
			return fmt.Errorf("write column %q: %w", cw.Descr().Name(), err)
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

// Close writes the footer.
func (w *Writer) Close() error {
	if err := w.w.Close(); err != nil {
		return fmt.Errorf("end event file: %w", err)
	}
	return nil
}
