package app_test

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"recount"
	"recount/internal/app"
)

// Two tables that one worker writes: users, and their orders, which lead to
// them. The worker missed the events of u2 and u3, and the second half of u1's.
const severalConfig = `version: 1
archive: archive
sources:
  sales:
    files: {paths: ["sales.jsonl"]}
    event: {id: id, time: at}
    fields: {user: string, amount: "decimal(18,2)"}
calculations:
  users:
    source: sales
    sql: users.sql
    key: [user]
    memory: window
    bucket: none
    target:
      sqlite: {path: live.db}
      table: users
      columns: {total: total}
      on_insert: {note: from the log}
  orders:
    source: sales
    sql: orders.sql
    key: [order]
    memory: window
    bucket: none
    target:
      sqlite: {path: live.db}
      table: orders
      columns: {user: owner, amount: amount}
`

func severalProject(t *testing.T, edit func(config string) string) string {
	t.Helper()
	dir := t.TempDir()
	var lines strings.Builder
	for i, e := range []string{"u1 10.00", "u1 2.50", "u2 7.00", "u3 1.00"} {
		user, amount, _ := strings.Cut(e, " ")
		fmt.Fprintf(&lines, `{"id":"e%d","at":"2024-06-10T12:0%[1]d:00Z","user":%q,"amount":%q}`+"\n", i, user, amount)
	}
	for name, text := range map[string]string{
		"recount.yaml": edit(severalConfig), "sales.jsonl": lines.String(),
		"users.sql":  `SELECT "user", sum(amount) AS total FROM events GROUP BY "user"`,
		"orders.sql": `SELECT id AS "order", "user", amount FROM events`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	exec(t, open(t, dir), `CREATE TABLE users ("user" TEXT PRIMARY KEY, total DECIMAL(18,2), note TEXT);
		CREATE TABLE orders ("order" TEXT PRIMARY KEY, owner TEXT REFERENCES users("user"), amount DECIMAL(18,2));
		INSERT INTO users VALUES ('u1', 10, 'live'); INSERT INTO orders VALUES ('e0', 'u1', 10)`)
	return dir
}

// both is both tables as they are stored.
func both(t *testing.T, dir string) []string {
	t.Helper()
	rows, err := open(t, dir).QueryContext(t.Context(), `SELECT "user" || ' ' || quote(total) || quote(note) FROM users UNION ALL SELECT "order" || ' ' || owner || quote(amount) FROM orders ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	defer func(rows *sql.Rows) { _ = rows.Close() }(rows)
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

// planBoth names orders first: its foreign key must turn the order of writing.
func planBoth(t *testing.T, a *app.App) *recount.Plan {
	t.Helper()
	if _, err := a.ArchiveRun(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	req := request()
	req.Calculation, req.With = "orders", []string{"users"}
	planned, err := a.Plan(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return planned.Plan
}

func TestOnePlanForAllTablesOfAWorker(t *testing.T) {
	dir := severalProject(t, func(config string) string { return config })
	a, before := openApp(t, dir), both(t, dir)
	if got := planBoth(t, a).Tables(); !slices.Equal(got, []string{"orders", "users"}) {
		t.Fatalf("tables: got %q", got)
	}
	if name, err := a.ApplyTable(t.Context(), "fix.plan"); err != nil || name != "orders,users" {
		t.Errorf("to be typed: got %q, %v", name, err)
	}
	shown, err := a.Show(t.Context(), "fix.plan")
	if err != nil || !strings.Contains(strings.Join(shown.Steps, "; "), "locks of orders, users") {
		t.Errorf("steps: got %q, %v", shown.Steps, err)
	}
	for _, confirm := range []string{"", "orders", "users,orders"} {
		if _, err := a.Apply(t.Context(), app.ApplyRequest{File: "fix.plan", Confirm: confirm}); err == nil || recount.AsError(err).Code != recount.CodeConfirm {
			t.Errorf("confirmed by %q: got %v", confirm, err)
		}
	}
	receipt, err := a.Apply(t.Context(), app.ApplyRequest{File: "fix.plan", Confirm: "orders,users"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"e0 u110", "e1 u12.5", "e2 u27", "e3 u31", "u1 12.5'live'", "u2 7'from the log'", "u3 1'from the log'"}
	if got := both(t, dir); !slices.Equal(got, want) || receipt.Applied != 6 || len(receipt.Tables) != 2 {
		t.Errorf("applied: got %q, %+v\nwant %q", got, receipt, want)
	}
	runs, err := a.Runs(t.Context())
	if err != nil || len(runs) != 1 || runs[0].Written() != 6 || !slices.Equal(runs[0].AllTables(), []string{"orders", "users"}) {
		t.Errorf("runs: got %+v, %v, want one line for both tables", runs, err)
	}
	// The part's own name leads to the whole.
	if name, err := a.RollbackTable(t.Context(), receipt.Run+"/2"); err != nil || name != "orders,users" {
		t.Errorf("to be typed for a rollback: got %q, %v", name, err)
	}
	back, err := a.Rollback(t.Context(), app.RollbackRequest{Run: receipt.Run, Confirm: "orders,users"})
	if err != nil || back.Applied != 6 || !slices.Equal(both(t, dir), before) {
		t.Errorf("rolled back: got %q, %+v, %v\nwant %q", both(t, dir), back, err, before)
	}
	again, err := a.Rollback(t.Context(), app.RollbackRequest{Run: receipt.Run, Confirm: "orders,users"})
	if err != nil || !again.Already {
		t.Errorf("rolled back again: got %+v, %v", again, err)
	}
	if runs, err = a.Runs(t.Context()); err != nil || len(runs) != 2 {
		t.Errorf("runs: got %d, %v, want 2", len(runs), err)
	}
}

func TestOfTwoTablesOneMovedAndNeitherIsWritten(t *testing.T) {
	dir := severalProject(t, func(config string) string { return config })
	a := openApp(t, dir)
	planBoth(t, a)
	exec(t, open(t, dir), `UPDATE users SET total = 11 WHERE "user" = 'u1'`)
	before := both(t, dir)
	_, err := a.Apply(t.Context(), app.ApplyRequest{File: "fix.plan", Confirm: "orders,users"})
	e := recount.AsError(err)
	if err == nil || e.Exit() != recount.ExitStale || !strings.Contains(e.Why, "users: u1") || !strings.Contains(e.Next, "recount plan orders users --from") {
		t.Errorf("got %v, want it stale, the table and row named", err)
	}
	if got := both(t, dir); !slices.Equal(got, before) {
		t.Errorf("something was written: %q", got)
	}
}

func TestAWorkerWithItsOwnStateIsToldFirst(t *testing.T) {
	dir := severalProject(t, func(config string) string {
		return strings.Replace(config, "    sql: users.sql\n", "    sql: users.sql\n    worker_state: own\n", 1)
	})
	a := openApp(t, dir)
	planBoth(t, a)
	before := both(t, dir)
	req := app.ApplyRequest{File: "fix.plan", Confirm: "orders,users"}
	_, err := a.Apply(t.Context(), req)
	if e := recount.AsError(err); err == nil || e.Code != recount.CodeWorkerState || e.Exit() != recount.ExitRefused || !strings.Contains(e.Next, "--worker-will-reload") {
		t.Errorf("got %v, want %s", err, recount.CodeWorkerState)
	}
	if got := both(t, dir); !slices.Equal(got, before) {
		t.Errorf("something was written: %q", got)
	}
	req.Overrides.WorkerWillReload = true
	if _, err := a.Apply(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	runs, err := a.Runs(t.Context())
	if err != nil || len(runs) != 1 || !slices.Contains(runs[0].Overrides, "--worker-will-reload") {
		t.Errorf("runs: got %+v, %v, want the flag recorded", runs, err)
	}
}
