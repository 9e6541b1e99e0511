package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"recount"
	"recount/target/internal/refusal"
	"recount/target/internal/sqltable"
)

// ledgerSQL makes the ledger's tables, in a schema of their own.
// recount_undo.stored holds what was stored besides the canonical texts.
const ledgerSQL = `CREATE SCHEMA IF NOT EXISTS recount;
CREATE TABLE IF NOT EXISTS recount.recount_ledger (uuid text NOT NULL);
CREATE TABLE IF NOT EXISTS recount.recount_runs (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, run text NOT NULL UNIQUE, plan text NOT NULL, target text NOT NULL, kind text NOT NULL,
  at timestamptz NOT NULL, of_run text NOT NULL, rolled_back text, body text NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS recount_runs_plan ON recount.recount_runs (plan) WHERE rolled_back IS NULL;
CREATE TABLE IF NOT EXISTS recount.recount_undo (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, run text NOT NULL, action text NOT NULL, key text NOT NULL, before text, after text, stored text);
CREATE INDEX IF NOT EXISTS recount_undo_run ON recount.recount_undo (run, id);
CREATE INDEX IF NOT EXISTS recount_undo_key ON recount.recount_undo USING hash (key) WHERE stored IS NOT NULL;
`

const ledgerTables = 3

// readLedger fills in the ledger's uuid and newest run, where the role may read
// them: one that only reads results need not.
func (s *session) readLedger(ctx context.Context, d *described) error {
	var there, readable int
	err := s.tx.QueryRow(ctx, `SELECT count(*), count(*) FILTER (WHERE has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'))
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'recount'
		AND c.relname IN ('recount_ledger','recount_runs','recount_undo') AND c.relkind = 'r'`).Scan(&there, &readable)
	if err != nil || readable < ledgerTables {
		d.info.LedgerHidden = there == ledgerTables
		return s.explain("read ledger of", err)
	}
	d.ledger = true
	err = s.tx.QueryRow(ctx, "SELECT coalesce((SELECT uuid FROM recount.recount_ledger LIMIT 1), ''), coalesce((SELECT run FROM recount.recount_runs WHERE target = $1 ORDER BY id DESC LIMIT 1), '')",
		d.full).Scan(&d.info.Identity.Ledger, &d.info.LastRun)
	return s.explain("read ledger of", err)
}

// ledgerState is what is there of the ledger, and what the role may do about it.
type ledgerState struct {
	tables, writable int
	schema, mayMake  bool
}

func (s *session) ledgerState(ctx context.Context) (l ledgerState, err error) {
	err = s.tx.QueryRow(ctx, `SELECT count(c.oid), count(c.oid) FILTER (WHERE has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
			AND has_table_privilege(c.oid, 'INSERT') AND (c.relname <> 'recount_runs' OR has_table_privilege(c.oid, 'UPDATE'))), count(n.oid) > 0,
			coalesce(bool_and(has_schema_privilege(n.oid, 'CREATE')), has_database_privilege(current_database(), 'CREATE'))
		FROM pg_namespace n LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relkind = 'r' AND c.relname IN ('recount_ledger','recount_runs','recount_undo')
		WHERE n.nspname = 'recount'`).Scan(&l.tables, &l.writable, &l.schema, &l.mayMake)
	return l, s.explain("make ledger for", err)
}

// makeLedger makes what is missing, inside the transaction, if the role may.
func (s *session) makeLedger(ctx context.Context, d *described) error {
	if state, err := s.ledgerState(ctx); err != nil || state.writable == ledgerTables && d.info.Identity.Ledger != "" {
		return err // runs on other tables must not wait for this one's end
	}
	// One maker at a time: two that make the same table at once would fail.
	if _, err := s.tx.Exec(ctx, "SELECT pg_advisory_xact_lock(hashtextextended('recount ledger', 0))"); err != nil {
		return s.explain("make ledger for", err)
	}
	state, err := s.ledgerState(ctx)
	if err != nil {
		return err
	}
	switch {
	case state.writable == ledgerTables:
	case state.tables == ledgerTables:
		return refusal.NoLedger(s.t.place, "the role may not write the tables of schema recount",
			"GRANT USAGE ON SCHEMA recount TO CURRENT_ROLE; GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA recount TO CURRENT_ROLE; -- with the role's name")
	case !state.mayMake:
		why := "the role may not make a schema in this database"
		if state.schema {
			why = "the role may not make tables in schema recount"
		}
		return refusal.NoLedger(s.t.place, why, ledgerSQL+"and grant the role USAGE on the schema, and SELECT, INSERT and UPDATE on its tables")
	default:
		if err := s.runAll(ctx, ledgerSQL); err != nil {
			return err
		}
	}
	if _, err := s.tx.Exec(ctx, "INSERT INTO recount.recount_ledger (uuid) SELECT $1::text WHERE NOT EXISTS (SELECT 1 FROM recount.recount_ledger)", sqltable.NewUUID()); err != nil {
		return s.explain("make ledger for", err)
	}
	return s.readLedger(ctx, d)
}

// runAll runs several statements, none of which has parameters.
func (s *session) runAll(ctx context.Context, statements string) error {
	_, err := s.conn.PgConn().Exec(ctx, "SET LOCAL client_min_messages = warning;"+statements).ReadAll()
	return s.explain("make ledger for", err)
}

func (s *session) runs(ctx context.Context, d *described) ([]recount.Run, error) {
	if d.info.LedgerHidden {
		return nil, s.hidden()
	}
	if !d.ledger {
		return nil, nil
	}
	rows, err := s.tx.Query(ctx, "SELECT body, coalesce(rolled_back, '') FROM recount.recount_runs WHERE target = $1 ORDER BY id DESC", d.full)
	if err != nil {
		return nil, s.explain("read ledger of", err)
	}
	defer rows.Close()
	var runs []recount.Run
	for rows.Next() {
		var body, rolledBack string
		if err := rows.Scan(&body, &rolledBack); err != nil {
			return nil, s.explain("read ledger of", err)
		}
		run, err := sqltable.DecodeRun(body, rolledBack)
		if err != nil {
			return nil, err
		}
		runs = append(runs, run)
	}
	return runs, s.explain("read ledger of", rows.Err())
}

// hidden is the answer to a role that must not be told "no runs".
func (s *session) hidden() error {
	return &recount.Error{
		Code: recount.CodeTargetDown, What: "the role may not read the ledger", Where: s.t.place, Why: "there are runs in schema recount, and the role has no right to see them",
		Next: "GRANT USAGE ON SCHEMA recount TO the role; GRANT SELECT ON ALL TABLES IN SCHEMA recount TO the role; or name a role that may under apply: {dsn: …}",
		Err:  recount.ErrPermission,
	}
}

func (s *session) undo(ctx context.Context, d *described, run string, each func(recount.Change) error) error {
	if d.info.LedgerHidden {
		return s.hidden()
	}
	known := false
	if d.ledger {
		err := s.tx.QueryRow(ctx, "SELECT EXISTS (SELECT 1 FROM recount.recount_runs WHERE run = $1 AND target = $2)", run, d.full).Scan(&known)
		if err != nil {
			return s.explain("read ledger of", err)
		}
	}
	if !known {
		return refusal.NoRun(s.t.place, run, "the ledger of this table has no such run")
	}
	rows, err := s.tx.Query(ctx, "SELECT action, key, before, after FROM recount.recount_undo WHERE run = $1 ORDER BY id", run)
	if err != nil {
		return s.explain("read ledger of", err)
	}
	defer rows.Close()
	for rows.Next() {
		var row sqltable.UndoRow
		if err := rows.Scan(&row.Action, &row.Key, &row.Before, &row.After); err != nil {
			return s.explain("read ledger of", err)
		}
		change, err := row.Change()
		if err != nil {
			return err
		}
		if err := each(change); err != nil {
			return err
		}
	}
	return s.explain("read ledger of", rows.Err())
}

// memory looks up how the keys of changes were stored before runs that still
// stand overwrote or deleted them, by the change's place: writing a value back
// brings its old form back too.
func (s *session) memory(ctx context.Context, d *described, changes []recount.Change) (map[int]map[string]*string, error) {
	var some bool
	if err := s.tx.QueryRow(ctx, "SELECT EXISTS (SELECT 1 FROM recount.recount_undo WHERE stored IS NOT NULL)").Scan(&some); err != nil || !some {
		return nil, s.explain("read ledger of", err)
	}
	places, keys := make(map[string]int, len(changes)), make([]string, len(changes))
	for i, c := range changes {
		key, err := sqltable.KeyJSON(c.Key)
		if err != nil {
			return nil, err
		}
		places[key], keys[i] = i, key
	}
	rows, err := s.tx.Query(ctx, `SELECT DISTINCT ON (u.key) u.key, u.stored FROM recount.recount_undo u JOIN recount.recount_runs r ON r.run = u.run
		WHERE u.key = ANY ($1::text[]) AND u.stored IS NOT NULL AND r.target = $2 AND r.rolled_back IS NULL ORDER BY u.key, u.id DESC`, keys, d.full)
	if err != nil {
		return nil, s.explain("read ledger of", err)
	}
	out := map[int]map[string]*string{}
	var key, text string
	_, err = pgx.ForEachRow(rows, []any{&key, &text}, func() error {
		var stored map[string]*string
		if err := json.Unmarshal([]byte(text), &stored); err != nil {
			return fmt.Errorf("read undo row of %q: %w", s.t.name, err)
		}
		out[places[key]] = stored
		return nil
	})
	return out, s.explain("read ledger of", err)
}

func (x *tx) Applied(ctx context.Context, plan string) (recount.Run, bool, error) {
	var body string
	err := x.tx.QueryRow(ctx, "SELECT body FROM recount.recount_runs WHERE plan = $1 AND rolled_back IS NULL", plan).Scan(&body)
	if errors.Is(err, pgx.ErrNoRows) {
		return recount.Run{}, false, nil
	}
	if err != nil {
		return recount.Run{}, false, x.explain("read ledger of", err)
	}
	run, err := sqltable.DecodeRun(body, "")
	return run, err == nil, err
}

func (x *tx) Record(ctx context.Context, run recount.Run, undo []recount.Change) error {
	if err := x.constraints(ctx, "IMMEDIATE"); err != nil { // all rows are written
		return err
	}
	body, err := sqltable.EncodeRun(run)
	if err != nil {
		return err
	}
	if run.Of != "" {
		tag, err := x.tx.Exec(ctx, "UPDATE recount.recount_runs SET rolled_back = $1 WHERE run = $2 AND target = $3 AND rolled_back IS NULL", run.ID, run.Of, x.d.full)
		if err != nil {
			return x.explain("write ledger of", err)
		}
		if tag.RowsAffected() != 1 {
			return refusal.NoRun(x.t.place, run.Of, "the ledger has no such run on this table, or it was rolled back before")
		}
	}
	_, err = x.tx.Exec(ctx, "INSERT INTO recount.recount_runs (run, plan, target, kind, at, of_run, body) VALUES ($1,$2,$3,$4,$5,$6,$7)",
		run.ID, run.Plan, x.d.full, string(run.Kind), run.At.UTC(), run.Of, body)
	if err != nil {
		return x.explain("write ledger of", err)
	}
	rows := func(i int) ([]*string, error) {
		row, err := sqltable.EncodeUndo(undo[i])
		if err != nil {
			return nil, err
		}
		var stored *string
		if text, ok := x.kept[row.Key]; ok {
			stored = &text
		}
		return []*string{&run.ID, &row.Action, &row.Key, row.Before, row.After, stored}, nil
	}
	return x.copyIn(ctx, "recount.recount_undo (run, action, key, before, after, stored)", len(undo), rows)
}
