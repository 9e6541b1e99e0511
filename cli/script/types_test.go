package script_test

import (
	"strings"
	"testing"

	"recount"
)

// TestEveryTypeOfPostgresIsWrittenAsItIs, also those that Recount takes for
// texts, and forms that share one canonical text.
func TestEveryTypeOfPostgresIsWrittenAsItIs(t *testing.T) {
	twins := places(t, "postgres", 2,
		"CREATE TYPE mood AS ENUM ('sad', 'happy')", "CREATE DOMAIN cents AS numeric(10,2) CHECK (VALUE < 1000000)", "CREATE COLLATION blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
		`CREATE TABLE odd (k uuid PRIMARY KEY, e mood, a int[], d cents, c char(5), v varchar(4), f real, ts timestamp, j json, n numeric, iv interval, ip inet, bl text COLLATE blind, id int GENERATED ALWAYS AS IDENTITY)`,
		`INSERT INTO odd VALUES ('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'sad', '{1,NULL}', 1.5, 'ab', 'abcd', 0.1, '2024-06-10 12:00:00.123456', '{"a" :  1}', 1.50, '1 day', '10.0.0.1', 'Case'),
		 ('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12', NULL, NULL, NULL, NULL, NULL, '-0', NULL, '{"b":2,  "a":1}', 'NaN', NULL, NULL, NULL),
		 ('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a13', 'happy', '{}', 2, 'x', '', 'Infinity', 'infinity', NULL, 1e30, '-1 mons', '::1', 'a')`)
	columns := []string{"k", "e", "a", "d", "c", "v", "f", "ts", "j", "n", "iv", "ip", "bl", "id"}
	wish := wished{table: "odd", key: []string{"k"}, columns: columns[1:13], rows: []change{
		{values("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), values("happy", "{2,3}", "2.25", "cd   ", "é漢🙂x", "0.2", "2024-06-10T12:00:00.5Z", `{"a":2}`, "2.500", "2 days", "10.0.0.2/32", "case")},
		{values("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12"), values("sad", `{"a"}`, "0.00", "y    ", "NULL", "1e+20", "NULL", "NULL", "NaN", "NULL", "NULL", "NULL")},
		{values("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a13"), nil},
		{values("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a14"), values("NULL", "{}", "1.00", "z    ", "v", "NaN", "2024-06-10T12:00:00Z", "[1,2]", "1", "00:00:01", "::2/128", "B")},
	}}
	wish.rows[1].after[1] = recount.Text("{4}")
	for i := range wish.rows {
		if wish.rows[i].after != nil { // char(5) reads back without its blanks
			wish.rows[i].after[3].Text = strings.TrimRight(wish.rows[i].after[3].Text, " ")
		}
	}
	before := twins[0].dump(t, "odd", columns...)
	if err := twins[0].try(scriptOf(t, twins[0].planOf(t, "odd", wish))); err != nil {
		t.Fatal(err)
	}
	if _, err := twins[1].apply(t, twins[1].planOf(t, "odd", wish)); err != nil {
		t.Fatal(err)
	}
	same(t, "rows", twins[0].dump(t, "odd", columns...), twins[1].dump(t, "odd", columns...))
	if receipt := twins[0].rollback(t, twins[0].ran(t, "odd")); len(receipt.RolledOut) > 0 {
		t.Errorf("left: %v", receipt.RolledOut)
	}
	same(t, "taken back", twins[0].dump(t, "odd", columns...), before)
	for name, after := range map[string][]recount.Value{"digits": values("NULL", "NULL", "1.005", "NULL", "NULL", "NULL", "NULL", "NULL", "NULL", "NULL", "NULL", "NULL")} {
		at := twins[0]
		wish.rows = []change{{values("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), after}}
		if err := at.try(scriptOf(t, at.planOf(t, "odd", wish))); err == nil || !strings.Contains(err.Error(), "do not fit") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestRowsOfSQLiteAreFoundInEveryForm: other programs' truths and times, no
// rowids, blind collations; all is taken back byte for byte.
func TestRowsOfSQLiteAreFoundInEveryForm(t *testing.T) {
	twins := places(t, "sqlite", 2,
		`CREATE TABLE odd (at TIMESTAMP, name TEXT COLLATE NOCASE, ok BOOLEAN, amount DECIMAL(18,2), n INTEGER, any, PRIMARY KEY (at, name)) WITHOUT ROWID`,
		`INSERT INTO odd VALUES ('2024-06-10T12:00:00Z', 'A', 'yes', 1.5, '7', 5), ('2024-06-10T12:30Z', 'b', 't', '2.50', 7.5, x'0a'), ('2024-06-10T13:00:00.5Z', 'c', 0, 0.30000000000000004, 'text', 'x'),
		 ('2024-06-10T14:00:00+00:00', 'd', 'F', 1e300, 1, NULL), ('2024-06-10', 'e', 'maybe', -0.0, NULL, 1.5), ('2024-06-11', 'stays', 1, 1, 1, 1)`)
	columns := []string{"at", "name", "ok", "amount", "n", "any"}
	wish := wished{table: "odd", key: columns[:2], columns: columns[2:5], ignored: []string{"any"}, rows: []change{
		{values("2024-06-10T12:00:00Z", "A"), values("false", "2.00", "8")},
		{values("2024-06-10T12:30Z", "b"), nil},
		{values("2024-06-10T13:00:00.5Z", "c"), values("true", "0.30", "9")},
		{values("2024-06-10T14:00:00Z", "d"), values("NULL", "NULL", "NULL")},
		{values("2024-06-10T00:00:00Z", "e"), nil},
		{values("2024-06-10T15:00:00Z", "f"), values("true", "3.00", "1")},
		{values("2024-06-10T15:00:00.25Z", "F"), values("true", "3.00", "1")},
	}}
	before := twins[0].dump(t, "odd", columns...)
	if err := twins[0].try(scriptOf(t, twins[0].planOf(t, "odd", wish))); err != nil {
		t.Fatal(err)
	}
	if _, err := twins[1].apply(t, twins[1].planOf(t, "odd", wish)); err != nil {
		t.Fatal(err)
	}
	same(t, "rows", twins[0].dump(t, "odd", columns...), twins[1].dump(t, "odd", columns...))
	if receipt := twins[0].rollback(t, twins[0].ran(t, "odd")); len(receipt.RolledOut) > 0 {
		t.Errorf("left: %v", receipt.RolledOut)
	}
	same(t, "taken back", twins[0].dump(t, "odd", columns...), before)
}

// TestTimesAreReadAsTheTargetReadsThem: a row is found in each spelling, or its
// text is no time to either.
func TestTimesAreReadAsTheTargetReadsThem(t *testing.T) {
	const whole = "12:30:45.123456"
	var spelled []string
	for _, gap := range []string{" ", "T"} {
		for _, hour := range []int{5, 8, 9, 10, 12, 15} {
			for _, tail := range []string{"", "Z", "+00:00", "+00", "+02:00", "x"} {
				spelled = append(spelled, "2024-06-10"+gap+whole[:hour]+tail)
			}
		}
	}
	spelled = append(spelled, "2024-06-10", "2024-06-10 00:00:00", "2024-06-10T00:00:00.000000Z", "2024-06-10 12:30:45.1000", "", "now", "2024-06-10 12:30:45.1234567")
	for declared, after := range map[string]string{"TIMESTAMP": "2024-06-11T01:02:03Z", "DATE": "2024-06-11"} {
		at := places(t, "sqlite", 1, "CREATE TABLE odd (k TEXT PRIMARY KEY, at "+declared+")")[0]
		wish := wished{table: "odd", key: []string{"k"}, columns: []string{"at"}}
		for _, text := range spelled {
			at.exec(t, "INSERT INTO odd VALUES ('"+text+"', '"+text+"')")
			wish.rows = append(wish.rows, change{values(text), values(after)})
		}
		out, err := at.shell(t, scriptOf(t, at.planOf(t, "odd", wish)), true)
		for line := range strings.SplitSeq(out, "\n") {
			if line = strings.TrimPrefix(line, "recount: changed after the plan was made: "); strings.HasPrefix(line, "2024") && !strings.HasSuffix(line, "+02:00") {
				t.Errorf("%s: %s is taken for a row that moved", declared, line)
			}
		}
		if declared == "DATE" { // a day with a time is a text like any other
			if err != nil {
				t.Errorf("%s: %v", declared, err)
			}
			continue
		}
		if err == nil {
			t.Errorf("%s: an offset that no shape tells was read", declared)
		}
		wish.rows = wish.rows[:0]
		for _, text := range spelled {
			if !strings.HasSuffix(text, "+02:00") {
				wish.rows = append(wish.rows, change{values(text), values(after)})
			}
		}
		if err := at.try(scriptOf(t, at.planOf(t, "odd", wish))); err != nil {
			t.Errorf("%s: %v", declared, err)
		}
	}
}
