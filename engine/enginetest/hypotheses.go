package enginetest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"recount"
	"recount/engine"
)

func hypotheses(t *testing.T, h Harness) {
	t.Run("again", func(t *testing.T) {
		l := clocks(t, h).input(everything)
		run := func(again ...recount.Again) []string {
			return l.rows(variant(), func(v *engine.Variant) { v.Again = again })
		}
		where := func(where string, times int) recount.Again {
			return recount.Again{EventList: recount.EventList{Where: where}, Times: times}
		}
		want(t, "three times", run(where("id = 'c'", 3)), "a|6.00,6", "b|1.00,1")
		want(t, "hit events alone", run(where("true", 2)), "a|6.00,6", "b|2.00,2")
		want(t, "by ids", run(recount.Again{EventList: recount.EventList{IDs: idList("b", "a")}, Times: 2}), "a|5.00,5", "b|1.00,1")
		want(t, "two entries add up", run(where("id = 'c'", 2), where("id = 'c'", 3)), "a|7.00,7", "b|1.00,1")
		want(t, "NULL is not true", run(where("id = NULL", 5)), "a|4.00,4", "b|1.00,1")
		want(t, "what was missed was not seen again", l.rows(variant(), func(v *engine.Variant) {
			v.Again = []recount.Again{where("true", 2)}
			v.Missed = []recount.EventList{{Where: "id = 'c'"}}
		}), "a|4.00,4", "b|2.00,2")
		_, err := l.try(variant(func(v *engine.Variant) { v.Again = []recount.Again{where("random() < 1", 2)} }))
		wantCode(t, "a condition that is not checked", err, recount.CodeSQLRefused)
	})
	t.Run("twice counts the repeats among hit events alone", func(t *testing.T) {
		l := newLab(t, h)
		l.Add(order("1", noon, "a", "1"), order("2", noon.Add(-time.Minute), "a", "1"))
		l.Add(order("1", noon.Add(time.Minute), "a", "1"), order("2", noon.Add(-time.Minute), "a", "1"), order("1", noon.Add(time.Hour), "a", "1"))
		l.Mark(recount.Mark{Seq: 3, Kind: recount.MarkRepeat, ID: "1", Time: noon.Add(time.Minute)}, recount.Mark{Seq: 4, Kind: recount.MarkRepeat, ID: "2", Time: noon.Add(-time.Minute)},
			recount.Mark{Seq: 5, Kind: recount.MarkRepeat, ID: "1", Time: noon.Add(time.Hour)})
		l.input(everything)
		twice := func(v *engine.Variant) { v.Twice = true }
		want(t, "dedupe", l.rows(seen()), "a|1 2,1")
		want(t, "twice", l.rows(seen(), twice), "a|1 1 2,1 1")
		want(t, "no dedupe", l.rows(seen(), twice, func(v *engine.Variant) { v.Dedupe = false }), "a|1 1 1 2 2,1 1")
	})
	t.Run("what is seen", func(t *testing.T) {
		l := clocks(t, h).input(everything)
		see := func(s engine.See) []string { return l.rows(variant(), func(v *engine.Variant) { v.See = s }) }
		want(t, "hit events", see(engine.SeeHit), "a|2.00,2", "b|1.00,1")
		want(t, "the others", see(engine.SeeUnhit), "a|2.00,2")
		want(t, "all", see(engine.SeeAll), "a|4.00,4", "b|1.00,1")
	})
	t.Run("late", func(t *testing.T) { late(t, h) })
}

// late holds Variant.Late at the edges of buckets, on days of 23, 24 and 25
// hours, and without buckets.
func late(t *testing.T, h Harness) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skipf("this machine knows no zones: %v", err)
	}
	day, us := 24*time.Hour, time.Microsecond
	for _, c := range []struct {
		name   string
		bucket recount.Bucket
		at     time.Time // an event's time
		end    time.Time // its bucket's end
	}{
		{"an hour", recount.Bucket{Size: time.Hour}, noon.Add(59 * time.Minute), noon.Add(time.Hour)},
		{"an hour, at its start", recount.Bucket{Size: time.Hour}, noon.Add(time.Hour), noon.Add(2 * time.Hour)},
		{"a day of 24 hours", recount.Bucket{Size: day, Zone: berlin}, time.Date(2024, 6, 10, 21, 59, 0, 0, time.UTC), time.Date(2024, 6, 10, 22, 0, 0, 0, time.UTC)},
		{"a day of 23 hours", recount.Bucket{Size: day, Zone: berlin}, time.Date(2024, 3, 31, 1, 0, 0, 0, time.UTC), time.Date(2024, 3, 31, 22, 0, 0, 0, time.UTC)},
		{"a day of 25 hours", recount.Bucket{Size: day, Zone: berlin}, time.Date(2024, 10, 27, 1, 0, 0, 0, time.UTC), time.Date(2024, 10, 27, 23, 0, 0, 0, time.UTC)},
		{"no bucket", recount.Bucket{}, noon, noon.Add(30 * time.Minute)},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t, h)
			wait := 10 * time.Minute
			l.Add(
				place(order("in-time", c.at, "a", "1"), "0", 1, c.end.Add(wait-us)),
				place(order("late", c.at, "a", "1"), "0", 2, c.end.Add(wait)),
				place(order("unknown", c.at, "a", "1"), "0", 3, time.Time{}),
				place(order("no-hit", c.at.Add(-400*day), "a", "1"), "0", 4, c.end.Add(day)),
				place(order("early", c.at, "a", "1"), "0", 5, c.at.Add(-time.Hour)),
			)
			l.input(everything, func(in *engine.Input) {
				in.Bucket = c.bucket
				in.Hits.Window = recount.Window{From: c.at, To: c.at.Add(time.Hour), By: recount.ByEvent}
			})
			run := func(wait time.Duration) []string {
				return l.rows(seen(), func(v *engine.Variant) { v.Columns, v.Late = []string{"ids"}, &wait })
			}
			want(t, "late", run(wait), "a|in-time unknown no-hit early")
			want(t, "a microsecond more", run(wait+us), "a|in-time late unknown no-hit early")
			want(t, "a microsecond less", run(wait-us), "a|unknown no-hit early")
		})
	}
}

// orderFields are fields of each type that can order events.
var orderFields = []recount.Field{
	{Name: "user_id", Type: recount.Type{Kind: recount.KindString}},
	{Name: "n", Type: recount.Type{Kind: recount.KindInt64}},
	{Name: "d", Type: recount.Decimal(9, 3)},
	{Name: "whole", Type: recount.Decimal(38, 38)},
	{Name: "t", Type: recount.Type{Kind: recount.KindTimestamp}},
	{Name: "day", Type: recount.Type{Kind: recount.KindDate}},
	{Name: "b", Type: recount.Type{Kind: recount.KindBool}},
	{Name: "s", Type: recount.Type{Kind: recount.KindString}},
	{Name: "x", Type: recount.Type{Kind: recount.KindDouble}},
	{Name: "j", Type: recount.Type{Kind: recount.KindJSON}},
}

func ordering(t *testing.T, h Harness) {
	for _, c := range []struct {
		field  string
		values []string // in order; "NULL" first
	}{
		{"n", []string{"NULL", "-9223372036854775808", "-10", "-9", "-1", "0", "1", "9", "10", "9223372036854775807"}},
		{"d", []string{"NULL", "-999999.999", "-10.001", "-10.000", "-2.000", "-0.001", "0.000", "0.001", "2.000", "10.000", "999999.999"}},
		{"whole", []string{"NULL", "-0.5", "-0.25", "0", "0.25", "0.99999999999999999999999999999999999999"}},
		{"t", []string{"NULL", "1812-06-24T00:00:00Z", "1969-12-31T23:59:59.999999Z", "1970-01-01T00:00:00Z", "2024-06-10T12:00:00Z", "2024-06-10T12:00:00.000001Z"}},
		{"day", []string{"NULL", "0001-01-01", "1969-12-31", "1970-01-01", "2024-06-10", "2024-06-11"}},
		{"b", []string{"NULL", "false", "true"}},
		{"s", []string{"NULL", "", " ", "B", "a", "a\x01", "a ", "aa", "b", "ä"}},
	} {
		t.Run("by a field of type "+c.field, func(t *testing.T) {
			l := &lab{Builder: NewBuilder(t, orderFields...), t: t, harness: h, engine: h.New(t)}
			var list []Event
			for i, value := range c.values {
				n := len(c.values) - i
				e := place(order(fmt.Sprint(i), noon.Add(time.Duration(n)*time.Second), "a", ""), "0", n, time.Time{})
				e.Fields = make([]recount.Value, len(orderFields))
				for f := range e.Fields {
					e.Fields[f] = recount.Null
				}
				e.Fields[0] = recount.Text("a")
				if value != "NULL" {
					e.Fields[slices.IndexFunc(orderFields, func(f recount.Field) bool { return f.Name == c.field })] = recount.Text(value)
				}
				list = append(list, e)
			}
			slices.Reverse(list)
			l.Add(list...)
			l.input(func(in *engine.Input) { in.Order = c.field })
			var up, down []string
			for i := range c.values {
				up = append(up, fmt.Sprint(i))
			}
			down = slices.Clone(up)
			slices.Reverse(down)
			want(t, "by the field", l.rows(seen()), fmt.Sprintf("a|%s,%[1]s", strings.Join(up, " ")))
			want(t, "by arrival", l.rows(seen(), func(v *engine.Variant) { v.Arrival = true }), fmt.Sprintf("a|%s,%[1]s", strings.Join(down, " ")))
			want(t, "lists see the log's position", l.rows(seen(), func(v *engine.Variant) {
				v.Missed = []recount.EventList{{Where: "position > '" + pos(1) + "'"}}
			}), fmt.Sprintf("a|%d,%[1]d", len(c.values)-1))
		})
	}
	t.Run("equal values follow partition and log position", func(t *testing.T) {
		l := newLab(t, h)
		l.Add(place(order("4", noon, "a", "1"), "1", 1, noon), place(order("3", noon, "a", "1"), "0", 12, noon), place(order("2", noon, "a", "1"), "0", 9, noon),
			place(order("1", noon, "a", "-1"), "2", 50, noon))
		want(t, "rows", l.input(func(in *engine.Input) { in.Order = "value" }).rows(seen()), "a|1 2 3 4,1 2 3 4")
	})
	t.Run("a double orders nothing", func(t *testing.T) {
		l := newLab(t, h)
		l.Add(order("1", noon, "a", "1"))
		_, err := l.input(func(in *engine.Input) { in.Order = "price" }).try(seen())
		wantCode(t, "order by a double", err, recount.CodeUnsupported)
		if _, err := l.input(func(in *engine.Input) { in.Order = "nothing" }).try(seen()); err == nil {
			t.Error("order by a field that is not declared: got no error")
		}
	})
}

// balances is a calculation that begins where the last one ended.
const balances = `SELECT user_id, sum(value) AS total, CAST(sum(n) AS BIGINT) AS n FROM (
SELECT user_id, value, 1 AS n FROM events UNION ALL SELECT user_id, total, n FROM opening) GROUP BY user_id`

var openingFields = []recount.Field{
	{Name: "user_id", Type: recount.Type{Kind: recount.KindString}}, {Name: "total", Type: recount.Decimal(18, 2)}, {Name: "n", Type: recount.Type{Kind: recount.KindInt64}},
}

func withOpening(v *engine.Variant) {
	v.Logic = logic(balances)
	v.Logic.Opening = openingFields
}

// writeOpening writes rows of `opening`: user, total, n. Its columns stand in
// another order, and one has another type.
func writeOpening(t *testing.T, rows ...[3]string) string {
	t.Helper()
	fields := []recount.Field{openingFields[2], {Name: "total", Type: recount.Decimal(9, 1)}, openingFields[0]}
	var list []Event
	for i, r := range rows {
		list = append(list, Event{Seq: int64(i), Event: recount.Event{Partition: "0", Position: "0", Data: []byte{}, Fields: []recount.Value{recount.Text(r[2]), recount.Text(r[1]), recount.Text(r[0])}}})
	}
	path := filepath.Join(t.TempDir(), "opening.parquet")
	if err := WriteEvents(path, fields, list); err != nil {
		t.Fatal(err)
	}
	return path
}

func opening(t *testing.T, h Harness) {
	l := marked(t, h)
	path := writeOpening(t, [3]string{"a", "100", "10"}, [3]string{"z", "5", "1"})
	from := func(in *engine.Input) { in.Opening = path }
	want(t, "with opening rows", l.input(from).rows(variant(), withOpening), "a|117.00,12", "b|2.00,1", "z|5.00,1")
	want(t, "without a file", l.input().rows(variant(), withOpening), "a|17.00,2", "b|2.00,1")
	e := h.New(t)
	columns, err := e.Check(t.Context(), variant(withOpening).Logic, Fields)
	if err != nil || len(columns) != 3 {
		t.Errorf("check: got %v, %v", columns, err)
	}
	_, err = e.Check(t.Context(), logic(balances), Fields)
	wantCode(t, "logic without opening", err, recount.CodeSQLRefused)
	_, err = l.try(variant(func(v *engine.Variant) { v.Logic = logic(balances) }))
	wantCode(t, "a run without opening", err, recount.CodeSQLRefused)
	want(t, "a WITH of that name is the logic's own", l.rows(query("WITH opening AS (SELECT 'x' AS user_id) SELECT user_id, 1 AS n FROM opening", []string{"user_id"}, "n")), "x|1")
	if err := os.WriteFile(path, []byte("no Parquet"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := l.input(from).try(variant(withOpening)); err == nil {
		t.Error("a damaged file of opening rows: got no error")
	}
}

func parts(t *testing.T, h Harness) {
	l := newLab(t, h)
	var list []Event
	for i := range 1000 {
		e := place(order(fmt.Sprint(i), noon.Add(time.Duration(i)*time.Second), "a", "1"), fmt.Sprint(i%3), i, time.Time{})
		if i%10 == 0 {
			e.ID = ""
		}
		list = append(list, e)
	}
	l.Add(list...)
	l.open()
	for _, of := range []int{1, 2, 8} {
		sum := 0
		for n := range of {
			var count int
			rows := l.rows(variant(), func(v *engine.Variant) { v.Columns, v.Part = []string{"n"}, &engine.Part{N: n, Of: of} })
			if _, err := fmt.Sscanf(rows[0], "a|%d", &count); err != nil {
				t.Fatal(err)
			}
			if count < 1000/of/2 || count > 1000/of*2 {
				t.Errorf("part %d of %d has %d events", n, of, count)
			}
			sum += count
		}
		if sum != 1000 {
			t.Errorf("%d parts: got %d events, want 1000", of, sum)
		}
	}
}
