package incidents_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"recount"
	"recount/internal/app"
)

// newFrom is the first event of version 2; newTo is the event at which a worker
// came that can read it.
const (
	newFrom = 2500
	newTo   = 4500
)

// batchSize is what the worker reads at once.
const batchSize = 10

// choked is a worker that counts the orders of each customer, and notes the
// events that it processed. It could not read version 2 of an event: it gave the
// batch up there, began it again, and passed the event over. What it had counted
// by then was counted twice.
func choked() scene {
	s := scene{
		name: "4-new-version",
		step: 500 * time.Millisecond,
		ddl: `CREATE TABLE customers (customer text PRIMARY KEY, orders bigint NOT NULL, spent numeric(18,2) NOT NULL);
			CREATE TABLE processed_events (event_id text PRIMARY KEY, kind text NOT NULL, at timestamptz NOT NULL DEFAULT now())`,
		make: func(rng *rand.Rand, n int) event {
			kind := "v1"
			if n >= newFrom && rng.IntN(20) == 0 {
				kind = "v2"
			}
			return event{Key: fmt.Sprintf("c%03d", rng.IntN(150)), Kind: kind, Cents: int64(rng.IntN(20000) + 100)}
		},
		work: func(ctx context.Context, tx pgx.Tx, e event) error {
			_, err := tx.Exec(ctx, `INSERT INTO customers VALUES ($1, 1, $2::bigint / 100.0) ON CONFLICT (customer)
				DO UPDATE SET orders = customers.orders + 1, spent = customers.spent + excluded.spent`, e.Key, e.Cents)
			if err != nil {
				return err
			}
			_, err = tx.Exec(ctx, "INSERT INTO processed_events VALUES ($1, $2) ON CONFLICT DO NOTHING", e.ID, e.Kind)
			return err
		},
		fold: func(rows map[string]string, e event) {
			var n, cents int64
			_, _ = fmt.Sscan(rows[e.Key], &n, &cents) // a new row is empty
			rows[e.Key] = fmt.Sprint(n+1, cents+e.Cents)
		},
		query: "SELECT customer, orders || ' ' || (spent * 100)::bigint FROM customers",
	}
	return s
}

// retried says which events the worker counted twice: those before the first of
// version 2 in a batch, read from its log.
func (st *stage) chokes() {
	st.scene.wrong = func(e event) (int, event) {
		if e.In.Before(st.at(newFrom)) || !e.In.Before(st.at(newTo)) {
			return 1, e
		}
		if e.Kind == "v2" {
			return 0, e
		}
		if st.chokedAfter(e) {
			return 2, e
		}
		return 1, e
	}
}

// chokedAfter says whether an event of version 2 follows e in its batch.
func (st *stage) chokedAfter(e event) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	log := st.log[e.Partition]
	end := min((e.Offset/batchSize+1)*batchSize, int64(len(log)))
	return slices.ContainsFunc(log[e.Offset:end], func(o event) bool { return o.Kind == "v2" && o.In.Before(st.at(newTo)) })
}

func TestANewVersionThatAWorkerChokedOn(t *testing.T) {
	st := play(t, choked())
	st.chokes()
	st.produce(6000)
	st.drain()
	var retried, missed []string
	for _, log := range st.log {
		for _, e := range log {
			switch times, _ := st.scene.wrong(e); times {
			case 0:
				missed = append(missed, e.ID)
			case 2:
				retried = append(retried, e.ID)
			}
		}
	}
	slices.Sort(missed)
	slices.Sort(retried)
	st.write("retried.txt", strings.Join(retried, "\n")+"\n")
	wrong := sorted(st.differences())
	edited := []string{wrong[2], wrong[9], wrong[30]}
	st.exec("UPDATE customers SET spent = spent - 5 WHERE customer = ANY($1)", edited)
	if err := st.archive(t.Context()); err != nil {
		t.Fatal(err)
	}
	a := st.open()
	request := app.PlanRequest{Calculation: "customers", Out: "fix.plan", Window: app.WindowRequest{
		By: recount.ByIngest, From: st.at(newFrom).Format(time.RFC3339), To: st.at(newTo).Format(time.RFC3339),
	}}
	st.screen(st.plan(a, request))

	st.live()
	stop := st.watch(edited...)
	planned := st.planAll(a, request, edited)
	receipt := st.apply(a, planned)
	st.already(a, planned)
	stop()
	only(t, st.differences(), edited...)

	// Taken back under traffic, and made again.
	if _, err := a.Rollback(t.Context(), app.RollbackRequest{Run: receipt.Run, Confirm: "customers,processed_events"}); err != nil {
		t.Fatalf("rollback: %v", err)
	}
	same(t, "events without a mark after the rollback", st.unmarked(), missed)
	stop = st.watch(edited...)
	request.Out = "again.plan"
	planned = st.planAll(a, request, edited)
	receipt = st.apply(a, planned)
	st.quiet()
	stop()
	st.stands(a, receipt)
	only(t, st.differences(), edited...)
	same(t, "rows that the plan says remain wrong", left(planned, firstOf), edited)
	same(t, "events without a mark", st.unmarked(), st.missedOf(missed, edited))
}

// unmarked lists the events that the worker has read and that are not noted as
// processed.
func (st *stage) unmarked() []string {
	st.t.Helper()
	conn := st.connect()
	defer conn.Close(context.Background()) //nolint:errcheck // a test's connection
	rows, err := conn.Query(st.t.Context(), "SELECT event_id FROM processed_events")
	if err != nil {
		st.t.Fatal(err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		st.t.Fatal(err)
	}
	marked := map[string]bool{}
	for _, id := range ids {
		marked[id] = true
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	var out []string
	for _, log := range st.log {
		for _, e := range log {
			if e.In.Before(st.at(newTo)) && !marked[e.ID] {
				out = append(out, e.ID)
			}
		}
	}
	return out
}

// missedOf keeps the events of the keys.
func (st *stage) missedOf(ids, keys []string) []string {
	var out []string
	for _, log := range st.log {
		for _, e := range log {
			if slices.Contains(ids, e.ID) && slices.Contains(keys, e.Key) {
				out = append(out, e.ID)
			}
		}
	}
	return out
}
