package record_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hamba/avro/v2"

	"recount"
	"recount/source/record"
)

func debezium(format string) record.Options {
	return record.Options{Keyed: true, Values: record.Values{Format: format, Envelope: "debezium"}, Mapping: recount.Mapping{
		Fields: append(append(typed(recount.KindInt64, "order_id=id", "lsn=envelope:source.lsn", "old=envelope:before.id"), typed(recount.KindString, "name", "op=envelope:op")...),
			recount.Field{Name: "total", Type: recount.Decimal(18, 2)}),
	}}
}

const fromOrders = `"source":{"ts_ms":1718021364053,"lsn":42,"table":"orders"}`

func TestChangesAreRows(t *testing.T) {
	d := decoder(t, debezium("json"))
	row := func(id int) string { return fmt.Sprintf(`{"id":%d,"name":"n%d","total":"28.60"}`, id, id) }
	got, head := events(t, d,
		record.Record{Value: []byte(`{"op":"c","before":null,"after":` + row(1) + `,` + fromOrders + `,"ts_ms":1718021364999}`)},
		record.Record{Value: []byte(`{"schema":null,"payload":{"op":"u","before":` + row(1) + `,"after":` + row(2) + `,` + fromOrders + `}}`)},
		record.Record{Value: []byte(`{"payload":{"op":"d","before":` + row(2) + `,"after":null,` + fromOrders + `}}`)},
		record.Record{Key: []byte(`{"schema":{"type":"struct"},"payload":{"id":2}}`)},
		record.Record{Key: []byte(`{"id":3}`), Value: []byte(`{"op":"d","before":null,"after":null,` + fromOrders + `}`)},
		record.Record{Value: []byte(`{"op":"r","after":` + row(4) + `,"source":{"ts_us":1718021364053001},"ts_ms":1}`)},
		record.Record{Value: []byte(`{"op":"t","source":{"lsn":7},"ts_ms":1718021364053}`)},
		record.Record{Value: []byte(`{"op":"c","after":"{\"id\":5,\"name\":\"of mongo\"}"}`)},
	)
	const at = "2024-06-10T12:09:24.053Z"
	wantEvent(t, got[0], "", "create", at, "1|42|NULL|n1|c|28.60", "")
	wantEvent(t, got[1], "", "update", at, "2|42|1|n2|u|28.60", "")
	wantEvent(t, got[2], "", "delete", at, "2|42|2|n2|d|28.60", "")
	wantEvent(t, got[3], "", "tombstone", "2024-06-10T12:00:00Z", "NULL|NULL|NULL|NULL|NULL|NULL", "")
	wantEvent(t, got[4], "", "delete", at, "3|42|NULL|NULL|d|NULL", "")
	wantEvent(t, got[5], "", "read", "2024-06-10T12:09:24.053001Z", "4|NULL|NULL|n4|r|28.60", "")
	wantEvent(t, got[6], "", "truncate", at, "NULL|7|NULL|NULL|t|NULL", "")
	wantEvent(t, got[7], "", "create", "2024-06-10T12:00:00Z", "5|NULL|NULL|of mongo|c|NULL", "")
	again(t, d, head, got)
	if d.Format() != "json+debezium" || d.HasID() {
		t.Errorf("got the format %q, ids %v", d.Format(), d.HasID())
	}
}

func TestWhatIsNoChangeIsAFault(t *testing.T) {
	d := decoder(t, debezium("json"))
	for want, value := range map[string]string{
		"it has no op":         `{"id":1}`,
		"the unknown op":       `{"op":"x"}`,
		"it is no JSON object": `[]`,
		"unexpected end":       `{"op":"c"`,
		"stands twice":         `{"op":"c","op":"d"}`,
		"does not follow":      `{"schema":{"type":"struct","fields":[{"field":"n","type":"int64"}]},"payload":{"n":"x"}}`,
		"cannot be read":       `{"schema":{"type":7},"payload":{"op":"c"}}`,
	} {
		got, head := events(t, d, record.Record{Value: []byte(value)})
		wantEvent(t, got[0], "", "", "", "NULL|NULL|NULL|NULL|NULL|NULL", want)
		if len(got[0].Broken) != 6 {
			t.Errorf("%s: got broken %v", want, got[0].Broken)
		}
		again(t, d, head, got)
	}
}

// connectTypes are columns as Debezium writes them in JSON beside their schema.
var connectTypes = []struct{ field, value, want string }{
	{`{"field":"x","type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2"}}`, `"Cyw="`, `"28.60"`},
	{`{"field":"x","type":"struct","name":"io.debezium.data.VariableScaleDecimal","fields":[{"type":"int32","field":"scale"},{"type":"bytes","field":"value"}]}`, `{"scale":3,"value":"/w=="}`, `"-0.001"`},
	{`{"field":"x","type":"int32","name":"io.debezium.time.Date"}`, `19884`, `"2024-06-10"`},
	{`{"field":"x","type":"int32","name":"io.debezium.time.Time"}`, `43764053`, `"12:09:24.053"`},
	{`{"field":"x","type":"int64","name":"io.debezium.time.MicroTime"}`, `43764053001`, `"12:09:24.053001"`},
	{`{"field":"x","type":"int64","name":"io.debezium.time.NanoTime"}`, `1`, `"00:00:00.000000001"`},
	{`{"field":"x","type":"int64","name":"io.debezium.time.Timestamp"}`, `1718021364053`, `"2024-06-10T12:09:24.053"`},
	{`{"field":"x","type":"int64","name":"io.debezium.time.MicroTimestamp"}`, `1718021364053001`, `"2024-06-10T12:09:24.053001"`},
	{`{"field":"x","type":"int64","name":"io.debezium.time.NanoTimestamp"}`, `-1`, `"1969-12-31T23:59:59.999999999"`},
	{`{"field":"x","type":"int64","name":"org.apache.kafka.connect.data.Timestamp"}`, `1718021364053`, `"2024-06-10T12:09:24.053Z"`},
	{`{"field":"x","type":"int32","name":"org.apache.kafka.connect.data.Date"}`, `-1`, `"1969-12-31"`},
	{`{"field":"x","type":"int32","name":"org.apache.kafka.connect.data.Time"}`, `1`, `"00:00:00.001"`},
	{`{"field":"x","type":"string","name":"io.debezium.time.ZonedTimestamp"}`, `"2024-06-10T12:09:24.053001Z"`, `"2024-06-10T12:09:24.053001Z"`},
	{`{"field":"x","type":"int64"}`, `9007199254740993`, `"9007199254740993"`},
	{`{"field":"x","type":"int16"}`, `7`, `7`},
	{`{"field":"x","type":"double"}`, `0.1`, `0.1`},
	{`{"field":"x","type":"boolean"}`, `true`, `true`},
	{`{"field":"x","type":"bytes"}`, `"//4="`, `{"base64":"//4="}`},
	{`{"field":"x","type":"bytes"}`, `"YWJj"`, `"abc"`},
	{`{"field":"x","type":"array","items":{"type":"int64"}}`, `[1,null]`, `["1",null]`},
	{`{"field":"x","type":"map","keys":{"type":"string"},"values":{"type":"int64"}}`, `{"b":1,"a":2}`, `{"b":"1","a":"2"}`},
	{`{"field":"x","type":"int64","optional":true}`, `null`, `null`},
}

func TestColumnsHaveTheTextOfTheirSchema(t *testing.T) {
	d := decoder(t, record.Options{Values: record.Values{Envelope: "debezium"}, Mapping: recount.Mapping{Fields: typed(recount.KindJSON, "row=$")}})
	for _, c := range connectTypes {
		row := `{"type":"struct","field":"after","fields":[` + c.field + `]}`
		value := `{"schema":{"type":"struct","fields":[` + row + `,{"field":"op","type":"string"}]},"payload":{"op":"c","after":{"x":` + c.value + `}}}`
		got, _ := events(t, d, record.Record{Value: []byte(value)})
		want := `{"x":` + c.want + `}`
		if got[0].Fault != "" || got[0].Fields[0].Text != want {
			t.Errorf("%s: got %s (%s), want %s", c.field, got[0].Fields[0].Text, got[0].Fault, want)
		}
	}
}

// changeAvro is the envelope that Debezium registers for a table.
const changeAvro = `{"type":"record","name":"Envelope","namespace":"shop.public.orders","fields":[
	{"name":"before","type":["null",{"type":"record","name":"Value","fields":[
		{"name":"id","type":"int"},
		{"name":"name","type":["null","string"],"default":null},
		{"name":"total","type":["null",{"type":"bytes","scale":2,"precision":10,"connect.version":1,"connect.parameters":{"scale":"2"},"connect.name":"org.apache.kafka.connect.data.Decimal","logicalType":"decimal"}]},
		{"name":"made","type":{"type":"long","connect.version":1,"connect.name":"io.debezium.time.MicroTimestamp"}}],"connect.name":"shop.public.orders.Value"}]},
	{"name":"after","type":["null","Value"]},
	{"name":"source","type":{"type":"record","name":"Source","namespace":"io.debezium.connector.postgresql","fields":[{"name":"ts_ms","type":"long"},{"name":"lsn","type":["null","long"]}]}},
	{"name":"op","type":"string"},
	{"name":"ts_ms","type":["null","long"]}]}`

func TestChangesInAvro(t *testing.T) {
	r := newRegistry(t)
	r.add(7, "", changeAvro)
	r.add(8, "", `{"type":"record","name":"Key","fields":[{"name":"id","type":"int"}]}`)
	// The encoder has no use for Connect's marks, and takes bytes for a decimal.
	plain := strings.ReplaceAll(changeAvro, `,"logicalType":"decimal"`, "")
	encode := func(op string, before, after any) []byte {
		value, err := avro.Marshal(avro.MustParse(plain), map[string]any{
			"before": before, "after": after, "op": op, "ts_ms": nil,
			"source": map[string]any{"ts_ms": int64(1718021364053), "lsn": map[string]any{"long": int64(42)}},
		})
		if err != nil {
			t.Fatal(err)
		}
		return framed(t, 7, nil, value)
	}
	row := map[string]any{"shop.public.orders.Value": map[string]any{
		"id": 1, "name": map[string]any{"string": "n"}, "total": map[string]any{"bytes": []byte{0x0b, 0x2c}}, "made": int64(1718021364053001),
	}}
	o := debezium("avro")
	o.Values.Registry.URL = r.URL
	o.Mapping.Fields = append(o.Mapping.Fields, typed(recount.KindString, "made")...)
	d := decoder(t, o)
	got, head := events(t, d, record.Record{Value: encode("c", nil, row)}, record.Record{Value: encode("d", nil, nil), Key: framed(t, 8, nil, []byte{2})}, record.Record{Key: framed(t, 8, nil, []byte{2})})
	const at = "2024-06-10T12:09:24.053Z"
	wantEvent(t, got[0], "", "create", at, "1|42|NULL|n|c|28.60|2024-06-10T12:09:24.053001", "")
	wantEvent(t, got[1], "", "delete", at, "1|42|NULL|NULL|d|NULL|NULL", "")
	wantEvent(t, got[2], "", "tombstone", "2024-06-10T12:00:00Z", "NULL|NULL|NULL|NULL|NULL|NULL|NULL", "")
	r.Close()
	again(t, d, head, got)
}
