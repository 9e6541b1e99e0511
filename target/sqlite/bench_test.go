package sqlite_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"

	"recount"
	"recount/adapter"
	"recount/target"
	"recount/target/sqlite"
)

// BenchmarkApply corrects ten thousand rows of a larger table, as an apply does:
// look, write, read back, record, commit. Each round takes back the one before.
func BenchmarkApply(b *testing.B) {
	for _, size := range []int{10_000, 500_000} {
		b.Run(fmt.Sprintf("of %d", size), func(b *testing.B) { applyOf(b, size) })
	}
}

func applyOf(b *testing.B, size int) {
	dir := b.TempDir()
	db, err := sql.Open("sqlite", filepath.Join(dir, "live.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	_, err = db.ExecContext(b.Context(), fmt.Sprintf(`CREATE TABLE totals (minute TIMESTAMP NOT NULL, shop TEXT, total DECIMAL(18,2), PRIMARY KEY (minute, shop));
		WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i+1 FROM n WHERE i < %d-1)
		INSERT INTO totals SELECT datetime('2024-06-10', '+' || (i/10) || ' minutes'), 's' || (i%%10), i/7.0 FROM n;`, size))
	if err != nil {
		b.Fatal(err)
	}
	live, err := sqlite.Open(adapter.Env{Dir: dir, Table: "totals"}, sqlite.Config{Path: "live.db"})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = live.Close() }()
	key, columns := []string{"minute", "shop"}, []string{"total"}
	const rows = 10_000
	var changes []recount.Change
	err = live.Scan(b.Context(), target.Scan{Key: key, Columns: columns}, func(row recount.Row) error {
		if len(changes) < rows {
			changes = append(changes, recount.Change{Action: recount.ActionUpdate, Key: row.Key, Before: row.Values, After: []recount.Value{recount.Text("12.50")}})
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	keys := make([][]recount.Value, len(changes))
	for i, c := range changes {
		keys[i] = c.Key
	}
	for n := range b.N {
		if err := applyOnce(b, live, fmt.Sprint(n), key, columns, keys, changes); err != nil {
			b.Fatal(err)
		}
		for i, c := range changes {
			changes[i].Before, changes[i].After = c.After, c.Before
		}
	}
	b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds(), "rows/s")
}

func applyOnce(b *testing.B, live target.Target, id string, key, columns []string, keys [][]recount.Value, changes []recount.Change) error {
	tx, err := live.Begin(b.Context())
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(b.Context()) }()
	moved, err := tx.Moved(b.Context(), key, columns, changes)
	if err != nil || len(moved) > 0 {
		return fmt.Errorf("%d rows moved: %w", len(moved), err)
	}
	if n, err := tx.Write(b.Context(), key, columns, changes); err != nil || int(n) != len(changes) {
		return fmt.Errorf("%d rows written: %w", n, err)
	}
	if err := tx.Read(b.Context(), key, columns, keys, func(recount.Row) error { return nil }); err != nil {
		return err
	}
	if err := tx.Record(b.Context(), recount.Run{ID: id, Plan: id, Table: "totals", Kind: recount.PlanApply}, changes); err != nil {
		return err
	}
	return tx.Commit(b.Context())
}
