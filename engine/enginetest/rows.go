package enginetest

import (
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"recount"
	"recount/engine"
)

func query(text string, key []string, columns ...string) engine.Variant {
	return engine.Variant{Logic: logic(text), Key: key, Columns: columns, Dedupe: true}
}

func keys(t *testing.T, h Harness) {
	l := marked(t, h).open()
	k := []string{"k"}
	_, err := l.try(query("SELECT 'a' AS k, 1 AS v UNION ALL SELECT 'b', 2 UNION ALL SELECT 'a', 3", k, "v"))
	if e := refused(t, "a key that stands twice", err, recount.CodeResultKey); !strings.Contains(e.Why, "k=a") {
		t.Errorf("the error names no sample: %s", e.Why)
	}
	_, err = l.try(query("SELECT NULL::VARCHAR AS k, 1 AS v UNION ALL SELECT 'b', 2", k, "v"))
	wantCode(t, "a NULL key", err, recount.CodeResultKey)
	_, err = l.try(query("SELECT 0.0::DOUBLE AS k, 1 AS v UNION ALL SELECT -0.0::DOUBLE, 2", k, "v"))
	wantCode(t, "zero and minus zero are one key", err, recount.CodeResultKey)
	_, err = l.try(query("SELECT 'a' AS k", k, "w"))
	wantCode(t, "a column that is not there", err, recount.CodeNoColumn)
	_, err = l.try(query("SELECT 'a' AS x, 1 AS v", k, "v"))
	wantCode(t, "a key that is not there", err, recount.CodeNoColumn)
	for _, c := range []struct{ name, list string }{
		{"texts by bytes", "('b'), ('a'), ('B'), ('ä'), ('a '), (''), ('aa'), ('a' || chr(1))"},
		{"numbers as texts", "(10), (9), (-1), (0), (100), (-10)"},
		{"decimals as texts", "(1.50), (10.25), (-0.75), (9.00), (0.50)"},
		{"whole numbers of 38 digits", "(99999999999999999999999999999999999999::HUGEINT), (-1::HUGEINT), (5::HUGEINT)"},
		{"doubles as texts", "(1e20::DOUBLE), (1234567::DOUBLE), (0.1::DOUBLE), ('nan'::DOUBLE), ('-inf'::DOUBLE), (-2::DOUBLE), (3::DOUBLE)"},
		{"timestamps as texts", "(TIMESTAMPTZ '2024-06-10 12:00:00+00'), (TIMESTAMPTZ '2024-06-10 12:00:00.5+00'), (TIMESTAMPTZ '2024-06-10 12:00:00.000001+00'), (TIMESTAMPTZ '2024-06-10 12:00:10+00')"},
		{"dates", "(DATE '2024-06-10'), (DATE '0001-01-01'), (DATE '2023-12-31')"},
		{"bools", "(true), (false)"},
		{"json", `('{"b": 1}'::JSON), ('{"a":1}'::JSON), ('[1, 2]'::JSON)`},
	} {
		t.Run(c.name, func(t *testing.T) {
			wantOrder(t, l, query("SELECT k, 1 AS v FROM (VALUES "+c.list+") t(k)", k, "v"), strings.Count(c.list, "), (")+1)
		})
	}
	t.Run("keys of two columns", func(t *testing.T) {
		wantOrder(t, l, query("SELECT a, b, 1 AS v FROM (VALUES ('a', 2), ('a', 10), ('', 3), ('a' || chr(1), 1), ('ab', 0), ('a', 1)) t(a, b)", []string{"a", "b"}, "v"), 6)
	})
}

// wantOrder checks that n rows come in the order of KeyText.
func wantOrder(t *testing.T, l *lab, v engine.Variant, n int) {
	t.Helper()
	r, err := l.session.Run(t.Context(), v)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	last, rows := "", 0
	for row, ok := r.Next(); ok; row, ok = r.Next() {
		text := recount.KeyText(row.Key)
		if rows > 0 && text <= last {
			t.Errorf("key %q comes after %q", text, last)
		}
		last, rows = text, rows+1
		for i, c := range r.Shape().Key {
			if canonical, err := recount.Canonical(c.Type, row.Key[i].Text); err != nil || canonical != row.Key[i].Text {
				t.Errorf("key %q is not canonical under %s: %q, %v", row.Key[i].Text, c.Type, canonical, err)
			}
		}
	}
	if r.Err() != nil || rows != n {
		t.Errorf("rows: got %d, %v, want %d", rows, r.Err(), n)
	}
}

func values(t *testing.T, h Harness) {
	l := marked(t, h).open()
	for _, c := range []struct{ expression, kind, text string }{
		{"'a' || chr(10) || 'ß'", "string", "a\nß"},
		{"''", "string", ""},
		{"NULL::VARCHAR", "string", "NULL"},
		{"(-9223372036854775808)::BIGINT", "int64", "-9223372036854775808"},
		{"255::UTINYINT", "int64", "255"},
		{"18446744073709551615::UBIGINT", "decimal(38,0)", "18446744073709551615"},
		{"99999999999999999999999999999999999999::HUGEINT", "decimal(38,0)", "99999999999999999999999999999999999999"},
		{"1.5::DECIMAL(4,2)", "decimal(4,2)", "1.50"},
		{"-0.05::DECIMAL(18,2)", "decimal(18,2)", "-0.05"},
		{"0::DECIMAL(3,3)", "decimal(3,3)", "0.000"},
		{"-1234567890123456789012345678901234.5678::DECIMAL(38,4)", "decimal(38,4)", "-1234567890123456789012345678901234.5678"},
		{"(-9223372036854775808)::HUGEINT", "decimal(38,0)", "-9223372036854775808"},
		{"0.1::DOUBLE + 0.2::DOUBLE", "double", strconv.FormatFloat(math.Nextafter(0.3, 1), 'g', -1, 64)},
		{"-0.0::DOUBLE", "double", "0"},
		{"'nan'::DOUBLE", "double", "NaN"},
		{"'-inf'::DOUBLE", "double", "-Infinity"},
		{"1e-320::DOUBLE", "double", "1e-320"},
		{"0.1::FLOAT", "double", "0.10000000149011612"},
		{"true", "bool", "true"},
		{"DATE '2024-02-29'", "date", "2024-02-29"},
		{"TIMESTAMPTZ '2024-06-10 14:00:00.000100+02'", "timestamp", "2024-06-10T12:00:00.0001Z"},
		{"TIMESTAMP '1969-12-31 23:59:59.999999'", "timestamp", "1969-12-31T23:59:59.999999Z"},
		{`'{"b": [1, 2.50], "a": "x y"}'::JSON`, "json", `{"b":[1,2.50],"a":"x y"}`},
		{"'a'::ENUM('b', 'a')", "string", "a"},
	} {
		r, err := l.session.Run(t.Context(), query("SELECT 'k' AS k, "+c.expression+" AS v", []string{"k"}, "v"))
		if err != nil {
			t.Errorf("%s: %v", c.expression, err)
			continue
		}
		row, ok := r.Next()
		if got := r.Shape().Values[0].Type.String(); !ok || got != c.kind || row.Values[0].String() != c.text {
			t.Errorf("%s: got %s %v (%v), want %s %q", c.expression, got, row.Values, r.Err(), c.kind, c.text)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	_, err := l.try(query("SELECT 'k' AS k, 'x'::INT AS v FROM events WHERE user_id = 'a'", []string{"k"}, "v"))
	wantCode(t, "a value that cannot be cast", err, recount.CodeSQL)
}

func events(t *testing.T, h Harness) {
	l := marked(t, h)
	whole := order("8", noon.Add(time.Second), "z", "5")
	whole.IngestTime = noon.Add(time.Hour)
	whole.Data = []byte{0, 0xff, '\n'}
	whole.Headers = []recount.Header{{Name: "a", Value: []byte("1")}, {Name: "a"}, {Name: "b", Value: []byte{}}}
	l.Add(whole)
	l.open()
	list := func(q engine.Query) []string {
		t.Helper()
		got, err := l.session.Events(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, e := range got {
			ids = append(ids, strconv.FormatInt(e.Seq, 10)+string(e.Mark))
		}
		return ids
	}
	want(t, "sound events by time", list(engine.Query{}), "8", "1", "2", "7")
	want(t, "with repeats", list(engine.Query{Repeats: true}), "8", "1", "3repeat", "2", "7")
	want(t, "with the quarantined", list(engine.Query{Quarantined: true}), "8", "1", "2", "4conflict", "5conflict", "6fault", "7")
	want(t, "by field", list(engine.Query{Fields: map[string]recount.Value{"user_id": recount.Text("a"), "value": recount.Text("16.00")}}), "7")
	want(t, "by NULL", list(engine.Query{Fields: map[string]recount.Value{"value": recount.Null}, Quarantined: true}), "6fault")
	want(t, "by seq", list(engine.Query{Seqs: []int64{7, 3, 99}, Repeats: true}), "3repeat", "7")
	want(t, "by no seq", list(engine.Query{Seqs: []int64{}}))
	if _, err := l.session.Events(t.Context(), engine.Query{Limit: 3}); err == nil {
		t.Error("more events than the limit: got no error")
	} else {
		wantCode(t, "limit", err, recount.CodeLimit)
	}
	want(t, "as many as the limit", list(engine.Query{Limit: 4}), "8", "1", "2", "7")
	got, err := l.session.Events(t.Context(), engine.Query{Seqs: []int64{8}})
	if err != nil || len(got) != 1 {
		t.Fatalf("whole event: got %v, %v", got, err)
	}
	e := got[0]
	if e.ID != "8" || e.Type != "order" || e.Partition != "0" || !e.Time.Equal(whole.Time) || !e.IngestTime.Equal(whole.IngestTime) ||
		string(e.Key) != "z" || string(e.Data) != string(whole.Data) || join(e.Fields) != "z,5.00,5" {
		t.Errorf("whole event: got %+v, want %+v", e.Event, whole.Event)
	}
	if len(e.Headers) != 3 || e.Headers[1].Value != nil || e.Headers[2].Value == nil || string(e.Headers[0].Value) != "1" {
		t.Errorf("headers: got %v, want %v", e.Headers, whole.Headers)
	}
	if got, err = l.session.Events(t.Context(), engine.Query{Seqs: []int64{6}, Quarantined: true}); err != nil || len(got) != 1 ||
		got[0].Fault != "value is no decimal" || strings.Join(got[0].Broken, ",") != "value" {
		t.Errorf("faulty event: got %+v, %v", got, err)
	}
}
