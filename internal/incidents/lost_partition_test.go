package incidents_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"recount"
	"recount/internal/app"
)

// lostFrom and lostTo are the events between which the worker lost partition 3.
const (
	lostFrom = 2400
	lostTo   = 4800
)

// balances is a worker that keeps a balance for each account; it lost a
// partition for twenty minutes.
func balances() scene {
	s := scene{
		name: "1-lost-partition",
		step: 500 * time.Millisecond,
		ddl:  "CREATE TABLE balances (account text PRIMARY KEY, balance numeric(18,2) NOT NULL, last_offset bigint NOT NULL, note text)",
		make: func(rng *rand.Rand, _ int) event {
			return event{Key: fmt.Sprintf("a%03d", rng.IntN(120)), Cents: int64(rng.IntN(20000) - 6000)}
		},
		work: func(ctx context.Context, tx pgx.Tx, e event) error {
			_, err := tx.Exec(ctx, `INSERT INTO balances VALUES ($1, $2::bigint / 100.0, $3) ON CONFLICT (account)
				DO UPDATE SET balance = balances.balance + excluded.balance, last_offset = excluded.last_offset`, e.Key, e.Cents, e.Offset)
			return err
		},
		fold: func(rows map[string]string, e event) {
			cents, _ := strconv.ParseInt(rows[e.Key], 10, 64)
			rows[e.Key] = strconv.FormatInt(cents+e.Cents, 10)
		},
		query: "SELECT account, (balance * 100)::bigint::text FROM balances",
	}
	s.wrong = func(e event) (int, event) {
		if e.Partition == "3" && !e.In.Before(s.at(lostFrom)) && e.In.Before(s.at(lostTo)) {
			return 0, e
		}
		return 1, e
	}
	return s
}

func TestAPartitionLostForTwentyMinutes(t *testing.T) {
	st := play(t, balances())
	st.produce(6000)
	st.drain()
	from, to := st.offsetAt("3", lostFrom), st.offsetAt("3", lostTo)
	window := app.WindowRequest{FromPositions: []string{fmt.Sprintf("3:%d", from)}, ToPositions: []string{fmt.Sprintf("3:%d", to)}}
	edited := []string{"a001", "a009", "a023", "a041"}
	st.exec("UPDATE balances SET balance = balance + 1000, note = 'goodwill' WHERE account = ANY($1)", edited)
	if err := st.archive(t.Context()); err != nil {
		t.Fatal(err)
	}
	a := st.open()
	found, err := a.Detect(t.Context(), app.DetectRequest{Calculation: "balances"})
	if err != nil {
		t.Fatalf("detect: %v", err)
	}
	want := recount.PositionWindow{Partition: "3", From: recount.PadPosition(fmt.Sprint(from)), To: recount.PadPosition(fmt.Sprint(to))}
	if len(found.Spans) != 1 || found.Spans[0].Kind != "missed" || found.Spans[0].Positions != want || found.Refused != "" {
		t.Errorf("detect: got %+v, want %v missed", found, want)
	}
	st.screen(st.plan(a, app.PlanRequest{Calculation: "balances", Window: window, Out: "fix.plan"}))

	st.live()
	stop := st.watch(edited...)
	planned := st.plan(a, app.PlanRequest{Calculation: "balances", Window: window, Out: "fix.plan"})
	receipt := st.apply(a, planned)
	st.already(a, planned)
	stop()

	// Taken back under traffic, and made again.
	if _, err := a.Rollback(t.Context(), app.RollbackRequest{Run: receipt.Run, Confirm: "balances"}); err != nil {
		t.Fatalf("rollback: %v", err)
	}
	stop = st.watch(edited...)
	planned = st.plan(a, app.PlanRequest{Calculation: "balances", Window: window, Out: "again.plan"})
	receipt = st.apply(a, planned)
	st.quiet()
	stop()
	st.stands(a, receipt)
	only(t, st.differences(), edited...)
	same(t, "rows that the plan says remain wrong", left(planned, firstOf), edited)
}
