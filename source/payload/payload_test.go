package payload_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"recount"
	"recount/source/payload"
)

func newDecoder(t testing.TB, format, header string, m recount.Mapping) *payload.Decoder {
	t.Helper()
	d, err := payload.New(format, header, m)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func typeOf(t testing.TB, s string) recount.Type {
	t.Helper()
	typ, err := recount.ParseType(s)
	if err != nil {
		t.Fatal(err)
	}
	return typ
}

func TestFieldsOfCSV(t *testing.T) {
	berlin := zone(t, "Europe/Berlin")
	for _, c := range []struct {
		typ, cell string
		want      recount.Value
		fault     string
	}{
		{"string", "", recount.Text(""), ""},
		{"string", "NULL", recount.Text("NULL"), ""},
		{"string", " a ", recount.Text(" a "), ""},
		{"string", "a\xff", recount.Null, "not valid UTF-8"},
		{"int64", "", recount.Null, ""},
		{"int64", "NULL", recount.Null, "no int64"},
		{"int64", "9223372036854775807", recount.Text("9223372036854775807"), ""},
		{"int64", "9007199254740993", recount.Text("9007199254740993"), ""},
		{"int64", "9223372036854775808", recount.Null, "no int64"},
		{"int64", "007", recount.Text("7"), ""},
		{"int64", "1e3", recount.Null, "no int64"},
		{"decimal(18,2)", "28.6", recount.Text("28.60"), ""},
		{"decimal(18,2)", "", recount.Null, ""},
		{"decimal(18,2)", "1.005", recount.Null, "digits would be lost"},
		{"decimal(38,0)", strings.Repeat("9", 38), recount.Text(strings.Repeat("9", 38)), ""},
		{"decimal(38,0)", strings.Repeat("9", 39), recount.Null, "does not fit"},
		{"double", "1e400", recount.Null, "no double"},
		{"double", "0.1", recount.Text("0.1"), ""},
		{"bool", "true", recount.Text("true"), ""},
		{"bool", "maybe", recount.Null, "no bool"},
		{"date", "2024-06-10", recount.Text("2024-06-10"), ""},
		{"date", "2024-02-30", recount.Null, "no date"},
		{"timestamp", "2024-06-10 12:09:24.053", recount.Text("2024-06-10T10:09:24.053Z"), ""},
		{"timestamp", "2024-06-10T12:09:24.053+00:00", recount.Text("2024-06-10T12:09:24.053Z"), ""},
		{"timestamp", "2024-03-31 02:30:00", recount.Null, "does not exist in Europe/Berlin"},
		{"timestamp", "2024-10-27 02:30:00", recount.Null, "stands twice in Europe/Berlin"},
		{"json", `{"a": 1}`, recount.Text(`{"a":1}`), ""},
		{"json", "", recount.Null, ""},
		{"json", "{", recount.Null, "no JSON"},
	} {
		t.Run(c.typ+" "+c.cell, func(t *testing.T) {
			m := recount.Mapping{Zone: berlin, Fields: []recount.Field{{Name: "x", Type: typeOf(t, c.typ)}, {Name: "y", Type: typeOf(t, "string")}}}
			ev := newDecoder(t, payload.CSV, "x,y", m).Decode([]byte(quoted(c.cell) + ",ok"))
			check(t, ev, c.want, c.fault)
		})
	}
}

func quoted(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// check looks at field x, and that field y was read all the same.
func check(t *testing.T, ev recount.Event, want recount.Value, fault string) {
	t.Helper()
	if ev.Fields[0] != want || ev.Fields[1] != recount.Text("ok") {
		t.Errorf("fields: got %q, want %q and ok", ev.Fields, want)
	}
	if (ev.Fault == "") != (fault == "") || !strings.Contains(ev.Fault, fault) {
		t.Errorf("fault: got %q, want %q", ev.Fault, fault)
	}
	if (len(ev.Broken) == 1 && ev.Broken[0] == "x") != (fault != "") {
		t.Errorf("broken: got %v with fault %q", ev.Broken, ev.Fault)
	}
	if len(ev.Fault) > 200 || strings.ContainsAny(ev.Fault, "\n\x00") {
		t.Errorf("fault is no short sentence: %q", ev.Fault)
	}
}

func TestFieldsOfJSON(t *testing.T) {
	for _, c := range []struct {
		typ, value string
		want       recount.Value
		fault      string
	}{
		{"string", `"a"`, recount.Text("a"), ""},
		{"string", `""`, recount.Text(""), ""},
		{"string", `null`, recount.Null, ""},
		{"string", `42`, recount.Text("42"), ""},
		{"string", `9007199254740993`, recount.Text("9007199254740993"), ""},
		{"string", `true`, recount.Text("true"), ""},
		{"string", `{"a":1}`, recount.Null, "an object or an array"},
		{"string", `"\u00e9\ud83d\ude00\n\/\b\f\r\t\\"`, recount.Text("é😀\n/\b\f\r\t\\"), ""},
		{"string", `"\ud800"`, recount.Null, "not valid UTF-8"},
		{"string", `"\ud800\u0041"`, recount.Null, "not valid UTF-8"},
		{"string", "\"a\xff\"", recount.Null, "not valid UTF-8"},
		{"int64", `9007199254740993`, recount.Text("9007199254740993"), ""},
		{"int64", `"9007199254740993"`, recount.Text("9007199254740993"), ""},
		{"int64", `1e3`, recount.Text("1000"), ""},
		{"int64", `5.0`, recount.Text("5"), ""},
		{"int64", `5.5`, recount.Null, "no int64"},
		{"int64", `1e30`, recount.Null, "no int64"},
		{"int64", `""`, recount.Null, "no int64"},
		{"int64", `true`, recount.Null, "no int64"},
		{"decimal(38,10)", `1234567890123456789012345678.0123456789`, recount.Text("1234567890123456789012345678.0123456789"), ""},
		{"decimal(18,2)", `28.6`, recount.Text("28.60"), ""},
		{"decimal(18,2)", `"28.6"`, recount.Text("28.60"), ""},
		{"decimal(18,2)", `2.86e1`, recount.Text("28.60"), ""},
		{"decimal(18,2)", `1e-3`, recount.Null, "digits would be lost"},
		{"decimal(18,2)", `1e999999999`, recount.Null, "no decimal"},
		{"double", `0.1`, recount.Text("0.1"), ""},
		{"double", `"NaN"`, recount.Text("NaN"), ""},
		{"bool", `false`, recount.Text("false"), ""},
		{"bool", `[]`, recount.Null, "an object or an array"},
		{"timestamp", `"2024-06-10T12:00:00Z"`, recount.Text("2024-06-10T12:00:00Z"), ""},
		{"timestamp", `1718020800123`, recount.Text("2024-06-10T12:00:00.123Z"), ""},
		{"date", `"2024-06-10"`, recount.Text("2024-06-10"), ""},
		{"json", `{"b": [1, 2.50], "a": null}`, recount.Text(`{"b":[1,2.50],"a":null}`), ""},
		{"json", `"a"`, recount.Text(`"a"`), ""},
		{"json", `7`, recount.Text(`7`), ""},
	} {
		t.Run(c.typ+" "+c.value, func(t *testing.T) {
			m := recount.Mapping{TimeUnit: recount.UnitMS, Fields: []recount.Field{{Name: "x", Type: typeOf(t, c.typ)}, {Name: "y", Type: typeOf(t, "string")}}}
			ev := newDecoder(t, payload.JSON, "", m).Decode([]byte(` { "z" : [ {"x":1} , "]" ] , "x" : ` + c.value + ` , "y" : "ok" } `))
			check(t, ev, c.want, c.fault)
		})
	}
}

func TestJSONPaths(t *testing.T) {
	const text = `{"a":{"b":"deep","c":["zero","one",{"d":"in array"}],"x.y":"dotted"},"$.odd":"top","a.b":"top key with a point","e":[["nested"]]}`
	for path, want := range map[string]recount.Value{
		"a.b":           recount.Text("top key with a point"),
		"$.a.b":         recount.Text("deep"),
		"$.a.c[1]":      recount.Text("one"),
		"$.a.c[2].d":    recount.Text("in array"),
		"$.a.c[9]":      recount.Null,
		"$.a.b.c":       recount.Null, // text that is no JSON
		"$.a['x.y']":    recount.Text("dotted"),
		`$["a"]["b"]`:   recount.Text("deep"),
		"$['$.odd']":    recount.Text("top"),
		"$.e[0][0]":     recount.Text("nested"),
		"$.nothing[0]":  recount.Null,
		"nothing":       recount.Null,
		"$[0]":          recount.Null,
		"$.a.c[0].more": recount.Null,
	} {
		m := recount.Mapping{Fields: []recount.Field{{Name: "x", Type: typeOf(t, "string"), Path: path}}}
		ev := newDecoder(t, payload.JSON, "", m).Decode([]byte(text))
		into := path == "$.a.b.c" || path == "$.a.c[0].more"
		if ev.Fields[0] != want || strings.Contains(ev.Fault, "leads into a text that is no JSON") != into || ev.Fault != "" && !into {
			t.Errorf("path %s: got %v (%s), want %v", path, ev.Fields[0], ev.Fault, want)
		}
	}
	for _, path := range []string{"$.", "$.a.", "$.a..b", "$.a[", "$.a[x]", "$.a[-1]", "$['a", "$.a]b["} {
		m := recount.Mapping{Fields: []recount.Field{{Name: "x", Type: typeOf(t, "string"), Path: path}}}
		_, err := payload.New(payload.JSON, "", m)
		var e *recount.Error
		if path != "$.a]b[" && (!errors.As(err, &e) || e.Code != recount.CodeConfig) {
			t.Errorf("path %s: got %v, want %s", path, err, recount.CodeConfig)
		}
	}
}

func TestBrokenPayloads(t *testing.T) {
	m := recount.Mapping{ID: "id", Time: "time", Key: "user", Zone: time.UTC, Fields: []recount.Field{
		{Name: "user", Type: typeOf(t, "string")}, {Name: "value", Type: typeOf(t, "decimal(18,2)")},
	}}
	for _, c := range []struct{ name, format, payload, fault, broken, id string }{
		{"too few fields", payload.CSV, "e1,2024-06-10 12:00:00,u1", "3 fields where the header has 4", "user value", "e1"},
		{"cut in the last field's comma", payload.CSV, "e1,2024-06-10 12:00:00,u1x", "3 fields", "user value", "e1"},
		{"one field", payload.CSV, "e1", "1 field where the header has 4", "user value", ""},
		{"too many fields", payload.CSV, "e1,2024-06-10 12:00:00,u1,5,6", "5 fields where the header has 4", "user value", ""},
		{"a bare quote", payload.CSV, `e1,2024-06-10 12:00:00,u"1,5`, "a quote stands inside", "user value", ""},
		{"an open quote", payload.CSV, `e1,2024-06-10 12:00:00,"u1,5`, "not closed", "user value", ""},
		{"two lines", payload.CSV, "e1,2024-06-10 12:00:00,u1,5\n", "line end", "user value", ""},
		{"no object", payload.JSON, `[1]`, "no object", "user value", ""},
		{"cut", payload.JSON, `{"id":"e1"`, "unexpected end", "user value", ""},
		{"nothing", payload.JSON, ``, "unexpected end", "user value", ""},
		{"trailing data", payload.JSON, `{"id":"e1"} {"id":"e2"}`, "after top-level value", "user value", ""},
		{"a key twice", payload.JSON, `{"id":"e1","value":1,"value":2}`, `"value" stands twice`, "user value", ""},
		{"a key twice, spelled otherwise", payload.JSON, `{"id":"e1","value":1,"v\u0061lue":2}`, `"value" stands twice`, "user value", ""},
		{"a key twice, inside", payload.JSON, `{"id":"e1","z":[{"a":1,"a":2}]}`, `"a" stands twice`, "user value", ""},
		{"a key twice of many", payload.JSON, `{"id":"e1"` + manyKeys() + `,"k7":1}`, `"k7" stands twice`, "user value", ""},
		{"NUL bytes", payload.JSON, "\x00\x00", "invalid character", "user value", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			ev := newDecoder(t, c.format, "id,time,user,value", m).Decode([]byte(c.payload))
			if !strings.Contains(ev.Fault, c.fault) || strings.Join(ev.Broken, " ") != c.broken || ev.ID != c.id {
				t.Errorf("got id %q, fault %q, broken %v; want id %q, fault %q, broken %s", ev.ID, ev.Fault, ev.Broken, c.id, c.fault, c.broken)
			}
			if string(ev.Data) != c.payload || !ev.Fields[0].Null || !ev.Fields[1].Null {
				t.Errorf("got data %q and fields %v, want the payload and NULLs", ev.Data, ev.Fields)
			}
		})
	}
}

func manyKeys() string {
	var b strings.Builder
	for i := range 100 {
		fmt.Fprintf(&b, `,"k%d":%d`, i, i)
	}
	return b.String()
}

func TestEnvelope(t *testing.T) {
	m := recount.Mapping{ID: "i", Time: "t", TimeUnit: recount.UnitS, Key: "k", Type: "y", IngestTime: "g", Partition: "p", Position: "o"}
	want := recount.Event{
		ID: "7", Time: time.Date(2024, 6, 10, 12, 0, 0, 500_000_000, time.UTC), Key: []byte("k1"), Type: "paid",
		IngestTime: time.Date(2024, 6, 10, 12, 0, 1, 0, time.UTC), Partition: "3", Position: "00000000000000000042",
	}
	text := `{"i":7,"t":1718020800.5,"k":"k1","y":"paid","g":"2024-06-10T12:00:01.0000009Z","p":3,"o":42}`
	got := newDecoder(t, payload.JSON, "", m).Decode([]byte(text))
	want.Data = []byte(text)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	for text, fault := range map[string]string{
		`{"t":1,"p":1,"o":1}`:                            `id: there is none in "i"`,
		`{"i":"","t":1,"p":1,"o":1}`:                     `id: there is none in "i"`,
		`{"i":{},"t":1,"p":1,"o":1}`:                     "id: it is an object",
		`{"i":1,"p":1,"o":1}`:                            `time: there is none in "t"`,
		`{"i":1,"t":true,"p":1,"o":1}`:                   "is no time",
		`{"i":1,"t":1,"o":1}`:                            `partition: there is none in "p"`,
		`{"i":1,"t":1,"p":1,"o":-1}`:                     "position: \"-1\" is no whole number",
		`{"i":1,"t":1,"p":1}`:                            "position: \"\" is no whole number",
		`{"i":1,"t":1,"p":1,"o":1,"g":"soon"}`:           "ingest_time: ",
		`{"i":1,"t":"0001-01-01T00:00:00Z","p":1,"o":1}`: "out of range",
		`{"i":1,"t":1e18,"p":1,"o":1}`:                   "out of range",
	} {
		ev := newDecoder(t, payload.JSON, "", m).Decode([]byte(text))
		if !strings.Contains(ev.Fault, fault) {
			t.Errorf("%s: got fault %q, want %q", text, ev.Fault, fault)
		}
	}
}

func TestTimes(t *testing.T) {
	utc := func(s string) time.Time {
		at, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			t.Fatal(err)
		}
		return at.UTC()
	}
	for _, c := range []struct {
		name string
		zone *time.Location
		unit recount.TimeUnit
		text string
		want time.Time
	}{
		{"RFC 3339", nil, "", "2024-06-10T12:09:24.053Z", utc("2024-06-10T12:09:24.053Z")},
		{"an offset", nil, "", "2024-06-10T12:09:24+05:30", utc("2024-06-10T06:39:24Z")},
		{"an offset counts more than the zone", zone(t, "Asia/Tokyo"), "", "2024-06-10T12:09:24Z", utc("2024-06-10T12:09:24Z")},
		{"local", zone(t, "Asia/Tokyo"), "", "2024-06-10 12:09:24.053", utc("2024-06-10T03:09:24.053Z")},
		{"local in UTC", time.UTC, "", "2024-06-10 12:09", utc("2024-06-10T12:09:00Z")},
		{"a day", time.UTC, "", "2024-06-10", utc("2024-06-10T00:00:00Z")},
		{"no zone", nil, "", "2024-06-10 12:09:24", time.Time{}},
		{"nanoseconds are truncated", time.UTC, "", "2024-06-10 12:09:24.123456999", utc("2024-06-10T12:09:24.123456Z")},
		{"truncated before 1970 too", time.UTC, "", "1969-12-31 23:59:59.999999999", utc("1969-12-31T23:59:59.999999Z")},
		{"leap day", time.UTC, "", "2024-02-29 00:00:00", utc("2024-02-29T00:00:00Z")},
		{"no leap day", time.UTC, "", "2023-02-29 00:00:00", time.Time{}},
		{"a leap second", time.UTC, "", "2016-12-31 23:59:60", time.Time{}},
		{"a number without a unit", time.UTC, "", "1718020800", time.Time{}},
		{"seconds", nil, recount.UnitS, "1718020800", utc("2024-06-10T12:00:00Z")},
		{"seconds with a fraction", nil, recount.UnitS, "1718020800.123456789", utc("2024-06-10T12:00:00.123456Z")},
		{"seconds with an exponent", nil, recount.UnitS, "1.7180208e9", utc("2024-06-10T12:00:00Z")},
		{"milliseconds", nil, recount.UnitMS, "1718020800123", utc("2024-06-10T12:00:00.123Z")},
		{"microseconds", nil, recount.UnitUS, "1718020800123456", utc("2024-06-10T12:00:00.123456Z")},
		{"nanoseconds", nil, recount.UnitNS, "1718020800123456789", utc("2024-06-10T12:00:00.123456Z")},
		{"before 1970", nil, recount.UnitNS, "-1", utc("1969-12-31T23:59:59.999999Z")},
		{"before 1970 with a fraction", nil, recount.UnitMS, "-0.0001", utc("1969-12-31T23:59:59.999999Z")},
		{"text beside a unit", nil, recount.UnitMS, "2024-06-10T12:00:00Z", utc("2024-06-10T12:00:00Z")},
		{"too far", nil, recount.UnitMS, "99999999999999999", time.Time{}},
		{"nothing", time.UTC, "", "", time.Time{}},
		{"no time", time.UTC, "", "soon", time.Time{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := recount.Mapping{Time: "t", Zone: c.zone, TimeUnit: c.unit, Fields: []recount.Field{{Name: "x", Type: typeOf(t, "string")}}}
			ev := newDecoder(t, payload.CSV, "t,x", m).Decode([]byte(c.text + ",1"))
			if !ev.Time.Equal(c.want) || (ev.Fault == "") == c.want.IsZero() {
				t.Errorf("got %v, fault %q; want %v", ev.Time, ev.Fault, c.want)
			}
		})
	}
}

func TestZonesAreRememberedRightly(t *testing.T) {
	// One Scratch over a year, hour by hour: the remembered offset must give what
	// the zone gives.
	for _, name := range []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Africa/Casablanca", "Pacific/Apia"} {
		z := zone(t, name)
		m := recount.Mapping{Time: "t", Zone: z}
		d := newDecoder(t, payload.CSV, "t,x", m)
		var s payload.Scratch
		for at := time.Date(2011, 10, 1, 0, 15, 0, 0, time.UTC); at.Year() < 2013; at = at.Add(30 * time.Minute) {
			text := at.Format("2006-01-02 15:04:05") + ",1"
			var ev recount.Event
			d.Into(&ev, &s, []byte(text), text)
			want, err := recount.Local(at, z)
			if !ev.Time.Equal(want) || (ev.Fault == "") != (err == nil) {
				t.Fatalf("%s in %s: got %v, fault %q; want %v, %v", text, name, ev.Time, ev.Fault, want, err)
			}
		}
	}
}

func TestHeaders(t *testing.T) {
	m := recount.Mapping{Fields: []recount.Field{{Name: "user_id", Type: typeOf(t, "string")}}}
	for header, why := range map[string]string{
		"userid,x":               `the nearest is "userid"`,
		"User_ID,x":              `the nearest is "User_ID"`,
		"a;user_id;c":            `separated by ";"`,
		"\xff\xfeu\x00":          "UTF-16",
		"user_id\xff":            "not valid UTF-8",
		"user_id,user_id":        "which of the two",
		"\"user_id":              "not closed",
		"u\x00ser_id,x":          "NUL",
		strings.Repeat("c,", 50): "and 39 more",
	} {
		_, err := payload.New(payload.CSV, header, m)
		var e *recount.Error
		if !errors.As(err, &e) || e.Code != recount.CodeSourceFile || !strings.Contains(e.Why, why) || e.Next == "" || e.What == "" {
			t.Errorf("header %.40q: got %v, want %s because %s", header, err, recount.CodeSourceFile, why)
		}
	}
	for _, header := range []string{"user_id", `"user_id",b`, `a,"user_id"`, `"a ""b"", c",user_id`} {
		if _, err := payload.New(payload.CSV, header, m); err != nil {
			t.Errorf("header %s: got %v, want no error", header, err)
		}
	}
}

func TestFieldsOfTheEnvelopesNames(t *testing.T) {
	for _, name := range []string{"id", "Stream", "type", "partition", "position", "TIME", "ingest_time", "key", "data", "headers", "seq", "fault", "hit", ""} {
		var e *recount.Error
		err := payload.CheckFields([]recount.Field{{Name: name, Type: typeOf(t, "string")}})
		if !errors.As(err, &e) || e.Code != recount.CodeConfig {
			t.Errorf("field %q: got %v, want %s", name, err, recount.CodeConfig)
		}
	}
	twice := []recount.Field{{Name: "a", Type: typeOf(t, "string")}, {Name: "A", Type: typeOf(t, "string")}}
	if payload.CheckFields(twice) == nil {
		t.Error("fields a and A: got no error")
	}
	if err := payload.CheckFields([]recount.Field{{Name: "user_id", Type: typeOf(t, "string")}}); err != nil {
		t.Errorf("field user_id: got %v, want no error", err)
	}
}
