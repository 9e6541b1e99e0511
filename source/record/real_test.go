package record_test

import (
	"testing"

	"github.com/twmb/franz-go/pkg/sr"

	"recount"
	registries "recount/internal/servertest/registry"
	"recount/source/record"
)

// TestARealRegistry reads Avro with references, Protobuf and JSON from a registry
// that is no fake.
func TestARealRegistry(t *testing.T) {
	url := registries.Start(t)
	client, err := sr.NewClient(sr.URLs(url))
	if err != nil {
		t.Fatal(err)
	}
	register := func(subject string, s sr.Schema) int {
		t.Helper()
		made, err := client.CreateSchema(t.Context(), subject, s)
		if err != nil {
			t.Fatal(err)
		}
		return made.ID
	}
	refers := func(name, subject string) []sr.SchemaReference {
		return []sr.SchemaReference{{Name: name, Subject: subject, Version: 1}}
	}
	const (
		moneyAvro  = `{"type":"record","name":"Money","namespace":"shop","fields":[{"name":"units","type":"long"}]}`
		orderAvro  = `{"type":"record","name":"Order","namespace":"shop","fields":[{"name":"id","type":"string"},{"name":"price","type":"shop.Money"}]}`
		orderProto = `syntax = "proto3"; package shop; import "shop/money.proto"; message Order { string id = 1; Money price = 2; }`
	)
	register("money-avro", sr.Schema{Schema: moneyAvro})
	register("money-protobuf", sr.Schema{Schema: money, Type: sr.TypeProtobuf})
	protobuf := message(t, map[string]string{"order.proto": orderProto, "shop/money.proto": money}, "shop.Order", `{"id":"a","price":{"units":"5"}}`)
	for format, c := range map[string]struct {
		id    int
		value []byte
		index []int
	}{
		"avro":        {register("orders-avro", sr.Schema{Schema: orderAvro, References: refers("shop.Money", "money-avro")}), []byte{2, 'a', 10}, nil},
		"protobuf":    {register("orders-protobuf", sr.Schema{Schema: orderProto, Type: sr.TypeProtobuf, References: refers("shop/money.proto", "money-protobuf")}), protobuf, []int{0}},
		"json-schema": {register("orders-json", sr.Schema{Schema: `{"$schema":"http://json-schema.org/draft-07/schema#","type":"object"}`, Type: sr.TypeJSON}), []byte(`{"id":"a","price":{"units":5}}`), nil},
	} {
		t.Run(format, func(t *testing.T) {
			d := decoder(t, record.Options{
				Values:  record.Values{Format: format, Registry: record.Registry{URL: url}},
				Mapping: recount.Mapping{ID: "id", Time: "record:timestamp", Fields: typed(recount.KindInt64, "units=$.price.units")},
			})
			got, header := events(t, d, record.Record{Value: framed(t, c.id, c.index, c.value)}, record.Record{Value: framed(t, 987654, c.index, c.value)})
			wantEvent(t, got[0], "a", "", "2024-06-10T12:00:00Z", "5", "")
			if format == "json-schema" { // which needs no schema to be read
				wantEvent(t, got[1], "a", "", "2024-06-10T12:00:00Z", "5", "")
			} else {
				wantEvent(t, got[1], "", "", "2024-06-10T12:00:00Z", "NULL", "schema 987654 is unknown to the registry")
			}
			again(t, d, header, got)
		})
	}
}
