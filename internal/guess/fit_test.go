package guess_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"recount/internal/guess"
)

// tried fits a table of results to a table of events.
func tried(t *testing.T, events, results string) (*guess.Fitting, []guess.KeyPart) {
	t.Helper()
	e, r := sample(t, "e.csv", events), sample(t, "r.csv", results)
	columns, live := guess.Columns(e), guess.Columns(r)
	env := guess.EnvelopeOf(e, columns)
	key := guess.Keys(r, live, e, columns, env)
	return guess.NewFitting(e, columns, env, r, live, key, time.UTC), key
}

const sales = `event_id,at,country,status,price,quantity,agent
e1,2024-06-10T12:00:01Z,DE,paid,10.00,2,kim
e2,2024-06-10T12:10:00Z,DE,paid,2.50,1,kim
e2,2024-06-10T12:10:00Z,DE,paid,2.50,1,kim
e3,2024-06-10T12:20:00Z,FR,refunded,4.00,3,kim
e4,2024-06-10T13:00:00Z,FR,paid,1.00,5,ono
e5,2024-06-10T13:30:00Z,DE,refunded,8.00,1,lee
e6,2024-06-10T13:59:59.9Z,DE,paid,8.00,2,ono
e7,2024-06-10T13:00:00Z,AT,paid,8.00,2,ono
e8,2024-06-10T13:00:00Z,AT,paid,3.00,2,lee
e9,2024-06-10T13:00:00Z,AT,paid,9.00,1,ono
e10,2024-06-10T13:00:00Z,AT,paid,9.50,7,ono
`

func TestTheAggregateThatGivesMostRowsIsFound(t *testing.T) {
	field := func(c string) string { return c }
	for _, c := range []struct{ column, values, want string }{
		{"n", "2 1 1 2", "count(*) 4/4"},
		{"total", "12.5 4 1.00 16.00", "sum(price) 4/4"},
		{"worth", "22.50 12.00 5.00 24.00", "sum(price * quantity) 4/4"},
		{"net", "12.50 -4.00 1.00 0.00", "sum(CASE WHEN status = 'refunded' THEN -price ELSE price END) 4/4"},
		{"paid", "2 0 1 1", "count(*) FILTER (WHERE status = 'paid') 4/4"},
		{"largest", "10 4 1 8", "max(price) 4/4"},
		{"agent", "kim kim ono ono", "last(agent ORDER BY time, partition, position) 4/4"},
		{"status", "paid refunded paid paid", "last(status ORDER BY time, partition, position) 4/4"},
		{"statuses", "1 1 1 2", "count(DISTINCT status) 4/4"},
		{"seen", "2024-06-10T12:10:00Z 2024-06-10T12:20:00Z 2024-06-10T13:00:00Z 2024-06-10T13:59:59.900Z", "max(time) 4/4"},
		{"wrong", "12.50 4.00 1.00 0.01", "sum(price) 3/4"},
		{"noise", "777 7878 8787 1234", ""},
	} {
		v := strings.Fields(c.values)
		results := fmt.Sprintf("hour,country,%s\n2024-06-10T12:00:00Z,DE,%s\n2024-06-10T12:00:00Z,FR,%s\n2024-06-10T13:00:00Z,FR,%s\n2024-06-10T13:00:00Z,DE,%s\n2024-06-10T14:00:00Z,DE,%s\n",
			c.column, v[0], v[1], v[2], v[3], v[0])
		f, key := tried(t, sales, results)
		if len(key) != 2 || key[0] != (guess.KeyPart{Column: "hour", Bucket: time.Hour}) || key[1] != (guess.KeyPart{Column: "country", Event: "country"}) {
			t.Fatalf("%s: got key %+v", c.column, key)
		}
		fit, ok := f.Best(c.column)
		got := fmt.Sprintf("%s %d/%d", fit.Of.SQL(func(name string) string {
			if name == "at" {
				return "time"
			}
			return field(name)
		}), fit.Right, fit.Rows)
		if ok != (c.want != "") || ok && got != c.want {
			t.Errorf("%s: got %s (%t), want %s", c.column, got, ok, c.want)
		}
	}
}

func TestAKeyIsWhatEventsHaveToo(t *testing.T) {
	events := "event_id,at,user_id,country,total\n"
	for i := range 12 {
		events += fmt.Sprintf("e%d,2024-06-10T1%d:00:00Z,u%d,%s,1.0%d\n", i, i%3, i%6, []string{"DE", "FR"}[i%2], i)
	}
	for name, c := range map[string]struct{ results, want string }{
		"by the values": {"customer,n,updated_at\nu0,2,2024-06-11T00:00:00Z\nu1,2,2024-06-11T00:00:00Z\nu2,2,2024-06-11T00:00:00Z\nu3,2,2024-06-11T00:00:00Z\nu4,1,2024-06-11T00:00:00Z\n", "customer user_id 0s"},
		"by the name":   {"user_id,n\nu0,2\nu77,2\nu78,2\nu79,2\nu80,2\n", "user_id user_id 0s"},
		"spelled otherwise, and a value that is no part of it": {"userId,country\nu0,DE\nu1,FR\nu2,DE\nu3,FR\nu4,DE\n", "userId user_id 0s"},
		"by day":             {"day,n\n2024-06-10,4\n2024-06-11,4\n2024-06-12,4\n2024-06-13,4\n2024-06-14,4\n", "day  24h0m0s"},
		"by a quarter":       {"starts,n\n2024-06-10T12:00:00Z,4\n2024-06-10T12:15:00Z,4\n2024-06-10T12:45:00Z,4\n2024-06-10T13:00:00Z,4\n2024-06-10T13:30:00Z,4\n", "starts  15m0s"},
		"a handful of rows":  {"hour,country,total\n2024-06-10T12:00:00Z,DE,1.00\n", "hour  1h0m0s, country country 0s"},
		"nothing they share": {"a,b\nx,1\n", "a a 0s"},
	} {
		e, r := sample(t, "e.csv", events), sample(t, "r.csv", c.results)
		columns := guess.Columns(e)
		var got []string
		for _, p := range guess.Keys(r, guess.Columns(r), e, columns, guess.EnvelopeOf(e, columns)) {
			got = append(got, fmt.Sprintf("%s %s %s", p.Column, p.Event, p.Bucket))
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%s: got %s, want %s", name, strings.Join(got, ", "), c.want)
		}
	}
}

func TestExportsAreKnownByTheirRecords(t *testing.T) {
	dir := filepath.Join("..", "..", "source", "files", "testdata")
	for _, c := range []struct {
		file    string
		shape   guess.Shape
		format  string
		ending  bool
		env     string
		columns string
	}{
		{"kcat.jsonl", guess.Kcat, guess.JSONL, true, " ts ms key partition offset payload", "$.payload.order_id $.payload.user_id $.payload.paid_at $.payload.amount"},
		{"connect.json", guess.Connect, guess.JSON, true, "$.payload.order_id $.payload.paid_at ms    ", "$.payload.user_id $.payload.amount"},
		{"firehose", guess.EventBridge, guess.JSON, false, "id time     ", "$.detail.order_id $.detail.user_id $.detail.amount"},
	} {
		table, err := guess.Sample(t.Context(), filepath.Join(dir, c.file), c.file)
		if err != nil {
			t.Fatal(err)
		}
		columns := guess.Columns(table)
		e := guess.EnvelopeOf(table, columns)
		env := strings.Join([]string{e.ID, e.Time.Name, string(e.Time.Unit), e.Key, e.Partition, e.Position, e.Payload}, " ")
		if table.Shape != c.shape || table.Format != c.format || table.Ending != c.ending || strings.Join(strings.Fields(env), " ") != strings.Join(strings.Fields(c.env), " ") {
			t.Errorf("%s: got %q %s %t with envelope %q, want %q %s %t with %q", c.file, table.Shape, table.Format, table.Ending, env, c.shape, c.format, c.ending, c.env)
		}
		var left []string
		for _, column := range columns {
			if !e.Has(column.Name) {
				left = append(left, column.Name)
			}
		}
		if got := strings.Join(left, " "); got != c.columns {
			t.Errorf("%s: got columns %s, want %s", c.file, got, c.columns)
		}
	}
}

func TestMoneyIsNeverDouble(t *testing.T) {
	for _, c := range []struct{ name, values, want string }{
		{"amount", "1.5 2 3.25", "decimal(18,2)"},
		{"amount", "0.30000000000000004 1.1", "decimal(18,17)"},
		{"amount", "1e3 2.5", "decimal(18,2)"},
		{"amount", "1.5e-7 20", "decimal(18,8)"},
		{"amount", "12345678901234567.25 1", "decimal(38,2)"},
		{"amount", "5 7", "int64"},
		{"rate", "1e3 2.5", "double"},
		{"balance_after", "-3.999 1E+2", "decimal(18,3)"},
	} {
		columns := guess.Columns(sample(t, "e.csv", c.name+",x\n"+strings.Join(strings.Fields(c.values), ",\n")+",\n"))
		if got := columns[0].Type.String(); got != c.want {
			t.Errorf("%s of %s: got %s, want %s", c.name, c.values, got, c.want)
		}
	}
}

func TestUnitsAreToldByMagnitude(t *testing.T) {
	for value, want := range map[string]string{
		"1718020800": "s", "1718020800123": "ms", "1718020800123456": "us", "1718020800123456789": "ns", "12": "", "99999999999": "",
	} {
		columns := guess.Columns(sample(t, "e.csv", "ts,x\n"+value+",\n"))
		if got := string(columns[0].Unit); got != want {
			t.Errorf("%s: got unit %q, want %q", value, got, want)
		}
	}
}

func TestBrokenRecordsSayNothingOfTheOthers(t *testing.T) {
	table := sample(t, "e.json", `{"id":"a","at":"2024-06-10T12:00:00Z"}{"id":"b",}{"id":"c","at":"2024-06-10T12:00:01Z"}
nonsense
{"id":"d","at":"2024-06-10T12:00:02Z","more":{"x":1,"list":[1]}} 7 {"id":"e"`)
	if len(table.Rows) != 3 || !slices.Equal(table.Columns, []string{"id", "at", "$.more.x", "$.more.list"}) {
		t.Errorf("got columns %v and rows %v", table.Columns, table.Rows)
	}
}

// FuzzSample: whatever a file holds, looking at it ends, and its rows have as many
// values as it has columns.
func FuzzSample(f *testing.F) {
	for _, seed := range []string{
		"a,b\n1,2\n", `{"a":{"b":"{\"c\":1}"}}{"a":7}`, `{"schema":{"fields":[{"name":"org.apache.kafka.connect.data.Decimal","field":"x"}]},"payload":{"x":"AQ=="}}`,
		"\x1f\x8b", "PAR1", "[1]", `{"topic":"t","partition":0,"offset":1,"ts":1718020800123,"payload":null}`, "\xef\xbb\xbfa\n", `{"$":1,"":{"]'":2},"$.x":3}`,
	} {
		f.Add([]byte(seed), "e.json")
		f.Add([]byte(seed), "e")
		f.Add([]byte(seed), "e.csv")
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte, name string) {
		path := filepath.Join(dir, "sample")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		table, err := guess.Sample(t.Context(), path, name)
		if err != nil {
			return
		}
		for _, row := range table.Rows {
			if len(row) != len(table.Columns) {
				t.Fatalf("%q: a row has %d values, there are %d columns", data, len(row), len(table.Columns))
			}
		}
		columns := guess.Columns(table)
		env := guess.EnvelopeOf(table, columns)
		key := guess.Keys(table, columns, table, columns, env)
		fitting := guess.NewFitting(table, columns, env, table, columns, key, time.UTC)
		for _, c := range columns {
			if fit, ok := fitting.Best(c.Name); ok && (fit.Right > fit.Rows || fit.Rows > len(table.Rows)) {
				t.Fatalf("%q: %s: %d of %d rows, of %d", data, c.Name, fit.Right, fit.Rows, len(table.Rows))
			}
		}
	})
}
