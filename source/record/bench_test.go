package record_test

import (
	"fmt"
	"testing"

	"recount"
	"recount/source/record"
)

func BenchmarkEvents(b *testing.B) {
	m := recount.Mapping{ID: "id", Time: "at", Fields: append(typed(recount.KindInt64, "units"), typed(recount.KindString, "note")...)}
	json := []byte(`{"id":"8b0a2c2e-6c34-4a4d-9d0b-0c4f6d1a0b11","at":"2024-06-10T12:09:24.053001Z","units":17,"note":"a note of some words","customer":{"id":42,"country":"DE"},"lines":[{"sku":"A-1","n":1},{"sku":"B-2","n":2}]}`)
	one := order(b, orderV2, 7, map[string]any{"id": "8b0a2c2e-6c34-4a4d-9d0b-0c4f6d1a0b11", "units": int64(17), "note": map[string]any{"string": "a note of some words"}})
	message := framed(b, 8, []int{0, 0}, message(b, map[string]string{"order.proto": orderProto, "shop/money.proto": money}, "shop.Envelope.Order", `{"id":"a","at":"2024-06-10T12:09:24.053Z","big":"7","price":{"units":"5"},"note":"a note of some words"}`))
	change := []byte(`{"op":"u","before":` + string(json) + `,"after":` + string(json) + `,` + fromOrders + `}`)
	for _, c := range []struct {
		name   string
		values record.Values
		value  []byte
	}{
		{"json", record.Values{}, json},
		{"avro", record.Values{Format: "avro"}, one.Value},
		{"protobuf", record.Values{Format: "protobuf"}, message},
		{"cloudevents", record.Values{Envelope: "cloudevents"}, []byte(`{"specversion":"1.0","id":"a","source":"s","type":"t","data":` + string(json) + `}`)},
		{"debezium", record.Values{Envelope: "debezium"}, change},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := newRegistry(b)
			s.add(7, "", orderV2)
			s.add(8, "PROTOBUF", orderProto, map[string]any{"name": "shop/money.proto", "subject": "m", "version": 1})
			s.add(9, "PROTOBUF", money)
			s.subjects["m/1"] = 9
			o := record.Options{Mapping: m, Values: c.values, Keyed: true}
			if c.values.Format != "" {
				o.Values.Registry.URL = s.URL
			}
			if c.name == "protobuf" {
				o.Mapping.Fields = o.Mapping.Fields[1:]
			}
			d := decoder(b, o)
			records := make([]record.Record, 1000)
			for i := range records {
				records[i] = record.Record{Position: fmt.Sprintf("%020d", i), Value: c.value, Time: orderTime}
			}
			b.ReportAllocs()
			b.ResetTimer()
			for b.Loop() {
				got, _, err := d.Events(b.Context(), "0", records)
				if err != nil || got[0].Fault != "" && c.name != "cloudevents" {
					b.Fatal(err, got[0].Fault)
				}
			}
			b.ReportMetric(float64(len(records)*b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
