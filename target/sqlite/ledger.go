package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"recount"
	"recount/target/internal/refusal"
	"recount/target/internal/sqltable"
)

// ledgerSQL makes the ledger's tables. recount_undo.stored holds what SQLite
// stored besides the canonical texts: storage classes, and whole deleted rows.
const ledgerSQL = `CREATE TABLE IF NOT EXISTS recount_ledger (uuid TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS recount_runs (
  id INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL UNIQUE, plan TEXT NOT NULL, target TEXT NOT NULL, kind TEXT NOT NULL,
  at TEXT NOT NULL, of_run TEXT NOT NULL, rolled_back TEXT, body TEXT NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS recount_runs_plan ON recount_runs (plan) WHERE rolled_back IS NULL;
CREATE TABLE IF NOT EXISTS recount_undo (
  id INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL, action TEXT NOT NULL, key TEXT NOT NULL, before TEXT, after TEXT, stored TEXT);
CREATE INDEX IF NOT EXISTS recount_undo_run ON recount_undo (run);
CREATE INDEX IF NOT EXISTS recount_undo_key ON recount_undo (key) WHERE stored IS NOT NULL;
`

func (s *session) hasLedger(ctx context.Context) (bool, error) {
	var n int
	err := s.conn.QueryRowContext(ctx, "SELECT count(*) FROM main.sqlite_schema WHERE type = 'table' AND name IN ('recount_ledger','recount_runs','recount_undo')").Scan(&n)
	const all = 3
	return n == all, s.t.explain("read ledger of", err)
}

// readLedger fills in the ledger's uuid and newest run.
func (s *session) readLedger(ctx context.Context, info *recount.TableInfo) error {
	there, err := s.hasLedger(ctx)
	if err != nil || !there {
		return err
	}
	err = s.conn.QueryRowContext(ctx, "SELECT uuid FROM recount_ledger").Scan(&info.Identity.Ledger)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return s.t.explain("read ledger of", err)
	}
	err = s.conn.QueryRowContext(ctx, "SELECT run FROM recount_runs WHERE target = ? ORDER BY id DESC LIMIT 1", s.t.name).Scan(&info.LastRun)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	return s.t.explain("read ledger of", err)
}

// makeLedger makes what is missing, inside the transaction.
func (s *session) makeLedger(ctx context.Context) error {
	if _, err := s.conn.ExecContext(ctx, ledgerSQL); err != nil {
		return s.t.explain("make ledger in", err)
	}
	_, err := s.conn.ExecContext(ctx, "INSERT INTO recount_ledger (uuid) SELECT ? WHERE NOT EXISTS (SELECT 1 FROM recount_ledger)", sqltable.NewUUID())
	return s.t.explain("make ledger in", err)
}

func (s *session) runs(ctx context.Context) ([]recount.Run, error) {
	there, err := s.hasLedger(ctx)
	if err != nil || !there {
		return nil, err
	}
	rows, err := s.conn.QueryContext(ctx, "SELECT body, coalesce(rolled_back,'') FROM recount_runs WHERE target = ? ORDER BY id DESC", s.t.name)
	if err != nil {
		return nil, s.t.explain("read ledger of", err)
	}
	defer func() { _ = rows.Close() }()
	var runs []recount.Run
	for rows.Next() {
		var body, rolledBack string
		if err := rows.Scan(&body, &rolledBack); err != nil {
			return nil, s.t.explain("read ledger of", err)
		}
		run, err := sqltable.DecodeRun(body, rolledBack)
		if err != nil {
			return nil, err
		}
		runs = append(runs, run)
	}
	return runs, s.t.explain("read ledger of", rows.Err())
}

func (s *session) undo(ctx context.Context, run string, each func(recount.Change) error) error {
	there, err := s.hasLedger(ctx)
	if err != nil {
		return err
	}
	var known int
	if there {
		err = s.conn.QueryRowContext(ctx, "SELECT count(*) FROM recount_runs WHERE run = ? AND target = ?", run, s.t.name).Scan(&known)
	}
	if err != nil {
		return s.t.explain("read ledger of", err)
	}
	if known == 0 {
		return refusal.NoRun(s.t.place, run, "the ledger of this table has no such run")
	}
	rows, err := s.conn.QueryContext(ctx, "SELECT action, key, before, after FROM recount_undo WHERE run = ? ORDER BY id", run)
	if err != nil {
		return s.t.explain("read ledger of", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var row sqltable.UndoRow
		if err := rows.Scan(&row.Action, &row.Key, &row.Before, &row.After); err != nil {
			return s.t.explain("read ledger of", err)
		}
		change, err := row.Change()
		if err != nil {
			return err
		}
		if err := each(change); err != nil {
			return err
		}
	}
	return s.t.explain("read ledger of", rows.Err())
}

// memory looks up how keys were stored before runs that still stand overwrote
// them: writing a value back brings its old form back too.
func (s *session) memory(ctx context.Context, changes []recount.Change) (map[int]map[string]stored, error) {
	var some bool
	if err := s.conn.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM recount_undo WHERE stored IS NOT NULL)").Scan(&some); err != nil || !some {
		return nil, s.t.explain("read ledger of", err)
	}
	statement, err := s.conn.PrepareContext(ctx, `SELECT u.stored FROM recount_undo u JOIN recount_runs r ON r.run = u.run
		WHERE u.key = ? AND u.stored IS NOT NULL AND r.target = ? AND r.rolled_back IS NULL ORDER BY u.id DESC LIMIT 1`)
	if err != nil {
		return nil, s.t.explain("read ledger of", err)
	}
	defer func() { _ = statement.Close() }()
	out := map[int]map[string]stored{}
	for i, c := range changes {
		key, err := sqltable.KeyJSON(c.Key)
		if err != nil {
			return nil, err
		}
		var text string
		err = statement.QueryRowContext(ctx, key, s.t.name).Scan(&text)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return nil, s.t.explain("read ledger of", err)
		}
		var row map[string]stored
		if err := json.Unmarshal([]byte(text), &row); err != nil {
			return nil, fmt.Errorf("read undo row of %q: %w", s.t.name, err)
		}
		out[i] = row
	}
	return out, nil
}
