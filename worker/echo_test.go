package worker_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"recount"
	"recount/worker"
	"recount/worker/workertest"
)

type cents int64

type label string

type common struct {
	Text   string
	Label  label
	Whole  int64
	Small  int16
	Cents  cents
	Double float64
	Yes    bool
	At     time.Time
	JSON   json.RawMessage `recount:"doc"`
}

// all is an event with every type that there is.
type all struct {
	common
	Money     worker.Decimal
	Day       time.Time
	Count     worker.Decimal // of an int64
	MaybeText *string
	MaybeInt  worker.Null[int32]
	MaybeAt   worker.Null[time.Time]
	MaybeSum  *worker.Decimal
	MaybeYes  *bool
	Raw       []byte
	OrZero    uint8 `recount:"or_zero,zero"`
}

// echo is a row that gives back all.
type echo struct {
	common
	Money     worker.Decimal `recount:"money,decimal(38,4)"`
	Day       time.Time      `recount:"day,date"`
	Count     worker.Decimal `recount:"count,decimal(19,0)"`
	MaybeText *string
	MaybeInt  worker.Null[int32]
	MaybeAt   worker.Null[time.Time]
	MaybeSum  *worker.Decimal `recount:"maybe_sum,decimal(20,2)"`
	MaybeYes  *bool
	Raw       string
	OrZero    uint8
}

// last keeps the last event of a key, as an author may who copies it.
var last = worker.Fold[all, all, echo]{
	Step: func(_ *worker.Context, s *all, e *all) error { *s = *e; return nil },
	Rows: func(_ *worker.Context, s *all, emit func(echo)) {
		emit(echo{
			common: s.common, Money: s.Money, Day: s.Day, Count: s.Count, MaybeText: s.MaybeText, MaybeInt: s.MaybeInt, MaybeAt: s.MaybeAt,
			MaybeSum: s.MaybeSum, MaybeYes: s.MaybeYes, Raw: string(s.Raw), OrZero: s.OrZero,
		})
	},
}

var allFields = map[string]string{
	"text": "string", "label": "string", "whole": "int64", "small": "int64", "cents": "int64", "double": "double", "yes": "bool", "at": "timestamp",
	"doc": "json", "money": "decimal(38,4)", "day": "date", "count": "int64", "maybe_text": "string", "maybe_int": "int64", "maybe_at": "timestamp",
	"maybe_sum": "decimal(20,2)", "maybe_yes": "bool", "raw": "string", "or_zero": "int64", "k": "string",
}

// drawn are values as Recount prints them, by the kind of their column.
func drawn(t *rapid.T, name, typ string) string {
	kind, _, _ := strings.Cut(typ, "(")
	switch kind {
	case "int64":
		most := map[string]int64{"small": math.MaxInt16, "maybe_int": math.MaxInt32, "or_zero": math.MaxUint8}[name]
		if most == 0 {
			most = math.MaxInt64
		}
		least := -most - 1
		if name == "or_zero" {
			least = 0
		}
		return strconv.FormatInt(rapid.Int64Range(least, most).Draw(t, name), 10)
	case "double":
		return fmt.Sprint(rapid.Float64().Draw(t, name))
	case "decimal":
		digits := map[string]string{"money": `-?[1-9][0-9]{0,33}\.[0-9]{4}`, "maybe_sum": `-?[1-9][0-9]{0,17}\.[0-9]{2}`}[name]
		return rapid.StringMatching(digits).Draw(t, name)
	case "bool":
		return strconv.FormatBool(rapid.Bool().Draw(t, name))
	case "timestamp":
		return recount.FormatTimestamp(time.UnixMicro(rapid.Int64Range(-60_000_000_000_000_000, 250_000_000_000_000_000).Draw(t, name)))
	case "date":
		return time.Unix(86400*rapid.Int64Range(-700_000, 2_900_000).Draw(t, name), 0).UTC().Format(time.DateOnly)
	case "json":
		return fmt.Sprintf(`{"a": [%d, null]}`, rapid.Int().Draw(t, name))
	}
	return rapid.String().Draw(t, name)
}

func TestWhatAnEventHoldsComesBackInARow(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		stream := workertest.Stream{By: []string{"k"}, Fields: allFields}
		events := make([]workertest.Event, rapid.IntRange(1, 5).Draw(rt, "events"))
		for i := range events {
			events[i] = workertest.Event{"k": strconv.Itoa(i % 2)}
			for name, typ := range allFields {
				mayBeNull := strings.HasPrefix(name, "maybe_") || name == "or_zero"
				if name != "k" && (!mayBeNull || rapid.Bool().Draw(rt, name+" is there")) {
					events[i][name] = drawn(rt, name, typ)
				}
			}
		}
		got := workertest.Replay(t, last, stream, events)
		if len(got.Poisoned) > 0 {
			rt.Fatal(got)
		}
		for n, row := range got.Rows {
			at := len(events) - 1
			for ; strconv.Itoa(at%2) != strconv.Itoa(n); at-- {
			}
			for i, c := range got.Columns {
				want := recount.Null
				if v, ok := events[at][c.Name]; ok {
					text, err := recount.Canonical(c.Type, v.(string))
					if err != nil {
						rt.Fatal(err)
					}
					want = recount.Text(text)
				} else if c.Name == "or_zero" {
					want = recount.Text("0")
				}
				if row[i] != want {
					rt.Fatalf("column %s: got %s, want %s", c.Name, row[i], want)
				}
			}
		}
	})
}

func TestValuesThatDoNotFitAreLeftOut(t *testing.T) {
	whole := workertest.Event{"text": "", "label": "", "whole": 1, "small": 1, "cents": 1, "double": 1, "yes": true, "at": "2024-06-10T12:00:00Z", "doc": "{}", "money": 1, "day": "2024-06-10", "count": 1, "raw": "", "k": "x"}
	for _, c := range []struct{ column, value, want string }{
		{"small", "32768", "Event.Small: the event has 32768, which does not fit int16"},
		{"maybe_int", "-2147483649", "Event.MaybeInt: the event has -2147483649, which does not fit int32"},
		{"or_zero", "256", "Event.OrZero: the event has 256, which does not fit uint8"},
		{"or_zero", "-1", "Event.OrZero: the event has -1, which does not fit uint8"},
		{"text", "NULL", "Event.Text: the event has NULL there; make the field a worker.Null[string], or tag it `recount:\"text,zero\"`"},
		{"money", "NULL", "Event.Money: the event has NULL there; make the field a worker.Null[worker.Decimal]"},
	} {
		event := workertest.Event{}
		maps.Copy(event, whole)
		if event[c.column] = c.value; c.value == "NULL" {
			event[c.column] = nil
		}
		got := workertest.Replay(t, last, workertest.Stream{By: []string{"k"}, Fields: allFields}, []workertest.Event{event})
		if len(got.Poisoned) != 1 || !strings.Contains(got.Poisoned[0].Err.Error(), c.want) {
			t.Errorf("%s %s: got\n%s\nwant %q", c.column, c.value, got, c.want)
		}
	}
}
