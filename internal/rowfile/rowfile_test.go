package rowfile

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"recount"
)

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// all reads a file's columns and rows, as lines.
func all(t *testing.T, path string) (columns, rows string, err error) {
	t.Helper()
	f, err := Open(context.Background(), path, filepath.Base(path))
	if err != nil {
		return "", "", err
	}
	var names, lines []string
	for _, c := range f.Columns() {
		names = append(names, c.Name+" "+c.Type.String())
	}
	err = f.Read(context.Background(), f.Columns(), func(values []recount.Value) error {
		var texts []string
		for _, v := range values {
			texts = append(texts, v.String())
		}
		lines = append(lines, strings.Join(texts, "|"))
		return nil
	})
	return strings.Join(names, ", "), strings.Join(lines, "\n"), err
}

func TestTextsAreOnlyWhatTheyAreWithoutDoubt(t *testing.T) {
	for _, c := range []struct{ values, kind, read string }{
		{"7,-12,0", "int64", "7,-12,0"},
		{"007,8", "string", "007,8"},
		{"+7,8", "string", "+7,8"},
		{"9223372036854775808,1", "decimal(38,0)", "9223372036854775808,1"},
		{"1.5,2,12345678901234567890.25", "decimal(38,2)", "1.50,2.00,12345678901234567890.25"},
		{"1e3,0.5", "double", "1000,0.5"},
		{"true,false", "bool", "true,false"},
		{"true,1", "string", "true,1"},
		{"2024-06-10,2024-02-29", "date", "2024-06-10,2024-02-29"},
		{"2024-02-30,2024-06-10", "string", "2024-02-30,2024-06-10"},
		{"2024-06-10T14:00:00+02:00,2024-06-10 12:00:00Z", "timestamp", "2024-06-10T12:00:00Z,2024-06-10T12:00:00Z"},
		{"2024-06-10 12:00:00,2024-06-10T12:00:00Z", "string", "2024-06-10 12:00:00,2024-06-10T12:00:00Z"},
		{"NULL,null", "string", "NULL,null"},
		{strings.Repeat("9", 39) + ".5,1", "double", "1e+39,1"},
	} {
		columns, rows, err := all(t, write(t, "r.csv", "c\n"+strings.ReplaceAll(c.values, ",", "\n")+"\n"))
		if want := strings.ReplaceAll(c.read, ",", "\n"); err != nil || columns != "c "+c.kind || rows != want {
			t.Errorf("%s: columns %q, rows %q, %v; want %s, %q", c.values, columns, rows, err, c.kind, want)
		}
	}
}

func TestAnEmptyFieldIsNullUnlessTheColumnIsText(t *testing.T) {
	columns, rows, err := all(t, write(t, "r.csv", "\ufeffa,b\n1,\n,\"x,\ny\"\n"))
	if err != nil || columns != "a int64, b string" || rows != "1|\nNULL|x,\ny" {
		t.Errorf("columns %q, rows %q, %v", columns, rows, err)
	}
}

func TestJSONLinesKeepTheirDigits(t *testing.T) {
	text := `{"n": 12345678901234567.10, "s": "7", "t": "a\u0000b", "j": {"x": [1]}}` + "\n\n" +
		`{"type":"row","schema":1,"row":{"n":null,"s":"08","t":"","j":null},"checksum":"x"}`
	columns, rows, err := all(t, write(t, "r.jsonl", text))
	if err != nil || columns != "j json, n decimal(38,2), s string, t string" || rows != `{"x":[1]}|12345678901234567.10|7|`+"a\x00b"+"\nNULL|NULL|08|" {
		t.Errorf("columns %q, rows %q, %v", columns, rows, err)
	}
}

func TestWhatIsNoRowIsRefusedWithItsPlace(t *testing.T) {
	for _, c := range []struct {
		name, text string
		code       recount.Code
		why        string
	}{
		{"r.csv", "", recount.CodeLogicFile, "empty"},
		{"r.csv", "a,b\n", recount.CodeRows, "no row"},
		{"r.csv", "a,a\n1,2\n", recount.CodeLogicFile, `two columns "a"`},
		{"r.csv", "a,b\n1\n", recount.CodeLogicFile, "wrong number of fields"},
		{"r.csv", "a\n\xff\n", recount.CodeLogicFile, "row 1, column a: the text is not UTF-8"},
		{"r.csv.gz", "a\n1\n", recount.CodeLogicFile, "not packed"},
		{"r.jsonl", "", recount.CodeRows, "no row"},
		{"r.jsonl", "{\"a\":1}\n[1]\n", recount.CodeLogicFile, "row 2"},
		{"r.jsonl", "null\n", recount.CodeLogicFile, "row 1"},
		{"r.parquet", "PAR1 and no more", recount.CodeLogicFile, "Parquet"},
		{"r.txt", "a\n1\n", recount.CodeLogicFile, "ending"},
	} {
		_, _, err := all(t, write(t, c.name, c.text))
		var e *recount.Error
		if !errors.As(err, &e) || e.Code != c.code || !strings.Contains(e.Why, c.why) {
			t.Errorf("%s %q: %v; want %s and %q", c.name, c.text, err, c.code, c.why)
		}
	}
}

func TestAValueThatItsColumnCannotHoldNamesItsRow(t *testing.T) {
	f, err := Open(context.Background(), write(t, "r.csv", "a\n1\nx\n"), "r.csv")
	if err != nil {
		t.Fatal(err)
	}
	var e *recount.Error
	err = f.Read(context.Background(), []recount.Column{{Name: "a", Type: recount.Decimal(18, 2)}}, func([]recount.Value) error { return nil })
	if !errors.As(err, &e) || e.Code != recount.CodeRows || !strings.Contains(e.Why, "row 2, column a") {
		t.Errorf("got %v", err)
	}
	own := errors.New("enough")
	if err := f.Read(context.Background(), f.Columns(), func([]recount.Value) error { return own }); !errors.Is(err, own) {
		t.Errorf("the receiver's error came back as %v", err)
	}
}

// parquetBytes is a file of one row for each kind, and one of NULLs.
func parquetBytes(t *testing.T) []byte {
	t.Helper()
	fields := []arrow.Field{
		{Name: "s", Type: arrow.BinaryTypes.String, Nullable: true},
		{Name: "u", Type: arrow.PrimitiveTypes.Uint64, Nullable: true},
		{Name: "d", Type: &arrow.Decimal128Type{Precision: 20, Scale: 3}, Nullable: true},
		{Name: "t", Type: &arrow.TimestampType{Unit: arrow.Millisecond}, Nullable: true},
		{Name: "n", Type: &arrow.TimestampType{Unit: arrow.Nanosecond, TimeZone: "UTC"}, Nullable: true},
		{Name: "day", Type: arrow.FixedWidthTypes.Date32, Nullable: true},
		{Name: "f", Type: arrow.PrimitiveTypes.Float32, Nullable: true},
		{Name: "l", Type: arrow.ListOf(arrow.PrimitiveTypes.Int8), Nullable: true},
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema(fields, nil))
	defer b.Release()
	for i, text := range []string{"ä", "18446744073709551615", "-0.500", "2024-06-10T12:00:00.123", "2024-06-10T12:00:00.000001Z", "2024-06-10", "0.1", "[1]"} {
		if err := b.Field(i).AppendValueFromString(text); err != nil {
			t.Fatal(err)
		}
		b.Field(i).AppendNull()
	}
	batch := b.NewRecordBatch()
	defer batch.Release()
	var out bytes.Buffer
	w, err := pqarrow.NewFileWriter(batch.Schema(), &out, parquet.NewWriterProperties(), pqarrow.DefaultWriterProps())
	if err == nil {
		err = errors.Join(w.Write(batch), w.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestParquetKeepsItsTypes(t *testing.T) {
	f, err := Open(context.Background(), write(t, "r.parquet", string(parquetBytes(t))), "r.parquet")
	if err != nil {
		t.Fatal(err)
	}
	columns := f.Columns()
	last := columns[len(columns)-1]
	if !f.Typed() || last.Type.Kind != "" || !strings.Contains(last.Declared, "list") {
		t.Errorf("typed %v, the list is %+v", f.Typed(), last)
	}
	var rows []string
	err = f.Read(context.Background(), columns[:len(columns)-1], func(values []recount.Value) error {
		var texts []string
		for _, v := range values {
			texts = append(texts, v.String())
		}
		rows = append(rows, strings.Join(texts, "|"))
		return nil
	})
	want := "ä|18446744073709551615|-0.500|2024-06-10T12:00:00.123Z|2024-06-10T12:00:00.000001Z|2024-06-10|0.10000000149011612"
	if err != nil || len(rows) != 2 || rows[0] != want || rows[1] != "NULL|NULL|NULL|NULL|NULL|NULL|NULL" {
		t.Errorf("rows %q, %v; want %q", rows, err, want)
	}
}

// FuzzParquet reads damaged files: an error, never a panic.
func FuzzParquet(f *testing.F) {
	f.Add([]byte("PAR1PAR1"), 0)
	f.Fuzz(func(t *testing.T, noise []byte, at int) {
		whole := parquetBytes(t)
		if at < 0 {
			at = -(at + 1)
		}
		damaged := bytes.Clone(whole)
		copy(damaged[at%len(whole):], noise)
		_, _, _ = all(t, write(t, "r.parquet", string(damaged)))
	})
}
