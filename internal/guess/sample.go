// Package guess looks at the beginning of files and says what they most likely
// are: which column is the id, which the time and in which unit, which rows are
// results, under which key, and how they come from the events. Its guesses are
// defaults for questions and a first SQL to be read; nothing else relies on them.
package guess

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"recount"
)

// How much of a file is looked at.
const (
	mostRows  = 50_000
	mostBytes = 64 << 20
)

// The formats of samples, as the files source spells them.
const (
	CSV     = "csv"
	JSON    = "json"
	JSONL   = "jsonl"
	Parquet = "parquet"
)

// Shape is the program that wrote an export.
type Shape string

// The shapes that are known.
const (
	Plain       Shape = ""
	Kcat        Shape = "kcat -J"
	Connect     Shape = "Connect's JsonConverter with schemas"
	EventBridge Shape = "EventBridge"
)

// Table is the beginning of a file: its columns, and rows of texts. An absent
// value is the empty text. A column of JSON is named by its path, as recount.yaml
// spells it.
type Table struct {
	Path    string
	Format  string
	Shape   Shape
	Columns []string
	Rows    [][]string
	// Types are those that the file itself declares.
	Types map[string]recount.Type
	// Unique are the columns that the database says name a row.
	Unique []string
	// Ending says that the file's ending tells its format.
	Ending bool
	// Cut says that there is more than was looked at.
	Cut bool
	// Tombstones counts the records of kcat without a payload.
	Tombstones int
	// Notes are sentences on what was left out.
	Notes []string
}

// Sample reads the beginning of a CSV, JSON or Parquet file, plain or packed with
// gzip or zstd.
func Sample(ctx context.Context, path, shown string) (t Table, err error) {
	f, err := os.Open(path) //nolint:gosec // the person names the file
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	t = Table{Path: shown, Types: map[string]recount.Type{}}
	in, err := unpacked(f)
	if err != nil {
		return t, fmt.Errorf("unpack %q: %w", shown, err)
	}
	start, err := in.Peek(512)
	if err != nil && !errors.Is(err, io.EOF) {
		return t, err
	}
	name := strings.ToLower(shown)
	name = strings.TrimSuffix(strings.TrimSuffix(name, ".gz"), ".zst")
	t.Format, t.Ending = map[string]string{
		".csv": CSV, ".json": JSON, ".jsonl": JSONL, ".ndjson": JSONL, ".parquet": Parquet, ".pq": Parquet,
	}[filepath.Ext(name)], true
	if t.Format == "" {
		t.Format, t.Ending = sniff(start), false
	}
	switch t.Format {
	case CSV:
		return t, t.readCSV(in)
	case JSON, JSONL:
		return t, t.readJSON(in)
	case Parquet:
		return t, t.readParquet(ctx, f)
	}
	return t, fmt.Errorf("%s holds no CSV, JSON or Parquet: %w", shown, errors.ErrUnsupported)
}

// unpacked unpacks by the file's first bytes.
func unpacked(f io.Reader) (*bufio.Reader, error) {
	b := bufio.NewReader(f)
	start, err := b.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(start, []byte("\x1f\x8b")):
		r, err := gzip.NewReader(b)
		if err != nil {
			return nil, err
		}
		return bufio.NewReader(r), nil
	case string(start) == "\x28\xb5\x2f\xfd":
		r, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		return bufio.NewReader(r.IOReadCloser()), nil
	}
	return b, nil
}

// sniff tells the format by how the text begins; empty: it is no text.
func sniff(start []byte) string {
	text := bytes.TrimLeft(bytes.TrimPrefix(start, []byte("\xef\xbb\xbf")), " \t\r\n")
	switch {
	case bytes.HasPrefix(start, []byte("PAR1")):
		return Parquet
	case len(text) == 0 || bytes.IndexByte(text, 0) >= 0:
		return ""
	case text[0] == '{':
		return JSON
	case bytes.IndexByte(text, ',') > 0:
		return CSV
	}
	return ""
}

func (t *Table) readCSV(in *bufio.Reader) error {
	if bom, err := in.Peek(3); err == nil && bytes.Equal(bom, []byte("\xef\xbb\xbf")) {
		_, _ = in.Discard(len(bom)) // they were just peeked at
	}
	r := csv.NewReader(in)
	r.FieldsPerRecord = -1
	header, err := r.Read()
	if err != nil {
		return fmt.Errorf("read the header of %q: %w", t.Path, err)
	}
	c := newCollector(t)
	for !c.full() {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		var broken *csv.ParseError
		if err != nil && !errors.As(err, &broken) {
			return fmt.Errorf("read %q: %w", t.Path, err)
		}
		if err != nil || len(record) != len(header) {
			continue // a broken line says nothing of the others
		}
		c.row()
		for i, name := range header {
			if path := dollar(name); insideJSON(record[i]) && path != "" {
				c.nested(path, []byte(record[i]), 1)
			} else {
				c.set(name, record[i])
			}
		}
	}
	if len(c.rows) == 0 {
		t.Columns = header
		return nil
	}
	c.done()
	return nil
}

// Values lists the texts of a column that are not empty.
func (t Table) Values(column string) []string {
	i := slices.Index(t.Columns, column)
	if i < 0 {
		return nil
	}
	var out []string
	for _, row := range t.Rows {
		if row[i] != "" {
			out = append(out, row[i])
		}
	}
	return out
}

// Same says whether two samples are of one stream: the same columns, in one
// format, but for those that one of them has not seen.
func (t Table) Same(other Table) bool {
	if t.Format != other.Format || t.Shape != other.Shape {
		return false
	}
	common := 0
	for _, c := range t.Columns {
		if slices.Contains(other.Columns, c) {
			common++
		}
	}
	if t.Format == CSV {
		return slices.Equal(t.Columns, other.Columns)
	}
	return 2*common > max(len(t.Columns), len(other.Columns))
}

// Join adds the rows of other.
func (t *Table) Join(other Table) {
	c := newCollector(t)
	for _, from := range []Table{{Columns: t.Columns, Rows: t.Rows}, other} {
		for _, row := range from.Rows {
			c.row()
			for i, name := range from.Columns {
				c.set(name, row[i])
			}
		}
	}
	t.Tombstones += other.Tombstones
	t.Cut = t.Cut || other.Cut
	c.done()
}
