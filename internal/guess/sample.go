// Package guess looks at the first rows of files and says what they most likely
// are: which column is the id, which the time and in which unit, which rows are
// results and under which key. Its guesses are defaults for questions; nothing
// else relies on them.
package guess

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// mostRows is how many rows of a file are looked at.
const mostRows = 2000

// mostLine bounds a line of JSON.
const mostLine = 16 << 20

// Table is the beginning of a file: its columns, and rows of texts. An absent
// value is the empty text.
type Table struct {
	Path    string
	Format  string // "csv" or "jsonl"
	Columns []string
	Rows    [][]string
}

// Sample reads the beginning of a CSV or JSONL file, plain, .gz or .zst.
func Sample(path, shown string) (t Table, err error) {
	f, err := os.Open(path) //nolint:gosec // the person names the file
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	in, name, err := plain(f, shown)
	if err != nil {
		return t, err
	}
	t = Table{Path: shown}
	switch strings.ToLower(filepath.Ext(name)) {
	case ".csv":
		t.Format = "csv"
		return t, t.readCSV(in)
	case ".jsonl", ".ndjson", ".json":
		t.Format = "jsonl"
		return t, t.readJSON(in)
	}
	return t, fmt.Errorf("%s: its ending is none of .csv, .jsonl, .db or .sqlite (with .gz or .zst): %w", shown, errors.ErrUnsupported)
}

// plain unpacks by the file's ending.
func plain(f io.Reader, name string) (io.Reader, string, error) {
	lower := strings.ToLower(name)
	switch {
	case strings.HasSuffix(lower, ".gz"):
		r, err := gzip.NewReader(f)
		return r, strings.TrimSuffix(lower, ".gz"), err
	case strings.HasSuffix(lower, ".zst"):
		r, err := zstd.NewReader(f, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, "", err
		}
		return r.IOReadCloser(), strings.TrimSuffix(lower, ".zst"), nil
	}
	return f, name, nil
}

func (t *Table) readCSV(in io.Reader) error {
	b := bufio.NewReader(in)
	if bom, err := b.Peek(3); err == nil && bytes.Equal(bom, []byte("\xef\xbb\xbf")) {
		_, _ = b.Discard(len(bom)) // they were just peeked at
	}
	r := csv.NewReader(b)
	r.FieldsPerRecord = -1
	header, err := r.Read()
	if err != nil {
		return fmt.Errorf("read the header of %q: %w", t.Path, err)
	}
	t.Columns = header
	for len(t.Rows) < mostRows {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || len(record) != len(header) {
			continue // a broken line says nothing of the others
		}
		t.Rows = append(t.Rows, record)
	}
	return nil
}

func (t *Table) readJSON(in io.Reader) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, mostLine)
	at := map[string]int{}
	var objects []map[string]json.RawMessage
	for len(objects) < mostRows && lines.Scan() {
		var object map[string]json.RawMessage
		if json.Unmarshal(lines.Bytes(), &object) != nil {
			continue
		}
		objects = append(objects, object)
		var fresh []string
		for key := range object {
			if _, known := at[key]; !known {
				fresh = append(fresh, key)
			}
		}
		slices.Sort(fresh)
		for _, key := range fresh {
			at[key] = len(t.Columns)
			t.Columns = append(t.Columns, key)
		}
	}
	for _, object := range objects {
		row := make([]string, len(t.Columns))
		for key, raw := range object {
			row[at[key]] = plainJSON(raw)
		}
		t.Rows = append(t.Rows, row)
	}
	if len(t.Columns) == 0 {
		return fmt.Errorf("read %q: no line is a JSON object", t.Path)
	}
	return lines.Err()
}

// plainJSON is a value as text: strings without quotes, null as nothing.
func plainJSON(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	if string(raw) == "null" {
		return ""
	}
	return string(raw)
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
