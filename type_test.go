package recount_test

import (
	"errors"
	"testing"

	"pgregory.net/rapid"

	"recount"
)

func TestParseType(t *testing.T) {
	for text, want := range map[string]recount.Type{
		"string": kind(recount.KindString), "int64": kind(recount.KindInt64), "double": kind(recount.KindDouble), "bool": kind(recount.KindBool),
		"timestamp": kind(recount.KindTimestamp), "date": kind(recount.KindDate), "json": kind(recount.KindJSON),
		"decimal(18,2)": recount.Decimal(18, 2), " Decimal( 38 , 0 ) ": recount.Decimal(38, 0), "decimal(1,1)": recount.Decimal(1, 1),
	} {
		got, err := recount.ParseType(text)
		if err != nil || got != want {
			t.Errorf("%q: got %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "decimal", "decimal()", "decimal(18)", "decimal(18,2", "decimal(39,0)", "decimal(0,0)", "decimal(2,3)", "decimal(2,-1)", "decimal(a,b)",
		"varchar", "string(10)", "decimal(18,2,1)", "decimal(18,2))",
	} {
		if got, err := recount.ParseType(text); err == nil {
			t.Errorf("%q: got %v, want an error", text, got)
		}
	}
}

func FuzzParseType(f *testing.F) {
	for _, text := range []string{"string", "decimal(18,2)", "DECIMAL (1, 0)", "decimal(99999999999999999999,2)", "json ", "decimal(+5,+2)"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		typ, err := recount.ParseType(text)
		if err != nil {
			return
		}
		if again, err := recount.ParseType(typ.String()); err != nil || again != typ {
			t.Fatalf("%q: %s is read as %v, %v", text, typ, again, err)
		}
	})
}

func TestReservedColumns(t *testing.T) {
	for name, want := range map[string]bool{"id": true, "Ingest_Time": true, "HIT": true, "user_id": false, "ids": false, "": false} {
		if got := recount.ReservedColumn(name); got != want {
			t.Errorf("%q: got %v, want %v", name, got, want)
		}
	}
}

func TestFormsSpellAsTheDatabaseDoes(t *testing.T) {
	for _, c := range []struct {
		form     recount.Form
		in, want string
	}{
		{recount.FormUUID, "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
		{recount.FormUUID, "{a0eebc999c0b4ef8bb6d6bb9bd380a11}", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
		{recount.FormUUID, "no uuid", "no uuid"},
		{recount.FormBytes, `\xDEad`, `\xdead`},
		{recount.FormBytes, `\xDEa`, `\xDEa`},
		{recount.FormNumeric, "1e-3", "0.001"},
		{recount.FormNumeric, "1.50e1", "15.0"},
		{recount.FormNumeric, "-0.0", "0.0"},
		{recount.FormNumeric, "007.10", "7.10"},
		{recount.FormNumeric, "NaN", "NaN"},
		{recount.FormSingle, "0.30000000000000004", "0.3"},
		{recount.FormSingle, "Infinity", "Infinity"},
		{recount.FormJSONB, `{"bb":1e2,"a":[2,1.10,-0],"a2":"\u00e9\u0001"}`, `{"a":[2,1.10,0],"a2":"é\u0001","bb":100}`},
		{recount.FormJSONB, `{"a":1,"a":2}`, `{"a":2}`},
		{recount.FormJSONB, `{`, `{`},
	} {
		if got := (recount.Type{Form: c.form}).Formed(c.in); got != c.want {
			t.Errorf("%s form of %q: got %q, want %q", c.form, c.in, got, c.want)
		}
	}
	milli := recount.Type{Kind: recount.KindTimestamp, Step: recount.StepOf(3)}
	if got := milli.Formed("2024-01-01T00:00:00.123456Z"); got != "2024-01-01T00:00:00.123Z" {
		t.Errorf("a time of milliseconds: got %s", got)
	}
}

func TestOneJSONValueIsOneHoweverItIsSpelled(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{`{"a":1,"b":2}`, `{ "b": 2.0, "a": 1 }`, true},
		{`"\u00e9"`, `"é"`, true},
		{`12345678901234567890`, `12345678901234567891`, false},
		{`[1,2]`, `[2,1]`, false},
		{`null`, `""`, false},
		{`1`, `1 2`, false},
		{`{"a":1}`, `{"a":"1"}`, false},
		{`10`, `1`, false},
		{`x`, `y`, false},
	} {
		if got := recount.SameJSON(c.a, c.b); got != c.same {
			t.Errorf("%s and %s are the same: got %v, want %v", c.a, c.b, got, c.same)
		}
	}
}

func TestFormedTwiceIsFormedOnce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		form := rapid.SampledFrom([]recount.Form{
			recount.FormUUID, recount.FormBytes, recount.FormNumeric, recount.FormSingle, recount.FormJSONB, recount.FormInt32,
		}).Draw(rt, "form")
		text := rapid.StringMatching(`[-\\x{}":,\[\]0-9a-fE.+]{0,12}`).Draw(rt, "text")
		typ := recount.Type{Form: form}
		once := typ.Formed(text)
		if twice := typ.Formed(once); twice != once {
			rt.Fatalf("%s form of %q: once %q, twice %q", form, text, once, twice)
		}
	})
}

func TestFitRefusesWhatWouldReadOtherwise(t *testing.T) {
	whole, bit := recount.Type{Kind: recount.KindInt64}, recount.Type{Kind: recount.KindBool}
	day, instant := recount.Type{Kind: recount.KindDate}, recount.Type{Kind: recount.KindTimestamp}
	for _, c := range []struct {
		column, from recount.Type
		in, want     string // want empty: refused
	}{
		{whole, bit, "true", "1"},
		{whole, recount.Decimal(18, 2), "7.00", "7"},
		{whole, recount.Decimal(18, 2), "7.50", ""},
		{recount.Type{Kind: recount.KindInt64, Form: recount.FormInt32}, whole, "2147483648", ""},
		{recount.Type{Kind: recount.KindInt64, Form: recount.FormInt32}, whole, "-2147483648", "-2147483648"},
		{recount.Type{Kind: recount.KindInt64, Form: recount.FormInt16}, whole, "32768", ""},
		{recount.Type{Kind: recount.KindDouble, Form: recount.FormSingle}, recount.Type{Kind: recount.KindDouble}, "1e+300", ""},
		{instant, day, "2024-01-01", "2024-01-01T00:00:00Z"},
		{day, instant, "2024-01-01T05:00:00Z", ""},
		{recount.Type{Kind: recount.KindString, Form: recount.FormNumeric}, recount.Type{Kind: recount.KindDouble}, "1e+20", "100000000000000000000"},
	} {
		got, err := recount.Column{Name: "v", Type: c.column}.Fit(c.from, recount.Text(c.in))
		switch {
		case c.want == "" && !errors.Is(err, recount.ErrDoesNotFit):
			t.Errorf("%s %s into %s %s: got %q, %v, want a refusal", c.from, c.in, c.column, c.column.Form, got, err)
		case c.want != "" && (err != nil || got.Text != c.want):
			t.Errorf("%s %s into %s %s: got %q, %v, want %q", c.from, c.in, c.column, c.column.Form, got, err, c.want)
		}
	}
}
