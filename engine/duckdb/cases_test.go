package duckdb

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"recount"
	"recount/engine"
	"recount/engine/enginetest"
)

// caseFields are those that testdata/queries.txt reads.
var caseFields = []recount.Field{
	{Name: "user_id", Type: recount.Type{Kind: recount.KindString}},
	{Name: "value", Type: recount.Decimal(18, 2)},
	{Name: "price", Type: recount.Type{Kind: recount.KindDouble}},
	{Name: "n", Type: recount.Type{Kind: recount.KindInt64}},
	{Name: "ok", Type: recount.Type{Kind: recount.KindBool}},
	{Name: "seen", Type: recount.Type{Kind: recount.KindTimestamp}},
	{Name: "day", Type: recount.Type{Kind: recount.KindDate}},
	{Name: "doc", Type: recount.Type{Kind: recount.KindJSON}},
	{Name: "user", Type: recount.Type{Kind: recount.KindString}},
}

// caseWorker is a child's worker, in this process, with events open.
func caseWorker(t *testing.T) *worker {
	t.Helper()
	noon := time.Date(2024, 6, 10, 12, 0, 0, 0, time.UTC)
	b := enginetest.NewBuilder(t, caseFields...)
	var list []enginetest.Event
	for i := range 14 {
		values := []string{
			string(rune('a' + i%3)), fmt.Sprintf("%d.%02d", i%4, i), fmt.Sprint(float64(i) / 3), fmt.Sprint(i%5 - 1), fmt.Sprint(i%2 == 0),
			recount.FormatTimestamp(noon.Add(time.Duration(i%6) * time.Hour)), fmt.Sprintf("2024-06-%02d", 1+i%5), fmt.Sprintf(`{"a": %d, "b": [1, "x"]}`, i%3), fmt.Sprint("u", i%2),
		}
		e := enginetest.Event{Event: recount.Event{
			ID: fmt.Sprint(i), Type: []string{"order", "refund"}[i%2], Partition: fmt.Sprint(i % 2), Position: fmt.Sprintf("%020d", i), Data: []byte{byte(i)},
			Time: noon.Add(time.Duration(i*7%13) * time.Minute), IngestTime: noon.Add(time.Duration(i) * time.Minute), Key: []byte(values[0]),
			Headers: []recount.Header{{Name: "h", Value: []byte{'v', byte('0' + i%10)}}},
		}}
		for f, v := range values {
			if value := recount.Text(v); i%7 != 3 || f == 0 {
				e.Fields = append(e.Fields, value)
			} else {
				e.Fields = append(e.Fields, recount.Null)
			}
		}
		list = append(list, e)
	}
	b.Add(list...)
	in := b.Input(noon, noon.Add(time.Hour))
	w := &worker{checked: map[string]*checked{}}
	if err := w.warm(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.close() })
	r := openRequest{Stream: in.Stream, Fields: in.Fields, Window: in.Window, Scratch: in.Scratch, Limits: engine.Limits{Threads: 2}}
	for _, f := range in.Files {
		r.Files = append(r.Files, openFile{
			Path: f.Path, Rows: f.Data.Rows, FirstSeq: f.Data.FirstSeq, LastSeq: f.Data.LastSeq,
			FirstTime: f.Data.FirstTime, LastTime: f.Data.LastTime, TimeKnown: true,
		})
	}
	var err error
	if w.input, err = openInput(t.Context(), r, &w.spares); err != nil {
		t.Fatal(err)
	}
	return w
}

// soundQueries are all that the check lets pass.
func soundQueries(t *testing.T) (list []string) {
	t.Helper()
	have, err := os.ReadFile("testdata/queries.txt")
	if err != nil {
		t.Fatal(err)
	}
	for block := range strings.SplitSeq(strings.TrimSpace(string(have)), "\n\n") {
		if sql, verdict, _ := strings.Cut(block, "\n----\n"); strings.HasPrefix(verdict, "ok") {
			list = append(list, sql)
		}
	}
	return append(list, moreQueries...)
}

// moreQueries are of forms that are hard to run over many sets at once.
var moreQueries = []string{
	"SELECT count(*) AS n, sum(value) AS s, max(id) AS m FROM events",
	"SELECT count(*) AS n FROM events WHERE user_id = 'a' HAVING count(*) > 1",
	"SELECT 'x' AS k, count(*) AS n FROM events UNION ALL SELECT user_id, count(*) FROM events GROUP BY 1",
	"SELECT user_id FROM events UNION SELECT 'z'",
	"SELECT user_id FROM events EXCEPT SELECT user_id FROM events WHERE n > 1",
	"SELECT user_id FROM events INTERSECT ALL SELECT user_id FROM events WHERE n > 0",
	"SELECT user_id, value FROM events ORDER BY time, position LIMIT 2",
	"SELECT user_id, value FROM events ORDER BY time, position LIMIT 2 OFFSET 1",
	"SELECT DISTINCT user_id FROM events",
	"SELECT DISTINCT ON (user_id) user_id, id FROM events ORDER BY user_id, time DESC, position",
	"SELECT user_id, count(*) OVER () AS n, sum(value) OVER (PARTITION BY user_id ORDER BY position) AS s FROM events",
	"SELECT user_id, lag(id) OVER (PARTITION BY user_id ORDER BY position) AS l FROM events",
	"SELECT user_id, arg_max(value, position ORDER BY position) AS last, max_by(id, position ORDER BY position) AS m FROM events GROUP BY 1",
	"SELECT user_id, sum(price ORDER BY position) AS s, list(id ORDER BY position)[1] AS l FROM events GROUP BY 1",
	"SELECT a.user_id, count(*) AS n FROM events a JOIN events b ON a.user_id = b.user_id AND a.position < b.position GROUP BY 1",
	"SELECT a.user_id, count(b.id) AS n FROM events a LEFT JOIN events b ON a.user_id = b.user_id AND a.position < b.position GROUP BY 1",
	"SELECT a.id, b.id AS other FROM events a FULL JOIN events b ON a.n = b.n + 1",
	"SELECT e.id, p.id AS before FROM events e ASOF LEFT JOIN events p ON e.user_id = p.user_id AND e.position > p.position",
	"SELECT u AS k, count(id) AS n FROM (VALUES ('a'), ('b'), ('q')) t(u) LEFT JOIN events ON user_id = u GROUP BY u",
	"SELECT user_id, (SELECT count(*) FROM events b WHERE b.user_id = a.user_id) AS n FROM events a",
	"SELECT user_id, (SELECT max(b.value) FROM events b WHERE b.user_id = a.user_id AND b.position < a.position) AS m FROM events a",
	"SELECT user_id FROM events a WHERE EXISTS (SELECT 1 FROM events b WHERE b.user_id = a.user_id AND b.n > a.n)",
	"SELECT user_id FROM events WHERE id NOT IN (SELECT id FROM events WHERE n > 1)",
	"SELECT user_id, x FROM events, unnest([1, n]) AS t(x)",
	"SELECT n, (SELECT count(*) FROM events b WHERE b.n = a.n) AS c FROM events a",
	"SELECT e.n, m FROM events e, (SELECT max(b.n) AS m FROM events b WHERE b.n < e.n) l",
	"SELECT e.user_id, s FROM events e JOIN (SELECT user_id, sum(n) AS s FROM events GROUP BY 1) t ON e.user_id = t.user_id",
	"SELECT user_id FROM events WHERE n = (SELECT max(n) FROM events)",
	"SELECT e.user_id, l.m FROM events e, LATERAL (SELECT max(b.n) AS m FROM events b WHERE b.user_id = e.user_id) l",
	"WITH a AS (SELECT user_id, sum(value) AS s FROM events GROUP BY 1), b AS (SELECT max(s) AS m FROM a) SELECT a.user_id, a.s, b.m FROM a, b",
	"WITH a AS MATERIALIZED (SELECT user_id, sum(value) AS s FROM events GROUP BY 1) SELECT x.user_id, y.s FROM a x JOIN a y USING (user_id)",
	"WITH RECURSIVE r(i, id) AS (SELECT 1, min(id) FROM events UNION ALL SELECT i + 1, id FROM r WHERE i < 3) SELECT i, id FROM r",
	"WITH RECURSIVE r(i) AS (SELECT 0 UNION ALL SELECT r.i + 1 FROM r, (SELECT count(*) AS c FROM events) WHERE r.i < c) SELECT max(i) AS m FROM r",
	"SELECT user_id, type, sum(value) AS s FROM events GROUP BY GROUPING SETS ((user_id), (user_id, type), ())",
	"SELECT user_id, sum(value) AS s FROM events GROUP BY ROLLUP (user_id)",
	"SELECT user_id, count(DISTINCT n) AS d, sum(value) FILTER (WHERE ok) AS f FROM events GROUP BY ALL",
	"SELECT user_id, quantile_cont(value, 0.5) AS q, mode(n ORDER BY n) AS m FROM events GROUP BY 1",
	"SELECT user_id, CASE WHEN bool_or(ok) THEN sum(n) END AS s FROM events GROUP BY 1 HAVING sum(n) IS NOT NULL",
	"SELECT g.h AS hour, count(e.id) AS n FROM generate_series(0, 3) AS g(h) LEFT JOIN events e ON e.n = g.h GROUP BY 1",
	"SELECT 1 AS one",
	"SELECT e.user_id, CAST(e AS VARCHAR) AS e FROM (SELECT user_id, n, data FROM events) e",
	"SELECT hash(e) AS h FROM events e",
	"SELECT count(*) AS n FROM events WHERE events IS NOT NULL",
	"SELECT a, b FROM events AS e(a, b)",
	"SELECT user_id, n FROM events NATURAL JOIN (SELECT 'order' AS type)",
	"SELECT v FROM events JOIN (VALUES ('order', 1)) t(type, v) USING (type)",
	"SELECT user_id FROM events GROUP BY ALL HAVING max(octet_length(data)) > 0",
	"SELECT user_id, headers[1].name AS h, doc.a AS a FROM events",
	"SELECT COLUMNS('^(us|d)') FROM (SELECT user_id, day, id FROM events)",
	"SELECT x.* EXCLUDE (data, key, headers, doc) FROM events x",
	"FROM (SELECT id, partition FROM events)",
	"SELECT user_id, row_number() OVER (ORDER BY position) AS r FROM events QUALIFY r <= 2",
}

// TestCasesAreWhatSingleRunsGive holds each query in a lateral join over many
// sets of events, the empty one among them, against runs over one set each.
func TestCasesAreWhatSingleRunsGive(t *testing.T) {
	w := caseWorker(t)
	ctx, single := t.Context(), 0
	queries := soundQueries(t)
	for _, sql := range queries {
		in := w.input
		v, err := w.variant(ctx, engine.Variant{Logic: recount.Logic{Kind: "sql", Text: sql, Path: "x.sql"}}, nil)
		if err != nil {
			t.Errorf("%s: %v", sql, err)
			continue
		}
		v.shape.Values = v.logic.columns
		c := caseSets(t, in, v)
		for _, into := range []string{"recount_lateral", "recount_single"} {
			if err := in.makeTyped(ctx, into, v.shape); err != nil {
				t.Fatal(err)
			}
		}
		c.into = "recount_single"
		errSingle := in.runSingly(ctx, c)
		// What the query cannot mean may be NULL.
		if err := in.db.exec(ctx, "CREATE OR REPLACE TEMP VIEW recount_used AS SELECT "+in.used("s", v)+", s."+seqColumn+" FROM recount_seen AS s"); err != nil {
			t.Fatal(err)
		}
		c.into, c.events = "recount_lateral", caseEvents(in, "recount_used")
		planned, errLateral := in.runLateral(ctx, c)
		if !planned {
			if errSingle != nil {
				t.Errorf("%s: one by one: %v", sql, errSingle)
			}
			single++
			continue
		}
		if (errSingle == nil) != (errLateral == nil) {
			t.Errorf("%s: one by one %v, at once %v", sql, errSingle, errLateral)
		}
		if errSingle != nil {
			continue // a value of the events that the query cannot cast
		}
		var more, less, n int64
		err = in.db.row(ctx, "SELECT (SELECT count(*) FROM (FROM recount_lateral EXCEPT ALL FROM recount_single)), (SELECT count(*) FROM (FROM recount_single EXCEPT ALL FROM recount_lateral)), (SELECT count(*) FROM recount_single)", &more, &less, &n)
		if err != nil || more != 0 || less != 0 {
			t.Errorf("%s: %d rows too many, %d too few, of %d: %v", sql, more, less, n, err)
		}
	}
	if single == 0 || single > len(queries)/4 {
		t.Errorf("%d of %d queries are run one by one", single, len(queries))
	}
}

// caseSets are beginnings of the events, and of each third of them.
func caseSets(t *testing.T, in *input, v variant) cases {
	t.Helper()
	query, err := in.seen(t.Context(), v, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		"CREATE OR REPLACE TEMP VIEW recount_seen AS " + query,
		"CREATE OR REPLACE TEMP TABLE recount_cases AS SELECT k AS " + caseColumn + ", u AS " + untilColumn + " FROM range(4) t(k), range(0, 15, 3) s(u)",
	} {
		if err := in.db.exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	return cases{v: v, shape: v.shape, table: "recount_cases", events: caseEvents(in, "recount_seen")}
}

func caseEvents(in *input, relation string) func(number, until string) string {
	return func(number, until string) string {
		return "SELECT " + in.all("b") + " FROM (SELECT *, row_number() OVER (ORDER BY " + seqColumn + ") AS i FROM " + relation + ") AS b WHERE (" + number +
			" = 3 OR b.i % 3 = " + number + ") AND b." + seqColumn + " <= " + until
	}
}
