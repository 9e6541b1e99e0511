package postgres

import "context"

// announce writes to the server's log that the transaction is a correction, before
// its first row, so that who archives the tables' changes takes it for no new event.
// Where nobody can read changes out of the log it is left out; that it fails ends
// nothing.
func (x *tx) announce(ctx context.Context) error {
	var can bool
	err := x.tx.QueryRow(ctx, `SELECT current_setting('wal_level') = 'logical' AND has_function_privilege('pg_logical_emit_message(boolean, text, text)', 'EXECUTE')`).Scan(&can)
	if err != nil || !can {
		return x.explain("announce a correction of", err)
	}
	nested, err := x.tx.Begin(ctx)
	if err != nil {
		return x.explain("announce a correction of", err)
	}
	// The prefix is the one that source/postgres knows.
	if _, err := nested.Exec(ctx, "SELECT pg_logical_emit_message(true, 'recount', 'correction')"); err != nil {
		return x.explain("announce a correction of", nested.Rollback(ctx))
	}
	return x.explain("announce a correction of", nested.Commit(ctx))
}
