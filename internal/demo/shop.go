package demo

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite" // the shop's own database

	"recount"
)

// The shop's day. Its incident lasts from incidentFrom to incidentTo: the worker
// ran version 1, which adds refunds instead of subtracting them; for six minutes
// it lost lane 2; and when it came back it was sent some events twice.
var (
	shopOpens    = time.Date(2024, 6, 10, 10, 0, 0, 0, time.UTC)
	shopNow      = time.Date(2024, 6, 10, 14, 30, 0, 0, time.UTC)
	incidentFrom = time.Date(2024, 6, 10, 12, 0, 0, 0, time.UTC)
	incidentTo   = time.Date(2024, 6, 10, 12, 30, 0, 0, time.UTC)
	missedFrom   = time.Date(2024, 6, 10, 12, 10, 0, 0, time.UTC)
	missedTo     = time.Date(2024, 6, 10, 12, 16, 0, 0, time.UTC)
)

const (
	shopSeed   = 20240610
	products   = 48
	lanes      = 4
	missedLane = "2"
	bucketSize = 10 * time.Minute
	meanGap    = 480 * time.Millisecond
	// One event of this product has an amount that the producer wrote with a comma,
	// and one row of that one was mended by hand.
	poisonProduct = "p11"
	mendedProduct = "p23"
)

// order is one event of the shop.
type order struct {
	ID      string    `json:"id"`
	At      time.Time `json:"at"`
	Lane    string    `json:"lane"`
	Kind    string    `json:"kind"`
	Product string    `json:"product"`
	Amount  string    `json:"amount"`

	cents int64
}

// day makes the shop's events in the order in which they came, the same for
// every run: repeats stand again where they were sent again.
func day() []order {
	rng := rand.New(rand.NewPCG(shopSeed, 1)) //nolint:gosec // a shop that is the same every time
	var orders, again []order
	poisoned := false
	for at, n := shopOpens, 1; ; n++ {
		at = at.Add(time.Duration(rng.ExpFloat64() * float64(meanGap))).Truncate(time.Millisecond)
		if !at.Before(shopNow) {
			break
		}
		const dearest = 9000
		o := order{
			ID: fmt.Sprintf("o-%06d", n), At: at, Lane: fmt.Sprint(rng.IntN(lanes)), Kind: "sale",
			Product: fmt.Sprintf("p%02d", rng.IntN(products)), cents: 99 + rng.Int64N(dearest),
		}
		if rng.IntN(12) == 0 {
			o.Kind = "refund"
		}
		o.Amount = fmt.Sprintf("%d.%02d", o.cents/100, o.cents%100)
		if !poisoned && o.Product == poisonProduct && at.After(missedTo.Add(time.Minute)) {
			poisoned = true
			o.Amount = fmt.Sprintf("%d,%02d", o.cents/100, o.cents%100)
			o.cents = 0
		}
		orders = append(orders, o)
		if at.After(missedTo) && at.Before(missedTo.Add(20*time.Second)) {
			again = append(again, o)
		}
		if len(again) > 0 && at.After(missedTo.Add(25*time.Second)) {
			orders = append(orders, again...)
			again = nil
		}
	}
	return orders
}

// row is one row of the shop's live table.
type row struct {
	orders int64
	cents  int64
}

type rowKey struct {
	bucket  time.Time
	product string
}

// work is the shop's worker: it keeps revenue by ten minutes and product. In the
// incident it did what version 1 did, and missed what it missed.
func work(orders []order) map[rowKey]row {
	table := map[rowKey]row{}
	seen := map[string]bool{}
	for _, o := range orders {
		ill := !o.At.Before(incidentFrom) && o.At.Before(incidentTo)
		lost := ill && o.Lane == missedLane && !o.At.Before(missedFrom) && o.At.Before(missedTo)
		if lost || o.cents == 0 || seen[o.ID] && !ill {
			continue
		}
		seen[o.ID] = true
		key := rowKey{o.At.Truncate(bucketSize), o.Product}
		r := table[key]
		switch {
		case o.Kind == "sale":
			r.orders++
			r.cents += o.cents
		case ill:
			r.cents += o.cents
		default:
			r.cents -= o.cents
		}
		table[key] = r
	}
	return table
}

const projectConfig = `# A small shop, made by recount demo.
version: 1
archive: archive

sources:
  orders:
    files: {paths: ["orders.jsonl"]}
    event: {id: id, time: at, type: kind, partition: lane}
    fields: {kind: string, product: string, amount: "decimal(18,2)"}

calculations:
  revenue:
    source: orders
    sql: revenue.sql
    key: [bucket_start, product]
    memory: window
    bucket: 10m
    previous: {sql: revenue_v1.sql}     # what ran from 12:00 to 12:30
    missed:                             # what the worker lost while it was down
      - {from: "2024-06-10T12:10:00Z", to: "2024-06-10T12:16:00Z", where: "partition = '2'"}
    target:
      sqlite: {path: shop.db}
      table: revenue
      columns: {orders: orders, total: total}
`

const rightSQL = `-- Revenue by ten minutes and product: refunds are taken off.
SELECT time_bucket(INTERVAL '10 minutes', time) AS bucket_start,
       product,
       count(*) FILTER (WHERE kind = 'sale') AS orders,
       sum(CASE WHEN kind = 'refund' THEN -amount ELSE amount END) AS total
FROM events
GROUP BY bucket_start, product
`

const previousSQL = `-- Version 1: it added refunds.
SELECT time_bucket(INTERVAL '10 minutes', time) AS bucket_start,
       product,
       count(*) FILTER (WHERE kind = 'sale') AS orders,
       sum(amount) AS total
FROM events
GROUP BY bucket_start, product
`

// build makes the shop's folder: events, logic, configuration and live table.
func build(ctx context.Context, dir string) (events int, err error) {
	orders := day()
	for name, text := range map[string]string{"recount.yaml": projectConfig, "revenue.sql": rightSQL, "revenue_v1.sql": previousSQL} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil { //nolint:gosec // meant to be read
			return 0, fmt.Errorf("make the shop: %w", err)
		}
	}
	if err := writeOrders(filepath.Join(dir, "orders.jsonl"), orders); err != nil {
		return 0, err
	}
	db, err := openShop(dir)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return len(orders), fillShop(ctx, db, work(orders))
}

func writeOrders(name string, orders []order) error {
	f, err := os.Create(name) //nolint:gosec // the demo's own folder
	if err != nil {
		return fmt.Errorf("make the shop: %w", err)
	}
	w := bufio.NewWriter(f)
	enc := json.NewEncoder(w)
	for _, o := range orders {
		if err := enc.Encode(o); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return errors.Join(w.Flush(), f.Close())
}

func openShop(dir string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", "file:"+filepath.ToSlash(filepath.Join(dir, "shop.db"))+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(wal)")
	if err != nil {
		return nil, fmt.Errorf("open the shop: %w", err)
	}
	db.SetMaxOpenConns(1)
	return db, nil
}

// fillShop makes the live table, with one row of the incident mended by hand.
func fillShop(ctx context.Context, db *sql.DB, table map[rowKey]row) (err error) {
	const schema = `CREATE TABLE revenue (
  bucket_start TIMESTAMP NOT NULL,
  product      TEXT NOT NULL,
  orders       INTEGER NOT NULL,
  total        DECIMAL(18,2) NOT NULL,
  PRIMARY KEY (bucket_start, product)
)`
	if _, err := db.ExecContext(ctx, schema); err != nil {
		return fmt.Errorf("make the shop's table: %w", err)
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("fill the shop's table: %w", err)
	}
	for key, r := range table {
		if err := insertRow(ctx, tx, key, r); err != nil {
			return errors.Join(err, tx.Rollback())
		}
	}
	_, err = tx.ExecContext(ctx, `UPDATE revenue SET total = total + 17.5 WHERE bucket_start = ? AND product = ?`,
		recount.FormatTimestamp(incidentFrom), mendedProduct)
	if err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

func insertRow(ctx context.Context, db execer, key rowKey, r row) error {
	_, err := db.ExecContext(ctx, `INSERT OR REPLACE INTO revenue VALUES (?, ?, ?, ?)`,
		recount.FormatTimestamp(key.bucket), key.product, r.orders, float64(r.cents)/100)
	return err
}
