package files_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"recount"
	"recount/adapter"
	"recount/source"
	"recount/source/files"
	"recount/source/sourcetest"
)

func TestConformance(t *testing.T) {
	jsonHolds := utf8.ValidString // JSON text with other bytes is made by hand, in the tests of payload
	for _, c := range []struct {
		ending string
		encode func(sourcetest.Row) []byte
		holds  func(string) bool
	}{
		{".csv", csvRow, nil},
		{".csv.gz", csvRow, nil},
		{".csv.zst", csvRow, nil},
		{".jsonl", jsonRow, jsonHolds},
		{".jsonl.gz", jsonRow, jsonHolds},
		{".json", jsonRow, jsonHolds},
		{".json.gz", jsonRow, jsonHolds},
		{".parquet", nil, nil},
	} {
		t.Run(c.ending[1:], func(t *testing.T) {
			t.Parallel()
			sourcetest.Run(t, sourcetest.Harness{Holds: c.holds, Make: func(t *testing.T, m recount.Mapping, partitions [][]sourcetest.Row) sourcetest.Stream {
				t.Helper()
				return makeStream(t, c.ending, c.encode, m, partitions)
			}})
		})
	}
}

func makeStream(t *testing.T, ending string, encode func(sourcetest.Row) []byte, m recount.Mapping, partitions [][]sourcetest.Row) sourcetest.Stream {
	t.Helper()
	dir := t.TempDir()
	joined := strings.HasPrefix(ending, ".json") && !strings.HasPrefix(ending, ".jsonl") // as Firehose does
	stream := sourcetest.Stream{Source: open(t, dir, m, "p*"+ending)}
	name := func(p int) string { return filepath.Join(dir, fmt.Sprintf("p%d%s", p, ending)) }
	for p, rows := range partitions {
		if encode == nil {
			write(t, name(p), parquetFile(t, rows))
			continue
		}
		var text bytes.Buffer
		if strings.HasPrefix(ending, ".csv") {
			text.WriteString("id,time,user,value,note\r\n")
		}
		var payloads [][]byte
		for _, row := range rows {
			payloads = append(payloads, encode(row))
			text.Write(encode(row))
			if !joined {
				text.WriteString("\r\n")
			}
		}
		stream.Payloads = append(stream.Payloads, payloads)
		write(t, name(p), pack(t, ending, text.Bytes()))
	}
	if ending == ".csv" || ending == ".jsonl" || ending == ".json" {
		stream.Grow = func(t *testing.T, p int, rows []sourcetest.Row) {
			t.Helper()
			f, err := os.OpenFile(name(p), os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, row := range rows {
				line := encode(row)
				if !joined {
					line = append(line, '\n')
				}
				if _, err := f.Write(line); err != nil {
					t.Fatal(err)
				}
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	return stream
}

func open(t testing.TB, dir string, m recount.Mapping, paths ...string) source.Source {
	t.Helper()
	s, err := files.Open(t.Context(), adapter.Env{Dir: dir, Stream: "orders", Mapping: m, Now: fixedNow}, files.Config{Paths: paths})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func write(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func csvRow(r sourcetest.Row) []byte {
	quote := func(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
	note := r.Note
	if strings.ContainsAny(note, "\",\r\n") {
		note = quote(note)
	}
	return []byte(r.ID + "," + r.Time + "," + quote(r.User) + "," + r.Value + "," + note)
}

func jsonRow(r sourcetest.Row) []byte {
	b, err := json.Marshal(map[string]string{"id": r.ID, "time": r.Time, "user": r.User, "value": r.Value, "note": r.Note})
	if err != nil {
		panic(err)
	}
	return b
}

func pack(t testing.TB, ending string, content []byte) []byte {
	t.Helper()
	var packed bytes.Buffer
	var w io.WriteCloser
	switch filepath.Ext(ending) {
	case ".gz":
		w = gzip.NewWriter(&packed)
	case ".zst":
		z, err := zstd.NewWriter(&packed)
		if err != nil {
			t.Fatal(err)
		}
		w = z
	default:
		return content
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

// parquetFile makes a file of text columns, in row groups of 5,000.
func parquetFile(t testing.TB, rows []sourcetest.Row) []byte {
	t.Helper()
	columns := []string{"id", "time", "user", "value", "note"}
	var fields []arrow.Field
	for _, c := range columns {
		fields = append(fields, arrow.Field{Name: c, Type: arrow.BinaryTypes.String, Nullable: true})
	}
	schema := arrow.NewSchema(fields, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	for _, row := range rows {
		for i, text := range []string{row.ID, row.Time, row.User, row.Value, row.Note} {
			column, ok := b.Field(i).(*array.StringBuilder)
			if !ok {
				t.Fatal("no column of strings")
			}
			column.Append(text)
		}
	}
	return writeParquet(t, b.NewRecordBatch())
}

func writeParquet(t testing.TB, batch arrow.RecordBatch) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := pqarrow.NewFileWriter(batch.Schema(), &out, parquet.NewWriterProperties(parquet.WithMaxRowGroupLength(5000)),
		pqarrow.NewArrowWriterProperties(pqarrow.WithStoreSchema()))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.WriteBuffered(batch); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
