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

// lateDays is a worker that adds sales up by country and day. It closes a day two
// hours after its end; what comes later is left out. The figures of the first
// two days were reported before that was noticed.
func lateDays() scene {
	s := scene{
		name:  "6-late-events",
		began: time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC),
		step:  45 * time.Second, played: 6000,
		ddl: `CREATE TABLE daily_revenue (country text, day date, orders bigint NOT NULL, revenue numeric(18,2) NOT NULL, reported boolean NOT NULL DEFAULT false,
				PRIMARY KEY (country, day));
			CREATE TABLE revenue_adjustments (country text, day date, orders bigint NOT NULL, revenue numeric(18,2) NOT NULL, reason text NOT NULL, run_id text,
				booked_at timestamptz, PRIMARY KEY (country, day, run_id))`,
		work: func(ctx context.Context, tx pgx.Tx, e event) error {
			_, err := tx.Exec(ctx, `INSERT INTO daily_revenue VALUES ($1, ($2::timestamptz AT TIME ZONE 'UTC')::date, 1, $3::bigint / 100.0)
				ON CONFLICT (country, day) DO UPDATE SET orders = daily_revenue.orders + 1, revenue = daily_revenue.revenue + excluded.revenue`, e.Country, e.At, e.Cents)
			return err
		},
		fold: func(rows map[string]string, e event) {
			key := e.Country + e.At.Format(" 01-02")
			var n, cents int64
			_, _ = fmt.Sscan(rows[key], &n, &cents) // a new row is empty
			rows[key] = fmt.Sprint(n+1, cents+e.Cents)
		},
		query: `SELECT country || to_char(day, ' MM-DD'), (d.orders + coalesce(sum(a.orders), 0))::bigint || ' ' || ((d.revenue + coalesce(sum(a.revenue), 0)) * 100)::bigint
			FROM daily_revenue d LEFT JOIN revenue_adjustments a USING (country, day) GROUP BY country, day, d.orders, d.revenue`,
	}
	s.wrong = func(e event) (int, event) {
		const open = 26 * time.Hour
		if !e.In.Before(e.At.Truncate(24 * time.Hour).Add(open)) {
			return 0, e
		}
		return 1, e
	}
	return s
}

// latecomers makes events of which one in late comes late, where late is not 0:
// those of the second and of the third day.
func latecomers(s *scene, late *int) func(*rand.Rand, int) event {
	countries := []string{"DE", "DE", "FR", "IT", "AT"}
	return func(rng *rand.Rand, n int) event {
		e := event{Key: fmt.Sprintf("c%03d", rng.IntN(200)), Country: countries[rng.IntN(len(countries))], Cents: int64(rng.IntN(20000) + 100), At: s.at(n)}
		held := time.Duration(rng.IntN(56*60)) * time.Minute
		if at := e.At.Add(-held); *late > 0 && rng.IntN(*late) == 0 && at.After(s.began.Add(24*time.Hour)) {
			e.At = at
		}
		return e
	}
}

func TestLateEventsAfterTheFiguresWereReported(t *testing.T) {
	s, late := lateDays(), 25
	s.make = latecomers(&s, &late)
	st := play(t, s)
	st.produce(6000)
	st.drain()
	late = 0
	st.exec("UPDATE daily_revenue SET reported = true WHERE day <= '2026-10-02'")
	// Somebody edited a row by hand, and booked an entry beside another.
	edited := []string{"IT 10-03", "FR 10-02"}
	st.exec("UPDATE daily_revenue SET revenue = revenue + 3 WHERE country = 'IT' AND day = '2026-10-03'")
	st.exec("INSERT INTO revenue_adjustments VALUES ('FR', '2026-10-02', 0, -25, 'credit note 118', 'by hand', now())")
	reported := st.reported()
	if err := st.archive(t.Context()); err != nil {
		t.Fatal(err)
	}
	a := st.open()
	request := app.PlanRequest{Calculation: "daily", Out: "fix.plan", Window: app.WindowRequest{From: "2026-10-02T00:00:00Z", To: "2026-10-04T00:00:00Z"}}
	st.screen(st.plan(a, request))

	st.live()
	stop := st.watch(edited...)
	planned := st.plan(a, request)
	receipt := st.apply(a, planned)
	st.already(a, planned)
	only(t, st.differences(), edited...)

	// Planned again, there is nothing more to adjust.
	request.Out = "nothing.plan"
	if nothing := st.plan(a, request); nothing.Writes() != 0 {
		t.Errorf("a second plan writes %d rows", nothing.Writes())
	}
	stop()

	// Taken back: opposite entries. Made again.
	if _, err := a.Rollback(t.Context(), app.RollbackRequest{Run: receipt.Run, Confirm: "daily_revenue,revenue_adjustments"}); err != nil {
		t.Fatalf("rollback: %v", err)
	}
	if len(st.differences()) <= len(edited) {
		t.Error("the rollback took nothing back")
	}
	stop = st.watch(edited...)
	request.Out = "again.plan"
	planned = st.plan(a, request)
	st.apply(a, planned)
	stop()
	only(t, st.differences(), edited...)
	same(t, "rows that the plan says remain wrong", heldWrong(planned), edited)

	// More events come late: those since then are adjusted too, and nothing else.
	since, until := st.comeLate(&late, 300)
	st.quiet()
	if more := st.differences(); len(more) <= len(edited) {
		t.Fatal("no event came late")
	}
	if err := st.archive(t.Context()); err != nil {
		t.Fatal(err)
	}
	whole, err := a.Diff(t.Context(), request)
	if err != nil || whole.Plan.Body.Rows.Adjusted == 0 {
		t.Errorf("the whole window again: %+v, %v; want entries for what came late since", whole.Plan.Body.Rows, err)
	}
	request = app.PlanRequest{Calculation: "daily", Out: "more.plan", Window: app.WindowRequest{
		By: recount.ByIngest, From: since.Format(time.RFC3339), To: until.Format(time.RFC3339),
	}}
	planned = st.plan(a, request)
	receipt = st.apply(a, planned)
	st.stands(a, receipt)
	only(t, st.differences(), edited...)
	for _, c := range planned.Plan.Changes {
		if day := c.Key[1].Text; day > "2026-10-03" {
			t.Errorf("a row of a day that is not over is in the plan: %v", c.Key)
		}
	}
	if now := st.reported(); !slices.Equal(now, reported) {
		t.Errorf("reported rows were changed:\n got %v\nwant %v", now, reported)
	}
}

// comeLate produces events of which some come late, and returns the times
// between which they came: live traffic goes on meanwhile, and is late as well.
func (st *stage) comeLate(late *int, n int) (from, to time.Time) {
	st.t.Helper()
	set := func(to int) time.Time {
		st.mu.Lock()
		defer st.mu.Unlock()
		*late = to
		st.scene.played = st.made // the clock goes with the events
		return st.at(st.made)
	}
	from = set(8)
	st.produce(n)
	return from, set(0)
}

// reported lists the reported rows as they are, without entries.
func (st *stage) reported() []string {
	st.t.Helper()
	conn := st.connect()
	defer conn.Close(context.Background()) //nolint:errcheck // a test's connection
	rows, err := conn.Query(st.t.Context(), "SELECT d::text || xmin FROM daily_revenue d WHERE reported ORDER BY country, day")
	if err != nil {
		st.t.Fatal(err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		st.t.Fatal(err)
	}
	return out
}

// heldWrong lists the rows that the plan leaves wrong: those that are held, and
// beside which it books no entry.
func heldWrong(planned app.Planned) []string {
	return left(planned, func(_ string, key []string) string { return key[0] + " " + strings.TrimPrefix(key[1], "2026-") })
}
