package files_test

import (
	"bytes"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hamba/avro/v2/ocf"

	"recount"
	"recount/source"
	"recount/source/sourcetest"
)

const rowSchema = `{"type":"record","name":"row","fields":[
	{"name":"id","type":["null","string"]},{"name":"time","type":["null","string"]},{"name":"user","type":"string"},
	{"name":"value","type":["null","string"]},{"name":"note","type":"bytes"}]}`

// avroFile makes a file of text columns, in blocks of 5,000, as Connect's sink does.
func avroFile(t testing.TB, rows []sourcetest.Row) []byte {
	t.Helper()
	var out bytes.Buffer
	enc, err := ocf.NewEncoder(rowSchema, &out, ocf.WithBlockLength(5000), ocf.WithCodec(ocf.Snappy))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if err := enc.Encode(map[string]any{"id": r.ID, "time": r.Time, "user": r.User, "value": r.Value, "note": []byte(r.Note)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := enc.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

const typesSchema = `{"type":"record","name":"all","namespace":"shop","fields":[
	{"name":"n","type":"null"},{"name":"b","type":"boolean"},{"name":"i","type":"int"},{"name":"l","type":"long"},
	{"name":"f","type":"float"},{"name":"d","type":"double"},{"name":"s","type":"string"},{"name":"raw","type":"bytes"},
	{"name":"dec","type":{"type":"bytes","logicalType":"decimal","precision":20,"scale":2}},
	{"name":"day","type":{"type":"int","logicalType":"date"}},
	{"name":"ms","type":{"type":"long","logicalType":"timestamp-millis"}},
	{"name":"us","type":{"type":"long","logicalType":"timestamp-micros"}},
	{"name":"t","type":{"type":"int","logicalType":"time-millis"}},
	{"name":"uuid","type":{"type":"string","logicalType":"uuid"}},
	{"name":"color","type":{"type":"enum","name":"color","symbols":["red","blue"]}},
	{"name":"list","type":{"type":"array","items":"long"}},
	{"name":"attrs","type":{"type":"map","values":"int"}},
	{"name":"maybe","type":["null",{"type":"record","name":"inner","fields":[{"name":"x","type":"long"},{"name":"again","type":["null","inner"]}]}]},
	{"name":"fix","type":{"type":"fixed","name":"two","size":2}}]}`

func TestAvroLosesNothing(t *testing.T) {
	at := time.Date(2024, 6, 10, 12, 9, 24, 53_000_000, time.UTC)
	record := map[string]any{
		"n": nil, "b": true, "i": -7, "l": int64(9007199254740993), "f": float32(0.1), "d": 1e300, "s": "a\"b\n", "raw": []byte{0xff, 0x00},
		"dec": big.NewRat(-12345, 100), "day": at.Truncate(24 * time.Hour), "ms": at, "us": at.Add(7 * time.Microsecond), "t": 12*time.Hour + 53*time.Millisecond,
		"uuid": "0190163d-8694-739b-aea5-966c26f8ad90", "color": "blue", "list": []int64{1, 1 << 60}, "attrs": map[string]int{"k": 1},
		"maybe": map[string]any{"shop.inner": map[string]any{"x": int64(5), "again": nil}}, "fix": [2]byte{'o', 'k'},
	}
	want := `{"n":null,"b":true,"i":-7,"l":"9007199254740993","f":0.1,"d":1e+300,"s":"a\"b\n","raw":{"base64":"/wA="},"dec":"-123.45","day":"2024-06-10",` +
		`"ms":"2024-06-10T12:09:24.053Z","us":"2024-06-10T12:09:24.053007Z","t":"12:00:00.053","uuid":"0190163d-8694-739b-aea5-966c26f8ad90","color":"blue",` +
		`"list":["1","1152921504606846976"],"attrs":{"k":1},"maybe":{"x":"5","again":null},"fix":"ok"}`
	m := recount.Mapping{ID: "$.uuid", Time: "us", Fields: []recount.Field{{Name: "x", Type: recount.Type{Kind: recount.KindInt64}, Path: "$.maybe.x"}}}
	for _, codec := range []ocf.CodecName{ocf.Null, ocf.Deflate, ocf.Snappy, ocf.ZStandard} {
		dir := t.TempDir()
		var out bytes.Buffer
		enc, err := ocf.NewEncoder(typesSchema, &out, ocf.WithCodec(codec))
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if err := enc.Encode(record); err != nil {
				t.Fatal(err)
			}
		}
		if err := enc.Close(); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "e.avro"), out.Bytes())
		events, err := read(t, open(t, dir, m, "e.avro"), source.Cursor{})
		if err != nil || len(events) != 3 {
			t.Fatalf("%s: got %d events, %v", codec, len(events), err)
		}
		for _, e := range events {
			if string(e.Data) != want || e.Fault != "" || e.Fields[0] != recount.Text("5") || e.ID != "0190163d-8694-739b-aea5-966c26f8ad90" {
				t.Fatalf("%s: got\n%s\nwant\n%s\nfault %q, fields %v", codec, e.Data, want, e.Fault, e.Fields)
			}
		}
	}
}

func TestDamagedAvroIsAFileFault(t *testing.T) {
	whole := avroFile(t, []sourcetest.Row{{ID: "1", Time: "2024-06-10T12:00:00Z", User: "u", Value: "1.00", Note: "n"}, {ID: "2", Time: "2024-06-10T12:00:00Z", User: "u", Value: "1.00", Note: strings.Repeat("n", 500)}})
	dir := t.TempDir()
	path := filepath.Join(dir, "e.avro")
	var payloads string
	read1 := func(content []byte) error {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		events, err := read(t, open(t, dir, sourcetest.Mapping(), "e.avro"), source.Cursor{})
		payloads = ""
		for _, e := range events {
			payloads += string(e.Data)
		}
		return err
	}
	if err := read1(whole); err != nil {
		t.Fatal(err)
	}
	sound := payloads
	sync := whole[len(whole)-16:]
	head := bytes.Index(whole, sync) + 16 // a file that ends there has no record
	for n := 0; n < len(whole); n += 7 {
		if n == head {
			continue
		}
		wantCode(t, read1(whole[:n]), recount.CodeSourceFile, "e.avro")
	}
	for n := head; n < len(whole); n += 3 {
		broken := bytes.Clone(whole)
		broken[n] ^= 0x55
		if err := read1(broken); err != nil || payloads != sound { // a run can be spelled in two ways
			wantCode(t, err, recount.CodeSourceFile, "e.avro")
		}
	}
	wantCode(t, read1(bytes.Replace(whole, []byte(`"name":"id"`), []byte(`"name":"xx"`), 1)), recount.CodeSourceFile, `"id"`)
}
