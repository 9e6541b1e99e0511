package eventfile

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/arrow-go/v18/parquet/schema"

	"recount"
)

func marksSchema() (*schema.GroupNode, error) {
	return schema.NewGroupNode("marks", required, schema.FieldList{
		schema.NewInt64Node("seq", required, -1), textNode("kind", required), textNode("id", optional),
		instantNode("time"), textNode("broken", optional), textNode("why", optional),
	}, -1)
}

// MarksWriter writes a file of marks. It begins the file with the first mark.
type MarksWriter struct {
	to     io.Writer
	stream string
	w      *file.Writer
	rows   int64
}

// NewMarksWriter returns a writer that has written nothing yet.
func NewMarksWriter(w io.Writer, stream string) *MarksWriter {
	return &MarksWriter{to: w, stream: stream}
}

// Rows is the number of marks written so far.
func (w *MarksWriter) Rows() int64 { return w.rows }

// Write writes marks, in the order given.
func (w *MarksWriter) Write(marks []recount.Mark) error {
	for len(marks) > 0 {
		if err := w.begin(); err != nil {
			return err
		}
		n := min(len(marks), MaxGroupRows)
		if err := writeMarks(w.w, marks[:n]); err != nil {
			return err
		}
		w.rows += int64(n)
		marks = marks[n:]
	}
	return nil
}

func (w *MarksWriter) begin() error {
	if w.w != nil {
		return nil
	}
	node, err := marksSchema()
	if err != nil {
		return fmt.Errorf("make schema of marks: %w", err)
	}
	kv := metadata.NewKeyValueMetadata()
	for _, pair := range [][2]string{{"recount.format", FormatVersion}, {"recount.stream", w.stream}} {
		if err := kv.Append(pair[0], pair[1]); err != nil {
			return fmt.Errorf("set metadata %s: %w", pair[0], err)
		}
	}
	packed := parquet.Encodings.DeltaBinaryPacked
	props := parquet.NewWriterProperties(parquet.WithDictionaryDefault(false), parquet.WithCompression(compress.Codecs.Zstd),
		parquet.WithCompressionLevel(zstdLevel), parquet.WithCreatedBy("recount"), parquet.WithMaxRowGroupLength(MaxGroupRows),
		parquet.WithBatchSize(batchRows), parquet.WithDictionaryFor("kind", true), parquet.WithDictionaryFor("broken", true),
		parquet.WithDictionaryFor("why", true), parquet.WithEncodingFor("seq", packed), parquet.WithEncodingFor("time", packed))
	w.w, err = file.NewParquetWriterWithError(w.to, node, file.WithWriterProps(props), file.WithWriteMetadata(kv))
	if err != nil {
		return fmt.Errorf("begin marks file: %w", err)
	}
	return nil
}

// Close writes the footer, also of a file without marks.
func (w *MarksWriter) Close() error {
	if err := w.begin(); err != nil {
		return err
	}
	if err := w.w.Close(); err != nil {
		return fmt.Errorf("end marks file: %w", err)
	}
	return nil
}

func writeMarks(pw *file.Writer, marks []recount.Mark) error {
	seq, at := longs{required: true}, longs{}
	kind, id, broken, why := texts{required: true}, texts{}, texts{}, texts{}
	for _, m := range marks {
		seq.add(m.Seq)
		kind.add(string(m.Kind))
		addText(&id, m.ID)
		addTime(&at, m.Time, !m.Time.IsZero())
		addText(&broken, strings.Join(m.Broken, ","))
		addText(&why, m.Why)
	}
	group, err := pw.AppendRowGroupChecked()
	if err != nil {
		return fmt.Errorf("begin row group: %w", err)
	}
	for _, c := range []interface {
		write(w file.ColumnChunkWriter) error
	}{&seq, &kind, &id, &at, &broken, &why} {
		cw, err := group.NextColumn()
		if err != nil {
			return fmt.Errorf("begin column: %w", err)
		}
		if err := c.write(cw); err != nil {
			return fmt.Errorf("write column %q: %w", cw.Descr().Name(), err)
		}
		if err := cw.Close(); err != nil {
			return fmt.Errorf("end column %q: %w", cw.Descr().Name(), err)
		}
	}
	return group.Close()
}

// Marks reads a file of marks whole.
func (f *File) Marks() (marks []recount.Mark, err error) {
	defer recovered(&err)
	for group := range f.Groups() {
		from := len(marks)
		marks = append(marks, make([]recount.Mark, f.Rows(group))...)
		rows := marks[from:]
		texts := func(column string, set func(m *recount.Mark, v string)) {
			if err == nil {
				err = f.Texts(group, column, func(row int, v []byte) error {
					if v != nil {
						set(&rows[row], string(v))
					}
					return nil
				})
			}
		}
		err = f.Longs(group, "seq", func(row int, v int64, _ bool) error { rows[row].Seq = v; return nil })
		texts("kind", func(m *recount.Mark, v string) { m.Kind = recount.MarkKind(v) })
		texts("id", func(m *recount.Mark, v string) { m.ID = v })
		texts("broken", func(m *recount.Mark, v string) { m.Broken = strings.Split(v, ",") })
		texts("why", func(m *recount.Mark, v string) { m.Why = v })
		if err == nil {
			err = f.Longs(group, "time", func(row int, v int64, ok bool) error {
				if ok {
					rows[row].Time = time.UnixMicro(v).UTC()
				}
				return nil
			})
		}
		if err != nil {
			return nil, err
		}
	}
	return marks, nil
}
