package guess_test

import (
	"os"
	"path/filepath"
	"testing"

	"recount"
	"recount/internal/guess"
)

func sample(t *testing.T, name, text string) guess.Table {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	table, err := guess.Sample(t.Context(), path, name)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestColumnsAreWhatTheirValuesSay(t *testing.T) {
	table := sample(t, "events.csv", "\xef\xbb\xbfevent_id,ts,created_at,user_id,zip,amount,count,rate,paid,day,note\r\n"+
		"a1,1718020800123,2024-06-10 12:00:00.5,0042,01234,12.50,3,1e3,true,2024-06-10,x\r\n"+
		"a2,1718020801123,2024-06-10 12:00:01,42,99999,-3.125,0,2.5,false,2024-06-11,\r\n"+
		"broken line\r\n")
	want := map[string]string{
		"event_id": "string", "ts": "int64", "created_at": "timestamp", "user_id": "string", "zip": "string",
		"amount": "decimal(18,3)", "count": "int64", "rate": "double", "paid": "bool", "day": "date", "note": "string",
	}
	columns := guess.Columns(table)
	for _, c := range columns {
		if got := c.Type.String(); got != want[c.Name] {
			t.Errorf("%s: got %s, want %s", c.Name, got, want[c.Name])
		}
	}
	if len(columns) != len(want) || len(table.Rows) != 2 {
		t.Errorf("got %d columns, %d rows, want %d and 2", len(columns), len(table.Rows), len(want))
	}
	env := guess.EnvelopeOf(table, columns)
	if env.ID != "event_id" {
		t.Errorf("id: got %q, want event_id", env.ID)
	}
	at, ok := env.Time, env.Timed
	if !ok || at.Name != "ts" || at.Unit != recount.UnitMS {
		t.Errorf("time: got %+v, want ts in ms", at)
	}
}

func TestTimesWithoutAnOffsetAreTold(t *testing.T) {
	timeOf := func(text string) (guess.Column, bool) {
		table := sample(t, "e.jsonl", text)
		env := guess.EnvelopeOf(table, guess.Columns(table))
		return env.Time, env.Timed
	}
	at, ok := timeOf(`{"id":"1","at":"2024-06-10 12:00:00","n":12345678901234567890}
{"id":"2","at":"2024-06-10T12:00:01.5","n":null}
`)
	if !ok || at.Name != "at" || !at.Naive {
		t.Errorf("time: got %+v, want at without an offset", at)
	}
	if at, ok := timeOf(`{"id":"1","at":"2024-06-10T12:00:00Z"}` + "\n"); !ok || at.Naive {
		t.Errorf("time: got %+v, want at with its offset", at)
	}
}

func TestOnePoisonValueDoesNotChangeAColumn(t *testing.T) {
	text := "id,amount\n"
	for range 200 {
		text += "x,1.25\n"
	}
	columns := guess.Columns(sample(t, "e.csv", text+"y,\"6,00\"\n"))
	if got := columns[1].Type.String(); got != "decimal(18,2)" {
		t.Errorf("amount: got %s, want decimal(18,2)", got)
	}
}
