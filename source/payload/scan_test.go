package payload

import (
	"slices"
	"strings"
	"testing"
	"time"

	"recount"
)

// walked is what the scanner stands for: encoding/json for the syntax, and then a
// walker.
func walked(data []byte) (members []member, err error) {
	if err := checkJSON(data); err != nil {
		return nil, err
	}
	w := walker{text: string(data)}
	from := w.space(0)
	if w.text[from] == '{' {
		_, err = w.object(from)
	} else {
		_, err = w.value(from)
	}
	return w.members, err
}

// depth is at most how deep values lie in each other.
func depth(data []byte) int {
	return strings.Count(string(data), "[") + strings.Count(string(data), "{")
}

func FuzzScanner(f *testing.F) {
	for _, seed := range []string{
		`{"event_id":"1a2b3c4d-5e6f7a8b","status":"paid","amount":"12.50","items":3,"nested":{"a":[1,2.5e-3,true,false,null]}}`,
		" { \"a\" : \"b\\n\\u00e9\\ud83d\\ude00\" ,\t\"c\" : -0.1E+5 }\r\n", `{"a":1,"a":2}`, `{"b":{"a":1,"a":2}}`, `{"a":1,"\u0061":2}`, "{\"\xff\":1}", "{\"a\":\"\xff\"}",
		`[{"a":[[]]},{}]`, `01`, `-`, `1.`, `1e`, `tru`, `nullx`, `"a`, `"a\`, `"\u12`, `"\ud800"`, "\"a\tb\"", `{"a" 1}`, `{"a":1,}`, `[1,]`, `{} x`, ``, ` `, `{`, `[`, `{"`,
		`"0123456789abcdef"`, `"0123456"`, `"01234567"`, `"äöü01234567"`, "\"\x7f\x1f\"", `{"a":"x","b":"y","c":"z","d":"w","e":1,"aa":2,"ab":3,"ba":4}`,
		strings.Repeat("[", deepest+2) + strings.Repeat("]", deepest+2), strings.Repeat(`{"a":`, deepest) + "1" + strings.Repeat("}", deepest),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		want, err := walked(data)
		s := scanner{data: data, text: string(data), members: []member{{key: "of another document"}}}
		from := s.document()
		got := s.members[1:]
		if from < 0 {
			if len(got) > 0 {
				t.Fatalf("%q: unsound, and %d members", data, len(got))
			}
			if err == nil && depth(data) <= deepest {
				t.Fatalf("%q: not known to be sound", data)
			}
			return
		}
		if err != nil {
			t.Fatalf("%q: sound, and it is not: %v", data, err)
		}
		if !slices.EqualFunc(got, want, func(a, b member) bool { return a.key == b.key && a.at == b.at }) {
			t.Fatalf("%q: got members %v, want %v", data, got, want)
		}
		w := walker{text: string(data)}
		for _, m := range got {
			end, _ := w.value(m.at)
			plain, whole := unquoted(w.text[m.at:end])
			if m.end != end || m.plain && (!whole || plain != w.text[m.at+1:m.end-1]) {
				t.Fatalf("%q: member %q ends at %d, plain: %t; want %d", data, m.key, m.end, m.plain, end)
			}
		}
	})
}

func unquoted(value string) (text string, ok bool) {
	if value[0] != '"' {
		return "", false
	}
	return unquoteJSON(value)
}

func BenchmarkInto(b *testing.B) {
	data := []byte(`{"event_id":"1a2b3c4d-5e6f7a8b","order_id":"o-012345678","user_id":"u-012345","status":"delivered","amount":"312.07","currency":"EUR","country":"DE","items":4,"created_at":"2024-06-10T12:09:24.053Z"}`)
	m := recount.Mapping{ID: "event_id", Time: "created_at", Type: "status", Zone: time.UTC}
	for _, name := range []string{"order_id", "user_id", "status", "currency", "country"} {
		m.Fields = append(m.Fields, recount.Field{Name: name, Type: recount.Type{Kind: recount.KindString}})
	}
	m.Fields = append(m.Fields, recount.Field{Name: "amount", Type: recount.Decimal(18, 2)}, recount.Field{Name: "items", Type: recount.Type{Kind: recount.KindInt64}})
	d, err := New(JSON, "", m)
	if err != nil {
		b.Fatal(err)
	}
	text, s := string(data), &Scratch{}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		var ev recount.Event
		if d.Into(&ev, s, data, text); ev.Fault != "" {
			b.Fatal(ev.Fault)
		}
	}
}
