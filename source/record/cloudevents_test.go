package record_test

import (
	"encoding/base64"
	"testing"

	"github.com/hamba/avro/v2"

	"recount"
	"recount/source/record"
)

func cloudEvents(format string) record.Options {
	return record.Options{Values: record.Values{Format: format, Envelope: "cloudevents"}, Mapping: recount.Mapping{
		Fields: append(typed(recount.KindInt64, "units"), typed(recount.KindString, "ext=envelope:tenant", "subject=envelope:subject")...),
	}}
}

func TestCloudEventsInBothModes(t *testing.T) {
	binary := func(prefix, value string) record.Record {
		return record.Record{Value: []byte(value), Headers: []recount.Header{
			header(prefix+"specversion", "1.0"), header(prefix+"id", "e 1"), header(prefix+"source", "/shop/1"), header(prefix+"type", "order.paid"),
			header(prefix+"time", "2024-06-10T14:09:24.053001002+02:00"), header(prefix+"tenant", "acme"), header("content-type", "application/json"),
		}}
	}
	envelope := func(data string) string {
		return `{"specversion":"1.0","id":"e 1","source":"/shop/1","type":"order.paid","time":"2024-06-10T12:09:24.053001002Z","tenant":"acme"` + data + `}`
	}
	structured := func(data string) record.Record {
		return record.Record{Value: []byte(envelope(data)), Headers: []recount.Header{header("Content-Type", "application/cloudevents+json; charset=utf-8")}}
	}
	d := decoder(t, cloudEvents("json"))
	for name, r := range map[string]record.Record{
		"binary of Kafka": binary("ce_", `{"units":5}`),
		"binary of NATS":  binary("ce-", `{"units":5}`),
		"binary of HTTP":  binary("Ce-", `{"units":5}`),
		"structured":      structured(`,"data":{"units":5}`),
		"data as text":    structured(`,"data":"{\"units\":5}"`),
		"data as Base64":  structured(`,"data_base64":"` + base64.StdEncoding.EncodeToString([]byte(`{"units":5}`)) + `"`),
		"without headers": {Value: []byte(envelope(`,"data":{"units":"5"}`))},
	} {
		t.Run(name, func(t *testing.T) {
			got, head := events(t, d, r)
			wantEvent(t, got[0], "/shop/1 e 1", "order.paid", "2024-06-10T12:09:24.053001Z", "5|acme|NULL", "")
			again(t, d, head, got)
		})
	}
	if d.Format() != "json+cloudevents" || !d.HasID() {
		t.Errorf("got the format %q", d.Format())
	}
	got, head := events(t, d, structured(""), structured(`,"data":null`), record.Record{Headers: binary("ce_", "").Headers}, record.Record{})
	for _, e := range got[:3] {
		wantEvent(t, e, "/shop/1 e 1", "order.paid", "2024-06-10T12:09:24.053001Z", "NULL|acme|NULL", "")
	}
	wantEvent(t, got[3], "", "", "2024-06-10T12:00:00Z", "NULL|NULL|NULL", "")
	again(t, d, head, got)
}

func TestWhatIsNoCloudEventIsAFault(t *testing.T) {
	as := func(media string) []recount.Header { return []recount.Header{header("content-type", media)} }
	d := decoder(t, cloudEvents("json"))
	for want, r := range map[string]record.Record{
		"a batch of CloudEvents":                  {Value: []byte(`[]`), Headers: as("application/cloudevents-batch+json")},
		"written as application/cloudevents+avro": {Value: []byte(`x`), Headers: as("application/cloudevents+avro")},
		"no specversion":                          {Value: []byte(`{"units":5}`)},
		"it is no JSON object":                    {Value: []byte(`[1]`), Headers: as("application/cloudevents+json")},
		`"id" stands twice`:                       {Value: []byte(`{"specversion":"1.0","id":"a","id":"b"}`)},
		"there is none in \"envelope:source id\"": {Value: []byte(`{"specversion":"1.0","id":"a","type":"t"}`)},
		"both data and data_base64":               {Value: []byte(`{"specversion":"1.0","id":"a","source":"s","data":{},"data_base64":""}`)},
		"data_base64 is no Base64":                {Value: []byte(`{"specversion":"1.0","id":"a","source":"s","data_base64":"*"}`)},
		"broken":                                  {Value: []byte(`<order/>`), Headers: []recount.Header{header("ce_specversion", "1.0"), header("ce_id", "a"), header("ce_source", "s")}},
	} {
		got, head := events(t, d, r)
		wantEvent(t, got[0], got[0].ID, got[0].Type, stampOf(got[0]), "NULL|NULL|NULL", want)
		if len(got[0].Broken) == 0 && want != `there is none in "envelope:source id"` {
			t.Errorf("%s: no field is known to be broken", want)
		}
		again(t, d, head, got)
	}
}

func TestACloudEventWithoutATimeHasTheRecords(t *testing.T) {
	d := decoder(t, withoutFields(cloudEvents("raw")))
	got, head := events(t, d, record.Record{Value: []byte("<order/>"), Headers: []recount.Header{
		header("ce_id", "a"), header("ce_source", "s"), header("ce_type", "t"), header("content-type", "text/xml"),
	}})
	wantEvent(t, got[0], "s a", "t", "2024-06-10T12:00:00Z", "", "")
	again(t, d, head, got)
}

func TestTheMappingMayNameOtherPartsOfACloudEvent(t *testing.T) {
	o := cloudEvents("json")
	o.Mapping.ID, o.Mapping.Time, o.Mapping.Type = "envelope:id", "$.at", "header:ce_kind"
	d := decoder(t, o)
	got, head := events(t, d, record.Record{Value: []byte(`{"units":1,"at":"2024-01-01T00:00:00Z"}`), Headers: []recount.Header{
		header("ce_id", "a"), header("ce_source", "s"), header("ce_type", "t"), header("ce_kind", "k"),
	}})
	wantEvent(t, got[0], "a", "k", "2024-01-01T00:00:00Z", "1|NULL|NULL", "")
	again(t, d, head, got)
}

func TestACloudEventOfAvro(t *testing.T) {
	const text = `{"type":"record","name":"R","fields":[{"name":"units","type":"long"}]}`
	r := newRegistry(t)
	r.add(7, "", text)
	value, err := avro.Marshal(avro.MustParse(text), map[string]any{"units": int64(5)})
	if err != nil {
		t.Fatal(err)
	}
	o := cloudEvents("avro")
	o.Values.Registry.URL = r.URL
	d := decoder(t, o)
	got, head := events(t, d, record.Record{Value: framed(t, 7, nil, value), Headers: []recount.Header{
		header("ce_id", "a"), header("ce_source", "s"), header("ce_type", "t"), header("ce_time", "2024-06-10T12:09:24Z"), header("content-type", "application/avro"),
	}})
	wantEvent(t, got[0], "s a", "t", "2024-06-10T12:09:24Z", "5|NULL|NULL", "")
	r.Close()
	again(t, d, head, got)
}
