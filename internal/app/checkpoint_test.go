package app_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"recount/internal/app"
)

// ledgerOf is a project whose rows remember everything: balances of accounts, of
// which partition 1 missed events of an hour.
func ledgerOf(t *testing.T, opening bool) (dir string, appendEvent func(id string, at time.Time)) {
	t.Helper()
	dir = t.TempDir()
	query, extra := "SELECT account, sum(amount) AS balance FROM events GROUP BY account", ""
	if opening {
		query = "SELECT account, sum(amount) AS balance FROM (SELECT account, amount FROM events UNION ALL SELECT account, balance FROM opening) GROUP BY account"
		extra = "    opening: {account: string, balance: \"decimal(38,2)\"}\n"
	}
	config := `version: 1
archive: archive
sources:
  payments:
    files: {paths: ["payments.jsonl"]}
    event: {id: id, time: at, partition: p, position: o}
    fields: {account: string, amount: "decimal(18,2)"}
calculations:
  balances:
    source: payments
    sql: balances.sql
    key: [account]
    memory: unbounded
    cut: {paused: offsets}
` + extra + `    missed: [{from: "2024-06-10T12:10:00Z", to: "2024-06-10T12:40:00Z", where: "partition = '1'"}]
    target:
      sqlite: {path: live.db}
      table: balances
`
	rng := rand.New(rand.NewPCG(11, 3)) //nolint:gosec // the same history each time
	var log strings.Builder
	next, live := [3]int{}, map[string]int{}
	add := func(id, account string, at time.Time, cents int) {
		p := int(account[1]-'0') % 3
		line, err := json.Marshal(map[string]any{"id": id, "at": at, "p": fmt.Sprint(p), "o": next[p], "account": account, "amount": fmt.Sprintf("%d.%02d", cents/100, cents%100)})
		if err != nil {
			t.Fatal(err)
		}
		next[p]++
		log.Write(append(line, '\n'))
		from := time.Date(2024, 6, 10, 12, 10, 0, 0, time.UTC)
		if lost := p == 1 && !at.Before(from) && at.Before(from.Add(30*time.Minute)); !lost {
			live[account] += cents
		}
	}
	begin := time.Date(2024, 6, 10, 8, 0, 0, 0, time.UTC)
	for n := range 3000 {
		add(fmt.Sprintf("e%05d", n), fmt.Sprintf("a%d", rng.IntN(9)), begin.Add(time.Duration(n)*6*time.Second), 100+rng.IntN(5000))
	}
	save := func() {
		for name, text := range map[string]string{
			"payments.jsonl": log.String(), "recount.yaml": config, "balances.sql": query,
			"offsets": fmt.Sprintf("0:%d\n1:%d\n2:%d\n", next[0], next[1], next[2]),
		} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	save()
	db := open(t, dir)
	exec(t, db, "CREATE TABLE balances (account TEXT PRIMARY KEY, balance DECIMAL(18,2))")
	for account, cents := range live {
		exec(t, db, "INSERT INTO balances VALUES (?, ?)", account, fmt.Sprintf("%d.%02d", cents/100, cents%100))
	}
	return dir, func(id string, at time.Time) {
		add(id, "a2", at, 777)
		save()
		exec(t, db, "UPDATE balances SET balance = ? WHERE account = 'a2'", fmt.Sprintf("%d.%02d", live["a2"]/100, live["a2"]%100))
	}
}

func planBalances(t *testing.T, dir string) app.Planned {
	t.Helper()
	a := openApp(t, dir)
	if _, err := a.ArchiveRun(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	planned, err := a.Plan(t.Context(), app.PlanRequest{
		Calculation: "balances", Out: "balances.plan", Window: app.WindowRequest{From: "2024-06-10T12:10:00Z", To: "2024-06-10T12:40:00Z"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return planned
}

func checkpointsOf(t *testing.T, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "archive/_recount/payments/checkpoints/*/*.json"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestAPlanThatBeginsWithACheckpointIsThePlanFromTheBeginning(t *testing.T) {
	whole, _ := ledgerOf(t, false)
	want := planBalances(t, whole)
	dir, late := ledgerOf(t, true)
	for round := range 2 {
		got := planBalances(t, dir)
		if n := len(checkpointsOf(t, dir)); n != 1 {
			t.Fatalf("round %d: got %d checkpoints, want 1", round, n)
		}
		if got.Plan.Body.Rows != want.Plan.Body.Rows || got.Plan.Body.Digest != want.Plan.Body.Digest || fmt.Sprint(got.Plan.Changes) != fmt.Sprint(want.Plan.Changes) {
			t.Fatalf("round %d: got %+v %v, want %+v %v", round, got.Plan.Body.Rows, got.Plan.Changes, want.Plan.Body.Rows, want.Plan.Changes)
		}
		if got.Plan.Body.Rows.Update != 3 || got.Plan.Body.Rows.Right != 6 {
			t.Errorf("round %d: got %+v, want 3 of 9 rows corrected", round, got.Plan.Body.Rows)
		}
		if got.Plan.Body.Events.Read >= want.Plan.Body.Events.Read {
			t.Errorf("round %d: %d events were read, of %d: the checkpoint saved nothing", round, got.Plan.Body.Events.Read, want.Plan.Body.Events.Read)
		}
	}
	// An event that comes late belongs before the checkpoint: its rows hold no more.
	late("late", time.Date(2024, 6, 10, 9, 0, 0, 0, time.UTC))
	again := planBalances(t, dir)
	if again.Plan.Body.Rows != want.Plan.Body.Rows {
		t.Errorf("after a late event: got %+v, want %+v", again.Plan.Body.Rows, want.Plan.Body.Rows)
	}
	if again.Plan.Body.Events.Read != want.Plan.Body.Events.Read+1 {
		t.Errorf("after a late event %d events were read, want all %d", again.Plan.Body.Events.Read, want.Plan.Body.Events.Read+1)
	}
}

func TestADamagedCheckpointIsMadeAgain(t *testing.T) {
	dir, _ := ledgerOf(t, true)
	want := planBalances(t, dir)
	rows, err := filepath.Glob(filepath.Join(dir, "archive/_recount/payments/checkpoints/*/*.parquet"))
	if err != nil || len(rows) != 1 {
		t.Fatalf("checkpoints: %v, %v", rows, err)
	}
	if err := os.Chmod(rows[0], 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(rows[0], []byte("rot"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := planBalances(t, dir)
	if fmt.Sprint(got.Plan.Changes) != fmt.Sprint(want.Plan.Changes) {
		t.Errorf("got %v, want %v", got.Plan.Changes, want.Plan.Changes)
	}
}
