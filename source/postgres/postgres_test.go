package postgres

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"recount"
	"recount/adapter"
	"recount/source"
)

// follower reads a source and keeps what came.
type follower struct {
	t      *testing.T
	w      *world
	source *Source
	cursor source.Cursor
	events []recount.Event
	gaps   []recount.Gap
}

func typed(names ...string) recount.Mapping {
	var m recount.Mapping
	for _, n := range names {
		name, path, _ := strings.Cut(n, "=")
		m.Fields = append(m.Fields, recount.Field{Name: name, Path: path, Type: recount.Type{Kind: recount.KindString}})
	}
	return m
}

func (w *world) follow(change func(*Config), fields ...string) *follower {
	w.t.Helper()
	return &follower{t: w.t, w: w, source: w.open(typed(fields...), change), cursor: source.Cursor{}}
}

func (f *follower) keep(b source.Batch) error {
	f.events = append(f.events, b.Events...)
	f.gaps = append(f.gaps, b.Gaps...)
	f.cursor[b.Partition] = b.Cursor
	return nil
}

func (f *follower) read() {
	f.t.Helper()
	if _, err := f.source.Read(f.t.Context(), f.cursor, f.keep); err != nil {
		f.t.Fatal(err)
	}
}

// want compares what came since the last time: type and fields of each event.
func (f *follower) want(want ...string) {
	f.t.Helper()
	f.read()
	var got []string
	for _, e := range f.events {
		parts := []string{e.Type}
		for _, v := range e.Fields {
			text := v.Text
			if v.Null {
				text = "NULL"
			}
			parts = append(parts, text)
		}
		if e.Fault != "" {
			parts = append(parts, "fault")
		}
		got = append(got, strings.Join(parts, " "))
	}
	if !slices.Equal(got, want) {
		f.t.Fatalf("got %q, want %q", got, want)
	}
	f.events = nil
}

func (w *world) confirmed() string {
	w.t.Helper()
	return w.text("SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = $1", w.slot)
}

func wantCode(t *testing.T, what string, err error, code recount.Code, says ...string) {
	t.Helper()
	e, ok := errors.AsType[*recount.Error](err)
	if !ok || e.Code != code || e.Next == "" || e.Why == "" {
		t.Fatalf("%s: got %v, want %s", what, err, code)
	}
	for _, s := range says {
		if !strings.Contains(e.Why+e.Next, s) {
			t.Errorf("%s: got why %q, next %q; want %q in it", what, e.Why, e.Next, s)
		}
	}
}

func TestChangesAreToldAsFarAsTheIdentityGoes(t *testing.T) {
	w := start(t,
		"CREATE TABLE orders (id int PRIMARY KEY, v text)", "CREATE TABLE whole (id int, v text)", "ALTER TABLE whole REPLICA IDENTITY FULL",
		"CREATE TABLE log (id int, v text)", "ALTER TABLE log REPLICA IDENTITY NOTHING", "CREATE PUBLICATION changes FOR TABLE orders, whole",
		"CREATE PUBLICATION more FOR TABLE log WITH (publish = 'insert')")
	w.makeSlot()
	f := w.follow(func(c *Config) { c.Publication = "changes" }, "order=id", "v", "was=envelope:before.v", "was_id=envelope:before.id", "table=envelope:source.table")
	for _, table := range []string{"orders", "whole"} {
		w.exec("INSERT INTO " + table + " VALUES (1, 'a')")
		w.exec("UPDATE " + table + " SET v = 'b'")
		w.exec("UPDATE " + table + " SET id = 2")
		w.exec("DELETE FROM " + table)
	}
	w.exec("INSERT INTO log VALUES (1, 'not published')")
	w.exec("TRUNCATE orders, whole")
	f.want("create 1 a NULL NULL orders", "update 1 b NULL NULL orders", "update 2 b NULL 1 orders", "delete 2 NULL NULL 2 orders",
		"create 1 a NULL NULL whole", "update 1 b a 1 whole", "update 2 b b 1 whole", "delete 2 b b 2 whole",
		"truncate NULL NULL NULL NULL orders", "truncate NULL NULL NULL NULL whole")
}

func TestAChangeHasTheFormOfDebezium(t *testing.T) {
	w := start(t, "CREATE TABLE orders (id int PRIMARY KEY, v text)")
	w.publish("TABLE orders")
	f := w.follow(nil)
	w.exec("INSERT INTO orders VALUES (1, 'a')")
	f.read()
	e := f.events[0]
	database := w.conn.Config().Database
	for _, part := range []string{
		`{"before":null,"after":{"id":1,"v":"a"},"source":{"connector":"postgresql","db":"` + database + `","schema":"public","table":"orders","ts_ms":"`,
		`},"op":"c","transaction":{"id":"`, `"total_order":"1"},"id":"` + database + `:`, `:0"}`,
	} {
		if !strings.Contains(string(e.Data), part) {
			t.Errorf("got %s, want %s in it", e.Data, part)
		}
	}
	if e.ID == "" || e.Type != "create" || e.Partition != database || len(e.Position) != 30 || e.Time.IsZero() || !e.IngestTime.Equal(e.Time) || e.Fault != "" {
		t.Errorf("got %+v", e)
	}
	d, err := f.source.Decoder("json+debezium", "")
	if err != nil {
		t.Fatal(err)
	}
	if again := d.Decode(e); !reflect.DeepEqual(again, e) {
		t.Errorf("read again: got %+v, want %+v", again, e)
	}
}

func TestWhatIsKeptAsideIsNamedOrFilledIn(t *testing.T) {
	w := start(t, "CREATE TABLE docs (id int PRIMARY KEY, n int, doc text)", "ALTER TABLE docs ALTER doc SET STORAGE EXTERNAL", "CREATE TABLE whole (LIKE docs INCLUDING ALL)", "ALTER TABLE whole REPLICA IDENTITY FULL")
	w.publish("TABLE docs, whole")
	f, light := w.follow(nil, "n", "doc"), w.open(typed("n"), nil)
	_ = light
	for _, table := range []string{"docs", "whole"} {
		w.exec("INSERT INTO " + table + " VALUES (1, 1, repeat('x', 10000))")
		w.exec("UPDATE " + table + " SET n = 2")
	}
	long := strings.Repeat("x", 10000)
	f.read()
	kept := f.events
	f.cursor = source.Cursor{}
	f.events = nil
	f.want("create 1 "+long, "update 2 NULL fault", "create 1 "+long, "update 2 "+long)
	if e := kept[1]; !strings.Contains(string(e.Data), `"unchanged":["doc"]`) || !strings.Contains(e.Fault, "REPLICA IDENTITY FULL") || !slices.Equal(e.Broken, []string{"doc"}) {
		t.Errorf("got %s, fault %q, broken %v", e.Data, e.Fault, e.Broken)
	}
	d, err := f.source.Decoder("json+debezium", "")
	if err != nil {
		t.Fatal(err)
	}
	if again := d.Decode(kept[1]); !reflect.DeepEqual(again, kept[1]) {
		t.Errorf("read again: got %+v, want %+v", again, kept[1])
	}
	if err := f.source.Close(); err != nil {
		t.Fatal(err)
	}
	// Who does not ask for the column has no fault.
	g := &follower{t: t, w: w, source: light, cursor: source.Cursor{}}
	g.want("create 1", "update 2", "create 1", "update 2")
}

func TestALargeTransactionIsResumedInside(t *testing.T) {
	const rows = 100_000
	w := start(t, "CREATE TABLE orders (id int PRIMARY KEY, v text)")
	w.publish("TABLE orders")
	w.exec("INSERT INTO orders SELECT i, 'row ' || i FROM generate_series(1, $1::int) i", rows)
	f := w.follow(nil, "order=id")
	stopped := errors.New("stopped")
	most, seen := 0, []string{}
	for stops := 0; ; stops++ {
		batches := 0
		_, err := f.source.Read(t.Context(), f.cursor, func(b source.Batch) error {
			if batches++; batches > 11 {
				return stopped
			}
			most = max(most, len(b.Events))
			for _, e := range b.Events {
				seen = append(seen, e.Fields[0].Text)
			}
			f.cursor[b.Partition] = b.Cursor
			return nil
		})
		// What is archived of a transaction does not let the server forget its rest.
		if err := f.source.Committed(t.Context(), f.cursor); err != nil {
			t.Fatal(err)
		}
		if err == nil {
			if stops < 2 {
				t.Errorf("it was read in %d pieces", stops+1)
			}
			break
		}
		if err != stopped { //nolint:errorlint // it is the receiver's own, and no error of the source
			t.Fatal(err)
		}
	}
	if len(seen) != rows || most > batchChanges {
		t.Fatalf("got %d rows in batches of up to %d, want %d", len(seen), most, rows)
	}
	for i, id := range seen {
		if id != fmt.Sprint(i+1) {
			t.Fatalf("row %d: got id %s", i+1, id)
		}
	}
}

func TestCommitsComeInTheirOrder(t *testing.T) {
	w := start(t, "CREATE TABLE orders (id text, v int)")
	w.publish("TABLE orders")
	a, b, c := w.connect(), w.connect(), w.connect()
	do := func(conn *pgx.Conn, sql string) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatal(err)
		}
	}
	f := w.follow(nil, "order=id")
	do(a, "BEGIN; INSERT INTO orders VALUES ('a1')")
	do(b, "BEGIN; INSERT INTO orders VALUES ('b1')")
	do(c, "BEGIN; INSERT INTO orders VALUES ('c1')")
	do(a, "INSERT INTO orders VALUES ('a2')")
	do(b, "COMMIT")
	f.want("create b1")
	do(c, "ROLLBACK")
	do(a, "SAVEPOINT s; INSERT INTO orders VALUES ('lost'); ROLLBACK TO s; INSERT INTO orders VALUES ('a3'); COMMIT")
	f.want("create a1", "create a2", "create a3")
	f.want()
}

func TestATableMayBeAltered(t *testing.T) {
	w := start(t, "CREATE TABLE orders (id int, gone text)")
	w.publish("TABLE orders")
	f := w.follow(nil, "order=id", "gone", "added")
	w.exec("INSERT INTO orders VALUES (1, 'x')")
	w.exec("ALTER TABLE orders ADD added text DEFAULT 'new'")
	w.exec("INSERT INTO orders VALUES (2, 'y', 'z')")
	f.want("create 1 x NULL", "create 2 y z")
	w.exec("ALTER TABLE orders DROP gone")
	w.exec("INSERT INTO orders VALUES (3, 'w')")
	f.want("create 3 NULL w")
}

func TestTheSlotIsAdvancedAfterTheCommitAlone(t *testing.T) {
	w := start(t, "CREATE TABLE orders (id int)")
	w.publish("TABLE orders")
	before := w.confirmed()
	w.exec("INSERT INTO orders VALUES (1)")
	f := w.follow(nil, "order=id")
	f.want("create 1")
	if got := w.confirmed(); got != before {
		t.Errorf("after reading: got %s, want %s", got, before)
	}
	// A run that dies before its commit: the rows come again.
	if err := f.source.Close(); err != nil {
		t.Fatal(err)
	}
	g := w.follow(nil, "order=id")
	g.want("create 1")
	if got := w.confirmed(); got != before {
		t.Errorf("after reading twice: got %s, want %s", got, before)
	}
	if err := g.source.Committed(t.Context(), g.cursor); err != nil {
		t.Fatal(err)
	}
	m, _, err := newest(g.cursor)
	if err != nil {
		t.Fatal(err)
	}
	w.until("the slot stands at "+m.LSN, func() bool { return w.confirmed() == m.LSN })
	// A run that begins tells it again, and loses nothing.
	w.exec("INSERT INTO orders VALUES (2)")
	if err := g.source.Committed(t.Context(), g.cursor); err != nil {
		t.Fatal(err)
	}
	g.want("create 2")
	if len(g.gaps) > 0 {
		t.Errorf("got gaps %v", g.gaps)
	}
}

// until asks until something is so.
func (w *world) until(what string, is func() bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-ctx.Done():
			w.t.Fatalf("waited in vain: %s", what)
		case <-tick.C:
		}
	}
}

func TestASlotThatWasMadeAnewTellsWhatIsLost(t *testing.T) {
	w := start(t, "CREATE TABLE orders (id int)")
	w.publish("TABLE orders")
	f := w.follow(func(c *Config) { c.Create = true }, "order=id")
	f.read() // nothing yet, and where it begins is known
	if len(f.cursor) != 1 {
		t.Fatalf("got cursor %v", f.cursor)
	}
	w.exec("INSERT INTO orders VALUES (1)")
	if err := f.source.Close(); err != nil {
		t.Fatal(err)
	}
	w.until("the slot is free", func() bool {
		return w.text("SELECT active::text FROM pg_replication_slots WHERE slot_name = $1", w.slot) == "false"
	})
	w.exec("SELECT pg_drop_replication_slot($1)", w.slot)
	_, err := f.source.Read(t.Context(), f.cursor, f.keep)
	wantCode(t, "no slot", err, recount.CodeNoSlot, f.source.makeSlot())
	lost, err := f.source.Overtaken(t.Context(), f.cursor)
	if err != nil || len(lost) != 1 {
		t.Errorf("overtaken: got %v, %v", lost, err)
	}
	w.makeSlot()
	w.exec("INSERT INTO orders VALUES (2)")
	f.want("create 2")
	m, _, err := newest(f.cursor)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.gaps) != 1 || !f.gaps[0].Lost() || f.gaps[0].Before.IsZero() || f.gaps[0].To >= m.spot().position() {
		t.Errorf("got gaps %v", f.gaps)
	}
	f.want()
}

func TestASlotThatTheServerGaveUp(t *testing.T) {
	w := start(t, "CREATE TABLE orders (id int)", "ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'", "SELECT pg_reload_conf()")
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		conn := w.connect()
		_, _ = conn.Exec(ctx, "ALTER SYSTEM RESET max_slot_wal_keep_size")
		_, _ = conn.Exec(ctx, "SELECT pg_reload_conf()")
	})
	w.publish("TABLE orders")
	f := w.follow(nil, "order=id")
	f.read()
	if err := f.source.Close(); err != nil {
		t.Fatal(err)
	}
	w.until("the slot is lost", func() bool {
		w.exec("INSERT INTO orders VALUES (1)")
		w.exec("SELECT pg_switch_wal()")
		w.exec("CHECKPOINT")
		return w.text("SELECT wal_status FROM pg_replication_slots WHERE slot_name = $1", w.slot) == "lost"
	})
	_, err := f.source.Read(t.Context(), f.cursor, f.keep)
	wantCode(t, "lost", err, recount.CodeSlotLost, "pg_drop_replication_slot", f.source.makeSlot())
	if lost, err := f.source.Overtaken(t.Context(), f.cursor); err != nil || len(lost) != 1 {
		t.Errorf("overtaken: got %v, %v", lost, err)
	}
}

func TestTwoReadersOfOneSlot(t *testing.T) {
	w := start(t, "CREATE TABLE orders (id int)")
	w.publish("TABLE orders")
	f, g := w.follow(nil, "order=id"), w.follow(nil, "order=id")
	f.read()
	g.source.tries = 2
	_, err := g.source.Read(t.Context(), g.cursor, g.keep)
	g.source.tries = 50
	wantCode(t, "busy", err, recount.CodeSlotBusy, "wal_sender_timeout")
	if !errors.Is(err, recount.ErrBusy) || !errors.Is(err, recount.ErrTransient) {
		t.Errorf("got %v, want one that passes", err)
	}
	if err := f.source.Close(); err != nil {
		t.Fatal(err)
	}
	g.read()
}

func TestWhatIsMissingIsSaidAsStatements(t *testing.T) {
	w := start(t, "CREATE TABLE orders (id int)", "CREATE TABLE other (id int)")
	s := w.open(typed(), func(c *Config) { c.Tables = []string{"orders", "public.other"} })
	wantCode(t, "nothing", s.Check(t.Context()), recount.CodeNoSlot, `CREATE PUBLICATION "changes" FOR TABLE public.orders, public.other;`, "SELECT pg_create_logical_replication_slot('"+w.slot+"', 'pgoutput');")
	w.exec("CREATE PUBLICATION changes FOR TABLE orders")
	wantCode(t, "a table", s.Check(t.Context()), recount.CodeNoSlot, `ALTER PUBLICATION "changes" ADD TABLE public.other;`)
	w.exec("ALTER PUBLICATION changes ADD TABLE other")
	w.exec("SELECT pg_create_logical_replication_slot($1, 'test_decoding')", w.slot)
	wantCode(t, "another plugin", s.Check(t.Context()), recount.CodeConfig, "test_decoding")
	w.exec("SELECT pg_drop_replication_slot($1)", w.slot)
	f := w.follow(func(c *Config) { c.Create = true }, "order=id")
	if err := f.source.Check(t.Context()); err != nil {
		t.Errorf("with create: got %v", err)
	}
	w.exec("INSERT INTO orders VALUES (1)")
	f.want()
	w.exec("INSERT INTO orders VALUES (2)")
	f.want("create 2")
	// A publication that is younger than the slot cannot be seen from there.
	w.exec("DROP PUBLICATION changes")
	w.exec("INSERT INTO orders VALUES (3)")
	w.exec("CREATE PUBLICATION changes FOR TABLE orders")
	_, err := f.source.Read(t.Context(), f.cursor, f.keep)
	wantCode(t, "a younger publication", err, recount.CodeSlotLost, "pg_drop_replication_slot")
}

func TestWhoIsRefusedAndWhatIsDown(t *testing.T) {
	w := start(t, "CREATE TABLE orders (id int)", "DROP ROLE IF EXISTS reader", "CREATE ROLE reader LOGIN PASSWORD 'salmon'")
	w.publish("TABLE orders")
	user := func(c *Config) {
		c.DSN = recount.Secret(strings.Replace(w.dsn, "postgres:swordfish", "reader:salmon", 1))
	}
	wantCode(t, "no right", w.open(typed(), user).Check(t.Context()), recount.CodeSourceAccess, "REPLICATION")
	err := w.open(typed(), func(c *Config) { c.DSN = "postgres://reader:salmon@127.0.0.1:1/shop" }).Check(t.Context())
	wantCode(t, "down", err, recount.CodeSourceDown)
	if !errors.Is(err, recount.ErrUnreachable) || strings.Contains(err.Error(), "salmon") {
		t.Errorf("got %v", err)
	}
	err = w.open(typed(), func(c *Config) { c.DSN = recount.Secret(strings.Replace(w.dsn, w.conn.Config().Database, "nobody", 1)) }).Check(t.Context())
	wantCode(t, "no database", err, recount.CodeConfig)
}

func TestAReaderThatIsSlowIsNotDropped(t *testing.T) {
	const rows = 50_000
	w := start(t, "CREATE TABLE orders (id int, v text)")
	w.exec("ALTER DATABASE " + w.conn.Config().Database + " SET wal_sender_timeout = '500ms'")
	w.publish("TABLE orders")
	w.exec("INSERT INTO orders SELECT i, repeat('x', 300) FROM generate_series(1, $1::int) i", rows)
	f := w.follow(nil, "order=id")
	slow := time.After(1200 * time.Millisecond)
	_, err := f.source.Read(t.Context(), f.cursor, func(b source.Batch) error {
		<-slow
		slow = time.After(0)
		return f.keep(b)
	})
	if err != nil || len(f.events) != rows {
		t.Errorf("got %d events, %v", len(f.events), err)
	}
	// Nor is one that waits.
	ctx, cancel := context.WithTimeout(t.Context(), 1200*time.Millisecond)
	defer cancel()
	if err := f.source.Wait(ctx, f.cursor); err != nil || ctx.Err() == nil {
		t.Errorf("it did not wait: %v", err)
	}
	w.exec("INSERT INTO orders VALUES (0)")
	if err := f.source.Wait(t.Context(), f.cursor); err != nil {
		t.Errorf("wait: %v", err)
	}
	f.events = nil
	f.want("create 0")
}

func TestWrongBlocksAreRefused(t *testing.T) {
	sound := Config{DSN: "postgres://u@h/d", Slot: "s", Publication: "p"}
	for name, change := range map[string]func(*Config){
		"no address":     func(c *Config) { c.DSN = "" },
		"no url":         func(c *Config) { c.DSN = "postgres://h:swordfish:x/" },
		"no slot":        func(c *Config) { c.Slot = "" },
		"a wrong slot":   func(c *Config) { c.Slot = "Orders-1" },
		"no publication": func(c *Config) { c.Publication = "" },
		"our prefix":     func(c *Config) { c.Messages = "recount" },
		"half an outbox": func(c *Config) { c.Outbox.Payload = "payload" },
		"no payload":     func(c *Config) { c.Outbox.Table = "outbox" },
		"both":           func(c *Config) { c.Outbox.Table, c.Outbox.Payload, c.Tables = "outbox", "payload", []string{"t"} },
		"a wrong format": func(c *Config) { c.Outbox.Table, c.Outbox.Payload, c.Outbox.Format = "outbox", "payload", "xml" },
	} {
		c := sound
		change(&c)
		_, err := Open(t.Context(), adapter.Env{Stream: "orders"}, c)
		wantCode(t, name, err, recount.CodeConfig)
		if strings.Contains(err.Error(), "swordfish") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := Open(t.Context(), adapter.Env{Stream: "orders"}, sound); err != nil {
		t.Errorf("a sound one: got %v", err)
	}
}
