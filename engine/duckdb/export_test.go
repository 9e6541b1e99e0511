package duckdb

import (
	"testing"

	"recount/engine"
)

// KillChild kills the process of a session, as a crash would.
func KillChild(tb testing.TB, s engine.Session) {
	tb.Helper()
	own, ok := s.(*session)
	if !ok {
		tb.Fatalf("session is a %T", s)
	}
	own.child.kill()
}
