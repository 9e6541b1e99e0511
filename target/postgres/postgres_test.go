package postgres_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"recount"
	"recount/adapter"
	"recount/internal/pgtest"
	"recount/target"
	"recount/target/postgres"
)

func texts(values ...string) []recount.Value {
	out := make([]recount.Value, len(values))
	for i, v := range values {
		out[i] = recount.Text(v)
	}
	return out
}

func scan(t *testing.T, live target.Target, s target.Scan) []recount.Row {
	t.Helper()
	var rows []recount.Row
	if err := live.Scan(t.Context(), s, func(r recount.Row) error { rows = append(rows, r); return nil }); err != nil {
		t.Fatal(err)
	}
	return rows
}

func info(t *testing.T, live target.Target) recount.TableInfo {
	t.Helper()
	i, err := live.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// apply writes changes as a run and commits.
func apply(t *testing.T, live target.Target, r recount.Run, key, columns []string, changes ...recount.Change) {
	t.Helper()
	ctx := t.Context()
	tx, err := live.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(ctx) }()
	n, err := tx.Write(ctx, key, columns, changes)
	if err != nil || n != int64(len(changes)) {
		t.Fatalf("write %s: got %d, %v; want %d", r.ID, n, err, len(changes))
	}
	if err := errors.Join(tx.Record(ctx, r, changes), tx.Commit(ctx)); err != nil {
		t.Fatal(err)
	}
}

// dump is the table as the server prints it.
func dump(t *testing.T, dsn, table string) []string {
	t.Helper()
	conn := connect(t, dsn)
	defer func() { _ = conn.Close(t.Context()) }()
	rows, err := conn.Query(t.Context(), "SELECT t::text FROM "+table+" t ORDER BY 1")
	if err != nil {
		t.Fatal(err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func refused(t *testing.T, what string, err error, code recount.Code) *recount.Error {
	t.Helper()
	e, ok := errors.AsType[*recount.Error](err)
	if !ok || e.Code != code || e.What == "" || e.Where == "" || e.Why == "" || e.Next == "" {
		t.Fatalf("%s: got %v, want %s with all its parts", what, err, code)
	}
	if text := fmt.Sprintf("%+v %s", *e, err); strings.Contains(text, "swordfish") {
		t.Errorf("%s: the password is shown: %s", what, text)
	}
	return e
}

// wantCode is refused for those who need not look at the error.
func wantCode(t *testing.T, what string, err error, code recount.Code) {
	t.Helper()
	_ = refused(t, what, err, code)
}

const everyType = `CREATE TYPE mood AS ENUM ('sad','glad');
CREATE DOMAIN money2 AS numeric(10,2) CHECK (VALUE > -100);
CREATE COLLATION fold (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE odd (k char(4), f text COLLATE fold, n int GENERATED ALWAYS AS IDENTITY, m money2, r float8, s float4, j json, b jsonb,
  e mood, u uuid, d interval, raw bytea, list int[], free numeric, ts timestamp, tz timestamptz, twice numeric GENERATED ALWAYS AS (free * 2) STORED,
  note text NOT NULL, PRIMARY KEY (k, f));
INSERT INTO odd (k, f, m, r, s, j, b, e, u, d, raw, list, free, ts, tz, note) VALUES
 ('ab', 'Key', 1.50, '-0', 0.1, '{"a" : 1,  "a":2}', '{"b": 1.10}', 'sad', '00000000-0000-0000-0000-000000000001', '1 day 02:03', '\x00ff', '{1,NULL}', 1.10, '2024-06-10 12:00', '2024-06-10 12:00+02', 'one'),
 ('ab', 'other', NULL, 'NaN', '-Infinity', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'infinity', '0044-03-15 BC', 'two')`

var oddKey, oddColumns = []string{"k", "f"}, []string{"m", "r", "s", "j", "b", "e", "u", "d", "raw", "list", "free", "ts", "tz"}

func TestEveryTypeComesBackExactly(t *testing.T) {
	dsn := pgtest.Start(t)
	run(t, dsn, everyType)
	live, before := open(t, dsn, "odd"), dump(t, dsn, "odd")
	rows := scan(t, live, target.Scan{Key: oddKey, Columns: oddColumns})
	slices.SortFunc(rows, func(a, b recount.Row) int { return strings.Compare(a.Key[1].Text, b.Key[1].Text) })
	want := texts("1.50", "0", "0.1", `{"a":1,"a":2}`, `{"b":1.10}`, "sad", "00000000-0000-0000-0000-000000000001", "1 day 02:03:00", `\x00ff`, "{1,NULL}", "1.10", "2024-06-10T12:00:00Z", "2024-06-10T10:00:00Z")
	if !slices.Equal(rows[0].Values, want) || !slices.Equal(rows[0].Key, texts("ab", "Key")) {
		t.Errorf("first row: got %v\nwant %v", rows[0], want)
	}
	after := texts("2.00", "1.5", "2", `{"z":0}`, `[]`, "glad", "00000000-0000-0000-0000-000000000002", "00:00:01", `\x`, "{}", "7", "2024-06-11T00:00:00Z", "2024-06-11T00:00:00.5Z")
	var there, back []recount.Change
	for _, r := range rows {
		there = append(there, recount.Change{Action: recount.ActionUpdate, Key: r.Key, Before: r.Values, After: after})
		back = append(back, recount.Change{Action: recount.ActionUpdate, Key: r.Key, Before: after, After: r.Values})
	}
	apply(t, live, recount.Run{ID: "r1", Plan: "p1"}, oddKey, oddColumns, there...)
	again := scan(t, live, target.Scan{Key: oddKey, Columns: oddColumns, Keys: [][]recount.Value{texts("ab", "Key"), texts("ab", "KEY")}})
	if len(again) != 1 || !slices.Equal(again[0].Values, after) {
		t.Errorf("by key, in its own case only: got %v, want one row %v", again, after)
	}
	gone := recount.Change{Action: recount.ActionDelete, Key: rows[1].Key, Before: after}
	apply(t, live, recount.Run{ID: "r2", Plan: "p2"}, oddKey, oddColumns, gone)
	apply(t, live, recount.Run{ID: "r3", Plan: "p3", Of: "r2"}, oddKey, oddColumns, recount.Change{Action: recount.ActionInsert, Key: gone.Key, After: gone.Before})
	apply(t, live, recount.Run{ID: "r4", Plan: "p4", Of: "r1"}, oddKey, oddColumns, back...)
	if got := dump(t, dsn, "odd"); !slices.Equal(got, before) {
		t.Errorf("after rolling back:\n got %q\nwant %q", got, before)
	}
}

func TestInfoTellsTypesKeysAndHazards(t *testing.T) {
	dsn := pgtest.Start(t)
	run(t, dsn, everyType)
	run(t, dsn, `CREATE TABLE child (k char(4), f text COLLATE fold, FOREIGN KEY (k, f) REFERENCES odd ON UPDATE CASCADE ON DELETE CASCADE);
		CREATE FUNCTION bell() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
		CREATE TRIGGER ring BEFORE UPDATE ON odd FOR EACH ROW EXECUTE FUNCTION bell();
		CREATE RULE quiet AS ON DELETE TO odd DO ALSO NOTHING; ALTER TABLE odd ENABLE ROW LEVEL SECURITY; CREATE UNIQUE INDEX ON odd (free) WHERE free > 0`)
	live := open(t, dsn, "public.odd")
	first := info(t, live)
	all := strings.Join(first.Hazards, "; ")
	for _, want := range []string{"generated", `trigger "ring"`, "ON UPDATE CASCADE ON DELETE CASCADE", `rule "quiet"`, "row-level security"} {
		if !strings.Contains(all, want) {
			t.Errorf("hazards: got %q, want %q named", all, want)
		}
	}
	if !slices.EqualFunc(first.Unique, [][]string{{"k", "f"}}, slices.Equal) {
		t.Errorf("unique: got %v", first.Unique)
	}
	m, _ := first.Column("m")
	k, _ := first.Column("k")
	if m.Type != recount.Decimal(10, 2) || k.Type.MaxLen != 4 || k.Nullable {
		t.Errorf("columns: got %+v and %+v", m, k)
	}
	if !strings.HasPrefix(first.Identity.Server, "system ") || strings.Contains(first.Identity.Place, "postgres:") {
		t.Errorf("identity: got %+v", first.Identity)
	}
	prints := map[string]string{first.Fingerprint: "the start"}
	for _, statement := range []string{
		"ALTER TABLE odd DISABLE TRIGGER ring", "DROP RULE quiet ON odd", "ALTER TABLE odd ALTER note SET DEFAULT 'x'", "ALTER TABLE odd ALTER free TYPE numeric(20,4)",
		"ALTER TABLE odd ADD CHECK (free < 1000)", "DROP TABLE child", "ALTER TABLE odd DISABLE ROW LEVEL SECURITY",
	} {
		if strings.Contains(statement, "free TYPE") {
			run(t, dsn, "ALTER TABLE odd DROP COLUMN twice")
		}
		run(t, dsn, statement)
		now := info(t, live).Fingerprint
		if was, ok := prints[now]; ok {
			t.Errorf("%s: the fingerprint is that of %s", statement, was)
		}
		prints[now] = statement
	}
}

func TestTroubleIsToldWithoutThePassword(t *testing.T) {
	dsn := pgtest.Start(t)
	run(t, dsn, `CREATE TABLE user_totals (id text PRIMARY KEY, total numeric(10,2) CHECK (total < 100)); CREATE VIEW seen AS SELECT 1 AS id; INSERT INTO user_totals VALUES ('a', 1)`)
	_, err := open(t, dsn, "user_total").Info(t.Context())
	if e := refused(t, "unknown table", err, recount.CodeNoTable); !strings.Contains(e.Why, `"user_totals"`) {
		t.Errorf("unknown table: got %q, want the nearest name", e.Why)
	}
	_, err = open(t, dsn, "seen").Info(t.Context())
	wantCode(t, "a view", err, recount.CodeUnsupported)
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	_, err = open(t, strings.Replace(dsn, "/"+config.Database+"?", "/nowhere?", 1), "t").Info(t.Context())
	wantCode(t, "unknown database", err, recount.CodeTargetDown)
	_, err = open(t, "postgres://u:swordfish@127.0.0.1:1/d", "t").Info(t.Context())
	wantCode(t, "no server", err, recount.CodeTargetDown)
	_, err = postgres.Open(adapter.Env{Table: "t"}, postgres.Config{DSN: "postgres://u:swordfish@:bad:/"})
	wantCode(t, "no address", err, recount.CodeConfig)

	live := open(t, dsn, "user_totals")
	for _, where := range []string{"total >", "nothing = 1", "id = 'a'; DROP TABLE user_totals", "id > $from", "1 = 1) OR (true"} {
		err := live.Scan(t.Context(), target.Scan{Key: []string{"id"}, Where: where, Window: recount.Window{}}, func(recount.Row) error { return nil })
		wantCode(t, where, err, recount.CodeConfig)
	}
	for total, code := range map[string]recount.Code{"100": recount.CodeDoesNotFit, "123456789": recount.CodeDoesNotFit, "NULL\x00": recount.CodeDoesNotFit} {
		tx, err := live.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, err = tx.Write(t.Context(), []string{"id"}, []string{"total"}, []recount.Change{{Action: recount.ActionInsert, Key: texts("b"), After: texts(total)}})
		wantCode(t, "insert "+total, err, code)
		if err := tx.Rollback(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if got := dump(t, dsn, "user_totals"); !slices.Equal(got, []string{"(a,1.00)"}) {
		t.Errorf("rows at the end: got %q", got)
	}
}

// as returns the address with another role, which may log in.
func as(t *testing.T, dsn, role string) string {
	t.Helper()
	return strings.Replace(dsn, "//postgres:", "//"+role+":", 1)
}

func TestRolesAndTheLedger(t *testing.T) {
	dsn := pgtest.Start(t)
	run(t, dsn, `CREATE TABLE t (id text PRIMARY KEY, v int); INSERT INTO t VALUES ('a', 1);
		CREATE ROLE reader LOGIN; GRANT SELECT ON t TO reader; CREATE ROLE writer LOGIN; GRANT SELECT, INSERT, UPDATE, DELETE ON t TO writer; CREATE ROLE nobody LOGIN`)
	reader, writer := open(t, as(t, dsn, "reader"), "t"), open(t, as(t, dsn, "writer"), "t")
	if can, err := reader.CanWrite(t.Context()); can || err != nil {
		t.Errorf("reader can write: got %v, %v", can, err)
	}
	if can, err := writer.CanWrite(t.Context()); !can || err != nil {
		t.Errorf("writer can write: got %v, %v", can, err)
	}
	_, err := reader.Begin(t.Context())
	wantCode(t, "reader begins", err, recount.CodeReadOnly)
	err = open(t, as(t, dsn, "nobody"), "t").Scan(t.Context(), target.Scan{Key: []string{"id"}}, nil)
	wantCode(t, "a role without rights", err, recount.CodeTargetDown)

	_, err = writer.Begin(t.Context())
	if e := refused(t, "no ledger", err, recount.CodeNoLedger); !strings.Contains(e.Next, "CREATE TABLE IF NOT EXISTS recount.recount_runs") {
		t.Errorf("no ledger: next is %q", e.Next)
	}
	maker, ok := writer.(target.LedgerSQL)
	if !ok {
		t.Fatal("the target gives no ledger SQL")
	}
	run(t, dsn, maker.LedgerSQL())
	_, err = writer.Begin(t.Context())
	wantCode(t, "ledger without rights", err, recount.CodeNoLedger)
	run(t, dsn, "GRANT USAGE ON SCHEMA recount TO writer; GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA recount TO writer")
	change := recount.Change{Action: recount.ActionUpdate, Key: texts("a"), Before: texts("1"), After: texts("2")}
	apply(t, writer, recount.Run{ID: "r1", Plan: "p1"}, []string{"id"}, []string{"v"}, change)
	if got := info(t, reader); got.Identity.Ledger != "" || got.LastRun != "" || !got.LedgerHidden {
		t.Errorf("the reader sees the ledger: %+v", got)
	}
	// "No runs" would be a lie.
	if runs, err := reader.Runs(t.Context()); !errors.Is(err, recount.ErrPermission) {
		t.Errorf("the reader's runs: got %v, %v, want %v", runs, err, recount.ErrPermission)
	}
	if err := reader.Undo(t.Context(), "r1", nil); !errors.Is(err, recount.ErrPermission) {
		t.Errorf("the reader's undo: got %v, want %v", err, recount.ErrPermission)
	}
	if got := info(t, writer); got.Identity.Ledger == "" || got.LastRun != "r1" || got.LedgerHidden {
		t.Errorf("the writer sees no ledger: %+v", got)
	}
}

func TestKilledBackendChangesNothing(t *testing.T) {
	dsn := pgtest.Start(t)
	run(t, dsn, "CREATE TABLE t (id text PRIMARY KEY, v int); INSERT INTO t SELECT 'k' || i, i FROM generate_series(0, 99) i")
	live, before := open(t, dsn, "t"), dump(t, dsn, "t")
	key, columns := []string{"id"}, []string{"v"}
	var changes []recount.Change
	for _, r := range scan(t, live, target.Scan{Key: key, Columns: columns}) {
		changes = append(changes, recount.Change{Action: recount.ActionUpdate, Key: r.Key, Before: r.Values, After: texts("7000")})
	}
	for _, when := range []string{"begin", "write", "record", "commit"} {
		tx, err := live.Begin(t.Context())
		if err != nil {
			t.Fatalf("killed at %s: begin: %v", when, err)
		}
		kill := func(step string) {
			if step == when {
				run(t, dsn, "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()")
			}
		}
		kill("begin")
		_, err = tx.Write(t.Context(), key, columns, changes)
		kill("write")
		if err == nil {
			err = tx.Record(t.Context(), recount.Run{ID: "r", Plan: "p"}, changes)
		}
		kill("record")
		kill("commit")
		if err == nil {
			if err = tx.Commit(t.Context()); !errors.Is(err, recount.ErrUnknown) {
				t.Errorf("killed at %s: commit: got %v, want %v", when, err, recount.ErrUnknown)
			}
		}
		if err == nil {
			t.Errorf("killed at %s: no error", when)
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Errorf("killed at %s: rollback: %v", when, err)
		}
		if got := dump(t, dsn, "t"); !slices.Equal(got, before) {
			t.Fatalf("killed at %s: rows changed", when)
		}
		if runs, err := live.Runs(t.Context()); err != nil || len(runs) != 0 {
			t.Errorf("killed at %s: runs %v, %v", when, runs, err)
		}
	}
}

func TestLockNamesItsHolderAndGuardsHoldAgainstTraffic(t *testing.T) {
	dsn := pgtest.Start(t)
	run(t, dsn, "CREATE TABLE t (id text PRIMARY KEY, v int); INSERT INTO t VALUES ('a', 1), ('b', 2)")
	live := open(t, dsn, "t")
	tx, err := live.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	_, err = open(t, dsn, "t").Begin(t.Context())
	if e := refused(t, "second begin", err, recount.CodeLocked); !strings.Contains(e.Why, "role postgres (recount)") {
		t.Errorf("second begin: got %q, want the holder", e.Why)
	}
	// A row changes between the look and the write, in a transaction that the
	// write has to wait for.
	conn := connect(t, dsn)
	defer func() { _ = conn.Close(t.Context()) }()
	traffic, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := traffic.Exec(t.Context(), "UPDATE t SET v = 9 WHERE id = 'a'"); err != nil {
		t.Fatal(err)
	}
	changes := []recount.Change{
		{Action: recount.ActionUpdate, Key: texts("a"), Before: texts("1"), After: texts("10")},
		{Action: recount.ActionUpdate, Key: texts("b"), Before: texts("2"), After: texts("20")},
	}
	if moved, err := tx.Moved(t.Context(), []string{"id"}, []string{"v"}, changes); err != nil || len(moved) != 0 {
		t.Errorf("moved before the traffic commits: %v, %v", moved, err)
	}
	written := make(chan int64)
	go func() {
		n, _ := tx.Write(t.Context(), []string{"id"}, []string{"v"}, changes)
		written <- n
	}()
	if err := traffic.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := <-written; n != 1 {
		t.Errorf("rows written: got %d, want 1: the other has moved", n)
	}
}

func TestWindowIsBoundAndQuotesAreKept(t *testing.T) {
	dsn := pgtest.Start(t)
	run(t, dsn, `CREATE TABLE t (hour timestamp PRIMARY KEY, day date, note text); INSERT INTO t SELECT g, g::date, '$from' FROM generate_series('2024-06-10 00:00'::timestamp, '2024-06-11 23:00', '1 hour') g`)
	window := recount.Window{From: time.Date(2024, 6, 10, 12, 0, 0, 0, time.UTC), To: time.Date(2024, 6, 11, 0, 0, 0, 0, time.UTC)}
	live := open(t, dsn, "t")
	for where, want := range map[string]int{
		"hour >= $from AND hour < $to": 12, "day >= $to": 24, "day >= $from /* $from; */ -- ) $to": 24,
		"note = '$from' AND hour = $from": 1, "note = $tag$$from$tag$": 48, `note <> E'\'$from' AND hour < $to`: 24, `"note" IS NULL`: 0,
	} {
		if got := len(scan(t, live, target.Scan{Key: []string{"hour"}, Where: where, Window: window})); got != want {
			t.Errorf("%s: got %d rows, want %d", where, got, want)
		}
	}
}

func BenchmarkUpdate(b *testing.B) {
	const rows = 100_000
	dsn := pgtest.Start(b)
	live, err := postgres.Open(adapter.Env{Table: "t"}, postgres.Config{DSN: recount.Secret(dsn)})
	if err != nil {
		b.Fatal(err)
	}
	conn, err := pgx.Connect(b.Context(), dsn)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = conn.Close(b.Context()) }()
	if _, err := conn.Exec(b.Context(), fmt.Sprintf("CREATE TABLE t (id text PRIMARY KEY, v numeric(18,2)); INSERT INTO t SELECT 'k' || i, i FROM generate_series(1, %d) i", rows)); err != nil {
		b.Fatal(err)
	}
	var changes []recount.Change
	for i := range rows {
		changes = append(changes, recount.Change{Action: recount.ActionUpdate, Key: texts(fmt.Sprintf("k%d", i+1)), Before: texts(fmt.Sprintf("%d.00", i+1)), After: texts("0.50")})
	}
	for b.Loop() {
		tx, err := live.Begin(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		n, err := tx.Write(b.Context(), []string{"id"}, []string{"v"}, changes)
		if err != nil || n != rows {
			b.Fatal(n, err)
		}
		if err := errors.Join(tx.Record(b.Context(), recount.Run{ID: "r", Plan: "p"}, changes), tx.Rollback(b.Context())); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
