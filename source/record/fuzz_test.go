package record_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"recount"
	"recount/source"
	"recount/source/record"
)

// kept is a header as the archive has it: hostile schemas come out of there too.
func kept(t testing.TB, kind, schema, reference string) string {
	t.Helper()
	b, err := json.Marshal(map[string]any{"schemas": []any{map[string]any{
		"id": 7, "type": kind, "schema": schema, "references": []any{map[string]any{"name": "ref.proto", "schema": reference}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// reads decodes twice and demands that it comes to the same, with a value or NULL
// for each field.
func reads(t testing.TB, d source.Decoder, e recount.Event, fields int) {
	t.Helper()
	e.Time = time.Date(2024, 6, 10, 12, 0, 0, 0, time.UTC)
	first, second := d.Decode(e), d.Decode(e)
	if fmt.Sprint(first) != fmt.Sprint(second) {
		t.Errorf("read twice:\n%v\n%v", first, second)
	}
	if len(first.Fields) != fields || string(first.Data) != string(e.Data) {
		t.Errorf("got %d fields and the data %q", len(first.Fields), first.Data)
	}
	for i, f := range first.Fields {
		if f.Null && f.Text != "" {
			t.Errorf("field %d is NULL and %q", i, f.Text)
		}
	}
}

func everything() recount.Mapping {
	return recount.Mapping{ID: "id", Time: "at", Fields: append(typed(recount.KindJSON, "all=$"), typed(recount.KindInt64, "units")...)}
}

func fuzzed(t testing.TB, format, envelope string) *record.Decoder {
	o := record.Options{Where: "bus", Keyed: true, Mapping: everything(), Values: record.Values{Format: format, Envelope: envelope}}
	if format != "json" {
		o.Values.Registry.URL = "http://registry.invalid"
	}
	if envelope != "none" {
		o.Mapping.ID, o.Mapping.Time = "", ""
	}
	return decoder(t, o)
}

func FuzzAvro(f *testing.F) {
	f.Add(orderV1, `"long"`, []byte{0, 0, 0, 0, 7, 2, 'a', 2, 2})
	f.Add(changeAvro, ``, []byte{0, 0, 0, 0, 7, 0, 0})
	f.Add(`{"type":"array","items":"null"}`, ``, []byte{0, 0, 0, 0, 7, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1})
	d, change := fuzzed(f, "avro", "none"), fuzzed(f, "avro", "debezium")
	f.Fuzz(func(t *testing.T, schema, reference string, value []byte) {
		for _, d := range []*record.Decoder{d, change} {
			again, err := d.Again(d.Format(), kept(t, "avro", schema, reference))
			if err != nil {
				t.Fatal(err)
			}
			reads(t, again, recount.Event{Data: value, Key: value}, 2)
		}
	})
}

func FuzzProtobuf(f *testing.F) {
	f.Add(orderProto, money, []byte{0, 0, 0, 0, 7, 4, 0, 0, 0x0a, 1, 'a'})
	f.Add(money, ``, []byte{0, 0, 0, 0, 7, 0, 8, 5})
	f.Add("syntax = \"proto2\"; message M { optional M m = 1; optional group G = 2 { required int32 a = 1; } }", ``, []byte{0, 0, 0, 0, 7, 0, 0x0a, 2, 0x0a, 0})
	d := fuzzed(f, "protobuf", "none")
	f.Fuzz(func(t *testing.T, schema, reference string, value []byte) {
		again, err := d.Again("protobuf", kept(t, "protobuf", schema, reference))
		if err != nil {
			t.Fatal(err)
		}
		reads(t, again, recount.Event{Data: value}, 2)
	})
}

func FuzzCloudEvents(f *testing.F) {
	f.Add("application/cloudevents+json", "ce_x", "1", []byte(`{"specversion":"1.0","id":"a","source":"s","type":"t","time":"2024-06-10T12:09:24Z","data":{"units":1}}`))
	f.Add("application/json", "ce-id", "%20a", []byte(`{"units":1}`))
	f.Add("", "ce_time", "now", []byte(`{"specversion":"1.0","data_base64":"e30="}`))
	again, err := fuzzed(f, "json", "cloudevents").Again("json+cloudevents", "")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, content, name, text string, value []byte) {
		reads(t, again, recount.Event{Data: value, Headers: []recount.Header{header("content-type", content), header(name, text)}}, 2)
		reads(t, again, recount.Event{Headers: []recount.Header{header(name, text), header(name, content)}}, 2)
	})
}

func FuzzDebezium(f *testing.F) {
	f.Add([]byte(`{"op":"c","after":{"units":1},"source":{"ts_ms":1718021364053}}`), []byte(`{"units":1}`))
	f.Add([]byte(`{"op":"d","before":null,"ts_ms":"1"}`), []byte(`{"schema":{},"payload":{"units":1}}`))
	for _, c := range connectTypes {
		f.Add([]byte(`{"schema":{"type":"struct","fields":[{"type":"struct","field":"after","fields":[`+c.field+`]}]},"payload":{"op":"c","after":{"x":`+c.value+`}}}`), []byte(nil))
	}
	again, err := fuzzed(f, "json", "debezium").Again("json+debezium", "")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, value, key []byte) {
		reads(t, again, recount.Event{Data: value, Key: key}, 2)
	})
}
