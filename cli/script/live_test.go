package script_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"recount"
	"recount/adapter"
	"recount/cli/script"
	"recount/internal/apply"
	"recount/internal/clock"
	"recount/internal/pgtest"
	"recount/internal/plan"
	"recount/target"
	"recount/target/postgres"
	"recount/target/sqlite"
)

// place is a live database of one of the two kinds.
type place struct {
	kind string // the adapter's name
	dir  string // of sqlite
	dsn  string // of postgres
}

// places are new databases, each made by the same statements.
func places(t *testing.T, kind string, n int, statements ...string) []*place {
	t.Helper()
	var out []*place
	for range n {
		p := &place{kind: kind}
		if kind == "sqlite" {
			p.dir = t.TempDir()
		} else {
			p.dsn = pgtest.Start(t)
		}
		p.exec(t, statements...)
		out = append(out, p)
	}
	return out
}

func (p *place) file() string { return filepath.Join(p.dir, "live.db") }

func (p *place) exec(t testing.TB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if err := p.try(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// try sends statements in one piece, as any client may.
func (p *place) try(statements string) error {
	if p.kind == "sqlite" {
		db, err := sql.Open("sqlite", p.file())
		if err != nil {
			return err
		}
		defer func() { _ = db.Close() }()
		db.SetMaxOpenConns(1)
		_, err = db.Exec(statements) //nolint:noctx // a test's own file
		return err
	}
	conn, err := pgx.Connect(context.Background(), p.dsn)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.Background()) }()
	_, err = conn.PgConn().Exec(context.Background(), statements).ReadAll()
	return err
}

// rows returns what a query gives, a line each.
func (p *place) rows(t testing.TB, query string) []string {
	t.Helper()
	name, dsn := "sqlite", p.file()
	if p.kind == "postgres" {
		conn, err := pgx.Connect(t.Context(), p.dsn)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close(context.Background()) }()
		results, err := conn.PgConn().Exec(t.Context(), "SET timezone = 'UTC';"+query).ReadAll()
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		var out []string
		for _, row := range results[len(results)-1].Rows {
			var texts []string
			for _, v := range row {
				if v == nil {
					v = []byte("NULL")
				}
				texts = append(texts, string(v))
			}
			out = append(out, strings.Join(texts, "|"))
		}
		return out
	}
	db, err := sql.Open(name, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer func() { _ = rows.Close() }()
	columns, _ := rows.Columns()
	var out []string
	for rows.Next() {
		values, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		out = append(out, fmt.Sprintf("%#v", values))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// dump is a table's rows, with what tells stored forms apart.
func (p *place) dump(t testing.TB, table string, columns ...string) []string {
	t.Helper()
	list := make([]string, 0, 2*len(columns))
	for _, c := range columns {
		if p.kind == "sqlite" {
			list = append(list, "typeof("+c+")", "quote("+c+")")
			continue
		}
		list = append(list, c+"::text")
	}
	return p.rows(t, "SELECT "+strings.Join(list, ", ")+" FROM "+table+" ORDER BY 1, 2")
}

// ledger is what the ledger says of runs, without what differs from run to run.
func (p *place) ledger(t testing.TB) []string {
	t.Helper()
	prefix, place := "recount.", "target"
	if p.kind == "sqlite" {
		prefix = ""
	}
	out := p.rows(t, "SELECT plan, "+place+", kind, of_run, coalesce(rolled_back, '-') FROM "+prefix+"recount_runs ORDER BY id")
	return append(out, p.rows(t, "SELECT r.plan, u.action, u.key, u.before, u.after FROM "+prefix+"recount_undo u JOIN "+prefix+"recount_runs r ON r.run = u.run ORDER BY r.plan, u.id")...)
}

func (p *place) open(t testing.TB, table string) target.Target {
	t.Helper()
	var opened target.Target
	var err error
	if p.kind == "sqlite" {
		opened, err = sqlite.Open(adapter.Env{Dir: p.dir, Table: table}, sqlite.Config{Path: "live.db"})
	} else {
		opened, err = postgres.Open(adapter.Env{Table: table}, postgres.Config{DSN: recount.Secret(p.dsn)})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = opened.Close() })
	return opened
}

// lacks skips a test whose program is not on this machine, or fails it where
// RECOUNT_TEST_REQUIRE names what brings it.
func lacks(t testing.TB, program, required string) {
	t.Helper()
	if slices.Contains(strings.Split(os.Getenv("RECOUNT_TEST_REQUIRE"), ","), required) {
		t.Fatalf("%s is required, and is not on this machine", program)
	}
	t.Skipf("skipped: there is no %s on this machine", program)
}

// shell runs a script as a database administrator would.
func (p *place) shell(t testing.TB, text string, bail bool) (string, error) {
	t.Helper()
	var cmd *exec.Cmd
	if p.kind == "sqlite" {
		name, err := exec.LookPath("sqlite3")
		if err != nil {
			lacks(t, "sqlite3", "sqlite3")
		}
		args := []string{p.file()}
		if bail {
			args = []string{"-bail", p.file()}
		}
		cmd = exec.CommandContext(t.Context(), name, args...)
	} else {
		name, err := exec.LookPath("psql")
		if err != nil {
			lacks(t, "psql", "postgres")
		}
		dsn, err := url.Parse(p.dsn)
		if err != nil {
			t.Fatal(err)
		}
		args := []string{"-X", "-q", "-f", "-", dsn.String()}
		if bail {
			args = append([]string{"-v", "ON_ERROR_STOP=1"}, args...)
		}
		cmd = exec.CommandContext(t.Context(), name, args...)
	}
	cmd.Stdin = strings.NewReader(text)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// made is when plans are made: before now, and good for long.
var made = time.Date(2024, 6, 10, 13, 0, 0, 0, time.UTC)

// values are texts; NULL is the absent one.
func values(texts ...string) []recount.Value {
	out := make([]recount.Value, len(texts))
	for i, s := range texts {
		out[i] = recount.Text(s)
		if s == "NULL" {
			out[i] = recount.Null
		}
	}
	return out
}

// change is a wished row: its key and what it becomes.
type change struct{ key, after []recount.Value }

// planOf makes the plan that fulfils wishes.
func (p *place) planOf(t testing.TB, calculation string, wishes ...wished) *recount.Plan {
	t.Helper()
	out := &recount.Plan{}
	for i, w := range wishes {
		live := p.open(t, w.table)
		info, err := live.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		b := recount.PlanBody{
			Kind: recount.PlanApply, Calculation: calculation, Target: info.Identity, Fingerprint: info.Fingerprint, Hazards: info.Hazards, LastRun: info.LastRun,
			MaxChanges: 1_000_000, Write: recount.WriteSet, Window: recount.Window{From: made.Add(-time.Hour), To: made, By: recount.ByEvent}, References: info.References,
			Role: w.role, Entry: w.entry, Filled: w.filled, Ignored: w.ignored, Touched: -1,
		}
		b.Asked = b.Window
		for _, names := range []struct {
			of   []string
			into *[]recount.PlanColumn
		}{{w.key, &b.Key}, {w.columns, &b.Columns}} {
			for _, name := range names.of {
				c, ok := info.Column(name)
				if !ok {
					t.Fatalf("no column %s in %s", name, w.table)
				}
				*names.into = append(*names.into, recount.PlanColumn{Name: name, Type: "string", Stored: c.Type.String()})
			}
		}
		keys := make([][]recount.Value, len(w.rows))
		for i, c := range w.rows {
			keys[i] = c.key
		}
		before := map[string][]recount.Value{}
		err = live.Scan(t.Context(), target.Scan{Key: w.key, Columns: w.columns, Keys: keys}, func(row recount.Row) error {
			before[recount.KeyText(row.Key)] = row.Values
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		var changes []recount.Change
		for _, c := range w.rows {
			change := recount.Change{Key: c.key, Before: before[recount.KeyText(c.key)], After: c.after, Cause: recount.CauseUnknown}
			switch {
			case change.Before == nil:
				change.Action = recount.ActionInsert
			case change.After == nil:
				change.Action = recount.ActionDelete
			default:
				change.Action = recount.ActionUpdate
			}
			changes = append(changes, change)
		}
		slices.SortFunc(changes, func(a, b recount.Change) int { return strings.Compare(recount.KeyText(a.Key), recount.KeyText(b.Key)) })
		if i == 0 {
			out.Body = b
			plan.Add(out, changes)
			continue
		}
		plan.AddPart(out, b, changes)
	}
	out.Header = recount.PlanHeader{Made: made, Expires: clock.System{}.Now().Add(time.Hour), By: "tester"}
	if err := plan.Seal(out); err != nil {
		t.Fatal(err)
	}
	if err := plan.Check(out); err != nil {
		t.Fatal(err)
	}
	return out
}

// wished is a table as it is to become: rows by key; nil after: one that is to go.
type wished struct {
	table        string
	key, columns []string
	rows         []change
	filled       []recount.Filled
	role         recount.PartRole
	entry        *recount.Entry
	ignored      []string
}

func scriptOf(t testing.TB, p *recount.Plan) string {
	t.Helper()
	var b bytes.Buffer
	if err := script.SQL(&b, p, script.Options{File: "fix.plan"}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func (p *place) apply(t testing.TB, of *recount.Plan) (recount.Receipt, error) {
	t.Helper()
	return apply.Run(t.Context(), p.open(t, of.Body.Target.Table), of, apply.Options{By: "tester", Now: clock.System{}.Now(), Beside: func(_ context.Context, table string) (target.Target, error) {
		return p.open(t, table), nil
	}})
}

// rollback takes back the newest run of the tables.
func (p *place) rollback(t testing.TB, run recount.Run) recount.Receipt {
	t.Helper()
	var tables []plan.RunTable
	for i, table := range run.AllTables() {
		live := p.open(t, table)
		own := plan.RunTable{}
		var err error
		if own.Info, err = live.Info(t.Context()); err != nil {
			t.Fatal(err)
		}
		id := recount.PartID(run.ID, i+1)
		runs, err := live.Runs(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		at := slices.IndexFunc(runs, func(r recount.Run) bool { return r.ID == id })
		if at < 0 {
			t.Fatalf("table %s has no run %s: %+v", table, id, runs)
		}
		own.Run = runs[at]
		err = live.Undo(t.Context(), id, func(c recount.Change) error {
			own.Undo = append(own.Undo, c)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		tables = append(tables, own)
	}
	back, err := plan.Rollback(tables)
	if err != nil {
		t.Fatal(err)
	}
	if err := plan.Seal(back); err != nil {
		t.Fatal(err)
	}
	receipt, err := p.apply(t, back)
	if err != nil {
		t.Fatal(err)
	}
	return receipt
}

// ran is the newest run of a table.
func (p *place) ran(t testing.TB, table string) recount.Run {
	t.Helper()
	runs, err := p.open(t, table).Runs(t.Context())
	if err != nil || len(runs) == 0 {
		t.Fatalf("runs of %s: %v, %v", table, runs, err)
	}
	return runs[0]
}
