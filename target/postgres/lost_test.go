package postgres_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"recount"
	"recount/internal/pgtest"
)

// wire stands between target and server. Once cut, it lets through what is sent
// and none of the answers: the next one ends the connection.
type wire struct {
	listener net.Listener
	server   string
	cut      atomic.Bool
}

func newWire(t *testing.T, server string) *wire {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{listener: l, server: server}
	t.Cleanup(func() { _ = l.Close() })
	go w.serve()
	return w
}

func (w *wire) serve() {
	for {
		client, err := w.listener.Accept()
		if err != nil {
			return // the test has ended
		}
		server, err := net.Dial("tcp", w.server) //nolint:noctx // ends with the test
		if err != nil {
			_ = client.Close()
			continue
		}
		go func() {
			_, _ = io.Copy(server, client)
			_ = server.Close()
		}()
		go w.answers(client, server)
	}
}

func (w *wire) answers(client, server net.Conn) {
	buffer := make([]byte, 1<<16)
	for {
		n, err := server.Read(buffer)
		if err != nil || w.cut.Load() {
			_ = client.Close()
			return
		}
		if _, err := client.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func TestALostAnswerToCommitIsUnknownAndTheLedgerTells(t *testing.T) {
	dsn := pgtest.Start(t)
	run(t, dsn, "CREATE TABLE t (id text PRIMARY KEY, v int); INSERT INTO t VALUES ('a', 1)")
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	w := newWire(t, fmt.Sprintf("%s:%d", config.Host, config.Port))
	live := open(t, fmt.Sprintf("postgres://postgres@%s/%s?sslmode=disable", w.listener.Addr(), config.Database), "t")
	tx, err := live.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	change := recount.Change{Action: recount.ActionUpdate, Key: texts("a"), Before: texts("1"), After: texts("2")}
	if n, err := tx.Write(t.Context(), []string{"id"}, []string{"v"}, []recount.Change{change}); err != nil || n != 1 {
		t.Fatalf("write: got %d, %v", n, err)
	}
	if err := tx.Record(t.Context(), recount.Run{ID: "r", Plan: "p"}, []recount.Change{change}); err != nil {
		t.Fatal(err)
	}
	w.cut.Store(true)
	if err := tx.Commit(t.Context()); !errors.Is(err, recount.ErrUnknown) {
		t.Errorf("commit: got %v, want %v", err, recount.ErrUnknown)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Errorf("rollback afterwards: %v", err)
	}
	w.cut.Store(false)
	again, err := live.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = again.Rollback(t.Context()) }()
	if applied, ok, err := again.Applied(t.Context(), "p"); err != nil || !ok || applied.ID != "r" {
		t.Errorf("the ledger says: got %+v, %v (%v), want run r", applied, ok, err)
	}
}

func TestATriggersNewBodyIsAnotherFingerprint(t *testing.T) {
	dsn := pgtest.Start(t)
	body := "CREATE OR REPLACE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN %s RETURN NEW; END'"
	run(t, dsn, "CREATE TABLE t (id text PRIMARY KEY, v int)")
	run(t, dsn, fmt.Sprintf(body, ""))
	run(t, dsn, "CREATE TRIGGER audit BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION audit()")
	live := open(t, dsn, "t")
	before := info(t, live).Fingerprint
	run(t, dsn, fmt.Sprintf(body, "NEW.v := 0;"))
	if after := info(t, live).Fingerprint; after == before {
		t.Error("the trigger sets other values now, and the fingerprint is the same")
	}
}
