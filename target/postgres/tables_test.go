package postgres_test

import (
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"recount"
	"recount/internal/pgtest"
	"recount/target"
)

func lockedRows(t *testing.T, tx target.Tx, keys ...string) []string {
	t.Helper()
	var list [][]recount.Value
	for _, k := range keys {
		list = append(list, texts(k))
	}
	var out []string
	err := tx.Lock(t.Context(), []string{"id"}, []string{"v"}, list, func(r recount.Row) error {
		out = append(out, r.Key[0].Text+"="+r.Values[0].Text)
		return nil
	})
	if err != nil {
		t.Fatalf("lock: %v", err)
	}
	slices.Sort(out)
	return out
}

func begin(t *testing.T, live target.Target) target.Tx {
	t.Helper()
	tx, err := live.Begin(t.Context())
	if err != nil {
		t.Fatalf("begin: %v", err)
	}
	t.Cleanup(func() { _ = tx.Rollback(t.Context()) })
	return tx
}

func TestALockedRowWaitsForTrafficAndTrafficForIt(t *testing.T) {
	dsn := pgtest.Start(t)
	run(t, dsn, "CREATE TABLE t (id text PRIMARY KEY, v int); INSERT INTO t VALUES ('a', 1), ('b', 2), ('c', 3)")
	tx := begin(t, open(t, dsn, "t"))
	conn := connect(t, dsn)
	defer func() { _ = conn.Close(t.Context()) }()
	traffic, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := traffic.Exec(t.Context(), "UPDATE t SET v = v + 10 WHERE id = 'a'"); err != nil {
		t.Fatal(err)
	}
	// The lock is asked for while an update of the row is not yet committed: what
	// it gives is what that update left.
	var group sync.WaitGroup
	var got []string
	group.Go(func() {
		got = lockedRows(t, tx, "b", "a", "nobody")
	})
	waiting := connect(t, dsn)
	defer func() { _ = waiting.Close(t.Context()) }()
	for n := 0; n == 0; {
		if err := waiting.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()").Scan(&n); err != nil {
			t.Fatal(err)
		}
	}
	if err := traffic.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	group.Wait()
	if want := []string{"a=11", "b=2"}; !slices.Equal(got, want) {
		t.Errorf("locked rows: got %q, want %q", got, want)
	}
	// Now traffic waits for the row, and for no other.
	write := func(id string) error {
		_, err := waiting.Exec(t.Context(), "SET lock_timeout = '200ms'; UPDATE t SET v = v + 100 WHERE id = '"+id+"'")
		return err
	}
	var server *pgconn.PgError
	if err := write("a"); !errors.As(err, &server) || server.Code != "55P03" {
		t.Errorf("an update of a locked row: got %v, want it to wait", err)
	}
	if err := write("c"); err != nil {
		t.Errorf("an update of another row: %v", err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := write("a"); err != nil {
		t.Errorf("an update after the lock: %v", err)
	}
	if got, want := dump(t, dsn, "t"), []string{"(a,111)", "(b,2)", "(c,103)"}; !slices.Equal(got, want) {
		t.Errorf("rows: got %q, want %q", got, want)
	}
}

func TestTwoRunsThatWouldWaitInACircleAreRefused(t *testing.T) {
	dsn := pgtest.Start(t)
	run(t, dsn, "CREATE TABLE one (id text PRIMARY KEY, v int); CREATE TABLE two (id text PRIMARY KEY, v int); INSERT INTO one VALUES ('a', 1); INSERT INTO two VALUES ('a', 1)")
	for _, table := range []string{"one", "two"} { // with a ledger, runs on different tables do not wait for each other
		apply(t, open(t, dsn, table), recount.Run{ID: "r" + table, Plan: "p" + table}, []string{"id"}, []string{"v"})
	}
	first, second := begin(t, open(t, dsn, "one")), begin(t, open(t, dsn, "two"))
	errs := make([]error, 2)
	var group sync.WaitGroup
	for i, other := range []string{"two", "one"} {
		tx := []target.Tx{first, second}[i]
		group.Go(func() {
			_, errs[i] = tx.On(t.Context(), other)
		})
	}
	group.Wait()
	refusedOnes := 0
	for i, err := range errs {
		if err == nil {
			continue
		}
		refusedOnes++
		if !errors.Is(err, recount.ErrLocked) {
			t.Errorf("run %d: got %v, want %v", i, err, recount.ErrLocked)
		}
	}
	if refusedOnes == 0 {
		t.Error("both have both locks")
	}
	// A refused run ends, and leaves the other its way.
	if err := second.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	beside, err := first.On(t.Context(), "two")
	if err != nil {
		t.Fatalf("after the other ended: %v", err)
	}
	change := recount.Change{Action: recount.ActionUpdate, Key: texts("a"), Before: texts("1"), After: texts("2")}
	if n, err := beside.Write(t.Context(), []string{"id"}, []string{"v"}, []recount.Change{change}); err != nil || n != 1 {
		t.Errorf("write: got %d, %v", n, err)
	}
}

func TestForeignKeysAreToldUnderBothNames(t *testing.T) {
	dsn := pgtest.Start(t)
	run(t, dsn, `CREATE SCHEMA far; CREATE TABLE far.owners (id text PRIMARY KEY); CREATE TABLE shops (id text PRIMARY KEY);
		CREATE TABLE rows (id text PRIMARY KEY REFERENCES rows, shop text REFERENCES shops, other text REFERENCES shops, owner text REFERENCES far.owners)`)
	if got, want := info(t, open(t, dsn, "rows")).References, []string{"far.owners", "public.shops", "shops"}; !slices.Equal(got, want) {
		t.Errorf("references: got %q, want %q", got, want)
	}
	tx := begin(t, open(t, dsn, "rows"))
	beside, err := tx.On(t.Context(), "far.owners")
	if err != nil {
		t.Fatal(err)
	}
	if i, err := beside.Info(t.Context()); err != nil || i.Identity.Table != "far.owners" {
		t.Errorf("info: got %+v, %v", i.Identity, err)
	}
}
