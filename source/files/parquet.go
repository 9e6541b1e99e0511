package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"
	parquetfile "github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"recount"
	"recount/source"
	"recount/source/payload"
)

// parquetFile is an open Parquet file.
type parquetFile struct {
	file   handle
	reader *pqarrow.FileReader
	names  []string
	tail   []byte // of each row: what its folders say
}

func (p *parquetFile) close() error { return p.file.Close() }

// openParquet opens a file and checks that it has the mapping's columns.
func (s *Source) openParquet(ctx context.Context, f file) (p *parquetFile, err error) {
	opened, err := s.shelf.open(ctx, f)
	if err != nil {
		return nil, s.fault(f, "it cannot be opened", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, opened.Close())
		}
	}()
	p = &parquetFile{file: opened}
	if err := guarded(func() error { return p.open() }); err != nil {
		return nil, s.fault(f, "it is no whole Parquet file", err)
	}
	var added []string
	added, p.tail = beside(f.columns, p.names)
	return p, s.checkColumns(f, slices.Concat(p.names, added))
}

// checkColumns refuses a file that lacks a column which the mapping names.
func (s *Source) checkColumns(f file, names []string) error {
	keys, err := payload.Keys(s.env.Mapping)
	if err != nil {
		return recount.Located(err, s.where(f.partition))
	}
	for _, key := range keys {
		if !slices.Contains(names, key) {
			return recount.Located(s.missing(f, key, names), s.where(f.partition))
		}
	}
	return nil
}

func (s *Source) missing(f file, key string, names []string) error {
	err := payload.MissingColumn(key, names)
	var e *recount.Error
	if !s.config.Hive && errors.As(err, &e) && slices.ContainsFunc(hiveColumns(f.partition), func(c column) bool { return c.name == key }) {
		told := *e
		told.Why, told.Next = "the file's folder says it, and no column", "set hive: true under files:"
		return &told
	}
	return err
}

func (p *parquetFile) open() error {
	r, err := parquetfile.NewParquetReader(p.file)
	if err != nil {
		return err
	}
	p.reader, err = pqarrow.NewFileReader(r, pqarrow.ArrowReadProperties{BatchSize: batchRecords}, memory.DefaultAllocator)
	if err != nil {
		return err
	}
	schema, err := p.reader.Schema()
	if err != nil {
		return err
	}
	for _, field := range schema.Fields() {
		p.names = append(p.names, field.Name)
	}
	for i, name := range p.names {
		if slices.Contains(p.names[:i], name) {
			return fmt.Errorf("it has two columns %q", name)
		}
	}
	return nil
}

// guarded turns a panic into an error: the library panics on some damaged
// files, and a damaged file must not take the process with it.
func guarded(act func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("it is damaged: %v", p)
		}
	}()
	return act()
}

// readParquet reads the rows after those that st counts.
func (s *Source) readParquet(ctx context.Context, f file, st state, emit func(source.Batch) error) (size int64, err error) {
	p, err := s.openParquet(ctx, f)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	before, err := p.file.Stat()
	if err != nil {
		return 0, s.fault(f, "it cannot be read", err)
	}
	raw, _ := metered(ctx, p.file)
	done, err := s.checkWhole(f, p.file, raw, &st, before.Size())
	if err != nil || done {
		return st.Size, err
	}
	d, err := s.decoder(f, payload.Derived, "")
	if err != nil {
		return 0, err
	}
	if err := s.pumpRows(ctx, f, p, d, st, emit); err != nil {
		return 0, err
	}
	return st.Size, s.checkStill(f, p.file, before)
}

func (s *Source) pumpRows(ctx context.Context, f file, p *parquetFile, d *payload.Decoder, st state, emit func(source.Batch) error) error {
	skip, rows := st.Records, p.reader.ParquetReader().NumRows()
	st.Records = 0
	return pipeline(ctx, func(yield func(chunk) error) error {
		var records pqarrow.RecordReader
		err := guarded(func() (err error) {
			records, err = p.reader.GetRecordReader(ctx, nil, nil)
			return err
		})
		if err != nil {
			return s.fault(f, "it is no whole Parquet file", err)
		}
		defer records.Release()
		for {
			var batch arrow.RecordBatch
			err := guarded(func() (err error) {
				batch, err = records.Read()
				return err
			})
			if errors.Is(err, io.EOF) {
				if st.Records != rows {
					return s.fault(f, fmt.Sprintf("it holds %d rows and says %d", st.Records, rows), nil)
				}
				return nil
			}
			if err != nil {
				return s.fault(f, "it is no whole Parquet file", err)
			}
			first := st.Records + 1
			st.Records += batch.NumRows()
			if drop := min(skip, batch.NumRows()); drop > 0 {
				skip -= drop
				first += drop
				batch = batch.NewSlice(drop, batch.NumRows())
			} else {
				batch.Retain() // the reader lets go of it at the next Read
			}
			if batch.NumRows() == 0 {
				batch.Release()
				continue
			}
			if err := yield(s.rowChunk(f, p.tail, d, st, rows, first, batch)); err != nil {
				return err
			}
		}
	}, emit)
}

// rowChunk is the batch of some rows; its cursor is that after them.
func (s *Source) rowChunk(f file, tail []byte, d *payload.Decoder, st state, rows, first int64, batch arrow.RecordBatch) chunk {
	st.Done = st.Records == rows
	bytes := st.Size / max(rows, 1) // about what one row takes of the file
	return chunk{
		batch: source.Batch{Partition: f.partition, Cursor: st.String(), Format: payload.Derived, Bytes: bytes * batch.NumRows()},
		decode: func(scratch *payload.Scratch) (out []recount.Event, err error) {
			defer batch.Release()
			err = guarded(func() error {
				b, err := deriveRows(batch, tail)
				if err == nil {
					out = events(d, scratch, b, f, first)
				}
				return err
			})
			if err != nil {
				return nil, s.fault(f, "its rows cannot be read", err)
			}
			return out, nil
		},
	}
}
