// Package sqlite is the target that lives in a SQLite file. It reads through
// connections that cannot write, and writes in one immediate transaction, which
// is SQLite's own writer lock. It is no place for views: rows are corrected
// where they are stored.
//
// SQLite's columns take any value. What always holds here: a row is found and
// guarded by what is stored, byte for byte, read inside the transaction that
// holds the lock; and what a run overwrote is kept with its storage class, so
// that a rollback brings back the same bytes.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"sync"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"recount"
	"recount/adapter"
	"recount/target"
)

func init() {
	adapter.Register(adapter.Declare(adapter.Target, "sqlite", "A table in a SQLite file.",
		func(_ context.Context, env adapter.Env, c Config) (target.Target, error) { return Open(env, c) }))
}

// Config is the block `sqlite` of a target.
type Config struct {
	Path string `json:"path" doc:"The database's file, relative to the project."`
}

// Open returns the target; the file is opened at first use, and never made.
func Open(env adapter.Env, c Config) (target.Target, error) {
	if c.Path == "" || env.Table == "" {
		return nil, &recount.Error{
			Code: recount.CodeConfig, What: "the sqlite target lacks its path or its table", Where: "recount.yaml",
			Why: "a table is known by the file that it lies in and by its name", Next: "write target: {sqlite: {path: live.db}, table: NAME}",
		}
	}
	path := c.Path
	if !filepath.IsAbs(path) {
		path = filepath.Join(env.Dir, path)
	}
	return &table{path: path, place: placeOf(env.Dir, path), name: env.Table}, nil
}

// placeOf is the path relative to the project where it lies inside, so that the
// whole project can move.
func placeOf(dir, path string) string {
	if rel, err := filepath.Rel(dir, path); err == nil && filepath.IsLocal(rel) {
		return filepath.ToSlash(rel)
	}
	return filepath.ToSlash(path)
}

// table is one table of one file.
type table struct {
	path, place, name string

	mu            sync.Mutex
	reads, writes *sql.DB
}

// The waits for locks that other connections hold, in milliseconds: reading
// waits for a commit to end; a writer that is at work is reported soon.
const (
	readWaitMS  = 5000
	beginWaitMS = 300
	// A commit waits for readers to end, in the journal modes where they block it.
	commitWaitMS = 10000
)

func (t *table) database(writing bool) (*sql.DB, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	db, pragmas := &t.reads, url.Values{"mode": {"rw"}, "_pragma": {fmt.Sprintf("busy_timeout(%d)", readWaitMS), "query_only(1)"}}
	if writing {
		db, pragmas = &t.writes, url.Values{"mode": {"rw"}, "_pragma": {
			fmt.Sprintf("busy_timeout(%d)", beginWaitMS), "foreign_keys(1)", "synchronous(full)",
		}}
	}
	if *db != nil {
		return *db, nil
	}
	// mode=rw never makes a file, and can mend one after a crash.
	name := "file:" + strings.ReplaceAll(url.PathEscape(t.path), "%2F", "/") + "?" + pragmas.Encode()
	opened, err := sql.Open("sqlite", name)
	if err != nil {
		return nil, fmt.Errorf("open sqlite %q: %w", t.place, err)
	}
	*db = opened
	return opened, nil
}

func (t *table) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var problems []error
	for _, db := range []*sql.DB{t.reads, t.writes} {
		if db != nil {
			problems = append(problems, db.Close())
		}
	}
	t.reads, t.writes = nil, nil
	return errors.Join(problems...)
}

// session is one connection inside a transaction: everything that it reads is
// of one moment.
type session struct {
	conn *sql.Conn
	t    *table
	// spellings remembers how columns spell times: reading that takes a look at
	// each row.
	spellings map[string]spelling
}

// begin opens a connection and starts a transaction on it.
func (t *table) begin(ctx context.Context, writing bool) (*session, error) {
	db, err := t.database(writing)
	if err != nil {
		return nil, err
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, t.explain("open", err)
	}
	statement := "BEGIN DEFERRED"
	if writing {
		statement = "BEGIN IMMEDIATE"
	}
	if _, err := conn.ExecContext(ctx, statement); err != nil {
		return nil, errors.Join(t.explain("begin", err), conn.Close())
	}
	return &session{conn: conn, t: t}, nil
}

// end drops what was not committed and gives the connection back.
func (s *session) end(ctx context.Context) error {
	_, err := s.conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
	if err != nil && strings.Contains(err.Error(), "no transaction is active") {
		err = nil // SQLite itself has rolled back, as it does on a full disk
	}
	return errors.Join(err, s.conn.Close())
}

// read runs act inside a transaction that only reads.
func (t *table) read(ctx context.Context, act func(*session) error) (err error) {
	s, err := t.begin(ctx, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.end(ctx)) }()
	return act(s)
}

func (t *table) Info(ctx context.Context) (info recount.TableInfo, err error) {
	err = t.read(ctx, func(s *session) error {
		described, err := s.describe(ctx)
		if err == nil {
			info = described.info
		}
		return err
	})
	return info, err
}

func (t *table) Runs(ctx context.Context) (runs []recount.Run, err error) {
	err = t.read(ctx, func(s *session) error {
		runs, err = s.runs(ctx)
		return err
	})
	return runs, err
}

func (t *table) Undo(ctx context.Context, run string, each func(recount.Change) error) error {
	return t.read(ctx, func(s *session) error { return s.undo(ctx, run, each) })
}

// CanWrite tries to take the writer lock and gives it back at once.
func (t *table) CanWrite(ctx context.Context) (bool, error) {
	s, err := t.begin(ctx, true)
	if err == nil {
		// SQLite begins on a read-only file too, and refuses the first statement
		// that could write, even one that finds no row.
		if _, err = s.conn.ExecContext(ctx, "DELETE FROM "+t.quoted()+" WHERE 0"); err != nil {
			err = errors.Join(t.explain("write", err), s.end(ctx))
		}
	}
	switch {
	case errors.Is(err, recount.ErrPermission):
		return false, nil
	case errors.Is(err, recount.ErrLocked):
		return true, nil
	case err != nil:
		return false, err
	}
	return true, s.end(ctx)
}

// LedgerSQL returns the statements that make the ledger tables.
func (t *table) LedgerSQL() string { return ledgerSQL }
