package avrojson_test

import (
	"encoding/json"
	"math"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/hamba/avro/v2"
	"pgregory.net/rapid"

	"recount/source/payload/avrojson"
)

func at(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		panic(err)
	}
	return t
}

// typed are types with a value as the encoder takes it.
var typed = []struct {
	name, schema string
	value        any
	want         string
}{
	{"null", `"null"`, nil, `null`},
	{"boolean", `"boolean"`, true, `true`},
	{"int", `"int"`, -7, `-7`},
	{"long", `"long"`, int64(9007199254740993), `"9007199254740993"`},
	{"float", `"float"`, float32(0.1), `0.1`},
	{"double", `"double"`, 0.1, `0.1`},
	{"odd double", `"double"`, math.Inf(-1), `"-Infinity"`},
	{"string", `"string"`, "e\"1\n\u0001é", `"e\"1\n\u0001é"`},
	{"bytes", `"bytes"`, []byte{0xff, 0xfe}, `{"base64":"//4="}`},
	{"bytes of text", `"bytes"`, []byte("abc"), `"abc"`},
	{"fixed", `{"type":"fixed","name":"F","size":3}`, [3]byte{1, 0xff, 2}, `{"base64":"Af8C"}`},
	{"enum", `{"type":"enum","name":"E","symbols":["PAID","OPEN"]}`, "OPEN", `"OPEN"`},
	{"array", `{"type":"array","items":"long"}`, []int64{1, 2}, `["1","2"]`},
	{"empty array", `{"type":"array","items":"long"}`, []int64{}, `[]`},
	{"map", `{"type":"map","values":"int"}`, map[string]int{"a": 1}, `{"a":1}`},
	{"union", `["null","string"]`, "x", `"x"`},
	{"union of null", `["null","string"]`, nil, `null`},
	{"decimal", `{"type":"bytes","logicalType":"decimal","precision":18,"scale":2}`, big.NewRat(2860, 100), `"28.60"`},
	{"small decimal", `{"type":"bytes","logicalType":"decimal","precision":18,"scale":2}`, big.NewRat(-5, 100), `"-0.05"`},
	{"fixed decimal", `{"type":"fixed","name":"D","size":16,"logicalType":"decimal","precision":38,"scale":10}`, big.NewRat(-1, 10), `"-0.1000000000"`},
	{"uuid", `{"type":"string","logicalType":"uuid"}`, "8b0a2c2e-6c34-4a4d-9d0b-0c4f6d1a0b11", `"8b0a2c2e-6c34-4a4d-9d0b-0c4f6d1a0b11"`},
	{"date", `{"type":"int","logicalType":"date"}`, at("2024-06-10T00:00:00Z"), `"2024-06-10"`},
	{"time-millis", `{"type":"int","logicalType":"time-millis"}`, 12*time.Hour + 9*time.Minute + 24053*time.Millisecond, `"12:09:24.053"`},
	{"time-micros", `{"type":"long","logicalType":"time-micros"}`, time.Hour + time.Microsecond, `"01:00:00.000001"`},
	{"timestamp-millis", `{"type":"long","logicalType":"timestamp-millis"}`, at("2024-06-10T12:09:24.053Z"), `"2024-06-10T12:09:24.053Z"`},
	{"timestamp-micros", `{"type":"long","logicalType":"timestamp-micros"}`, at("1969-12-31T23:59:59.999999Z"), `"1969-12-31T23:59:59.999999Z"`},
	{"timestamp-nanos", `{"type":"long","logicalType":"timestamp-nanos"}`, at("2024-06-10T12:09:24.053001002Z").UnixNano(), `"2024-06-10T12:09:24.053001002Z"`},
	{"local-timestamp-nanos", `{"type":"long","logicalType":"local-timestamp-nanos"}`, int64(1), `"1970-01-01T00:00:00.000000001"`},
	{"local-timestamp-millis", `{"type":"long","logicalType":"local-timestamp-millis"}`, at("2024-06-10T12:09:24Z"), `"2024-06-10T12:09:24"`},
	{"duration", `{"type":"fixed","name":"L","size":12,"logicalType":"duration"}`, avro.LogicalDuration{Months: 1, Days: 2, Milliseconds: 3}, `{"months":1,"days":2,"milliseconds":3}`},
	{"date of connect", `{"type":"int","connect.name":"io.debezium.time.Date"}`, 19884, `"2024-06-10"`},
	{"instant of connect", `{"type":"long","connect.name":"org.apache.kafka.connect.data.Timestamp"}`, int64(1), `"1970-01-01T00:00:00.001Z"`},
	{"local time of debezium", `{"type":"long","connect.name":"io.debezium.time.MicroTimestamp"}`, int64(1), `"1970-01-01T00:00:00.000001"`},
	{"time below zero", `{"type":"long","connect.name":"io.debezium.time.MicroTime"}`, int64(-3020399000000), `"-838:59:59"`},
	{"unknown mark", `{"type":"long","logicalType":"moon-phase"}`, int64(1), `"1"`},
	{"decimal of its own scale", `{"type":"record","name":"io.debezium.data.VariableScaleDecimal","connect.name":"io.debezium.data.VariableScaleDecimal",
		"fields":[{"name":"scale","type":"int"},{"name":"value","type":"bytes"}]}`, map[string]any{"scale": 3, "value": []byte{0xff}}, `"-0.001"`},
	{
		"record", `{"type":"record","name":"a.R","fields":[{"name":"b","type":{"type":"enum","name":"E","symbols":["X"]}},{"name":"a","type":["null","E"]}]}`,
		map[string]any{"b": "X", "a": nil},
		`{"b":"X","a":null}`,
	},
	{
		"list of records", `{"type":"record","name":"N","fields":[{"name":"next","type":["null","N"]},{"name":"v","type":"int"}]}`,
		map[string]any{"v": 1, "next": map[string]any{"N": map[string]any{"v": 2, "next": nil}}},
		`{"next":{"next":null,"v":2},"v":1}`,
	},
}

func TestEachTypeHasItsText(t *testing.T) {
	for _, c := range typed {
		t.Run(c.name, func(t *testing.T) {
			encoder, err := avro.ParseWithCache(c.schema, "", &avro.SchemaCache{})
			if err != nil {
				t.Fatal(err)
			}
			data, err := avro.Marshal(encoder, c.value)
			if err != nil {
				t.Fatal(err)
			}
			schema, err := avrojson.Parse(c.schema)
			if err != nil {
				t.Fatal(err)
			}
			got, rest, err := schema.Append(nil, append(data, 0xaa))
			if err != nil || string(got) != c.want || len(rest) != 1 {
				t.Errorf("got %s and %d bytes more, %v; want %s", got, len(rest), err, c.want)
			}
			for cut := range data {
				if got, _, err := schema.Append(nil, data[:cut]); err == nil {
					t.Fatalf("cut to %d bytes it still reads: %s", cut, got)
				}
			}
		})
	}
}

func TestTypesOfReferencesAreKnown(t *testing.T) {
	money := `{"type":"record","name":"shop.Money","fields":[{"name":"units","type":"long"}]}`
	line := `{"type":"record","name":"Line","namespace":"shop","fields":[{"name":"price","type":"Money"}]}`
	schema, err := avrojson.Parse(`{"type":"record","name":"Order","namespace":"shop","fields":[{"name":"lines","type":{"type":"array","items":"shop.Line"}}]}`, money, line)
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := schema.Append(nil, []byte{2, 4, 0})
	if err != nil || string(got) != `{"lines":[{"price":{"units":"2"}}]}` {
		t.Errorf("got %s, %v", got, err)
	}
	if _, err := avrojson.Parse(`"shop.Money"`); err == nil {
		t.Error("a type that is nowhere is taken")
	}
}

func TestHostileValuesEndWithinBounds(t *testing.T) {
	long := func(n int64) []byte {
		var b [10]byte
		u := uint64(n)<<1 ^ uint64(n>>63) //nolint:gosec // zigzag
		i := 0
		for ; u >= 0x80; i++ {
			b[i] = byte(u) | 0x80
			u >>= 7
		}
		b[i] = byte(u)
		return b[:i+1]
	}
	endless := `{"type":"record","name":"A","fields":[{"name":"a","type":"A"}]}`
	wide := `{"type":"record","name":"A","fields":[{"name":"a","type":{"type":"record","name":"B","fields":[{"name":"a","type":"A"},{"name":"b","type":"A"}]}},{"name":"b","type":"B"}]}`
	for name, c := range map[string]struct {
		schema string
		data   []byte
		why    string
	}{
		"nulls without end":     {`{"type":"array","items":"null"}`, long(math.MaxInt64), "too long"},
		"the least count":       {`{"type":"array","items":"null"}`, append(long(math.MinInt64), 0), "too long"},
		"a length below zero":   {`"bytes"`, long(-1), "length"},
		"a length beyond":       {`"string"`, long(1 << 40), "too early"},
		"a record in itself":    {endless, nil, "deep"},
		"records in each other": {wide, nil, "deep"},
		"no such branch":        {`["null"]`, long(1), "union"},
		"no such symbol":        {`{"type":"enum","name":"E","symbols":[]}`, long(0), "enum"},
		"a number of 70 bits":   {`"long"`, []byte{255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1}, "64 bits"},
		"an int of 64 bits":     {`"int"`, long(1 << 40), "an int is"},
	} {
		schema, err := avrojson.Parse(c.schema)
		if err != nil {
			t.Fatal(name, err)
		}
		if _, _, err := schema.Append(nil, c.data); err == nil || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: got %v, want %q", name, err, c.why)
		}
	}
}

func TestWhatIsWrittenReadsBack(t *testing.T) {
	const text = `{"type":"record","name":"R","fields":[{"name":"s","type":"string"},{"name":"n","type":"long"},{"name":"l","type":{"type":"array","items":"double"}},
		{"name":"m","type":{"type":"map","values":["null","long"]}}]}`
	type row struct {
		S string            `avro:"s" json:"s"`
		N int64             `avro:"n" json:"n,string"`
		L []float64         `avro:"l" json:"l"`
		M map[string]*int64 `avro:"m" json:"-"`
	}
	encoder := avro.MustParse(text)
	schema, err := avrojson.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		want := row{
			S: rapid.String().Draw(t, "s"), N: rapid.Int64().Draw(t, "n"), L: rapid.SliceOf(rapid.Float64()).Draw(t, "l"),
			M: rapid.MapOf(rapid.String(), rapid.Ptr(rapid.Int64(), true)).Draw(t, "m"),
		}
		data, err := avro.Marshal(encoder, want)
		if err != nil {
			t.Fatal(err)
		}
		doc, rest, err := schema.Append(nil, data)
		if err != nil || len(rest) > 0 {
			t.Fatal(err)
		}
		var got row
		if err := json.Unmarshal(doc, &got); err != nil {
			t.Fatalf("%s: %v", doc, err)
		}
		if got.S != want.S || got.N != want.N || len(got.L) != len(want.L) {
			t.Fatalf("got %v, want %v", got, want)
		}
		for i := range want.L {
			if got.L[i] != want.L[i] {
				t.Fatalf("got %v, want %v", got.L[i], want.L[i])
			}
		}
	})
}

func FuzzAppend(f *testing.F) {
	for _, c := range typed {
		f.Add(c.schema, []byte{2, 4, 6, 0})
	}
	f.Fuzz(func(t *testing.T, text string, data []byte) {
		schema, err := avrojson.Parse(text)
		if err != nil {
			return
		}
		doc, rest, err := schema.Append(nil, data)
		if err != nil {
			return
		}
		if len(rest) > len(data) || len(doc) > avrojson.MaxJSON+(avrojson.MaxGrowth+8)*len(data)+64*len(text)+64 {
			t.Errorf("%d bytes became %d", len(data), len(doc))
		}
		if !json.Valid(doc) {
			t.Errorf("no JSON: %s", doc)
		}
	})
}
