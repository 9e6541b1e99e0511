package postgres_test

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"recount"
	"recount/adapter"
	"recount/internal/pgtest"
	"recount/target"
	"recount/target/postgres"
)

// BenchmarkApply corrects ten thousand rows of a larger table, as an apply does:
// look, write, read back, record, commit. Each round takes back the one before.
func BenchmarkApply(b *testing.B) {
	const rows, size = 10_000, 500_000
	dsn := pgtest.Start(b)
	conn, err := pgx.Connect(b.Context(), dsn)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = conn.Close(b.Context()) }()
	_, err = conn.Exec(b.Context(), fmt.Sprintf(`CREATE TABLE totals (minute timestamptz, shop text, total numeric(18,2), PRIMARY KEY (minute, shop));
		INSERT INTO totals SELECT '2024-06-10Z'::timestamptz + i/10 * '1 minute'::interval, 's' || i%%10, i/7.0 FROM generate_series(0, %d-1) i; ANALYZE totals`, size))
	if err != nil {
		b.Fatal(err)
	}
	live, err := postgres.Open(adapter.Env{Table: "totals"}, postgres.Config{DSN: recount.Secret(dsn)})
	if err != nil {
		b.Fatal(err)
	}
	key, columns := []string{"minute", "shop"}, []string{"total"}
	var changes []recount.Change
	var keys [][]recount.Value
	err = live.Scan(b.Context(), target.Scan{Key: key, Columns: columns}, func(row recount.Row) error {
		if len(changes) < rows {
			keys = append(keys, row.Key)
			changes = append(changes, recount.Change{Action: recount.ActionUpdate, Key: row.Key, Before: row.Values, After: texts("-12.50")})
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
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
	if moved, err := tx.Moved(b.Context(), key, columns, changes); err != nil || len(moved) > 0 {
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
