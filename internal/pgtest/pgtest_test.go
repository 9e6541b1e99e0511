package pgtest_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"recount/internal/pgtest"
)

func TestEachTestHasItsOwnDatabase(t *testing.T) {
	first, second := pgtest.Start(t), pgtest.Start(t)
	if first == second {
		t.Fatalf("both tests got %s", first)
	}
	conn, err := pgx.Connect(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	var version int
	if err := conn.QueryRow(t.Context(), "SELECT current_setting('server_version_num')::int").Scan(&version); err != nil {
		t.Fatal(err)
	}
	if version < 150000 {
		t.Errorf("server version: got %d, want 15 or newer", version)
	}
}
