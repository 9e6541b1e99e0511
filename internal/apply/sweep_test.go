package apply_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"recount"
	"recount/adapter"
	"recount/internal/apply"
	"recount/internal/plan"
	"recount/target"
	"recount/target/sqlite"
)

var errNth = errors.New("the nth call failed")

// counted is a target whose nth call goes wrong: before it is done, or after.
type counted struct {
	target.Target
	n     *int
	at    int
	after bool // it is done, and nobody hears so
}

func (c counted) call(act func() error) error {
	*c.n++
	if *c.n != c.at {
		return act()
	}
	if !c.after {
		return errNth
	}
	return errors.Join(act(), errNth)
}

func (c counted) Begin(ctx context.Context) (out target.Tx, err error) {
	var tx target.Tx
	err = c.call(func() error { tx, err = c.Target.Begin(ctx); return err })
	if tx == nil {
		return nil, err
	}
	if err != nil { // whoever began and did not hear it is gone
		return nil, errors.Join(err, tx.Rollback(ctx))
	}
	return countedTx{tx, c}, nil
}

type countedTx struct {
	target.Tx
	c counted
}

func (x countedTx) Info(ctx context.Context) (info recount.TableInfo, err error) {
	err = x.c.call(func() error { info, err = x.Tx.Info(ctx); return err })
	return info, err
}

func (x countedTx) Applied(ctx context.Context, plan string) (run recount.Run, ok bool, err error) {
	err = x.c.call(func() error { run, ok, err = x.Tx.Applied(ctx, plan); return err })
	return run, ok, err
}

func (x countedTx) Write(ctx context.Context, key, columns []string, changes []recount.Change) (n int64, err error) {
	err = x.c.call(func() error { n, err = x.Tx.Write(ctx, key, columns, changes); return err })
	return n, err
}

func (x countedTx) Moved(ctx context.Context, key, columns []string, changes []recount.Change) (moved []recount.Change, err error) {
	err = x.c.call(func() error { moved, err = x.Tx.Moved(ctx, key, columns, changes); return err })
	return moved, err
}

func (x countedTx) Read(ctx context.Context, key, columns []string, keys [][]recount.Value, each func(recount.Row) error) error {
	return x.c.call(func() error { return x.Tx.Read(ctx, key, columns, keys, each) })
}

func (x countedTx) Lock(ctx context.Context, key, columns []string, keys [][]recount.Value, each func(recount.Row) error) error {
	return x.c.call(func() error { return x.Tx.Lock(ctx, key, columns, keys, each) })
}

func (x countedTx) On(ctx context.Context, table string) (out target.Tx, err error) {
	err = x.c.call(func() error { out, err = x.Tx.On(ctx, table); return err })
	if err != nil {
		return nil, err
	}
	return countedTx{out, x.c}, nil
}

func (x countedTx) Record(ctx context.Context, run recount.Run, undo []recount.Change) error {
	return x.c.call(func() error { return x.Tx.Record(ctx, run, undo) })
}

// Commit's answer is lost, where it is the nth call.
func (x countedTx) Commit(ctx context.Context) error {
	err := x.c.call(func() error { return x.Tx.Commit(ctx) })
	if errors.Is(err, errNth) {
		return fmt.Errorf("commit: %w: %w", recount.ErrUnknown, err)
	}
	return err
}

// file is a SQLite database of four tables that one worker writes.
type file struct {
	t   *testing.T
	dir string
}

const schema = `CREATE TABLE accounts (id TEXT PRIMARY KEY, owner TEXT);
CREATE TABLE balances (id TEXT PRIMARY KEY REFERENCES accounts(id), total DECIMAL(12,2), version INTEGER);
CREATE TABLE entries (id TEXT, run TEXT, amount DECIMAL(12,2), reason TEXT, at TIMESTAMP, PRIMARY KEY (id, run));
CREATE TABLE processed (event TEXT PRIMARY KEY);
INSERT INTO accounts VALUES ('a', 'ann'), ('b', 'bob'), ('x', 'nobody');
INSERT INTO balances VALUES ('a', 10, 1), ('b', 20.5, 7), ('x', 1, 1)`

func newFile(t *testing.T) file {
	t.Helper()
	f := file{t, t.TempDir()}
	f.exec(schema)
	return f
}

func (f file) db() *sql.DB {
	f.t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(f.dir, "live.db"))
	if err != nil {
		f.t.Fatal(err)
	}
	return db
}

func (f file) exec(statement string) {
	f.t.Helper()
	db := f.db()
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(f.t.Context(), statement); err != nil {
		f.t.Fatalf("%s: %v", statement, err)
	}
}

func (f file) open(_ context.Context, table string) (target.Target, error) {
	return sqlite.Open(adapter.Env{Dir: f.dir, Table: table}, sqlite.Config{Path: "live.db"})
}

func (f file) table(name string) target.Target {
	f.t.Helper()
	live, err := f.open(f.t.Context(), name)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = live.Close() })
	return live
}

// dump is every row of every table as SQLite stores it.
func (f file) dump() []string {
	f.t.Helper()
	db := f.db()
	defer func() { _ = db.Close() }()
	var out []string
	for _, query := range []string{
		"SELECT 'accounts ' || quote(id) || quote(owner) FROM accounts ORDER BY 1", "SELECT 'balances ' || quote(id) || quote(total) || typeof(total) || quote(version) FROM balances ORDER BY 1",
		"SELECT 'entries ' || quote(id) || quote(amount) || quote(reason) FROM entries ORDER BY 1", "SELECT 'processed ' || quote(event) FROM processed ORDER BY 1",
	} {
		out = append(out, f.texts(db, query)...)
	}
	return out
}

// texts returns the one column of a query.
func (f file) texts(db *sql.DB, query string) (out []string) {
	f.t.Helper()
	rows, err := db.QueryContext(f.t.Context(), query)
	if err != nil {
		f.t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			f.t.Fatal(err)
		}
		out = append(out, text)
	}
	if err := rows.Err(); err != nil {
		f.t.Fatal(err)
	}
	return out
}

func (f file) body(table string, key, columns []recount.PlanColumn) recount.PlanBody {
	f.t.Helper()
	info, err := f.table(table).Info(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	return recount.PlanBody{
		Kind: recount.PlanApply, Calculation: table, Target: info.Identity, Fingerprint: info.Fingerprint, LastRun: info.LastRun, MaxChanges: 100,
		Key: key, Columns: columns, Write: recount.WriteSet, Tried: []recount.Cause{"missed"},
	}
}

func column(name, kind string) recount.PlanColumn { return recount.PlanColumn{Name: name, Type: kind} }

// worker is a plan with everything in it: differences, an inserted parent, a
// deleted one with its child, entries and marks.
func (f file) worker() *recount.Plan {
	f.t.Helper()
	id := []recount.PlanColumn{column("id", "string")}
	p := &recount.Plan{Body: f.body("balances", id, []recount.PlanColumn{column("total", "decimal(12,2)"), column("version", "int64")})}
	p.Body.Write, p.Body.Bump = recount.WriteDelta, "version"
	delta := func(k, d string, before, after []recount.Value) recount.Change {
		c := changed(k, before, after)
		c.Cause, c.Delta = "missed", vals(d, "NULL")
		return c
	}
	plan.Add(p, []recount.Change{
		delta("a", "-2.5", vals("10.00", "1"), vals("7.50", "2")), delta("b", "0.10", vals("20.50", "7"), vals("20.60", "8")), delta("n", "3.00", nil, vals("3.00", "1")),
	})
	accounts := f.body("accounts", id, nil)
	accounts.Filled = []recount.Filled{{Column: "owner", Text: "new"}}
	plan.AddPart(p, accounts, []recount.Change{changed("n", nil, []recount.Value{})})
	entries := f.body("entries", []recount.PlanColumn{column("id", "string"), column("run", "string")}, []recount.PlanColumn{column("amount", "decimal(12,2)"), column("reason", "string"), column("at", "timestamp")})
	entries.Role, entries.Entry = recount.RoleAdjust, &recount.Entry{Amounts: []string{"amount"}, Reason: "reason", Run: "run", At: "at"}
	plan.AddPart(p, entries, []recount.Change{{Action: recount.ActionInsert, Key: vals("a", recount.RunPlaceholder), After: vals("-1.25", "vat", recount.AtPlaceholder), Cause: "missed"}})
	marks := f.body("processed", []recount.PlanColumn{column("event", "string")}, nil)
	marks.Role = recount.RoleMark
	plan.AddPart(p, marks, []recount.Change{changed("e1", nil, []recount.Value{}), changed("e2", nil, []recount.Value{})})
	seal(f.t, p)
	return p
}

func (f file) run(p *recount.Plan, days int, live target.Target) (recount.Receipt, error) {
	return apply.Run(f.t.Context(), live, p, apply.Options{By: "test", Now: at.AddDate(0, 0, days), Beside: f.open, Explained: explained(new([]string))})
}

// rollback makes the plan from the ledger, as app does.
func (f file) rollback(run string) *recount.Plan {
	f.t.Helper()
	var tables []plan.RunTable
	for i, name := range []string{"balances", "accounts", "entries", "processed"} {
		live := f.table(name)
		info, err := live.Info(f.t.Context())
		if err != nil {
			f.t.Fatal(err)
		}
		runs, err := live.Runs(f.t.Context())
		if err != nil {
			f.t.Fatal(err)
		}
		part := recount.PartID(run, i+1)
		at := slices.IndexFunc(runs, func(r recount.Run) bool { return r.ID == part })
		own := plan.RunTable{Run: runs[at], Info: info}
		if err := live.Undo(f.t.Context(), part, func(c recount.Change) error { own.Undo = append(own.Undo, c); return nil }); err != nil {
			f.t.Fatal(err)
		}
		tables = append(tables, own)
	}
	p, err := plan.Rollback(tables)
	if err != nil {
		f.t.Fatal(err)
	}
	seal(f.t, p)
	return p
}

var applied = []string{
	"accounts 'a''ann'", "accounts 'b''bob'", "accounts 'n''new'", "accounts 'x''nobody'",
	"balances 'a'7.5real2", "balances 'b'20.6real8", "balances 'n'3integer1", "balances 'x'1integer1", "entries 'a'-1.25'vat'", "processed 'e1'", "processed 'e2'",
}

func TestAllTablesOfAWorkerInOneTransaction(t *testing.T) {
	f := newFile(t)
	before := f.dump()
	receipt, err := f.run(f.worker(), 0, f.table("balances"))
	if err != nil {
		t.Fatal(err)
	}
	if got := f.dump(); !slices.Equal(got, applied) {
		t.Errorf("applied:\n got %q\nwant %q", got, applied)
	}
	back, err := f.run(f.rollback(receipt.Run), 1, f.table("balances"))
	if err != nil || len(back.RolledOut) > 0 {
		t.Fatalf("rollback: %+v, %v", back, err)
	}
	// Versions count on, and an entry is answered, not deleted.
	want := slices.Clone(before)
	want[slices.Index(want, "balances 'a'10integer1")] = "balances 'a'10integer3"
	want[slices.Index(want, "balances 'b'20.5real7")] = "balances 'b'20.5real9"
	want = append(want, "entries 'a'-1.25'vat'", "entries 'a'1.25'rolls back run "+receipt.Run+"'")
	if got := f.dump(); !slices.Equal(got, want) {
		t.Errorf("rolled back:\n got %q\nwant %q", got, want)
	}
}

// TestWhateverCallFailsNothingIsHalfDone sweeps every call of an apply and of a
// rollback over four tables, each failing before and after it was done.
func TestWhateverCallFailsNothingIsHalfDone(t *testing.T) {
	for _, after := range []bool{false, true} {
		for _, kind := range []recount.PlanKind{recount.PlanApply, recount.PlanRollback} {
			t.Run(fmt.Sprintf("%s done=%v", kind, after), func(t *testing.T) {
				t.Parallel()
				step, at := 1, 1
				if testing.Short() {
					step = 5
				}
				for ; sweep(t, kind, at, after); at += step {
				}
				if at < 20 {
					t.Errorf("only %d calls were made", at-1)
				}
			})
		}
	}
}

// sweep lets the nth call fail, and says whether there was one.
func sweep(t *testing.T, kind recount.PlanKind, at int, after bool) bool {
	t.Helper()
	f := newFile(t)
	p, runs := f.worker(), 0
	if kind == recount.PlanRollback {
		receipt, err := f.run(p, 0, f.table("balances"))
		if err != nil {
			t.Fatal(err)
		}
		p, runs = f.rollback(receipt.Run), 1
	}
	before, n := f.dump(), 0
	_, err := f.run(p, 1, counted{f.table("balances"), &n, at, after})
	now := f.dump()
	list, runsErr := f.table("balances").Runs(t.Context())
	if runsErr != nil {
		t.Fatal(runsErr)
	}
	done := len(list) > runs
	if done == slices.Equal(now, before) || !done && err == nil || done && err != nil && !errors.Is(err, recount.ErrUnknown) {
		t.Fatalf("call %d: got %v, run recorded %v, rows %q", at, err, done, now)
	}
	// Whatever it was, the same plan again brings it to its end.
	receipt, err := f.run(p, 2, f.table("balances"))
	if err != nil || receipt.Already != done || done && !slices.Equal(f.dump(), now) || slices.Equal(f.dump(), before) {
		t.Fatalf("call %d, then again: got %+v, %v, %q", at, receipt, err, f.dump())
	}
	return n >= at
}
