package script_test

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"recount"
	"recount/cli/script"
	"recount/internal/clock"
	"recount/internal/plan"
	"recount/target"
)

var totals = []string{
	"CREATE TABLE totals (k TEXT PRIMARY KEY, total DECIMAL(18,2))",
	"INSERT INTO totals VALUES ('a', 1), ('b', 2), ('c', 3)",
}

func totalsWish() wished {
	return wished{table: "totals", key: []string{"k"}, columns: []string{"total"}, rows: []change{
		{values("a"), values("10.00")}, {values("b"), nil}, {values("d"), values("4.00")},
	}}
}

// TestARefusedScriptWritesNothing spoils the place or the plan in every way that
// a script looks for. Clients that go on after an error write nothing either.
func TestARefusedScriptWritesNothing(t *testing.T) {
	for _, kind := range []string{"sqlite", "postgres"} {
		for name, c := range map[string]struct {
			spoil func(t *testing.T, at *place, p *recount.Plan, text string) string
			want  string
		}{
			"a row moved": {func(t *testing.T, at *place, _ *recount.Plan, text string) string {
				at.exec(t, "UPDATE totals SET total = 9 WHERE k = 'a'")
				return text
			}, "changed after the plan was made"},
			"a row is gone": {func(t *testing.T, at *place, _ *recount.Plan, text string) string {
				at.exec(t, "DELETE FROM totals WHERE k = 'b'")
				return text
			}, "changed after the plan was made"},
			"a key is taken": {func(t *testing.T, at *place, _ *recount.Plan, text string) string {
				at.exec(t, "INSERT INTO totals VALUES ('d', 4)")
				return text
			}, "changed after the plan was made"},
			"a line is gone": {func(_ *testing.T, _ *place, _ *recount.Plan, text string) string {
				return strings.Replace(text, "(0,'update',0,'a','1.00','10.00'),\n", "", 1)
			}, "not whole"},
			"the plan has expired": {func(t *testing.T, _ *place, p *recount.Plan, _ string) string {
				p.Header.Expires = clock.System{}.Now().Add(-time.Second)
				return scriptOf(t, p)
			}, "expired"},
			"another database": {func(t *testing.T, _ *place, p *recount.Plan, _ string) string {
				p.Body.Target.Server, p.Body.Target.Place = "system 1, database 2", "other.db"
				return scriptOf(t, p)
			}, "another database"},
			"another ledger": {func(t *testing.T, at *place, p *recount.Plan, _ string) string {
				at.exec(t, script.Ledger(at.kind))
				p.Body.Target.Ledger = "00000000-0000-4000-8000-000000000000"
				return scriptOf(t, p)
			}, "another database: its ledger"},
			"a new trigger": {func(t *testing.T, at *place, _ *recount.Plan, text string) string {
				if at.kind == "sqlite" {
					at.exec(t, "CREATE TRIGGER sneaky AFTER UPDATE ON totals BEGIN DELETE FROM totals WHERE k = 'c'; END")
					return text
				}
				at.exec(t, "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'", "CREATE TRIGGER sneaky AFTER UPDATE ON totals FOR EACH ROW EXECUTE FUNCTION f()")
				return text
			}, "schema"},
			"a column is gone": {func(t *testing.T, at *place, _ *recount.Plan, text string) string {
				at.exec(t, "ALTER TABLE totals RENAME COLUMN total TO sum")
				return text
			}, "total"},
		} {
			t.Run(kind+" "+name, func(t *testing.T) {
				at := places(t, kind, 1, totals...)[0]
				p := at.planOf(t, "totals", totalsWish())
				text := c.spoil(t, at, p, scriptOf(t, p))
				before := at.rows(t, "SELECT * FROM totals ORDER BY 1")
				err := at.try(text)
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v, want an error of %q", err, c.want)
				}
				for _, bail := range []bool{true, false} {
					out, _ := at.shell(t, text, bail)
					if !strings.Contains(out, c.want) {
						t.Errorf("shell, ending at errors %v: %q is not in\n%s", bail, c.want, out)
					}
				}
				same(t, "rows", at.rows(t, "SELECT * FROM totals ORDER BY 1"), before)
				nothingRecorded(t, at)
			})
		}
	}
}

// nothingRecorded looks whether a ledger, if there is one, is empty.
func nothingRecorded(t *testing.T, at *place) {
	t.Helper()
	prefix, has := "", "SELECT name FROM sqlite_schema WHERE name = 'recount_runs'"
	if at.kind == "postgres" {
		prefix, has = "recount.", "SELECT 1 WHERE to_regclass('recount.recount_runs') IS NOT NULL"
	}
	if len(at.rows(t, has)) == 0 {
		return
	}
	if got := at.rows(t, "SELECT run FROM "+prefix+"recount_runs"); len(got) > 0 {
		t.Errorf("the ledger has a run: %v", got)
	}
}

// TestAScriptThatCannotBeginWritesNothing: while another connection writes, a
// shell that goes on after the error would run all statements by themselves.
func TestAScriptThatCannotBeginWritesNothing(t *testing.T) {
	at := places(t, "sqlite", 1, totals...)[0]
	text := strings.Replace(scriptOf(t, at.planOf(t, "totals", totalsWish())), "BEGIN IMMEDIATE;", "", 1)
	before := at.rows(t, "SELECT * FROM totals ORDER BY 1")
	out, _ := at.shell(t, text, false)
	if !strings.Contains(out, "could not be begun") {
		t.Errorf("got %s", out)
	}
	same(t, "rows", at.rows(t, "SELECT * FROM totals ORDER BY 1"), before)
	nothingRecorded(t, at)

	db, err := sql.Open("sqlite", at.file())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecContext(t.Context(), "UPDATE totals SET total = total"); err != nil {
		t.Fatal(err)
	}
	_, _ = at.shell(t, scriptOf(t, at.planOf(t, "totals", totalsWish())), false)
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	same(t, "rows", at.rows(t, "SELECT * FROM totals ORDER BY 1"), before)
	nothingRecorded(t, at)
}

// TestLedgersAreThoseOfTheTargets: a script and an apply make the same tables.
func TestLedgersAreThoseOfTheTargets(t *testing.T) {
	lite, pg := &place{kind: "sqlite", dir: t.TempDir()}, &place{kind: "postgres", dsn: "postgres://nobody@127.0.0.1:1/none"}
	for _, at := range []*place{lite, pg} {
		made, ok := at.open(t, "totals").(target.LedgerSQL)
		if !ok {
			t.Fatalf("%s makes no ledger", at.kind)
		}
		if got, want := script.Ledger(at.kind), made.LedgerSQL(); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", at.kind, got, want)
		}
	}
}

// TestWhatNoScriptCanDoIsRefused before the first byte.
func TestWhatNoScriptCanDoIsRefused(t *testing.T) {
	at := places(t, "sqlite", 1, totals...)[0]
	for name, spoil := range map[string]func(*recount.Plan){
		"a delta":              func(p *recount.Plan) { p.Body.Write = recount.WriteDelta },
		"a rollback":           func(p *recount.Plan) { p.Body.Kind, p.Body.Run = recount.PlanRollback, "r" },
		"a file":               func(p *recount.Plan) { p.Body.Target.Adapter = "files" },
		"another adapter":      func(p *recount.Plan) { p.Body.Target.Adapter = "mysql" },
		"a NUL":                func(p *recount.Plan) { p.Changes[0].Key = values("a\x00b") },
		"an update of nothing": func(p *recount.Plan) { p.Changes[0].After = p.Changes[0].Before },
		"nothing": func(p *recount.Plan) {
			p.Changes = slices.DeleteFunc(p.Changes, func(recount.Change) bool { return true })
		},
	} {
		p := at.planOf(t, "totals", totalsWish())
		spoil(p)
		var b bytes.Buffer
		err := script.SQL(&b, p, script.Options{File: "fix.plan"})
		var shown *recount.Error
		if !errors.Is(err, recount.ErrUnsupported) || !errors.As(err, &shown) || shown.Code != recount.CodeUnsupported || shown.Next == "" || b.Len() > 0 {
			t.Errorf("%s: got %v and %d bytes", name, err, b.Len())
		}
	}
	p := at.planOf(t, "totals", totalsWish())
	p.Body.Write, p.Body.Taken = recount.WriteDelta, &recount.CutTaken{Kind: recount.CutPaused, How: "positions.csv"}
	for i := range p.Changes {
		p.Changes[i].Delta = values("1.00")
	}
	text := scriptOf(t, p)
	if !strings.Contains(text, "MIND        the worker must stand still") {
		t.Errorf("a delta of a paused worker: got\n%s", text[:1500])
	}
	if err := plan.Seal(p); err != nil {
		t.Fatal(err)
	}
	if err := at.try(text); err != nil {
		t.Fatal(err)
	}
}

// TestSeveralTablesAreWrittenTogether: parents and children, marks and entries,
// several thousand rows, columns that only inserts fill.
func TestSeveralTablesAreWrittenTogether(t *testing.T) {
	for _, kind := range []string{"sqlite", "postgres"} {
		t.Run(kind, func(t *testing.T) {
			blank := "INSERT INTO users SELECT 'u' || x, x FROM generate_series(1, 3000) x"
			if kind == "sqlite" {
				blank = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 3000) INSERT INTO users SELECT 'u' || x, x FROM n"
			}
			twins := places(t, kind, 2,
				"CREATE TABLE users (id TEXT PRIMARY KEY, n INTEGER)", blank,
				"CREATE TABLE orders (hour TIMESTAMP, id TEXT, owner TEXT REFERENCES users (id), total DECIMAL(18,2), version BIGINT, note TEXT, seen TIMESTAMP, PRIMARY KEY (hour, id))",
				"INSERT INTO orders VALUES ('2024-06-10 12:00:00', 'o1', 'u1', 1, 1, 'old', NULL), ('2024-06-10 12:00:00', 'o2', 'u2', 2, 1, 'old', NULL)",
				"CREATE TABLE entries (hour TIMESTAMP, run TEXT, amount DECIMAL(18,2), reason TEXT, made TIMESTAMP, PRIMARY KEY (hour, run))",
				"CREATE TABLE processed (id TEXT PRIMARY KEY)")
			query := []string{"SELECT * FROM users ORDER BY 1", "SELECT * FROM orders ORDER BY 1, 2", "SELECT hour, amount, reason, made IS NOT NULL FROM entries", "SELECT * FROM processed ORDER BY 1"}
			before := make([][]string, len(query))
			for i, q := range query {
				before[i] = twins[0].rows(t, q)
			}
			p := twins[0].planOf(t, "shop", severalWishes()...)
			text := scriptOf(t, p)
			if err := twins[0].try(text); err != nil {
				t.Fatalf("%v\n%.3000s", err, text)
			}
			if _, err := twins[1].apply(t, twins[1].planOf(t, "shop", severalWishes()...)); err != nil {
				t.Fatal(err)
			}
			for _, q := range query {
				same(t, q, twins[0].rows(t, q), twins[1].rows(t, q))
			}
			run := twins[0].ran(t, "orders")
			if !slices.Equal(run.Tables, []string{"orders", "users", "entries", "processed"}) || run.Total != int64(3+3001+1+1) {
				t.Errorf("run: got %+v", run)
			}
			if got := twins[0].rows(t, "SELECT count(*) FROM entries WHERE run = '"+run.ID+"'"); !strings.Contains(got[0], "1") {
				t.Errorf("entries of run %s: got %v", run.ID, got)
			}
			if receipt, err := twins[0].apply(t, p); err != nil || !receipt.Already {
				t.Errorf("apply afterwards: got %+v, %v", receipt, err)
			}
			if receipt := twins[0].rollback(t, run); len(receipt.RolledOut) > 0 {
				t.Errorf("rollback left %v", receipt.RolledOut)
			}
			for i, q := range query {
				if !strings.Contains(q, "entries") { // those are answered, not deleted
					same(t, q, twins[0].rows(t, q), before[i])
				}
			}
		})
	}
}

func severalWishes() []wished {
	users := wished{table: "users", key: []string{"id"}, columns: []string{"n"}}
	for i := 1; i <= 3000; i++ {
		users.rows = append(users.rows, change{values(fmt.Sprintf("u%d", i)), values(fmt.Sprint(-i))})
	}
	users.rows[1].after = nil // u2, of whom an order goes too
	users.rows = append(users.rows, change{values("new"), values("7")})
	return []wished{
		{table: "orders", key: []string{"hour", "id"}, columns: []string{"owner", "total", "version"}, ignored: nil, rows: []change{
			{values("2024-06-10T12:00:00Z", "o1"), values("u3", "1.50", "2")}, {values("2024-06-10T12:00:00Z", "o2"), nil}, {values("2024-06-10T13:00:00Z", "o3"), values("new", "3.00", "1")},
		}, filled: []recount.Filled{{Column: "note", Text: "by recount", Type: "string"}, {Column: "seen", Text: "2024-06-10T12:30:00Z", Type: "timestamp"}}},
		users,
		{
			table: "entries", key: []string{"hour", "run"}, columns: []string{"amount", "reason", "made"}, role: recount.RoleAdjust,
			entry: &recount.Entry{Amounts: []string{"amount"}, Run: "run", Reason: "reason", At: "made"}, rows: []change{
				{values("2024-06-10T12:00:00Z", recount.RunPlaceholder), values("-5.00", "too much", recount.AtPlaceholder)},
			},
		},
		{table: "processed", key: []string{"id"}, role: recount.RoleMark, rows: []change{{values("e1"), []recount.Value{}}}},
	}
}
