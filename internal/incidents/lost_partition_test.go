package incidents_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"

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
	return scene{
		ddl: "CREATE TABLE balances (account text PRIMARY KEY, balance numeric(18,2) NOT NULL, last_offset bigint NOT NULL, note text)",
		files: map[string]string{
			"balances.sql": "SELECT account, sum(amount) AS balance FROM events GROUP BY account\n",
		},
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
}

const balancesConfig = `version: 1
archive: archive
sources:
  payments:
    files: {paths: ["events.jsonl"]}
    event: {id: id, time: at, ingest_time: in, partition: p, position: o, key: key}
    fields: {account: {type: string, path: key}, amount: {type: "decimal(18,2)", path: amount}}
calculations:
  balances:
    source: payments
    sql: balances.sql
    key: [account]
    memory: unbounded
    position: {column: last_offset, is: offset}
    missed:
      - {from_position: "3:%d", to_position: "3:%d"}
    target:
      postgres: {dsn: "env:LIVE_DSN"}
      table: balances
      columns: {balance: balance}
      write: delta
`

func TestAPartitionLostForTwentyMinutes(t *testing.T) {
	s := balances()
	var st *stage
	s.wrong = func(e event) (int, event) {
		if e.Partition == "3" && !e.In.Before(at(lostFrom)) && e.In.Before(at(lostTo)) {
			return 0, e
		}
		return 1, e
	}
	st = play(t, s)
	st.produce(6000)
	st.drain()
	from, to := st.offsetAt("3", lostFrom), st.offsetAt("3", lostTo)
	st.write("recount.yaml", fmt.Sprintf(balancesConfig, from, to))
	st.exec("UPDATE balances SET balance = balance + 1000, note = 'goodwill' WHERE account IN ('a001', 'a009', 'a023', 'a041')")
	edited := []string{"a001", "a009", "a023", "a041"}

	st.live()
	if err := st.archive(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop := st.watch(edited...)
	a := st.open()
	found, err := a.Detect(t.Context(), app.DetectRequest{Calculation: "balances"})
	if err != nil {
		t.Fatalf("detect: %v", err)
	}
	want := recount.PositionWindow{Partition: "3", From: recount.PadPosition(fmt.Sprint(from)), To: recount.PadPosition(fmt.Sprint(to))}
	if len(found.Spans) != 1 || found.Spans[0].Kind != "missed" || found.Spans[0].Positions != want || found.Refused != "" {
		t.Errorf("detect: got %+v, want %v missed", found, want)
	}
	planned, err := a.Plan(t.Context(), app.PlanRequest{
		Calculation: "balances", Out: "fix.plan",
		Window: app.WindowRequest{FromPositions: []string{fmt.Sprintf("3:%d", from)}, ToPositions: []string{fmt.Sprintf("3:%d", to)}},
	})
	if err != nil {
		t.Fatalf("plan: %v", err)
	}
	t.Logf("%+v", planned.Plan.Body.Rows)
	receipt, err := a.Apply(t.Context(), app.ApplyRequest{File: "fix.plan", Confirm: "balances"})
	if err != nil {
		t.Fatalf("apply: %v", err)
	}
	t.Logf("%+v", receipt)
	st.quiet()
	stop()
	if err := st.archive(t.Context()); err != nil {
		t.Fatal(err)
	}
	checked, err := a.CheckRun(t.Context(), receipt.Run)
	if err != nil {
		t.Fatalf("runs check: %v", err)
	}
	if c := checked[0]; c.Rows != receipt.Applied || c.Stand+c.MovedOn != c.Rows {
		t.Errorf("runs check: got %+v, want all %d rows right", c, receipt.Applied)
	}
	only(t, st.differences(), edited...)
}
