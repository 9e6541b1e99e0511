package postgres

import (
	"fmt"
	"strings"
	"testing"

	"recount"
	"recount/adapter"
	"recount/internal/clock"
	"recount/source"
	"recount/target"
	targets "recount/target/postgres"
)

func TestAnOutboxHoldsEventsOfItsOwn(t *testing.T) {
	w := start(t, `CREATE TABLE outbox (id uuid PRIMARY KEY, aggregate_id text, type text, at timestamptz, payload jsonb, note text, raw bytea)`, "CREATE TABLE other (id int)")
	w.publish("TABLE outbox, other")
	m := recount.Mapping{Fields: []recount.Field{{Name: "amount", Type: recount.Decimal(18, 2)}, {Name: "remark", Path: "header:note", Type: recount.Type{Kind: recount.KindString}}}}
	s := w.open(m, func(c *Config) {
		c.Outbox = Outbox{Table: "outbox", Payload: "payload", ID: "id", Type: "type", Key: "aggregate_id", Time: "at"}
		c.Messages = "outbox"
	})
	w.exec(`BEGIN; INSERT INTO outbox VALUES ('8b0a2c2e-6c34-4a4d-9d0b-0c4f6d1a0b11', 'k1', 'Paid', '2024-06-10 14:00:00+02', '{"amount": "28.60"}', 'n', '\x61');
		UPDATE outbox SET type = 'x'; DELETE FROM outbox; COMMIT`)
	w.exec("INSERT INTO other VALUES (1)")
	w.exec(`SELECT pg_logical_emit_message(true, 'outbox', '{"amount": 1}')`)
	w.exec(`INSERT INTO outbox (id) VALUES (gen_random_uuid())`)
	f := &follower{t: t, w: w, source: s, cursor: source.Cursor{}}
	f.read()
	if len(f.events) != 3 {
		t.Fatalf("got %d events, want 3", len(f.events))
	}
	e := f.events[0]
	if e.ID != "8b0a2c2e-6c34-4a4d-9d0b-0c4f6d1a0b11" || string(e.Key) != "k1" || e.Type != "Paid" || recount.FormatTimestamp(e.Time) != "2024-06-10T12:00:00Z" ||
		string(e.Data) != `{"amount": "28.60"}` || e.Fields[0].Text != "28.60" || e.Fields[1].Text != "n" || e.Fault != "" {
		t.Errorf("got %+v", e)
	}
	want := []recount.Header{
		{Name: "id", Value: []byte(e.ID)},
		{Name: "aggregate_id", Value: []byte("k1")},
		{Name: "type", Value: []byte("Paid")},
		{Name: "at", Value: []byte("2024-06-10T12:00:00Z")},
		{Name: "note", Value: []byte("n")},
		{Name: "raw", Value: []byte("a")},
	}
	if fmt.Sprint(e.Headers) != fmt.Sprint(want) {
		t.Errorf("got headers %s, want %s", e.Headers, want)
	}
	if said := f.events[1]; string(said.Data) != `{"amount": 1}` || said.Fields[0].Text != "1.00" {
		t.Errorf("got %+v", said)
	}
	if empty := f.events[2]; empty.Data != nil || empty.Headers[1].Value != nil {
		t.Errorf("got %+v", empty)
	}
}

func TestMessagesAreEventsWhereTheyAreAskedFor(t *testing.T) {
	w := start(t, "CREATE TABLE orders (id int)")
	w.publish("TABLE orders")
	f := w.follow(func(c *Config) { c.Messages = "note" }, "prefix", "bytes=$.content.base64")
	w.exec("SELECT pg_logical_emit_message(true, 'note', '1'), pg_logical_emit_message(true, 'other', 'b'), pg_logical_emit_message(false, 'note', 'no part of a transaction')")
	w.exec(`BEGIN; SELECT pg_logical_emit_message(true, 'note', '\xff'::bytea); ROLLBACK`)
	w.exec(`SELECT pg_logical_emit_message(true, 'note', '\xff'::bytea)`)
	f.want("message note NULL", "message note /w==")
}

func TestTablesMayBeChosen(t *testing.T) {
	w := start(t, "CREATE TABLE orders (id int)", "CREATE SCHEMA recount", "CREATE TABLE recount.recount_runs (id int)", "CREATE TABLE other (id int)")
	w.publish("ALL TABLES")
	all, some := w.follow(nil, "order=id"), w.follow(func(c *Config) { c.Tables = []string{"other"} }, "order=id")
	for i, table := range []string{"orders", "recount.recount_runs", "other"} {
		w.exec(fmt.Sprintf("INSERT INTO %s VALUES (%d)", table, i))
	}
	all.want("create 0", "create 2")
	if err := all.source.Close(); err != nil {
		t.Fatal(err)
	}
	some.want("create 2")
}

func TestLogWithoutEventsIsLetGo(t *testing.T) {
	w := start(t, "CREATE TABLE orders (id int)", "CREATE TABLE other (v text)")
	w.publish("TABLE orders")
	f := w.follow(nil, "order=id")
	f.read()
	before := f.cursor[f.source.live.mark.partition()]
	w.exec("INSERT INTO other SELECT repeat('x', 100) FROM generate_series(1, 20000)")
	if err := f.source.Wait(t.Context(), f.cursor); err != nil {
		t.Fatal(err)
	}
	f.want()
	if f.cursor[f.source.live.mark.partition()] == before {
		t.Errorf("the cursor stands at %s", before)
	}
	if err := f.source.Committed(t.Context(), f.cursor); err != nil {
		t.Fatal(err)
	}
	m, _, _ := newest(f.cursor)
	w.until("the slot stands at "+m.LSN, func() bool { return w.confirmed() == m.LSN })
}

// TestOurOwnCorrectionsAreNoEvents corrects a table through the target, while its
// changes are archived.
func TestOurOwnCorrectionsAreNoEvents(t *testing.T) {
	w := start(t, "CREATE TABLE revenue (id text PRIMARY KEY, v int)", "INSERT INTO revenue VALUES ('a', 1), ('b', 2)")
	w.publish("ALL TABLES")
	f := w.follow(nil, "row=id", "v")
	w.exec("UPDATE revenue SET v = 3 WHERE id = 'a'")
	live, err := targets.Open(adapter.Env{Table: "revenue"}, targets.Config{DSN: recount.Secret(w.dsn)})
	if err != nil {
		t.Fatal(err)
	}
	correct := func(run string, changes ...recount.Change) {
		t.Helper()
		tx, err := live.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		write(t, tx, changes)
		if err := tx.Record(t.Context(), recount.Run{ID: run, Plan: run, At: clock.System{}.Now()}, changes); err != nil {
			t.Fatal(err)
		}
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	text := func(s string) []recount.Value { return []recount.Value{recount.Text(s)} }
	correct("r1", recount.Change{Action: recount.ActionUpdate, Key: text("a"), Before: text("3"), After: text("30")})
	correct("r2", recount.Change{Action: recount.ActionDelete, Key: text("b"), Before: text("2")})
	w.exec("INSERT INTO revenue VALUES ('c', 4)")
	f.want("update a 3", "create c 4")
	if len(f.gaps) != 2 || f.gaps[0].Reason != recount.GapReplay || f.gaps[1].Reason != recount.GapReplay || f.gaps[0].To >= f.gaps[1].From {
		t.Errorf("got gaps %v", f.gaps)
	}
	if got := w.text("SELECT string_agg(id || v, ' ' ORDER BY id) FROM revenue"); got != "a30 c4" {
		t.Errorf("the table holds %s", got)
	}
	for _, g := range f.gaps {
		if !strings.HasPrefix(g.Partition, "test") || g.Lost() {
			t.Errorf("got gap %v", g)
		}
	}
}

func write(t *testing.T, tx target.Tx, changes []recount.Change) {
	t.Helper()
	if n, err := tx.Write(t.Context(), []string{"id"}, []string{"v"}, changes); err != nil || n != int64(len(changes)) {
		t.Fatalf("write: %d, %v", n, err)
	}
}
