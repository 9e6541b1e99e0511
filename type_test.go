package recount_test

import (
	"testing"

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
