package postgres

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"recount"
	"recount/source"
	"recount/source/postgres/pgoutput"
)

// kinds are columns of every kind of type, with a value and its text in the payload.
var kinds = []struct{ declared, value, want string }{
	{"bool", "true", `true`},
	{"int2", "-7", `-7`},
	{"int4", "2147483647", `2147483647`},
	{"int8", "9007199254740993", `"9007199254740993"`},
	{"oid", "4294967295", `4294967295`},
	{"float4", "0.1", `0.1`},
	{"float8", "'1e300'", `1e+300`},
	{"float8", "'NaN'", `"NaN"`},
	{"float8", "'-Infinity'", `"-Infinity"`},
	{"numeric", "12345678901234567890.123456789012345678900", `"12345678901234567890.123456789012345678900"`},
	{"numeric(18,2)", "28.6", `"28.60"`},
	{"numeric", "'NaN'", `"NaN"`},
	{"money", "'12.50'", `"$12.50"`},
	{"text", `E'a"b\\c\n\tü'`, `"a\"b\\c\n\tü"`},
	{"varchar(9)", "'x'", `"x"`},
	{"char(3)", "'x'", `"x  "`},
	{"bytea", `'\x616263'`, `"abc"`},
	{"bytea", `'\xff00'`, `{"base64":"/wA="}`},
	{"timestamptz", "'2024-06-10 14:09:24.053001+02'", `"2024-06-10T12:09:24.053001Z"`},
	{"timestamptz", "'infinity'", `"infinity"`},
	{"timestamptz", "'0044-03-15 12:00+00 BC'", `"0044-03-15 12:00:00+00 BC"`},
	{"timestamp", "'2024-06-10 12:09:24.053'", `"2024-06-10T12:09:24.053"`},
	{"date", "'2024-06-10'", `"2024-06-10"`},
	{"time", "'12:09:24.053'", `"12:09:24.053"`},
	{"timetz", "'12:09:24+02'", `"12:09:24+02"`},
	{"interval", "'1 day 2:03:04'", `"1 day 02:03:04"`},
	{"uuid", "'8b0a2c2e-6c34-4a4d-9d0b-0c4f6d1a0b11'", `"8b0a2c2e-6c34-4a4d-9d0b-0c4f6d1a0b11"`},
	{"json", `'{"a" : 1, "a":2}'`, `"{\"a\" : 1, \"a\":2}"`},
	{"jsonb", `'{"b":1.50}'`, `"{\"b\": 1.50}"`},
	{"inet", "'10.0.0.1/8'", `"10.0.0.1/8"`},
	{"int4range", "'[1,5)'", `"[1,5)"`},
	{"point", "'(1,2)'", `"(1,2)"`},
	{"mood", "'sad'", `"sad"`},
	{"cents", "7", `"7"`}, // of a domain the server tells no more than its name
	{"pair", "ROW(1,'a b')", `"(1,\"a b\")"`},
	{"int8[]", "'{1,NULL,-3}'", `["1",null,"-3"]`},
	{"int4[][]", "'{{1,2},{3,4}}'", `[[1,2],[3,4]]`},
	{"int4[]", "'[0:1]={1,2}'", `"[0:1]={1,2}"`},
	{"int4[]", "'{}'", `[]`},
	{"text[]", `ARRAY['a','',NULL,'NULL','a"b','\','{x,y}',' ']`, `["a","",null,"NULL","a\"b","\\","{x,y}"," "]`},
	{"numeric[]", "'{1.50,2}'", `["1.50","2"]`},
	{"bool[]", "'{t,f}'", `[true,false]`},
	{"bytea[]", `ARRAY['\xff'::bytea]`, `[{"base64":"/w=="}]`},
	{"timestamptz[]", "'{2024-06-10 12:00+00}'", `["2024-06-10T12:00:00Z"]`},
	{"mood[]", "'{sad,ok}'", `"{sad,ok}"`},
	{"text", "NULL", `null`},
}

func TestEveryTypeHasItsText(t *testing.T) {
	w := start(t, "CREATE TYPE mood AS ENUM ('sad','ok')", "CREATE DOMAIN cents AS int4", "CREATE TYPE pair AS (a int, b text)")
	var columns, values []string
	for i, k := range kinds {
		columns, values = append(columns, letter(i)+" "+k.declared), append(values, k.value)
	}
	w.exec("CREATE TABLE kinds (" + strings.Join(columns, ", ") + ")")
	w.publish("TABLE kinds")
	w.exec("INSERT INTO kinds VALUES (" + strings.Join(values, ", ") + ")")
	f := w.follow(nil)
	f.read()
	var change struct {
		After map[string]json.RawMessage `json:"after"`
	}
	if err := json.Unmarshal(f.events[0].Data, &change); err != nil {
		t.Fatal(err)
	}
	for i, k := range kinds {
		if got := string(change.After[letter(i)]); got != k.want {
			t.Errorf("%s %s: got %s, want %s", k.declared, k.value, got, k.want)
		}
	}
}

func letter(i int) string { return "c_" + string(rune('a'+i/26)) + string(rune('a'+i%26)) }

func TestBrokenListsStayTexts(t *testing.T) {
	for _, text := range []string{"", "{", "{1", "{1,}", "{,1}", `{"a}`, `{"a\`, "{1}x", "{{1}", `{1"2"}`, strings.Repeat("{", 50) + strings.Repeat("}", 50)} {
		got := appendValue(nil, 1007, text)
		var back string
		if err := json.Unmarshal(got, &back); err != nil || back != text {
			t.Errorf("%q: got %s", text, got)
		}
	}
}

func FuzzValues(f *testing.F) {
	for _, k := range kinds {
		f.Add(uint32(1009), k.value)
	}
	f.Add(uint32(oidBytea), `\x61`)
	f.Add(uint32(oidTimestamptz), "2024-06-10 12:00:00+00")
	f.Add(uint32(1231), `{1,"2",{3}}`)
	f.Fuzz(func(t *testing.T, oid uint32, text string) {
		if got := appendValue(nil, oid, strings.ToValidUTF8(text, "?")); !json.Valid(got) {
			t.Errorf("type %d, %q: got %s", oid, text, got)
		}
	})
}

func TestHistoriesAreTold(t *testing.T) {
	now := time.Date(2024, 6, 10, 12, 0, 0, 0, time.UTC)
	one := mark{System: "7", Database: "shop", Timeline: 1, Generation: 1, LSN: "0/100", Index: 3}
	history := parseHistory("1\t0/200\tno recovery target specified\n\n2\t0/300\tno reason\nbroken\n")
	for name, c := range map[string]struct {
		cursor    source.Cursor
		sys       system
		confirmed pgoutput.LSN
		want      string
		gaps      []string
	}{
		"first":             {nil, system{id: "7", timeline: 1}, 0x50, "shop 0/50 0", nil},
		"on":                {source.Cursor{"shop": one.text()}, system{id: "7", timeline: 1}, 0x100, "shop 0/100 3", nil},
		"slot made anew":    {source.Cursor{"shop": one.text()}, system{id: "7", timeline: 1}, 0x180, "shop 0/180 0", []string{"shop " + spot{0x100, 3}.position() + " " + spot{0x180, 0}.position()}},
		"another cluster":   {source.Cursor{"shop": one.text()}, system{id: "8", timeline: 1}, 0x50, "shop@2 0/50 0", []string{"shop " + spot{0x100, 3}.position() + " " + farthest}},
		"a failover":        {source.Cursor{"shop": one.text()}, system{id: "7", timeline: 3, left: history}, 0x100, "shop 0/100 3", nil},
		"a failover behind": {source.Cursor{"shop": one.at(spot{0x280, 0}).text()}, system{id: "7", timeline: 3, left: history}, 0x290, "shop@2 0/290 0", []string{"shop@2 " + spot{0x200, 0}.position() + " " + spot{0x290, 0}.position()}},
	} {
		m, before, err := assign(c.cursor, c.sys, "shop", c.confirmed, now)
		if err != nil {
			t.Fatal(err)
		}
		var gaps []string
		for _, b := range before {
			for _, g := range b.Gaps {
				if !g.Lost() || g.Partition != b.Partition || strings.HasPrefix(g.Positions(), "all") != (name == "another cluster") {
					t.Errorf("%s: got gap %+v", name, g)
				}
				gaps = append(gaps, g.Partition+" "+g.From+" "+g.To)
			}
		}
		at := m.spot()
		if got := m.partition() + " " + at.commit.String() + " " + string(rune('0'+at.index)); got != c.want || strings.Join(gaps, ";") != strings.Join(c.gaps, ";") {
			t.Errorf("%s: got %s, gaps %q; want %s, gaps %q", name, got, gaps, c.want, c.gaps)
		}
		if m.Timeline != c.sys.timeline {
			t.Errorf("%s: got timeline %d", name, m.Timeline)
		}
	}
	// What is over is told once.
	over := one
	over.Over = true
	two := mark{System: "8", Database: "shop", Timeline: 1, Generation: 2, LSN: "0/60"}
	m, before, err := assign(source.Cursor{"shop": over.text(), "shop@2": two.text()}, system{id: "8", timeline: 1}, "shop", 0x60, now)
	if err != nil || m.partition() != "shop@2" || len(before) > 0 {
		t.Errorf("got %s, %v, %v", m.partition(), before, err)
	}
	if _, _, err := assign(source.Cursor{"shop": "{}"}, system{}, "shop", 0, now); recount.AsError(err).Code != recount.CodeMapping {
		t.Errorf("another source's cursor: got %v", err)
	}
}
