package payload_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"recount"
	"recount/source/payload"
)

// sound says what holds of any event whatever its payload was.
func sound(t *testing.T, ev recount.Event, data []byte, m recount.Mapping) {
	t.Helper()
	if !bytes.Equal(ev.Data, data) || len(ev.Fields) != len(m.Fields) {
		t.Fatalf("got %d bytes and %d fields, want %d and %d", len(ev.Data), len(ev.Fields), len(data), len(m.Fields))
	}
	if len(ev.Broken) > 0 && ev.Fault == "" {
		t.Fatalf("broken %v without a fault", ev.Broken)
	}
	if m.Time != "" && ev.Fault == "" && ev.Time.IsZero() {
		t.Fatal("no time and no fault")
	}
	for i, v := range ev.Fields {
		if v.Null {
			continue
		}
		if again, err := recount.Canonical(m.Fields[i].Type, v.Text); err != nil || again != v.Text {
			t.Fatalf("field %s: %q is not canonical: %q, %v", m.Fields[i].Name, v.Text, again, err)
		}
	}
}

func fuzzMapping() recount.Mapping {
	m := recount.Mapping{ID: "i", Time: "t", Key: "k", Zone: time.UTC}
	for _, f := range []struct {
		name string
		kind recount.Kind
	}{
		{"s", recount.KindString},
		{"n", recount.KindInt64},
		{"f", recount.KindDouble},
		{"b", recount.KindBool},
		{"at", recount.KindTimestamp},
		{"day", recount.KindDate},
		{"j", recount.KindJSON},
	} {
		m.Fields = append(m.Fields, recount.Field{Name: f.name, Type: recount.Type{Kind: f.kind}})
	}
	m.Fields = append(m.Fields, recount.Field{Name: "d", Type: recount.Decimal(18, 2)})
	return m
}

func FuzzJSON(f *testing.F) {
	for _, seed := range []string{
		`{"i":"e1","t":"2024-06-10T12:00:00Z","k":"u","s":"x","n":1,"d":1.5,"f":1e5,"b":true,"at":"2024-06-10","day":"2024-06-10","j":{"a":[1]}}`,
		`{}`, `[]`, `{"a":{"b":[1,{"c":"\ud83d\ude00"}]}}`, `{"s":"\ud800"}`, "{\"s\":\"\xff\"}", `{"s":1,"s":2}`, `{"n":1e3,"d":"1e-2"}`, `{"i":null} x`,
	} {
		f.Add([]byte(seed))
	}
	m := fuzzMapping()
	m.Fields = append(m.Fields, recount.Field{Name: "deep", Type: recount.Type{Kind: recount.KindString}, Path: "$.a.b[1].c"})
	d := newDecoder(f, payload.JSON, "", m)
	derived := newDecoder(f, payload.Derived, "", m)
	f.Fuzz(func(t *testing.T, data []byte) {
		ev := d.Decode(data)
		sound(t, ev, data, m)
		sound(t, derived.Decode(data), data, m)
		if ev.Fault != "" || !json.Valid(data) {
			if !json.Valid(data) && ev.Fault == "" {
				t.Fatalf("%q is no JSON and has no fault", data)
			}
			return
		}
		var naive map[string]any // an independent reader must find the same texts
		if err := json.Unmarshal(data, &naive); err != nil {
			t.Fatalf("%q: %v", data, err)
		}
		for i, field := range m.Fields {
			if want, ok := naive[field.Name].(string); ok && field.Name == "s" && ev.Fields[i] != recount.Text(want) {
				t.Fatalf("%q: got %q, want %q", data, ev.Fields[i].Text, want)
			}
		}
	})
}

// FuzzFields compares the fields of a record with those of encoding/csv.
func FuzzFields(f *testing.F) {
	for _, seed := range []string{"a,b", `"a","b"`, `"a""b",`, `a"b`, `"a`, `"a"b`, "", ",", `""`, "\"a\nb\",c", "a\rb,c", "\xff,\x00", `"","""",""""""`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, record string) {
		got, err := payload.SplitCSV(nil, record)
		if strings.Contains(record, "\r") || record == "" || strings.HasPrefix(record, "\n") {
			return // encoding/csv drops carriage returns and empty lines, we keep a record's own bytes
		}
		r := csv.NewReader(strings.NewReader(record))
		r.FieldsPerRecord = -1
		want, wantErr := r.Read()
		if _, more := r.Read(); !errors.Is(more, io.EOF) {
			wantErr = csv.ErrQuote // something follows the record
		}
		if (err == nil) != (wantErr == nil) && !strings.HasSuffix(record, "\n") {
			t.Fatalf("%q: got error %v, want %v", record, err, wantErr)
		}
		if err == nil && strings.Join(got, "\x01") != strings.Join(want, "\x01") {
			t.Fatalf("%q: got %q, want %q", record, got, want)
		}
	})
}

func FuzzDecodeTime(f *testing.F) {
	for _, seed := range []string{"2024-06-10 12:09:24.053", "2024-06-10T12:09:24Z", "2024-03-31 02:30:00", "1718020800", "-1.5", "1e9", "2024-06-10", "0000-00-00 00:00:00"} {
		for unit := range uint8(5) {
			f.Add(seed, unit)
		}
	}
	units := []recount.TimeUnit{recount.UnitText, recount.UnitS, recount.UnitMS, recount.UnitUS, recount.UnitNS}
	berlin := zone(f, "Europe/Berlin")
	f.Fuzz(func(t *testing.T, text string, unit uint8) {
		for _, z := range []*time.Location{nil, time.UTC, berlin} {
			m := recount.Mapping{Time: "t", Zone: z, TimeUnit: units[int(unit)%len(units)], Fields: []recount.Field{{Name: "at", Type: recount.Type{Kind: recount.KindTimestamp}, Path: "t"}}}
			ev := newDecoder(t, payload.CSV, "t,x", m).Decode([]byte(quoted(text) + ","))
			sound(t, ev, ev.Data, m)
			if ev.Fault == "" {
				if ev.Fields[0] != recount.Text(recount.FormatTimestamp(ev.Time)) || ev.Time.Nanosecond()%1000 != 0 || ev.Time.Location() != time.UTC {
					t.Fatalf("%q: time %v and field %v differ", text, ev.Time, ev.Fields[0])
				}
			}
			want, err := recount.ParseLocal(text, z)
			if m.TimeUnit == recount.UnitText && ev.Fault == "" && (err != nil || !want.Truncate(time.Microsecond).Equal(ev.Time)) {
				t.Fatalf("%q: got %v, want %v, %v", text, ev.Time, want, err)
			}
		}
	})
}
