package script_test

import (
	"fmt"
	"strings"
	"testing"

	"recount"
)

// odd are texts that break quoting that is done carelessly.
var odd = []string{
	"o'neil", `back\slash`, `\`, `'`, `''`, `"`, "$recount$", "$$", "--", "/* x", "; DROP TABLE t;", "line\nend", "cr\r\nlf", "tab\t", "\x01\x7f", "ünïcode 漢字 🙂",
	"\u202eright", "\u2028sep\u2029", "<a&b>", "%s %", "{}", ":name", ":'name'", "NULL ", "", " ", `\N`, `\.`, "E'x'", ".bail on", "\n.exit\n", "\n\\q\n",
}

func setup(kind string) []string {
	if kind == "sqlite" {
		return []string{
			`CREATE TABLE "odd ""t" (k TEXT PRIMARY KEY, n DECIMAL(18,2), i INTEGER, d REAL, ok BOOLEAN, at TIMESTAMP, day DATE, j JSON, b BLOB, note TEXT DEFAULT 'new', gen INTEGER GENERATED ALWAYS AS (i + 1) VIRTUAL)`,
			`INSERT INTO "odd ""t" (k, n, i, d, ok, at, day, j, b) VALUES ('up', 1912.4, 7, 0.1, 1, '2024-06-10 12:00:00', '2024-06-10', '{"a": 1}', x'00ff'), ('null', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
			 ('gone', 5.0, 9007199254740993, 1e21, 0, '2024-06-10T12:00:00.5Z', '2024-06-11', '[]', NULL), ('stay', 1, 1, 1, 1, '2024-06-10 11:00:00', NULL, NULL, NULL)`,
			`UPDATE "odd ""t" SET note = 'beside'`,
		}
	}
	return []string{
		`CREATE TABLE "odd ""t" (k text PRIMARY KEY, n numeric(18,2), i int, d float8, ok boolean, at timestamptz, day date, j jsonb, b bytea, note text DEFAULT 'new', gen int GENERATED ALWAYS AS (i + 1) STORED)`,
		`INSERT INTO "odd ""t" (k, n, i, d, ok, at, day, j, b) VALUES ('up', 1912.4, 7, 0.1, true, '2024-06-10 12:00:00Z', '2024-06-10', '{"a": 1}', '\x00ff'), ('null', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
		 ('gone', 5.0, 5, 1e21, false, '2024-06-10T12:00:00.5Z', '2024-06-11', '[]', NULL), ('stay', 1, 1, 1, true, '2024-06-10 11:00:00Z', NULL, NULL, NULL)`,
		`UPDATE "odd ""t" SET note = 'beside'`,
	}
}

var allColumns = []string{"k", "n", "i", "d", "ok", "at", "day", "j", "b", "note", "gen"}

// oddWish touches every type and every odd text.
func oddWish(kind string) wished {
	w := wished{table: `odd "t`, key: []string{"k"}, columns: []string{"n", "i", "d", "ok", "at", "day", "j", "b"}, ignored: []string{"note"}}
	blob, nan := `\x00fe`, "NaN"
	if kind == "sqlite" {
		blob, nan = "text", "Infinity"
	}
	w.rows = []change{
		{values("up"), values("1000.00", "8", "0.30000000000000004", "false", "2024-06-10T13:00:00Z", "2024-06-12", `{"b":[1,"x'y"]}`, blob)},
		{values("null"), values("0.01", "NULL", "-1.5", "true", "2024-06-10T13:00:00.25Z", "NULL", "null", "NULL")},
		{values("gone"), nil},
		{values("new"), values("12345678901234.56", "-3", nan, "true", "2024-06-10T14:30:00Z", "2024-02-29", `"q"`, blob)},
	}
	for i, text := range odd {
		b := "NULL"
		if kind == "sqlite" {
			b = text
		}
		w.rows = append(w.rows, change{values("x" + text), values("1.00", fmt.Sprint(i), "1e+21", "false", "NULL", "NULL", "NULL", b)})
	}
	return w
}

// TestTheScriptDoesWhatApplyDoes compares a script with an apply of the same
// changes on a twin of the database: rows, stored forms, ledger and undo rows.
func TestTheScriptDoesWhatApplyDoes(t *testing.T) {
	for _, kind := range []string{"sqlite", "postgres"} {
		for _, way := range []string{"whole", "shell"} {
			t.Run(kind+" "+way, func(t *testing.T) {
				twins := places(t, kind, 2, setup(kind)...)
				byHand, applied := twins[0], twins[1]
				before := byHand.dump(t, `"odd ""t"`, allColumns...)
				p := byHand.planOf(t, "odd", oddWish(kind))
				text := scriptOf(t, p)
				if way == "whole" {
					if err := byHand.try(text); err != nil {
						t.Fatalf("%v\n%s", err, text)
					}
				} else if out, err := byHand.shell(t, text, true); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
				if _, err := applied.apply(t, applied.planOf(t, "odd", oddWish(kind))); err != nil {
					t.Fatal(err)
				}
				got, want := byHand.dump(t, `"odd ""t"`, allColumns...), applied.dump(t, `"odd ""t"`, allColumns...)
				same(t, "rows", got, want)
				gotLedger, wantLedger := byHand.ledger(t), applied.ledger(t)
				other := applied.ran(t, `odd "t`).Plan
				for i := range wantLedger {
					wantLedger[i] = strings.ReplaceAll(wantLedger[i], other, p.ID)
				}
				same(t, "ledger", gotLedger, wantLedger)
				recognised(t, byHand, p, text)
				if receipt := byHand.rollback(t, byHand.ran(t, `odd "t`)); receipt.Applied != int64(len(p.Changes)) || len(receipt.RolledOut) > 0 {
					t.Errorf("rollback: got %+v", receipt)
				}
				same(t, "taken back", byHand.dump(t, `"odd ""t"`, allColumns...), before)
				if err := byHand.try(text); err != nil {
					t.Errorf("again after its rollback: %v", err)
				}
			})
		}
	}
}

// recognised asks Recount what it knows of a run that a script left.
func recognised(t *testing.T, at *place, p *recount.Plan, text string) {
	t.Helper()
	table := p.Body.Target.Table
	run := at.ran(t, table)
	if run.Plan != p.ID || run.Applied != int64(len(p.Changes)) || run.By == "" || run.At.IsZero() || run.Calculation != p.Body.Calculation || !run.Window.From.Equal(p.Body.Window.From) {
		t.Errorf("run: got %+v", run)
	}
	receipt, err := at.apply(t, p)
	if err != nil || !receipt.Already || receipt.Run != run.ID {
		t.Errorf("apply afterwards: got %+v, %v; want already, run %s", receipt, err, run.ID)
	}
	if err := at.try(text); err == nil || !strings.Contains(err.Error(), "applied before") {
		t.Errorf("script again: got %v", err)
	}
}

// same names the first lines that differ.
func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: got %d lines, want %d:\n%s\nwant\n%s", what, len(got), len(want), strings.Join(got, "\n"), strings.Join(want, "\n"))
		return
	}
	for i := range got {
		if got[i] != want[i] {
			t.Errorf("%s: got  %q\nwant %q", what, got[i], want[i])
		}
	}
}
