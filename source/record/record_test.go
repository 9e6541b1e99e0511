package record_test

import (
	"os"
	"testing"
	"time"

	"recount"
	"recount/source/record"
)

func readFile(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func header(name, value string) recount.Header {
	return recount.Header{Name: name, Value: []byte(value)}
}

func TestPartsOfARecord(t *testing.T) {
	d := decoder(t, record.Options{Keyed: true, Mapping: recount.Mapping{
		ID: "header:id", Time: "record:timestamp", Type: "$.kind",
		Fields: append(typed(recount.KindInt64, "n", "m=header:m"), typed(recount.KindString, "k=record:key", "v=record:value")...),
	}})
	got, head := events(t, d,
		record.Record{Key: []byte("K"), Value: []byte(`{"kind":"paid","n":1}`), Headers: []recount.Header{header("id", "x"), header("m", "7"), header("id", "e1")}},
		record.Record{Value: []byte(`{"kind":"paid","n":1}`), Headers: []recount.Header{header("id", "\xff"), header("m", "seven")}},
		record.Record{Key: []byte("K"), Headers: []recount.Header{header("id", "e2")}})
	wantEvent(t, got[0], "e1", "paid", "2024-06-10T12:00:00Z", `1|7|K|{"kind":"paid","n":1}`, "")
	wantEvent(t, got[1], "", "paid", "2024-06-10T12:00:00Z", `1|NULL|NULL|{"kind":"paid","n":1}`, "UTF-8")
	wantEvent(t, got[2], "e2", "", "2024-06-10T12:00:00Z", "NULL|NULL|K|NULL", "")
	if string(got[0].Key) != "K" || got[1].Key != nil || head != "" || d.Format() != "json" || !d.HasID() {
		t.Errorf("got keys %q, %q, header %q, format %q", got[0].Key, got[1].Key, head, d.Format())
	}
	again(t, d, head, got)
}

func TestAFormatThatIsNotTheOneIsNamed(t *testing.T) {
	d := decoder(t, record.Options{Mapping: recount.Mapping{Time: "record:timestamp", Fields: typed(recount.KindString, "name=id")}})
	got, head := events(t, d, record.Record{Value: framed(t, 7, nil, []byte(`{"id":"a"}`))})
	wantEvent(t, got[0], "", "", "2024-06-10T12:00:00Z", "NULL", "json-schema")
	again(t, d, head, got)
}

func TestRawValuesAreNotRead(t *testing.T) {
	d := decoder(t, record.Options{Values: record.Values{Format: "raw"}, Mapping: recount.Mapping{
		ID: "header:id", Time: "record:timestamp", Fields: typed(recount.KindString, "text=record:value"),
	}})
	got, head := events(t, d, record.Record{Value: []byte("plain"), Headers: []recount.Header{header("id", "e1")}},
		record.Record{Value: []byte{0xff}, Headers: []recount.Header{header("id", "e2")}})
	wantEvent(t, got[0], "e1", "", "2024-06-10T12:00:00Z", "plain", "")
	wantEvent(t, got[1], "e2", "", "2024-06-10T12:00:00Z", "NULL", "UTF-8")
	again(t, d, head, got)
}

func TestMappingsThatCannotBe(t *testing.T) {
	for name, c := range map[string]struct {
		o    record.Options
		want string
	}{
		"a partition":            {record.Options{Mapping: recount.Mapping{Partition: "p"}}, "event.partition"},
		"a key of its own":       {record.Options{Keyed: true, Mapping: recount.Mapping{Key: "k"}}, "event.key"},
		"a key that is not":      {record.Options{Mapping: recount.Mapping{Fields: typed(recount.KindString, "k=record:key")}}, "no key"},
		"an unknown format":      {record.Options{Values: record.Values{Format: "arvo"}}, `"arvo"`},
		"an unknown envelope":    {record.Options{Values: record.Values{Envelope: "cloudevent"}}, `"cloudevent"`},
		"no registry":            {record.Options{Values: record.Values{Format: "protobuf"}}, "needs a schema registry"},
		"a registry for nothing": {record.Options{Values: record.Values{Registry: record.Registry{URL: "http://r"}}}, "no schema there"},
		"a registry nowhere":     {record.Options{Values: record.Values{Format: "avro", Registry: record.Registry{URL: "registry:8081"}}}, "no address"},
		"a password shown":       {record.Options{Values: record.Values{Format: "avro", Registry: record.Registry{URL: "http://u:p@r"}}}, "holds a user"},
		"a path into raw":        {record.Options{Values: record.Values{Format: "raw"}, Mapping: recount.Mapping{Fields: typed(recount.KindString, "a")}}, "not read"},
		"raw changes":            {record.Options{Values: record.Values{Format: "raw", Envelope: "debezium"}}, "raw values"},
		"a payload in bytes":     {record.Options{Values: record.Values{Format: "raw"}, Mapping: recount.Mapping{Payload: "$.p"}}, "event.payload"},
		"no envelope":            {record.Options{Mapping: recount.Mapping{ID: "envelope:id"}}, "no envelope"},
		"a time as a column":     {record.Options{Mapping: recount.Mapping{Fields: typed(recount.KindTimestamp, "at=record:timestamp")}}, "time of a record"},
		"a field twice":          {record.Options{Mapping: recount.Mapping{Fields: typed(recount.KindString, "a", "A=header:a")}}, "twice"},
	} {
		t.Run(name, func(t *testing.T) {
			c.o.Where = "bus"
			_, err := record.New(c.o)
			wantCode(t, err, recount.CodeConfig, c.want)
		})
	}
}

func withoutFields(o record.Options) record.Options {
	o.Mapping.Fields = nil
	return o
}

func stampOf(e recount.Event) string {
	if e.Time.IsZero() {
		return ""
	}
	return e.Time.Format(time.RFC3339Nano)
}
