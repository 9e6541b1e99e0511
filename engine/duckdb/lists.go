package duckdb

import (
	"errors"
	"fmt"
	"os"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"recount"
	"recount/engine"
)

// Lists of ids go to the child as files: there may be millions of ids.

// sentIDs returns the list as the child is told of it: From names the file that
// has its ids. A list is written once.
func (s *session) sentIDs(l *recount.IDList) (*recount.IDList, error) {
	if l == nil {
		return nil, nil //nolint:nilnil // no list stays no list
	}
	if path, ok := s.lists[l]; ok {
		return &recount.IDList{From: path}, nil
	}
	path := s.out("ids")
	if err := writeIDs(path, l.IDs); err != nil {
		return nil, fmt.Errorf("write ids of %s: %w", l.From, err)
	}
	s.lists[l] = path
	return &recount.IDList{From: path}, nil
}

func (s *session) sentLists(lists []recount.EventList) ([]recount.EventList, error) {
	if lists == nil {
		return nil, nil
	}
	sent := make([]recount.EventList, len(lists))
	for i, l := range lists {
		var errIDs, errExcept error
		l.IDs, errIDs = s.sentIDs(l.IDs)
		l.Except, errExcept = s.sentIDs(l.Except)
		if err := errors.Join(errIDs, errExcept); err != nil {
			return nil, err
		}
		sent[i] = l
	}
	return sent, nil
}

func (s *session) sentVariant(v engine.Variant) (engine.Variant, error) {
	var err error
	if v.Missed, err = s.sentLists(v.Missed); err != nil {
		return v, err
	}
	again := make([]recount.Again, len(v.Again))
	for i, a := range v.Again {
		one, err := s.sentLists([]recount.EventList{a.EventList})
		if err != nil {
			return v, err
		}
		again[i] = recount.Again{EventList: one[0], Times: a.Times}
	}
	v.Again = again
	return v, nil
}

// idsPerGroup bounds what the writer and the reader of ids hold in memory.
const idsPerGroup = 1 << 16

func writeIDs(path string, ids []string) (err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	schema := arrow.NewSchema([]arrow.Field{{Name: "id", Type: arrow.BinaryTypes.String}}, nil)
	w, err := pqarrow.NewFileWriter(schema, f, parquet.NewWriterProperties(parquet.WithCompression(compress.Codecs.Snappy)), pqarrow.DefaultWriterProps())
	if err != nil {
		return errors.Join(err, f.Close())
	}
	defer func() { err = errors.Join(err, w.Close()) }() // closes the file too
	for start := 0; start < len(ids) || start == 0; start += idsPerGroup {
		if err := writeGroup(w, schema, ids[start:min(start+idsPerGroup, len(ids))]); err != nil {
			return err
		}
	}
	return nil
}

func writeGroup(w *pqarrow.FileWriter, schema *arrow.Schema, ids []string) error {
	b := array.NewStringBuilder(memory.DefaultAllocator)
	defer b.Release()
	b.AppendValues(ids, nil)
	column := b.NewStringArray()
	defer column.Release()
	record := array.NewRecordBatch(schema, []arrow.Array{column}, int64(len(ids)))
	defer record.Release()
	return w.Write(record)
}
