package sqlite_test

import (
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"recount"
	"recount/adapter"
	"recount/target"
	"recount/target/sqlite"
)

// file makes a database with the statements and opens a table of it.
func file(t *testing.T, table string, statements ...string) (target.Target, *sql.DB) {
	t.Helper()
	dir := t.TempDir()
	db, err := sql.Open("sqlite", filepath.Join(dir, "live.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	opened, err := sqlite.Open(adapter.Env{Dir: dir, Table: table}, sqlite.Config{Path: "live.db"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = opened.Close() })
	return opened, db
}

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

// apply writes changes as run and commits.
func apply(t *testing.T, live target.Target, run recount.Run, key, columns []string, changes ...recount.Change) {
	t.Helper()
	ctx := t.Context()
	tx, err := live.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(ctx) }()
	n, err := tx.Write(ctx, key, columns, changes)
	if err != nil || n != int64(len(changes)) {
		t.Fatalf("write %s: got %d, %v; want %d", run.ID, n, err, len(changes))
	}
	if err := errors.Join(tx.Record(ctx, run, changes), tx.Commit(ctx)); err != nil {
		t.Fatal(err)
	}
}

func dump(t *testing.T, db *sql.DB, table string, columns ...string) []string {
	t.Helper()
	query := "SELECT "
	for i, c := range columns {
		if i > 0 {
			query += "||'|'||"
		}
		query += fmt.Sprintf("typeof(%s)||':'||quote(%s)", c, c)
	}
	rows, err := db.QueryContext(t.Context(), query+" FROM "+table+" ORDER BY 1")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var out []string
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			t.Fatal(err)
		}
		out = append(out, text)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestStoredFormsComeBackExactly(t *testing.T) {
	live, db := file(t, "t", `CREATE TABLE t (k TEXT PRIMARY KEY, d DECIMAL(18,2), any, ok BOOLEAN, at TIMESTAMP, note TEXT NOT NULL)`,
		`INSERT INTO t VALUES ('a', 0.1+0.2, 5, 'true', '2024-06-10T12:00:00.000Z', 'kept'),
		 ('b', 5, '5', 1, '2024-06-10 13:00:00', 'kept too'), ('c', -0.0, x'00ff', 0, '2024-06-10', 'gone')`)
	before := dump(t, db, "t", "k", "d", "any", "ok", "at", "note")
	key, columns := []string{"k"}, []string{"d", "any", "ok", "at"}
	rows := scan(t, live, target.Scan{Key: key, Columns: columns})
	if got := rows[0].Values; !slices.Equal(got, texts("0.30000000000000004", "5", "true", "2024-06-10T12:00:00Z")) {
		t.Errorf("row a: got %v", got)
	}
	after := texts("1.00", "6", "false", "2024-06-11T00:00:00Z")
	var updates, deletes, back, again []recount.Change
	for _, r := range rows[:2] {
		updates = append(updates, recount.Change{Action: recount.ActionUpdate, Key: r.Key, Before: r.Values, After: after})
		back = append(back, recount.Change{Action: recount.ActionUpdate, Key: r.Key, Before: after, After: r.Values})
	}
	deletes = append(deletes, recount.Change{Action: recount.ActionDelete, Key: rows[2].Key, Before: rows[2].Values})
	again = append(again, recount.Change{Action: recount.ActionInsert, Key: rows[2].Key, After: rows[2].Values})
	apply(t, live, recount.Run{ID: "r1", Plan: "p1"}, key, columns, updates...)
	apply(t, live, recount.Run{ID: "r2", Plan: "p2"}, key, columns, deletes...)
	if now := scan(t, live, target.Scan{Key: key, Columns: columns}); len(now) != 2 || !slices.Equal(now[0].Values, after) {
		t.Errorf("after the runs: got %v", now)
	}
	apply(t, live, recount.Run{ID: "r3", Plan: "p3", Of: "r2"}, key, columns, again...)
	apply(t, live, recount.Run{ID: "r4", Plan: "p4", Of: "r1"}, key, columns, back...)
	if got := dump(t, db, "t", "k", "d", "any", "ok", "at", "note"); !slices.Equal(got, before) {
		t.Errorf("after rolling back:\n got %q\nwant %q", got, before)
	}
}

func TestWindowIsSpelledAsTheColumnIs(t *testing.T) {
	window := recount.Window{From: time.Date(2024, 6, 10, 12, 0, 0, 0, time.UTC), To: time.Date(2024, 6, 10, 13, 0, 0, 0, time.UTC)}
	for _, shape := range []string{"2024-06-10 %s:00", "2024-06-10T%s:00Z", "2024-06-10T%s:00.000", "2024-06-10 %s"} {
		live, _ := file(t, "t", "CREATE TABLE t (hour TIMESTAMP, v INT)",
			fmt.Sprintf("INSERT INTO t VALUES ('"+shape+"', 1), ('"+shape+"', 2), ('"+shape+"', 3)", "11:59", "12:00", "13:00"))
		for _, where := range []string{"hour >= $from AND hour < $to", "$from <= hour AND $to > hour", "hour BETWEEN $from AND $to AND hour <> $to", "datetime(hour) >= $from and datetime(hour) < $to"} {
			rows := scan(t, live, target.Scan{Key: []string{"hour"}, Columns: []string{"v"}, Where: where + " -- '$from", Window: window})
			if len(rows) != 1 || rows[0].Values[0].Text != "2" || rows[0].Key[0].Text != "2024-06-10T12:00:00Z" {
				t.Errorf("%s with %s: got %v", where, shape, rows)
			}
			found := scan(t, live, target.Scan{Key: []string{"hour"}, Columns: []string{"v"}, Keys: [][]recount.Value{texts("2024-06-10T13:00:00Z")}})
			if len(found) != 1 || found[0].Values[0].Text != "3" {
				t.Errorf("read by key with %s: got %v", shape, found)
			}
		}
	}
	live, _ := file(t, "t", "CREATE TABLE t (ts INT, v INT)", "INSERT INTO t VALUES (1718020800, 1)")
	err := live.Scan(t.Context(), target.Scan{Key: []string{"ts"}, Where: "ts >= $from", Window: window}, nil)
	if recount.AsError(err).Code != recount.CodeConfig {
		t.Errorf("a time compared with a number: got %v", err)
	}
	if rows := scan(t, live, target.Scan{Key: []string{"ts"}, Where: "ts >= unixepoch($from)", Window: window}); len(rows) != 1 {
		t.Errorf("unixepoch: got %v", rows)
	}
}

func TestInfoNamesWhatAWriteSetsOff(t *testing.T) {
	live, db := file(t, "Order; DROP", `CREATE TABLE "Order; DROP" (id INTEGER PRIMARY KEY, "a""b" NUMERIC(10,3) UNIQUE, twice AS (id*2), s VARCHAR(5))`,
		`CREATE TABLE child (p REFERENCES "Order; DROP"(id) ON DELETE CASCADE)`,
		`CREATE TRIGGER bell AFTER UPDATE ON "Order; DROP" BEGIN SELECT 1; END`)
	info, err := live.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(info.Hazards) != 3 || len(info.Unique) != 2 || info.Columns[1].Type != recount.Decimal(10, 3) || !info.Columns[2].Generated || info.Columns[0].Nullable {
		t.Errorf("info: got %+v", info)
	}
	if _, err := db.ExecContext(t.Context(), "DROP TRIGGER bell"); err != nil {
		t.Fatal(err)
	}
	again, err := live.Info(t.Context())
	if err != nil || again.Fingerprint == info.Fingerprint {
		t.Errorf("a trigger less: fingerprint is the same, %v", err)
	}
}

func TestLockedAndMissing(t *testing.T) {
	live, _ := file(t, "t", "CREATE TABLE t (k TEXT PRIMARY KEY, v INT)")
	tx, err := live.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := live.Begin(t.Context()); !errors.Is(err, recount.ErrLocked) {
		t.Errorf("second begin: got %v", err)
	}
	if err := errors.Join(tx.Rollback(t.Context()), tx.Rollback(t.Context())); err != nil {
		t.Error(err)
	}
	other, _ := sqlite.Open(adapter.Env{Dir: t.TempDir(), Table: "t"}, sqlite.Config{Path: "none.db"})
	if _, err := other.Info(t.Context()); !errors.Is(err, recount.ErrUnreachable) {
		t.Errorf("no file: got %v", err)
	}
}

func TestTenThousandRowsAreQuick(t *testing.T) {
	const rows = 10000
	live, _ := file(t, "t", "CREATE TABLE t (k TEXT, hour TIMESTAMP, v DECIMAL(18,2))",
		fmt.Sprintf("WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i+1 FROM n WHERE i < %d) INSERT INTO t SELECT 'u'||i, '2024-06-10 12:00:00', i FROM n", rows-1))
	key, columns := []string{"k", "hour"}, []string{"v"}
	var changes []recount.Change
	for _, r := range scan(t, live, target.Scan{Key: key, Columns: columns}) {
		changes = append(changes, recount.Change{Action: recount.ActionUpdate, Key: r.Key, Before: r.Values, After: texts("0.50")})
	}
	apply(t, live, recount.Run{ID: "r", Plan: "p"}, key, columns, changes...)
	if err := live.Undo(t.Context(), "r", func(recount.Change) error { return nil }); err != nil {
		t.Error(err)
	}
}
