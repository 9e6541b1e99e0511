package process_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"recount"
	"recount/engine/enginetest"
	"recount/engine/fold/run"
)

var everyField = []recount.Field{
	{Name: "k", Type: recount.Type{Kind: recount.KindInt64}},
	{Name: "s", Type: recount.Type{Kind: recount.KindString}},
	{Name: "n", Type: recount.Type{Kind: recount.KindInt64}},
	{Name: "x", Type: recount.Type{Kind: recount.KindDouble}},
	{Name: "small", Type: recount.Decimal(7, 2)},
	{Name: "large", Type: recount.Decimal(38, 10)},
	{Name: "b", Type: recount.Type{Kind: recount.KindBool}},
	{Name: "at", Type: recount.Type{Kind: recount.KindTimestamp}},
	{Name: "day", Type: recount.Type{Kind: recount.KindDate}},
	{Name: "j", Type: recount.Type{Kind: recount.KindJSON}},
}

// everyValue are canonical values by field, the ends of each type among them.
var everyValue = [][]string{
	{"0", "-9223372036854775808", "9007199254740993", "7"},
	{"", "a", "ä\"\\\u2028\x7f", "日本語", "true", "\t\n"},
	{"0", "-9223372036854775808", "9223372036854775807", "9007199254740993", "-5"},
	{"0", "1.5", "NaN", "-Infinity", "Infinity", "1e+300", "5e-324"},
	{"0.00", "-99999.99", "12.30"},
	{"0.0000000000", "9999999999999999999999999999.9999999999", "-0.0000000001"},
	{"true", "false"},
	{"0001-01-01T00:00:00Z", "1969-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.5Z", "2024-06-10T12:00:00Z"},
	{"1970-01-01", "0001-01-01", "9999-12-31", "2024-02-29"},
	{`{"b":[1,"x"],"a":{}}`, "null", `"text"`, "[]", "12"},
}

const echo = `
import recount

COLUMNS = {"k": "int64", "s": "string", "n": "int64", "x": "double", "small": "decimal(7,2)", "large": "decimal(38,10)",
           "b": "bool", "at": "timestamp", "day": "date", "j": "json", "count": "int64", "stamp": "timestamp", "chance": "int64"}


@recount.fold(columns=COLUMNS)
class Echo:
    def __init__(self, key):
        self.count, self.k = 0, key["k"]

    def step(self, event):
        import random
        from datetime import datetime, timezone

        self.event = {name: event[name] for name in COLUMNS if name in event}
        self.stamp, self.chance = datetime.now(timezone.utc), random.getrandbits(60)
        self.count += 1

    def rows(self):
        return {**self.event, "k": self.k, "count": self.count, "stamp": self.stamp, "chance": self.chance}


recount.run(Echo)
`

// TestEveryValueComesBack holds that a worker gets each value of an event as it is,
// and that what it gives back is the same, in both formats.
func TestEveryValueComesBack(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	var events []enginetest.Event
	right := map[string]string{}
	count := map[string]int{}
	for i := range 300 {
		e := enginetest.Event{Event: recount.Event{
			ID: fmt.Sprint(i), Partition: "0", Position: fmt.Sprintf("%020d", i), Time: noon.Add(time.Duration(i) * time.Millisecond), Data: []byte("{}"),
		}}
		var texts []string
		for n, list := range everyValue {
			v := recount.Text(list[r.IntN(len(list))])
			if n > 0 && r.IntN(5) == 0 {
				v = recount.Null
			}
			// A worker in Python cannot tell JSON's null from none.
			if n == len(everyValue)-1 && v.Text == "null" {
				v = recount.Null
			}
			e.Fields = append(e.Fields, v)
			texts = append(texts, v.String())
		}
		events = append(events, e)
		key := texts[0]
		count[key]++
		right[key] = strings.Join(append(texts, fmt.Sprint(count[key]), recount.FormatTimestamp(e.Time)), "|")
	}
	first := map[string]string{}
	pythons(t, func(t *testing.T, interpreter string) {
		p := newProject(t, interpreter, echo, everyField, "k")
		p.events(events...)
		for _, batch := range []int{0, 7} {
			rows, _, err := p.run(1, func(s *run.Spec) { s.Batch = batch })
			if err != nil {
				t.Fatal(err)
			}
			if len(rows) != len(right) {
				t.Errorf("batches of %d: %d rows, want %d", batch, len(rows), len(right))
			}
			for _, row := range rows {
				key, _, _ := strings.Cut(row, "|")
				whole, chance := row[:strings.LastIndexByte(row, '|')], row[strings.LastIndexByte(row, '|')+1:]
				if whole != right[key] {
					t.Errorf("batches of %d: got %q, want %q", batch, whole, right[key])
				}
				if before, ok := first[key]; ok && before != chance {
					t.Errorf("batches of %d, key %s: chance gave %s, and %s before: it must be the event's alone", batch, key, chance, before)
				}
				first[key] = chance
			}
		}
	})
}

// TestStylesGiveTheSame holds the styles of the package against each other.
func TestStylesGiveTheSame(t *testing.T) {
	const vectorised = `
import recount

@recount.vectorised(columns={"user_id": "string", "total": "decimal(18,2)", "n": "int64"}, reads=["value"])
def totals(groups):
    return {"user_id": groups.first("user_id"), "total": recount.scaled(groups.sums(groups.ints("value")), 2, 18), "n": groups.counts()}

recount.run(totals)
`
	const frames = `
import recount

@recount.pandas(columns={"user_id": "string", "total": "decimal(18,2)", "n": "int64"}, reads=["value"])
def totals(key, frame):
    return {"user_id": key["user_id"], "total": frame["value"].sum(), "n": len(frame)}

recount.run(totals)
`
	var events []enginetest.Event
	for i := range 500 {
		events = append(events, order(i, fmt.Sprint("u", i*i%23), fmt.Sprint(i%100-50)+".25"))
	}
	var first []string
	for name, text := range map[string]string{"events": totals, "vectorised": vectorised, "pandas": frames} {
		t.Run(name, func(t *testing.T) {
			p := newProject(t, arrowPython(t), text, orderFields, "user_id")
			p.events(events...)
			for _, batch := range []int{0, 13} {
				rows, _, err := p.run(1, func(s *run.Spec) { s.Batch = batch })
				if err != nil {
					t.Fatal(err)
				}
				if first == nil {
					first = rows
				}
				want(t, rows, first...)
			}
		})
	}
}
