package eventfile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/big"
	"math/bits"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"recount"
)

func allFields() []recount.Field {
	return []recount.Field{
		{Name: "s", Type: recount.Type{Kind: recount.KindString}},
		{Name: "n", Type: recount.Type{Kind: recount.KindInt64}},
		{Name: "x", Type: recount.Type{Kind: recount.KindDouble}},
		{Name: "small", Type: recount.Decimal(7, 2)},
		{Name: "middle", Type: recount.Decimal(18, 2)},
		{Name: "large", Type: recount.Decimal(38, 10)},
		{Name: "b", Type: recount.Type{Kind: recount.KindBool}},
		{Name: "at", Type: recount.Type{Kind: recount.KindTimestamp}},
		{Name: "day", Type: recount.Type{Kind: recount.KindDate}},
		{Name: "j", Type: recount.Type{Kind: recount.KindJSON}},
	}
}

var samples = [][]string{
	{"", "a", "ä\x00b"},
	{"0", "-9223372036854775808", "9223372036854775807"},
	{"0", "1.5", "NaN", "-Infinity", "1e+300"},
	{"0.00", "-99999.99", "12.34"},
	{"0.01", "-9999999999999999.99", "42.00"},
	{"0.0000000000", "9999999999999999999999999999.9999999999", "-9999999999999999999999999999.9999999999", "-0.0000000001"},
	{"true", "false"},
	{"0001-01-01T00:00:00Z", "1969-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.5Z", "2024-06-10T12:00:00Z"},
	{"1970-01-01", "0001-01-01", "9999-12-31", "2024-02-29"},
	{`{"a":1}`, "null"},
}

func randomEvent(rng *rand.Rand, i int) recount.Event {
	e := recount.Event{
		Partition: fmt.Sprintf("p%d", rng.IntN(3)), Position: fmt.Sprintf("%012d", i), Data: []byte(fmt.Sprintf("row %d\x00\xff", i)),
		Time: time.UnixMicro(rng.Int64N(4e15) - 2e15).UTC(),
	}
	if rng.IntN(3) > 0 {
		e.ID = fmt.Sprintf("e-%d", rng.IntN(1e6))
	}
	if rng.IntN(4) == 0 {
		e.Type, e.Key, e.IngestTime, e.Fault = "order", []byte{}, time.UnixMicro(1).UTC(), "broken"
	}
	switch rng.IntN(4) {
	case 0:
		e.Headers = []recount.Header{}
	case 1:
		e.Headers = []recount.Header{{Name: "a", Value: []byte("1")}, {Name: "a"}, {Name: "", Value: []byte{}}}
	}
	for _, texts := range samples {
		v := recount.Null
		if rng.IntN(4) > 0 {
			v = recount.Text(texts[rng.IntN(len(texts))])
		}
		e.Fields = append(e.Fields, v)
	}
	return e
}

func writeFile(t testing.TB, meta Meta, groups ...*Rows) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := NewWriter(&b, meta, groups[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range groups {
		if err := w.Write(g); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestEventsReadBackAsWritten(t *testing.T) {
	for seed := range uint64(6) {
		rng := rand.New(rand.NewPCG(seed, 1))
		meta := Meta{Stream: "s", Format: "csv", Header: "a,b\x00", Fields: allFields()}
		var groups []*Rows
		var want [][]Stored
		seq := int64(0)
		for range 1 + rng.IntN(3) {
			rows := NewRows(meta.Fields)
			var stored []Stored
			for range 1 + rng.IntN(9000) {
				seq++
				e := randomEvent(rng, int(seq))
				known := rng.IntN(10) > 0
				if err := rows.Append(seq, &e, known); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
				e.Fields = nil
				if !known {
					e.Time = time.Time{}
				}
				stored = append(stored, Stored{Seq: seq, TimeKnown: known, Event: e})
			}
			groups, want = append(groups, rows), append(want, stored)
		}
		f, err := Open(bytes.NewReader(writeFile(t, meta, groups...)))
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if got := f.Meta(); got.Stream != "s" || got.Format != "csv" || got.Header != meta.Header {
			t.Errorf("seed %d: meta is %+v", seed, got)
		}
		for g := range want {
			got, err := f.Events(g, nil)
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			for i := range want[g] {
				if !reflect.DeepEqual(got[i], want[g][i]) {
					t.Fatalf("seed %d, group %d, row %d:\n got %+v\nwant %+v", seed, g, i, got[i], want[g][i])
				}
			}
		}
	}
}

// TestForeignReaderSeesTheTypes reads with the generic Arrow reader.
func TestForeignReaderSeesTheTypes(t *testing.T) {
	fields := allFields()
	rows := NewRows(fields)
	for i := range 3 {
		e := recount.Event{Partition: "p", Position: "1", Data: []byte("d"), Time: time.UnixMicro(-1).UTC()}
		for _, texts := range samples {
			e.Fields = append(e.Fields, recount.Text(texts[i%len(texts)]))
		}
		if err := rows.Append(int64(i), &e, true); err != nil {
			t.Fatal(err)
		}
	}
	r, err := file.NewParquetReader(bytes.NewReader(writeFile(t, Meta{Stream: "s", Fields: fields}, rows)))
	if err != nil {
		t.Fatal(err)
	}
	ar, err := pqarrow.NewFileReader(r, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		t.Fatal(err)
	}
	table, err := ar.ReadTable(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer table.Release()
	want := map[string]string{
		"seq": "int64", "id": "utf8", "time": "timestamp[us, tz=UTC]", "key": "binary", "data": "binary",
		"headers": "list<element: struct<name: utf8, value: binary nullable>>",
		"s":       "utf8", "n": "int64", "x": "float64", "small": "decimal(7, 2)", "middle": "decimal(18, 2)", "large": "decimal(38, 10)",
		"b": "bool", "at": "timestamp[us, tz=UTC]", "day": "date32", "j": "utf8",
	}
	for name, typ := range want {
		i := table.Schema().FieldIndices(name)
		if len(i) != 1 {
			t.Errorf("column %q stands %d times", name, len(i))
			continue
		}
		if got := table.Schema().Field(i[0]).Type.String(); got != typ {
			t.Errorf("column %q is %s, want %s", name, got, typ)
		}
	}
	for i, f := range fields {
		column := table.Column(table.Schema().FieldIndices(f.Name)[0]).Data().Chunk(0)
		for row := range 3 {
			want := samples[i][row%len(samples[i])]
			if got := column.ValueStr(row); f.Type.Kind == recount.KindDecimal && got != want && got+".00" != want {
				a, _ := new(big.Rat).SetString(got)
				b, _ := new(big.Rat).SetString(want)
				if a == nil || a.Cmp(b) != 0 {
					t.Errorf("%s row %d: got %s, want %s", f.Name, row, got, want)
				}
			}
		}
	}
}

func TestMarksReadBackAsWritten(t *testing.T) {
	var marks []recount.Mark
	for i := range 5000 {
		m := recount.Mark{Seq: int64(i * 3), Kind: recount.MarkRepeat, ID: fmt.Sprint(i), Time: time.UnixMicro(int64(i)).UTC(), Why: "why"}
		if i%7 == 0 {
			m = recount.Mark{Seq: int64(i * 3), Kind: recount.MarkFault, Broken: []string{"a", "b"}, Why: "no time"}
		}
		marks = append(marks, m)
	}
	var b bytes.Buffer
	w := NewMarksWriter(&b, "s")
	for _, part := range [][]recount.Mark{marks[:1000], nil, marks[1000:]} {
		if err := w.Write(part); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := Open(bytes.NewReader(b.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	got, err := f.Marks()
	if err != nil || !reflect.DeepEqual(got, marks) {
		t.Errorf("marks differ, %v", err)
	}
}

func int128Of(b []byte) int128 {
	var all [16]byte
	if len(b) > 0 && b[0]&0x80 != 0 {
		for i := range all {
			all[i] = 0xff
		}
	}
	copy(all[16-len(b):], b)
	return int128{hi: int64(binary.BigEndian.Uint64(all[:8])), lo: binary.BigEndian.Uint64(all[8:])}
}

// text returns the canonical text of a scaled decimal.
func (n int128) text(scale int) string {
	hi, lo, neg := uint64(n.hi), n.lo, n.hi < 0
	if neg {
		lo = -lo
		hi = ^hi
		if lo == 0 {
			hi++
		}
	}
	var digits [41]byte
	i := len(digits)
	for written := 0; written <= scale || hi != 0 || lo != 0; written++ {
		if written == scale && scale > 0 {
			i--
			digits[i] = '.'
		}
		var rem uint64
		hi, rem = hi/10, hi%10
		lo, rem = bits.Div64(rem, lo, 10)
		i--
		digits[i] = '0' + byte(rem)
	}
	if neg {
		i--
		digits[i] = '-'
	}
	return string(digits[i:])
}

func TestDecimals(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for precision := 1; precision <= recount.MaxPrecision; precision++ {
		most := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(precision)), nil)
		holds := func(n int) bool { return n > 0 && new(big.Int).Lsh(big.NewInt(1), uint(8*n-1)).Cmp(most) >= 0 }
		if got := decimalBytes(precision); !holds(got) || holds(got-1) {
			t.Errorf("decimalBytes(%d) = %d", precision, got)
		}
		for range 200 {
			scale := rng.IntN(precision + 1)
			var digits []byte
			for range precision {
				digits = append(digits, byte('0'+rng.IntN(10)))
			}
			if rng.IntN(2) == 0 {
				digits = append([]byte{'-'}, digits...)
			}
			raw := string(digits[:len(digits)-scale]) + "." + string(digits[len(digits)-scale:])
			text, err := recount.Canonical(recount.Decimal(precision, scale), raw)
			if err != nil {
				t.Fatal(err)
			}
			n, ok := parseDecimal(text, scale)
			if !ok {
				t.Fatalf("parse %q", text)
			}
			if got := n.text(scale); got != text {
				t.Errorf("%q became %q", text, got)
			}
			b := make([]byte, decimalBytes(precision))
			if n.bytes(b); int128Of(b) != n {
				t.Errorf("%q is not kept by %d bytes", text, len(b))
			}
		}
	}
	for _, bad := range []string{"", "-", "1", "1.234", "1.2.3", "a.00", "1e2", "999999999999999999999999999999999999999999.00"} {
		if _, ok := parseDecimal(bad, 2); ok {
			t.Errorf("%q was read", bad)
		}
	}
}

func BenchmarkWrite(b *testing.B) {
	fields := []recount.Field{{Name: "user_id", Type: recount.Type{Kind: recount.KindString}}, {Name: "value", Type: recount.Decimal(18, 2)}}
	rng := rand.New(rand.NewPCG(1, 1))
	const n = 100000
	events := make([]recount.Event, n)
	for i := range events {
		at := time.Unix(1718020800, 0).Add(time.Duration(i) * 8640 * time.Microsecond)
		user := fmt.Sprintf("user_%06d", rng.IntN(200000))
		value := fmt.Sprintf("%d.%02d", rng.IntN(1000), rng.IntN(100))
		id := fmt.Sprintf("%08x-%04x", rng.Uint32(), rng.Uint32()&0xffff)
		events[i] = recount.Event{
			ID: id, Partition: "events.csv", Position: fmt.Sprintf("%020d", i), Time: at, Fields: []recount.Value{recount.Text(user), recount.Text(value)},
			Data: []byte(id + "," + user + "," + at.UTC().Format(time.RFC3339Nano) + "," + value),
		}
	}
	rows := NewRows(fields)
	b.Run("append", func(b *testing.B) {
		for b.Loop() {
			rows.Reset()
			for i := range events {
				if err := rows.Append(int64(i), &events[i], true); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	})
	b.Run("encode", func(b *testing.B) {
		size := 0
		for b.Loop() {
			size = len(writeFile(b, Meta{Stream: "s", Format: "csv", Fields: fields}, rows))
		}
		b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		b.ReportMetric(float64(size)/n, "B/row")
	})
}
