// Package lookup makes files of reference data ready for an engine: it copies the
// file first, so that all of a plan sees the same rows, and writes them as Parquet.
// It knows no archive: what a stream of changes holds, its events say.
package lookup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"recount"
	"recount/internal/config"
	"recount/internal/rowfile"
)

// File is reference data from a file, as it was when it was copied.
type File struct {
	// Digest is the SHA-256 of the file, hex.
	Digest string
	rows   *rowfile.File
	table  config.Lookup
	dir    string
}

// Open copies the file of a lookup into dir, an empty folder. project is the
// folder in which relative paths start.
func Open(ctx context.Context, table config.Lookup, project, dir string) (*File, error) {
	copied := filepath.Join(dir, filepath.Base(table.File))
	digest, err := copyFile(config.Path(project, table.File), copied)
	if err != nil {
		return nil, &recount.Error{
			Code: recount.CodeLookup, What: "the reference data " + table.Name + " cannot be read", Where: table.File, Why: err.Error(), Err: err,
			Next: "write the file there, or mend its path in " + config.FileName,
		}
	}
	rows, err := rowfile.Open(ctx, copied, table.File)
	if err != nil {
		return nil, err
	}
	return &File{Digest: digest, rows: rows, table: table, dir: dir}, nil
}

func copyFile(from, to string) (digest string, err error) {
	in, err := os.Open(from) //nolint:gosec // the configuration's author names the file
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := os.Create(to) //nolint:gosec // our own scratch folder
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	sum := sha256.New()
	_, err = io.Copy(io.MultiWriter(out, sum), in)
	return hex.EncodeToString(sum.Sum(nil)), err
}

// Type returns the type of a column: as it is declared, or the file's own.
func (f *File) Type(column string) (recount.Type, error) {
	i := slices.IndexFunc(f.rows.Columns(), func(c recount.Column) bool { return c.Name == column })
	if i < 0 {
		var known []string
		for _, c := range f.rows.Columns() {
			known = append(known, c.Name)
		}
		return recount.Type{}, &recount.Error{
			Code: recount.CodeNoColumn, What: fmt.Sprintf("the reference data %s has no column %q", f.table.Name, column), Where: f.table.File,
			Why: fmt.Sprintf("it has %q", known), Next: "name one of them in " + config.FileName + ", under lookups:",
		}
	}
	for _, d := range f.table.Fields {
		if d.Name == column {
			return d.Type, nil
		}
	}
	t := f.rows.Columns()[i].Type
	if t.Kind == "" {
		return t, &recount.Error{
			Code: recount.CodeNoColumn, What: fmt.Sprintf("column %q of the reference data %s has a type that no field can have", column, f.table.Name), Where: f.table.File,
			Why: "it is " + f.rows.Columns()[i].Declared, Next: "write it as a number, a text, a time, a date, a bool or JSON",
		}
	}
	return t, nil
}

// Write writes the columns of those names as Parquet, each value as its canonical
// text, and returns the file.
func (f *File) Write(ctx context.Context, names []string) (string, error) {
	var columns []recount.Column
	var fields []arrow.Field
	for _, name := range names {
		t, err := f.Type(name)
		if err != nil {
			return "", err
		}
		columns = append(columns, recount.Column{Name: name, Type: t, Nullable: true})
		fields = append(fields, arrow.Field{Name: name, Type: arrow.BinaryTypes.String, Nullable: true})
	}
	path := filepath.Join(f.dir, "rows.parquet")
	out, err := os.Create(path) //nolint:gosec // our own scratch folder
	if err != nil {
		return "", err
	}
	schema := arrow.NewSchema(fields, nil)
	w, err := pqarrow.NewFileWriter(schema, out, parquet.NewWriterProperties(parquet.WithCompression(compress.Codecs.Snappy)), pqarrow.DefaultWriterProps())
	if err != nil {
		return "", errors.Join(err, out.Close())
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	err = f.rows.Read(ctx, columns, func(values []recount.Value) error {
		for i, v := range values {
			text := b.Field(i).(*array.StringBuilder) //nolint:forcetypeassert // the schema says so
			if v.Null {
				text.AppendNull()
			} else {
				text.Append(v.Text)
			}
		}
		if b.Field(0).Len() < batch {
			return nil
		}
		return flush(w, b)
	})
	if err == nil {
		err = flush(w, b)
	}
	return path, errors.Join(err, w.Close()) // closes the file too
}

// batch bounds the rows that are held in memory.
const batch = 1 << 14

func flush(w *pqarrow.FileWriter, b *array.RecordBuilder) error {
	record := b.NewRecordBatch()
	defer record.Release()
	return w.WriteBuffered(record)
}
