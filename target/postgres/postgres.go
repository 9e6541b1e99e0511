package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"recount"
	"recount/adapter"
	"recount/target"
	"recount/target/internal/refusal"
)

func init() {
	adapter.Register(adapter.Declare(adapter.Target, "postgres", "A table in PostgreSQL, 15 or newer.",
		func(_ context.Context, env adapter.Env, c Config) (target.Target, error) { return Open(env, c) }))
}

// Config is the block `postgres` of a target.
type Config struct {
	DSN recount.Secret `json:"dsn" doc:"The database's address, as env:NAME or file:PATH: postgres://user:password@host:5432/database." secret:"true"`
}

// Open returns the target; it connects at first use. The table's name is taken
// as it is written; "schema.table" names its schema too.
func Open(env adapter.Env, c Config) (target.Target, error) {
	fault := func(why string) error {
		return &recount.Error{
			Code: recount.CodeConfig, What: "the postgres target lacks its address or its table", Where: "recount.yaml",
			Why: why, Next: `write target: {postgres: {dsn: "env:LIVE_DSN"}, table: NAME}, with an address such as postgres://user@host:5432/database`,
		}
	}
	if c.DSN == "" || env.Table == "" {
		return nil, fault("a table is known by its database and its name")
	}
	config, err := pgx.ParseConfig(c.DSN.Reveal())
	if err != nil {
		// The parser's own words repeat the address.
		return nil, fault("the value of dsn: is no address of PostgreSQL")
	}
	// Nothing is prepared by name, so that a pooler in between does not matter.
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "recount"
	}
	place := net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port))) + "/" + config.Database
	if strings.HasPrefix(config.Host, "/") {
		place = config.Host + "/" + config.Database
	}
	return &table{config: config, place: place, name: env.Table}, nil
}

// table is one table of one database.
type table struct {
	config      *pgx.ConnConfig
	place, name string
}

// Close does nothing: no connection outlives its act.
func (*table) Close() error { return nil }

// session is one connection inside a transaction.
type session struct {
	t       *table
	conn    *pgx.Conn
	tx      pgx.Tx
	writing bool
}

// The settings of every transaction. pg_catalog comes first, so that no object
// can pose as a built-in one, then what the role sees, then temporary tables.
const settings = `SELECT set_config('timezone','UTC',true), set_config('datestyle','ISO, YMD',true), set_config('intervalstyle','postgres',true),
 set_config('extra_float_digits','1',true), set_config('bytea_output','hex',true), set_config('standard_conforming_strings','on',true),
 set_config('search_path', concat_ws(', ', 'pg_catalog', (SELECT string_agg(quote_ident(s), ', ') FROM unnest(current_schemas(false)) s), 'pg_temp'), true)`

// writeSettings bound how long a correction may wait for live traffic, and live
// traffic for it.
const writeSettings = `SELECT set_config('lock_timeout','10s',true), set_config('statement_timeout','15min',true),
 set_config('idle_in_transaction_session_timeout','15min',true)`

func (t *table) begin(ctx context.Context, options pgx.TxOptions) (s *session, err error) {
	conn, err := pgx.ConnectConfig(ctx, t.config)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, refusal.Down(t.place, t.scrub(err.Error()), nil)
	}
	s = &session{t: t, conn: conn, writing: options.AccessMode == pgx.ReadWrite}
	defer func() {
		if err != nil {
			err = errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
		}
	}()
	if s.tx, err = conn.BeginTx(ctx, options); err != nil {
		return nil, s.explain("begin", err)
	}
	var version int
	if err := s.tx.QueryRow(ctx, "SELECT current_setting('server_version_num')::int").Scan(&version); err != nil {
		return nil, s.explain("begin", err)
	}
	const oldest = 150000
	if version < oldest {
		return nil, &recount.Error{
			Code: recount.CodeUnsupported, What: "this PostgreSQL is too old", Where: t.place,
			Why:  fmt.Sprintf("it is version %d; what Recount says of locks and types was tested from 15 on", version/10000),
			Next: "upgrade the server", Err: recount.ErrUnsupported,
		}
	}
	if _, err := s.tx.Exec(ctx, settings); err != nil {
		return nil, s.explain("begin", err)
	}
	if s.writing {
		if _, err := s.tx.Exec(ctx, writeSettings); err != nil {
			return nil, s.explain("begin", err)
		}
	}
	return s, nil
}

// end drops what was not committed and closes the connection.
func (s *session) end(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	err := s.tx.Rollback(ctx)
	if errors.Is(err, pgx.ErrTxClosed) || s.conn.IsClosed() {
		err = nil // a lost connection has rolled back too
	}
	return errors.Join(err, s.conn.Close(ctx))
}

// read runs act in one snapshot that cannot write.
func (t *table) read(ctx context.Context, act func(*session) error) (err error) {
	s, err := t.begin(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.end(ctx)) }()
	return act(s)
}

func (t *table) Info(ctx context.Context) (info recount.TableInfo, err error) {
	err = t.read(ctx, func(s *session) error {
		d, err := s.describe(ctx)
		if err == nil {
			info = d.info
		}
		return err
	})
	return info, err
}

func (t *table) Runs(ctx context.Context) (runs []recount.Run, err error) {
	err = t.read(ctx, func(s *session) error {
		d, err := s.describe(ctx)
		if err == nil {
			runs, err = s.runs(ctx, d)
		}
		return err
	})
	return runs, err
}

func (t *table) Undo(ctx context.Context, run string, each func(recount.Change) error) error {
	return t.read(ctx, func(s *session) error {
		d, err := s.describe(ctx)
		if err != nil {
			return err
		}
		return s.undo(ctx, d, run, each)
	})
}

func (t *table) CanWrite(ctx context.Context) (can bool, err error) {
	err = t.read(ctx, func(s *session) error {
		d, err := s.describe(ctx)
		if err == nil {
			can, err = s.mayWrite(ctx, d)
		}
		return err
	})
	return can, err
}

// mayWrite says whether the role may change any row here.
func (s *session) mayWrite(ctx context.Context, d *described) (can bool, err error) {
	err = s.tx.QueryRow(ctx, `SELECT NOT pg_is_in_recovery() AND (has_any_column_privilege($1::oid, 'UPDATE')
		OR has_any_column_privilege($1::oid, 'INSERT') OR has_table_privilege($1::oid, 'DELETE'))`, d.oid).Scan(&can)
	return can, s.explain("read privileges on", err)
}

// LedgerSQL returns the statements that make the ledger tables.
func (*table) LedgerSQL() string { return ledgerSQL }
