package payload_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"recount"
	"recount/source/payload"
)

// within is a mapping whose paths lead into `payload`.
func within(t testing.TB) recount.Mapping {
	t.Helper()
	m := recount.Mapping{
		ID: "$.payload.i", Time: "$.payload.t", Key: "key", Partition: "partition", Position: "offset",
		IngestTime: "ts", IngestUnit: recount.UnitMS, Zone: time.UTC,
	}
	for name, typ := range map[string]string{"s": "string", "n": "int64", "d": "decimal(18,2)", "b": "bool", "j": "json", "deep": "string"} {
		path := "$.payload." + name
		if name == "deep" {
			path = "$.payload.a.b[1].c"
		}
		m.Fields = append(m.Fields, recount.Field{Name: name, Type: typeOf(t, typ), Path: path})
	}
	slices.SortFunc(m.Fields, func(a, b recount.Field) int { return strings.Compare(a.Name, b.Name) })
	return m
}

func jsonText(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func envelope(inner string) []byte {
	return []byte(`{"topic":"orders","partition":3,"offset":90100,"tstype":"create","ts":1718020024123,"broker":0,"key":"u17","payload":` + inner + `}`)
}

func TestAPathReadsATextThatHoldsJSON(t *testing.T) {
	inner := `{"i":"e1","t":"2024-06-10T11:47:03.5Z","s":"x \"y\"","n":7,"d":"1.5","b":true,"j":{"k": [1]},"a":{"b":[0,{"c":"in"}]}}`
	m := within(t)
	want := map[string]string{"s": `x "y"`, "n": "7", "d": "1.50", "b": "true", "j": `{"k":[1]}`, "deep": "in"}
	for name, data := range map[string][]byte{"kcat": envelope(jsonText(inner)), "an object": envelope(inner), "escaped twice": envelope(jsonText(jsonText(inner)))} {
		ev := newDecoder(t, payload.JSON, "", m).Decode(data)
		if name == "escaped twice" { // a path says how often to read, and this one says once
			if !strings.Contains(ev.Fault, "id: there is none") {
				t.Errorf("%s: got fault %q", name, ev.Fault)
			}
			continue
		}
		for i, f := range m.Fields {
			if ev.Fields[i] != recount.Text(want[f.Name]) {
				t.Errorf("%s: field %s: got %q, want %q", name, f.Name, ev.Fields[i].Text, want[f.Name])
			}
		}
		at := time.Date(2024, 6, 10, 11, 47, 4, 123e6, time.UTC)
		if ev.Fault != "" || ev.ID != "e1" || string(ev.Key) != "u17" || ev.Partition != "3" || ev.Position != "00000000000000090100" ||
			!ev.IngestTime.Equal(at) || !ev.Time.Equal(time.Date(2024, 6, 10, 11, 47, 3, 5e8, time.UTC)) {
			t.Errorf("%s: got %+v", name, ev)
		}
		if string(ev.Data) != string(data) {
			t.Errorf("%s: the payload was changed", name)
		}
	}
}

func TestATextThatIsNoJSONIsAFault(t *testing.T) {
	m := within(t)
	for _, c := range []struct{ inner, fault string }{
		{`"{\"i\":\"e1\""`, "leads into a text that is no JSON: unexpected end"},
		{`"plain words"`, "no JSON: invalid character"},
		{`""`, "no JSON: unexpected end"},
		{`"{\"i\":1,\"i\":2}"`, `the key "i" stands twice`},
		{`"\ud800"`, "not valid UTF-8"},
		{`null`, "id: there is none"}, // a tombstone
		{`7`, "id: there is none"},
	} {
		ev := newDecoder(t, payload.JSON, "", m).Decode(envelope(c.inner))
		if !strings.Contains(ev.Fault, c.fault) || !ev.Time.IsZero() {
			t.Errorf("%s: got fault %q, want %q", c.inner, ev.Fault, c.fault)
		}
		if broken := c.inner[0] == '"'; broken && (len(ev.Broken) != len(m.Fields) || strings.Contains(ev.Fault, "more")) {
			t.Errorf("%s: got broken %v and fault %q, want every field under one fault", c.inner, ev.Broken, ev.Fault)
		}
		if ev.Partition != "3" || ev.Position == "" || ev.IngestTime.IsZero() {
			t.Errorf("%s: the envelope was lost: %+v", c.inner, ev)
		}
	}
}

func TestATombstoneIsAnEventAtTheBrokersTime(t *testing.T) {
	m := within(t)
	m.ID, m.Time, m.TimeUnit = "", "ts", recount.UnitMS
	ev := newDecoder(t, payload.JSON, "", m).Decode(envelope("null"))
	if ev.Fault != "" || ev.Time.IsZero() || !ev.Time.Equal(ev.IngestTime) || len(ev.Broken) > 0 {
		t.Errorf("got %+v, want an event without a fault", ev)
	}
	for i, v := range ev.Fields {
		if !v.Null {
			t.Errorf("field %s: got %q, want NULL", m.Fields[i].Name, v.Text)
		}
	}
}

func TestAColumnOfCSVMayHoldJSON(t *testing.T) {
	m := within(t)
	d := newDecoder(t, payload.CSV, "key,partition,offset,ts,payload", m)
	ev := d.Decode([]byte(`u17,3,90100,1718020024123,` + quoted(`{"i":"e1","t":"2024-06-10T11:47:03Z","s":"","n":null,"j":"text","a":{"b":[0,{"c":"in"}]}}`)))
	got := map[string]recount.Value{}
	for i, f := range m.Fields {
		got[f.Name] = ev.Fields[i]
	}
	if ev.Fault != "" || ev.ID != "e1" || got["s"] != recount.Text("") || !got["n"].Null || got["j"] != recount.Text(`"text"`) || got["deep"] != recount.Text("in") {
		t.Errorf("got %+v with fields %v", ev, got)
	}
	ev = d.Decode([]byte(`u17,3,90100,1718020024123,{broken`))
	if !strings.Contains(ev.Fault, "no JSON") || len(ev.Broken) != len(m.Fields) {
		t.Errorf("got fault %q, broken %v", ev.Fault, ev.Broken)
	}
	if _, err := payload.New(payload.CSV, "key,partition,offset,ts,body", m); err == nil || !strings.Contains(err.Error(), `there is no column "payload"`) {
		t.Errorf("a column that is not there: got %v", err)
	}
}

// FuzzInner: JSON in a text reads as the same JSON in its place, in JSON and in a
// column of CSV.
func FuzzInner(f *testing.F) {
	for _, seed := range []string{
		`{"i":"e1","t":"2024-06-10T12:00:00Z","s":"x","n":1,"d":1.5,"b":true,"j":{"a":[1]},"a":{"b":[1,{"c":"\ud83d\ude00"}]}}`,
		`{}`, `[]`, `null`, `7`, `"{}"`, `{"i":"e","i":"e"}`, `{"s":"\ud800"}`, ` {"a":"{\"b\":[0,{\"c\":1}]}"} `, ``, `{`,
	} {
		f.Add(seed)
	}
	m := within(f)
	d := newDecoder(f, payload.JSON, "", m)
	table := newDecoder(f, payload.CSV, "key,partition,offset,ts,payload", m)
	f.Fuzz(func(t *testing.T, inner string) {
		in := envelope(jsonText(inner))
		got := d.Decode(in)
		sound(t, got, in, m)
		cell := table.Decode([]byte("u17,3,90100,1718020024123," + quoted(inner)))
		sound(t, cell, cell.Data, m)
		if !json.Valid([]byte(inner)) || !utf8.ValidString(inner) {
			if utf8.ValidString(inner) && got.Fault == "" {
				t.Fatalf("%q is no JSON and has no fault", inner)
			}
			return
		}
		want := d.Decode(envelope(inner))
		if (got.Fault == "") != (want.Fault == "") || got.ID != want.ID || !got.Time.Equal(want.Time) || !slices.Equal(got.Fields, want.Fields) {
			if strings.HasPrefix(strings.TrimSpace(inner), `"`) {
				return // a text in a text is read once, and the same text in its place too
			}
			t.Fatalf("%q: in a text %+v, in its place %+v", inner, got, want)
		}
		if want.Fault == "" && (cell.ID != want.ID || !cell.Time.Equal(want.Time) || !slices.Equal(cell.Fields, want.Fields)) {
			t.Fatalf("%q: in a column %+v, in its place %+v", inner, cell, want)
		}
	})
}

func TestTheEventItselfIsFoundInItsEnvelope(t *testing.T) {
	for _, c := range []struct{ path, data, want string }{
		{"payload", string(envelope(jsonText(`{"i": 1}`))), `{"i": 1}`},
		{"$.payload", string(envelope(`{"i": 1}`)), `{"i": 1}`},
		{"$.payload.i", string(envelope(jsonText(`{"i":"x"}`))), `x`},
		{"payload", string(envelope(`null`)), string(envelope(`null`))},
		{"payload", `{broken`, `{broken`},
		{"other", `{"payload":7}`, `{"payload":7}`},
	} {
		own, err := payload.Own(c.path)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(own([]byte(c.data))); got != c.want {
			t.Errorf("%s of %s: got %s, want %s", c.path, c.data, got, c.want)
		}
	}
	if own, err := payload.Own(""); own != nil || err != nil {
		t.Errorf("no path: got %t, %v", own != nil, err)
	}
	if _, err := payload.Own("$.a["); err == nil {
		t.Error("a broken path is accepted")
	}
}
