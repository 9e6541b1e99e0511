package postgres

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"recount"
	"recount/adapter"
	"recount/internal/clock"
	"recount/internal/pgtest"
	"recount/source/sourcetest"
)

// world is a database whose changes are read.
type world struct {
	t    *testing.T
	dsn  string
	conn *pgx.Conn
	slot string
}

func start(t *testing.T, statements ...string) *world {
	t.Helper()
	w := &world{t: t, dsn: pgtest.Logical(t)}
	w.conn = w.connect()
	w.slot = "s_" + w.conn.Config().Database
	for _, s := range statements {
		w.exec(s)
	}
	t.Cleanup(w.dropSlot)
	return w
}

func (w *world) connect() *pgx.Conn {
	w.t.Helper()
	conn, err := pgx.Connect(context.WithoutCancel(w.t.Context()), w.dsn)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(w.t.Context())) })
	return conn
}

func (w *world) exec(statement string, args ...any) {
	w.t.Helper()
	if _, err := w.conn.Exec(w.t.Context(), statement, args...); err != nil {
		w.t.Fatalf("%s: %v", statement, err)
	}
}

func (w *world) text(query string, args ...any) (out string) {
	w.t.Helper()
	if err := w.conn.QueryRow(w.t.Context(), query, args...).Scan(&out); err != nil {
		w.t.Fatalf("%s: %v", query, err)
	}
	return out
}

// publish makes the publication and the slot.
func (w *world) publish(tables string) {
	w.t.Helper()
	w.exec("CREATE PUBLICATION changes FOR " + tables)
	w.makeSlot()
}

func (w *world) makeSlot() {
	w.t.Helper()
	w.exec("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", w.slot)
}

// dropSlot drops the slot, so that it keeps no log.
func (w *world) dropSlot() {
	ctx := context.WithoutCancel(w.t.Context())
	conn, err := pgx.Connect(ctx, w.dsn)
	if err != nil {
		return // the server ends with the tests
	}
	defer func() { _ = conn.Close(ctx) }()
	_, _ = conn.Exec(ctx, "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1 AND NOT active", w.slot)
}

func (w *world) open(m recount.Mapping, change func(*Config)) *Source {
	w.t.Helper()
	c := Config{DSN: recount.Secret(w.dsn), Slot: w.slot, Publication: "changes"}
	if change != nil {
		change(&c)
	}
	opened, err := Open(w.t.Context(), adapter.Env{Stream: "orders", Mapping: m, Now: clock.System{}.Now}, c)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = opened.Close() })
	s, ok := opened.(*Source)
	if !ok {
		w.t.Fatalf("got a %T", opened)
	}
	return s
}

func (w *world) insert(table string, rows []sourcetest.Row) {
	w.t.Helper()
	var values [][]any
	for _, r := range rows {
		values = append(values, []any{null(r.ID), r.Time, r.User, r.Value, r.Note})
	}
	if _, err := w.conn.CopyFrom(w.t.Context(), pgx.Identifier{table}, []string{"id", "time", "user", "value", "note"}, pgx.CopyFromRows(values)); err != nil {
		w.t.Fatal(err)
	}
}

func null(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func TestConformance(t *testing.T) {
	// One database: making one for each subtest takes most of the time.
	base := start(t)
	made := 0
	sourcetest.Run(t, sourcetest.Harness{
		Make: func(t *testing.T, m recount.Mapping, partitions [][]sourcetest.Row) sourcetest.Stream {
			t.Helper()
			made++
			table := fmt.Sprintf("events%d", made)
			w := &world{t: t, dsn: base.dsn, conn: base.conn, slot: base.slot + "_" + table}
			w.exec("CREATE TABLE " + table + ` (id text, "time" text, "user" text, value text, note text)`)
			w.exec("CREATE PUBLICATION " + table + " FOR TABLE " + table)
			w.makeSlot()
			t.Cleanup(w.dropSlot)
			for _, rows := range partitions {
				w.insert(table, rows)
			}
			return sourcetest.Stream{
				Source: w.open(m, func(c *Config) { c.Publication = table }),
				Grow: func(t *testing.T, _ int, rows []sourcetest.Row) {
					t.Helper()
					w.insert(table, rows)
				},
			}
		},
		Holds: func(note string) bool { return utf8.ValidString(note) && !strings.ContainsRune(note, 0) },
	})
}
