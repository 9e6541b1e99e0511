package eventfile

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "github.com/duckdb/duckdb-go/v2"

	"recount"
)

// TestDuckDBReadsTheFiles reads with another program's own Parquet reader, through
// the folders of Hive.
func TestDuckDBReadsTheFiles(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	fields := allFields()
	const n = 6000
	rows := NewRows(fields)
	var want []recount.Event
	for i := range n {
		e := randomEvent(rng, i)
		for j, f := range fields { // DuckDB shows text without NUL
			if f.Type.Kind == recount.KindString {
				e.Fields[j].Text = strings.ReplaceAll(e.Fields[j].Text, "\x00", "")
			}
		}
		if err := rows.Append(int64(i), &e, true); err != nil {
			t.Fatal(err)
		}
		want = append(want, e)
	}
	dir := filepath.Join(t.TempDir(), "date=2024-06-10", "hour=12")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a.parquet"), writeFile(t, Meta{Stream: "s", Format: "csv", Fields: fields}, rows), 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("duckdb", "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	q := fmt.Sprintf(`SELECT seq, coalesce(id, ''), partition, position, epoch_us(time), data, len(headers), coalesce(fault, ''),
		s, n::VARCHAR, small::VARCHAR, middle::VARCHAR, large::VARCHAR, b::VARCHAR, epoch_us("at"), day::VARCHAR, j, hour
		FROM read_parquet('%s/*/*/*.parquet', hive_partitioning = true) ORDER BY seq`, filepath.Dir(filepath.Dir(dir)))
	r, err := db.QueryContext(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	i := 0
	for ; r.Next(); i++ {
		var seq, micros int64
		var id, partition, position, fault, hour string
		var data []byte
		var headers, at sql.NullInt64
		var s, num, small, middle, large, b, day, j sql.NullString
		if err := r.Scan(&seq, &id, &partition, &position, &micros, &data, &headers, &fault, &s, &num, &small, &middle, &large, &b, &at, &day, &j, &hour); err != nil {
			t.Fatal(err)
		}
		e := want[i]
		if seq != int64(i) || id != e.ID || partition != e.Partition || position != e.Position || micros != e.Time.UnixMicro() ||
			string(data) != string(e.Data) || headers.Valid != (e.Headers != nil) || int(headers.Int64) != len(e.Headers) || fault != e.Fault || hour != "12" {
			t.Fatalf("row %d: got %d %s %s %s %d %q", i, seq, id, partition, position, micros, data)
		}
		for k, got := range map[int]sql.NullString{0: s, 1: num, 3: small, 4: middle, 5: large, 6: b, 8: day, 9: j} {
			if got.Valid == e.Fields[k].Null || got.Valid && got.String != e.Fields[k].Text {
				t.Fatalf("row %d, field %s: got %+v, want %+v", i, fields[k].Name, got, e.Fields[k])
			}
		}
		if at.Valid && recount.FormatTimestamp(time.UnixMicro(at.Int64)) != e.Fields[7].Text {
			t.Fatalf("row %d, at: got %d, want %s", i, at.Int64, e.Fields[7].Text)
		}
	}
	if err := r.Err(); err != nil || i != n {
		t.Errorf("%d rows, %v", i, err)
	}
}
