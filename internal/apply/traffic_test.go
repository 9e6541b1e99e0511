package apply_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"recount"
	"recount/adapter"
	"recount/internal/apply"
	"recount/internal/pgtest"
	"recount/internal/plan"
	"recount/target"
	"recount/target/postgres"
)

// shopServer is a PostgreSQL with balances, and marks beside them.
type shopServer struct {
	t   *testing.T
	dsn string
}

func newServer(t *testing.T) shopServer {
	t.Helper()
	s := shopServer{t, pgtest.Start(t)}
	s.exec(`CREATE TABLE balances (id text PRIMARY KEY, total numeric(14,2) NOT NULL, version bigint NOT NULL);
		CREATE TABLE processed (event text PRIMARY KEY);
		INSERT INTO balances SELECT 'k' || i, 0, 0 FROM generate_series(0, 7) i`)
	return s
}

func (s shopServer) connect() *pgx.Conn {
	s.t.Helper()
	conn, err := pgx.Connect(s.t.Context(), s.dsn)
	if err != nil {
		s.t.Fatal(err)
	}
	return conn
}

func (s shopServer) exec(statement string) {
	s.t.Helper()
	conn := s.connect()
	defer func() { _ = conn.Close(s.t.Context()) }()
	if _, err := conn.Exec(s.t.Context(), statement); err != nil {
		s.t.Fatalf("%s: %v", statement, err)
	}
}

// texts returns the one column of a query.
func (s shopServer) texts(query string) []string {
	s.t.Helper()
	conn := s.connect()
	defer func() { _ = conn.Close(s.t.Context()) }()
	rows, err := conn.Query(s.t.Context(), query)
	if err != nil {
		s.t.Fatal(err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

func (s shopServer) open(_ context.Context, table string) (target.Target, error) {
	return postgres.Open(adapter.Env{Table: table}, postgres.Config{DSN: recount.Secret(s.dsn)})
}

func (s shopServer) table(name string) target.Target {
	s.t.Helper()
	live, err := s.open(s.t.Context(), name)
	if err != nil {
		s.t.Fatal(err)
	}
	return live
}

func (s shopServer) body(table string, key, columns []recount.PlanColumn) recount.PlanBody {
	s.t.Helper()
	info, err := s.table(table).Info(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return recount.PlanBody{
		Kind: recount.PlanApply, Calculation: table, Target: info.Identity, Fingerprint: info.Fingerprint, LastRun: info.LastRun, MaxChanges: 100, Key: key, Columns: columns, Write: recount.WriteSet,
	}
}

// plan adds cents to every balance and marks an event.
func (s shopServer) plan(cents []int, event string) *recount.Plan {
	s.t.Helper()
	p := &recount.Plan{Body: s.body("balances", []recount.PlanColumn{column("id", "string")}, []recount.PlanColumn{column("total", "decimal(14,2)"), column("version", "int64")})}
	p.Body.Write, p.Body.Bump = recount.WriteDelta, "version"
	var changes []recount.Change
	err := s.table("balances").Scan(s.t.Context(), target.Scan{Key: []string{"id"}, Columns: []string{"total", "version"}}, func(r recount.Row) error {
		delta := fmt.Sprintf("%de-2", cents[len(changes)])
		total, err := recount.Sum(r.Values[0].Text, delta)
		if err != nil {
			return err
		}
		version, err := recount.Sum(r.Values[1].Text, "1")
		changes = append(changes, recount.Change{
			Action: recount.ActionUpdate, Key: r.Key, Before: r.Values, After: vals(total, version), Delta: vals(delta, "NULL"), Cause: recount.CauseUnknown,
		})
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	slices.SortFunc(changes, func(a, b recount.Change) int { return slices.Compare([]string{a.Key[0].Text}, []string{b.Key[0].Text}) })
	plan.Add(p, changes)
	marks := s.body("processed", []recount.PlanColumn{column("event", "string")}, nil)
	marks.Role = recount.RoleMark
	plan.AddPart(p, marks, []recount.Change{changed(event, nil, []recount.Value{})})
	seal(s.t, p)
	return p
}

func (s shopServer) apply(p *recount.Plan, n int, before func(string) error) (recount.Receipt, error) {
	return apply.Run(s.t.Context(), s.table("balances"), p, apply.Options{
		By: "test", Now: at.Add(time.Duration(n) * time.Second), Beside: s.open, Explained: explained(new([]string)), Before: before,
	})
}

// traffic adds to balances until it is stopped, and returns what it committed:
// half of its writers add, half read first and write under the version that they
// read, as workers with an optimistic lock do.
func (s shopServer) traffic(stop <-chan struct{}) (sum func() (cents, updates int)) {
	const writers = 4
	var mu sync.Mutex
	var group sync.WaitGroup
	var cents, updates int
	for w := range writers {
		random := rand.New(rand.NewPCG(7, uint64(w)))
		conn := s.connect()
		group.Go(func() {
			defer func() { _ = conn.Close(context.WithoutCancel(s.t.Context())) }()
			for {
				select {
				case <-stop:
					return
				default:
				}
				id, add := fmt.Sprintf("k%d", random.IntN(8)), random.IntN(2001)-1000
				n, err := addTo(s.t.Context(), conn, w%2 == 0, id, add)
				if err != nil {
					s.t.Errorf("writer: %v", err)
					return
				}
				mu.Lock()
				cents, updates = cents+int(n)*add, updates+int(n)
				mu.Unlock()
			}
		})
	}
	return func() (int, int) {
		group.Wait()
		return cents, updates
	}
}

func addTo(ctx context.Context, conn *pgx.Conn, blind bool, id string, cents int) (int64, error) {
	if blind {
		tag, err := conn.Exec(ctx, "UPDATE balances SET total = total + $1::int * 0.01, version = version + 1 WHERE id = $2", cents, id)
		return tag.RowsAffected(), err
	}
	var total string
	var version int
	if err := conn.QueryRow(ctx, "SELECT total::text, version FROM balances WHERE id = $1", id).Scan(&total, &version); err != nil {
		return 0, err
	}
	next, err := recount.Sum(total, fmt.Sprintf("%de-2", cents))
	if err != nil {
		return 0, err
	}
	tag, err := conn.Exec(ctx, "UPDATE balances SET total = $1::text::numeric, version = version + 1 WHERE id = $2 AND version = $3", next, id, version)
	return tag.RowsAffected(), err
}

// TestNoUpdateOfALiveWriterIsLost: while writers go on, deltas are applied and
// some are rolled back. In the end each balance holds all that writers and
// applies added, to the cent, and its version every update.
func TestNoUpdateOfALiveWriterIsLost(t *testing.T) {
	s := newServer(t)
	stop := make(chan struct{})
	sum := s.traffic(stop)
	random := rand.New(rand.NewPCG(1, 2))
	rounds, want, own := 8, 0, 0
	if testing.Short() {
		rounds = 3
	}
	for n := range rounds {
		cents := make([]int, 8)
		for i := range cents {
			cents[i] = random.IntN(99_999) + 1
		}
		receipt, err := s.apply(s.plan(cents, fmt.Sprintf("e%d", n)), 2*n, nil)
		if err != nil {
			t.Errorf("apply %d: %v", n, err)
			break
		}
		own += len(cents)
		if n%3 == 0 { // taken back while traffic goes on
			back, err := s.apply(s.rollback(receipt.Run), 2*n+1, nil)
			if err != nil || len(back.RolledOut) > 0 {
				t.Errorf("rollback %d: %+v, %v", n, back, err)
				break
			}
			own += len(cents)
			continue
		}
		for _, c := range cents {
			want += c
		}
	}
	close(stop)
	cents, updates := sum()
	got := s.texts("SELECT (sum(total) * 100)::bigint || ' ' || sum(version) FROM balances")[0]
	if want := fmt.Sprintf("%d %d", want+cents, own+updates); got != want {
		t.Errorf("cents and updates in the balances: got %s, want %s (%d updates by traffic)", got, want, updates)
	}
	if updates < 20 {
		t.Errorf("traffic made %d updates: nothing was tested", updates)
	}
	if got := s.texts("SELECT count(*)::text FROM processed")[0]; got != fmt.Sprint(rounds-(rounds+2)/3) {
		t.Errorf("marks: got %s", got)
	}
}

func (s shopServer) rollback(run string) *recount.Plan {
	s.t.Helper()
	var tables []plan.RunTable
	for i, name := range []string{"balances", "processed"} {
		live := s.table(name)
		info, err := live.Info(s.t.Context())
		if err != nil {
			s.t.Fatal(err)
		}
		runs, err := live.Runs(s.t.Context())
		if err != nil {
			s.t.Fatal(err)
		}
		part := recount.PartID(run, i+1)
		own := plan.RunTable{Run: runs[slices.IndexFunc(runs, func(r recount.Run) bool { return r.ID == part })], Info: info}
		if err := live.Undo(s.t.Context(), part, func(c recount.Change) error { own.Undo = append(own.Undo, c); return nil }); err != nil {
			s.t.Fatal(err)
		}
		tables = append(tables, own)
	}
	p, err := plan.Rollback(tables)
	if err != nil {
		s.t.Fatal(err)
	}
	seal(s.t, p)
	return p
}

// TestAKilledConnectionLeavesNoTableHalfWritten kills the server's process before
// each step.
func TestAKilledConnectionLeavesNoTableHalfWritten(t *testing.T) {
	s := newServer(t)
	state := func() []string {
		return append(s.texts("SELECT b::text FROM balances b ORDER BY 1"), s.texts("SELECT event FROM processed")...)
	}
	kills := apply.Steps()
	if testing.Short() {
		kills = slices.DeleteFunc(kills, func(step apply.Step) bool { return !slices.Contains([]string{"write", "record", "commit"}, step.Name) })
	}
	for i, step := range kills {
		p := s.plan(slices.Repeat([]int{100}, 8), "e"+step.Name)
		before := state()
		_, err := s.apply(p, 10*i, func(name string) error {
			if name == step.Name {
				s.exec("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()")
			}
			return nil
		})
		kept := step.Name == "lock" || step.Name == "again" // nothing is open then
		if (err == nil) != kept || slices.Equal(state(), before) == kept {
			t.Fatalf("killed before %s: got %v, changed %v", step.Name, err, !slices.Equal(state(), before))
		}
		again, err := s.apply(p, 10*i+1, nil)
		if err != nil || again.Already != kept {
			t.Fatalf("killed before %s, then again: got %+v, %v", step.Name, again, err)
		}
	}
	if got := s.texts("SELECT count(*) || ' ' || count(DISTINCT plan) FROM recount.recount_runs")[0]; got != fmt.Sprintf("%d %[1]d", 2*len(kills)) {
		t.Errorf("ledger rows and plans: got %s", got)
	}
}

// TestTwoAppliesOfOnePlanAtOnceAreOne holds X2 over several tables.
func TestTwoAppliesOfOnePlanAtOnceAreOne(t *testing.T) {
	s := newServer(t)
	p := s.plan(slices.Repeat([]int{100}, 8), "e1")
	var group sync.WaitGroup
	var mu sync.Mutex
	wrote := 0
	for n := range 4 {
		group.Go(func() {
			receipt, err := s.apply(p, n, nil)
			if err != nil && recount.AsError(err).Exit() != recount.ExitLocked {
				t.Errorf("apply: %v", err)
			}
			mu.Lock()
			wrote += int(receipt.Applied)
			mu.Unlock()
		})
	}
	group.Wait()
	if got := s.texts("SELECT sum(total)::text FROM balances")[0]; got != "8.00" || wrote != 9 {
		t.Errorf("got a sum of %s and %d rows written, want 8.00 and 9", got, wrote)
	}
}
