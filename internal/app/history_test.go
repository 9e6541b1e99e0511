package app_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"recount"
	"recount/adapter"
	_ "recount/adapters/all"
	"recount/engine/duckdb"
	"recount/internal/app"
	"recount/internal/clock"
)

func TestMain(m *testing.M) { os.Exit(duckdb.RunTests(m)) }

// history is a random incident: events with repeats, conflicts and poison, a
// worker that went wrong in random ways, and edits by others.
type history struct {
	events   []event
	live     map[string]string // the table before the plan
	missed   bool
	previous bool
}

type event struct {
	ID     string    `json:"id"`
	At     time.Time `json:"at"`
	Lane   string    `json:"lane"`
	User   string    `json:"user"`
	Amount string    `json:"amount"`
}

var (
	windowFrom = time.Date(2024, 6, 10, 12, 0, 0, 0, time.UTC)
	windowTo   = time.Date(2024, 6, 10, 12, 30, 0, 0, time.UTC)
	lostFrom   = windowFrom.Add(5 * time.Minute)
	lostTo     = windowFrom.Add(15 * time.Minute)
)

func randomHistory(seed uint64) history {
	rng := rand.New(rand.NewPCG(seed, 7)) //nolint:gosec // a history that its seed repeats
	h := history{live: map[string]string{}, missed: rng.IntN(2) == 0, previous: rng.IntN(2) == 0}
	const users = 40
	for n := range 300 {
		e := event{
			ID: fmt.Sprintf("e%04d", n), At: windowFrom.Add(-10*time.Minute + time.Duration(rng.IntN(50*60*1000))*time.Millisecond),
			Lane: fmt.Sprint(rng.IntN(3)), User: fmt.Sprintf("u%02d", rng.IntN(users)), Amount: fmt.Sprintf("%d.%02d", rng.IntN(90)-20, rng.IntN(100)),
		}
		h.events = append(h.events, e)
		switch rng.IntN(25) {
		case 0: // sent again
			h.events = append(h.events, e)
		case 1:
			if rng.IntN(4) == 0 { // another payload under the same id
				e.Amount = "77.77"
				h.events = append(h.events, e)
			}
		case 2:
			if rng.IntN(4) == 0 { // poison
				h.events[len(h.events)-1].Amount = "12,5"
			}
		}
	}
	h.fillLive(rng, users)
	return h
}

// fillLive gives every user the value of a random logic, and some a foreign one.
func (h *history) fillLive(rng *rand.Rand, users int) {
	for u := range users {
		user := fmt.Sprintf("u%02d", u)
		way := oracle{}
		switch rng.IntN(6) {
		case 0:
			way.lost = true
		case 1:
			way.doubled = true
		case 2:
			way.old = true
		case 3:
			way.lost, way.old = true, true
		}
		value, ok := h.total(user, way)
		switch {
		case rng.IntN(15) == 0:
			h.live[user] = fmt.Sprintf("%d.50", rng.IntN(1000)+5000)
		case ok && rng.IntN(30) != 0:
			h.live[user] = value
		}
	}
	h.live["ghost"] = "12.34"
}

// oracle is one way to count: the naive recomputation, in another style than the
// product, that says what every row must be.
type oracle struct{ lost, doubled, old bool }

func (h *history) total(user string, way oracle) (string, bool) {
	sum, any := new(big.Rat), false
	seen := map[string]bool{}
	for _, e := range h.events {
		amount, sound := new(big.Rat).SetString(e.Amount)
		in := !e.At.Before(windowFrom) && e.At.Before(windowTo)
		lost := way.lost && e.Lane == "1" && !e.At.Before(lostFrom) && e.At.Before(lostTo)
		if e.User != user || !in || !sound || h.conflict(e.ID) || lost || seen[e.ID] && !way.doubled {
			continue
		}
		seen[e.ID], any = true, true
		if way.old {
			amount.Abs(amount)
		}
		sum.Add(sum, amount)
	}
	return sum.FloatString(2), any
}

func (h *history) conflict(id string) bool {
	payloads := map[string]bool{}
	for _, e := range h.events {
		if e.ID == id {
			payloads[e.Amount] = true
		}
	}
	return len(payloads) > 1
}

// excluded says whether a quarantined event of the window touches the user.
func (h *history) excluded(user string) bool {
	for _, e := range h.events {
		_, sound := new(big.Rat).SetString(e.Amount)
		in := !e.At.Before(windowFrom) && e.At.Before(windowTo)
		if e.User == user && in && (!sound || h.conflict(e.ID)) {
			return true
		}
	}
	return false
}

// want says what must become of a user's row.
func (h *history) want(user string) recount.Action {
	live, there := h.live[user]
	right, made := h.total(user, oracle{})
	switch {
	case h.excluded(user):
		return recount.ActionExcluded
	case !there && !made, there && made && live == right:
		return ""
	}
	explained := false
	for bits := range 8 {
		way := oracle{lost: bits&1 > 0, doubled: bits&2 > 0, old: bits&4 > 0}
		if bits == 0 || way.lost && !h.missed || way.old && !h.previous {
			continue
		}
		value, ok := h.total(user, way)
		explained = explained || ok == there && (!ok || value == live)
	}
	given := h.missed || h.previous
	switch {
	case there && !made:
		if given && !explained {
			return recount.ActionHeld
		}
		return recount.ActionExtra
	case given && !explained:
		return recount.ActionHeld
	case !there:
		return recount.ActionInsert
	}
	return recount.ActionUpdate
}

func (h *history) write(t *testing.T, dir string) {
	t.Helper()
	var lines strings.Builder
	for _, e := range h.events {
		b, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		lines.Write(append(b, '\n'))
	}
	config := `version: 1
archive: archive
sources:
  sales:
    files: {paths: ["sales.jsonl"]}
    event: {id: id, time: at, partition: lane}
    fields: {user: string, amount: "decimal(18,2)"}
calculations:
  totals:
    source: sales
    sql: totals.sql
    key: [user]
    memory: window
    bucket: none
`
	if h.previous {
		config += "    previous: {sql: old.sql}\n"
	}
	if h.missed {
		config += fmt.Sprintf("    missed: [{from: %q, to: %q, where: \"partition = '1'\"}]\n", recount.FormatTimestamp(lostFrom), recount.FormatTimestamp(lostTo))
	}
	config += "    target:\n      sqlite: {path: live.db}\n      table: totals\n      columns: {total: total}\n"
	for name, text := range map[string]string{
		"sales.jsonl": lines.String(), "recount.yaml": config,
		"totals.sql": `SELECT "user", sum(amount) AS total FROM events GROUP BY "user"`,
		"old.sql":    `SELECT "user", sum(abs(amount)) AS total FROM events GROUP BY "user"`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	db := open(t, dir)
	exec(t, db, `CREATE TABLE totals ("user" TEXT PRIMARY KEY, total DECIMAL(18,2), note TEXT DEFAULT 'kept')`)
	for user, total := range h.live {
		exec(t, db, `INSERT INTO totals ("user", total) VALUES (?, ?)`, user, total)
	}
}

func open(t *testing.T, dir string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, "live.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func exec(t *testing.T, db *sql.DB, query string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// table reads the live table as it is stored.
func table(t *testing.T, dir string) map[string]string {
	t.Helper()
	rows, err := open(t, dir).QueryContext(t.Context(), `SELECT "user", quote(total) || typeof(total) || quote(note) FROM totals`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := rows.Close(); err != nil {
			t.Error(err)
		}
	}()
	out := map[string]string{}
	for rows.Next() {
		var user, value string
		if err := rows.Scan(&user, &value); err != nil {
			t.Fatal(err)
		}
		out[user] = value
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func openApp(t *testing.T, dir string) *app.App {
	t.Helper()
	a, err := app.Open(t.Context(), app.Options{
		Dir: dir, Registry: adapter.Default, Clock: clock.System{}, User: "test", Program: "recount test",
		Getenv: func(string) (string, bool) { return "", false },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

func request() app.PlanRequest {
	return app.PlanRequest{
		Calculation: "totals", Out: "fix.plan", Overrides: app.Overrides{AcceptTwoWay: true},
		Window: app.WindowRequest{From: recount.FormatTimestamp(windowFrom), To: recount.FormatTimestamp(windowTo)},
	}
}

// TestNoRightRowIsMadeWrong is the promise of promises: over random histories
// every row is judged as the naive oracle judges it, an apply makes each written
// row right and leaves every other byte alone, and a rollback restores all.
func TestNoRightRowIsMadeWrong(t *testing.T) {
	histories := uint64(12)
	if testing.Short() {
		histories = 3
	}
	for seed := range histories {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			h := randomHistory(seed)
			dir := t.TempDir()
			h.write(t, dir)
			play(t.Context(), t, &h, dir)
		})
	}
}

func play(ctx context.Context, t *testing.T, h *history, dir string) {
	a := openApp(t, dir)
	if _, err := a.ArchiveRun(ctx, nil); err != nil {
		t.Fatalf("archive: %v", err)
	}
	planned, err := a.Plan(ctx, request())
	if err != nil {
		t.Fatalf("plan: %v", err)
	}
	got := map[string]recount.Action{}
	for _, c := range planned.Plan.Changes {
		got[c.Key[0].Text] = c.Action
	}
	for u := range 41 {
		user := fmt.Sprintf("u%02d", u)
		if u == 40 {
			user = "ghost"
		}
		if want := h.want(user); got[user] != want {
			t.Errorf("%s: got %q, want %q (live %q)", user, got[user], want, h.live[user])
		}
	}
	before := table(t, dir)
	receipt, err := a.Apply(ctx, app.ApplyRequest{File: "fix.plan", Confirm: "totals"})
	if err != nil {
		t.Fatalf("apply: %v", err)
	}
	after := table(t, dir)
	for user, action := range got {
		right, _ := h.total(user, oracle{})
		if action.Writes() && !strings.HasPrefix(strings.Trim(after[user], "'"), strings.TrimRight(strings.TrimRight(right, "0"), ".")) {
			t.Errorf("%s was written %s, right is %s", user, after[user], right)
		}
	}
	for user, value := range before {
		if !got[user].Writes() && after[user] != value {
			t.Errorf("%s was not to be written: it was %s, now it is %s", user, value, after[user])
		}
	}
	again, err := a.Diff(ctx, request())
	if err != nil || again.Plan.Body.Rows.Writes() != 0 {
		t.Errorf("diff after the apply: %v, want nothing to write, got %+v", err, again.Plan)
	}
	if receipt.Applied == 0 {
		return
	}
	if _, err := a.Rollback(ctx, app.RollbackRequest{Run: receipt.Run, Confirm: "totals"}); err != nil {
		t.Fatalf("rollback: %v", err)
	}
	if back := table(t, dir); fmt.Sprint(back) != fmt.Sprint(before) {
		t.Errorf("after the rollback:\n got %v\nwant %v", back, before)
	}
}
