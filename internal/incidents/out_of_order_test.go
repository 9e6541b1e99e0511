package incidents_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"recount"
	"recount/internal/app"
)

// oldFrom and oldTo are the events between which the worker took the last event
// that came for the last that happened.
const (
	oldFrom = 2000
	oldTo   = 5000
)

var statuses = []string{"created", "paid", "packed", "shipped", "delivered", "returned"}

// orders makes the events of orders. Some are held up on their way, so that they
// come after events that happened later.
type orders struct {
	next []int // by order, the number of its next event
	held []event
}

func (o *orders) make(rng *rand.Rand, at time.Time) event {
	for {
		if len(o.held) > 0 && rng.IntN(6) == 0 {
			e := o.held[0]
			o.held = o.held[1:]
			return e
		}
		const open = 40 // most events are of new orders
		order := rng.IntN(len(o.next) + 1)
		switch rng.IntN(10) {
		case 0: // any
		case 1, 2:
			order = len(o.next)
		default:
			order = max(0, len(o.next)-open) + rng.IntN(min(open, len(o.next))+1)
		}
		if order == len(o.next) {
			o.next = append(o.next, 0)
		}
		e := event{Key: fmt.Sprintf("o%04d", order), Kind: statuses[o.next[order]%len(statuses)], Seq: int64(o.next[order]), At: at}
		o.next[order]++
		if rng.IntN(5) > 0 {
			return e
		}
		o.held = append(o.held, e)
	}
}

// lastStatus is a worker that keeps the last status of each order. For a while
// it did not look at the events' own numbers.
func lastStatus() scene {
	var o orders
	s := scene{
		name: "5-out-of-order",
		step: 500 * time.Millisecond,
		ddl:  "CREATE TABLE orders (order_id text PRIMARY KEY, status text NOT NULL, seq bigint NOT NULL)",
		work: func(ctx context.Context, tx pgx.Tx, e event) error {
			_, err := tx.Exec(ctx, `INSERT INTO orders VALUES ($1, $2, $3) ON CONFLICT (order_id)
				DO UPDATE SET status = excluded.status, seq = excluded.seq WHERE excluded.seq > orders.seq OR $4`, e.Key, e.Kind, e.Seq, e.Old)
			return err
		},
		fold: func(rows map[string]string, e event) {
			var seq int64 = -1
			_, _ = fmt.Sscan(rows[e.Key], &seq) // a new row is empty
			if e.Seq > seq {
				rows[e.Key] = fmt.Sprintf("%d %s", e.Seq, e.Kind)
			}
		},
		query: "SELECT order_id, seq || ' ' || status FROM orders",
	}
	s.make = func(rng *rand.Rand, n int) event { return o.make(rng, s.at(n)) }
	s.wrong = func(e event) (int, event) {
		e.Old = !e.In.Before(s.at(oldFrom)) && e.In.Before(s.at(oldTo))
		return 1, e
	}
	return s
}

func TestEventsOutOfOrder(t *testing.T) {
	s := lastStatus()
	st := play(t, s)
	st.produce(6000)
	st.drain()
	wrong := sorted(st.differences())
	if len(wrong) < 10 {
		t.Fatalf("only %d rows are wrong", len(wrong))
	}
	edited := []string{wrong[1], wrong[4], wrong[7]}
	st.exec("UPDATE orders SET status = 'refunded by hand' WHERE order_id = ANY($1)", edited)
	before := st.rows()
	if err := st.archive(t.Context()); err != nil {
		t.Fatal(err)
	}
	a := st.open()
	request := app.PlanRequest{Calculation: "orders", Out: "fix.plan", Window: app.WindowRequest{
		By: recount.ByIngest, From: s.at(oldFrom).Format(time.RFC3339), To: s.at(oldTo).Format(time.RFC3339),
	}}
	st.halt("positions.txt")
	st.screen(st.plan(a, request))
	st.resume()

	// The worker is started too early: a row moves, and the plan is stale.
	st.live()
	stop := st.watch(edited...)
	st.halt("positions.txt")
	st.archived()
	planned := st.plan(a, request)
	st.resume()
	st.moves(planned)
	st.refused(a, planned, 10)
	if got := st.rows(); got[edited[0]] != before[edited[0]] {
		t.Errorf("a refused apply changed %s to %s", edited[0], got[edited[0]])
	}

	// Stop the worker, plan, apply, start it.
	st.halt("positions.txt")
	st.archived()
	planned = st.plan(a, request)
	st.apply(a, planned)
	st.already(a, planned)
	remain := left(planned, firstOf)
	st.unedited(before, edited...)
	st.resume()
	st.quiet()
	stop()
	only(t, st.differences(), st.stillWrong(remain)...)
	same(t, "rows that the plan says remain wrong", remain, edited)
}

// archived waits until the archive holds what the paused worker has processed.
func (st *stage) archived() {
	st.t.Helper()
	if err := st.archive(st.t.Context()); err != nil {
		st.t.Fatal(err)
	}
}

// moves waits until the worker has changed a row of the plan.
func (st *stage) moves(planned app.Planned) {
	st.t.Helper()
	const patience = 30 * time.Second
	before := st.rows()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(patience); ; {
		now := st.rows()
		for _, c := range planned.Plan.Changes {
			if key := c.Key[0].Text; c.Action.Writes() && now[key] != before[key] {
				return
			}
		}
		select {
		case <-late:
			st.t.Fatal("no row of the plan moved")
		case <-tick.C:
		}
	}
}

// stillWrong are those of the rows that the worker has not put right itself
// since, with a newer event.
func (st *stage) stillWrong(keys []string) []string {
	differ := st.differences()
	var out []string
	for _, key := range keys {
		if _, wrong := differ[key]; wrong || strings.Contains(st.row(key), "by hand") {
			out = append(out, key)
		}
	}
	return out
}
