package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"github.com/jackc/pgx/v5"
)

// database is a connection to the live table's database.
type database interface {
	exec(ctx context.Context, query string, args ...any) error
	query(ctx context.Context, query string, each func(scan func(...any) error) error) error
	close(ctx context.Context) error
}

type sqliteFile struct {
	db   *sql.DB
	conn *sql.Conn
}

func openSQLite(ctx context.Context, path string) (database, error) {
	db, err := sql.Open("sqlite", path)
	if err != nil {
		return nil, err
	}
	conn, err := db.Conn(ctx)
	return sqliteFile{db, conn}, err
}

func (f sqliteFile) exec(ctx context.Context, query string, args ...any) error {
	_, err := f.conn.ExecContext(ctx, query, args...)
	return err
}

func (f sqliteFile) query(ctx context.Context, query string, each func(scan func(...any) error) error) (err error) {
	rows, err := f.conn.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := each(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (f sqliteFile) close(context.Context) error { return errors.Join(f.conn.Close(), f.db.Close()) }

type server struct{ conn *pgx.Conn }

func openServer(ctx context.Context, dsn string) (database, error) {
	conn, err := pgx.Connect(ctx, dsn)
	return server{conn}, err
}

func (s server) exec(ctx context.Context, query string, args ...any) error {
	_, err := s.conn.Exec(ctx, query, args...)
	return err
}

func (s server) query(ctx context.Context, query string, each func(scan func(...any) error) error) error {
	rows, err := s.conn.Query(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (s server) close(ctx context.Context) error { return s.conn.Close(ctx) }

// live is the worker's table, as the worker and other people write it: with SQL
// of their own, never through the product.
type live struct {
	db database
	b  *batch
}

// columns are the table's, keys first.
const columns = "who, hour, total, n, last, pos, lane, version, event, note, frozen"

func (l *live) create(ctx context.Context) error {
	key := "who"
	if l.b.bucketed() {
		key = "who, hour"
	}
	entries := "CREATE TABLE entries (who VARCHAR(40) NOT NULL, hour TIMESTAMP, amount DECIMAL(18,2), n BIGINT, reason VARCHAR(200), run VARCHAR(40), PRIMARY KEY (" + key + ", run))"
	if err := l.db.exec(ctx, entries); err != nil {
		return err
	}
	return l.db.exec(ctx, `CREATE TABLE totals (who VARCHAR(40) NOT NULL, hour TIMESTAMP, total DECIMAL(18,2), n BIGINT, last VARCHAR(10),
 pos BIGINT, lane VARCHAR(20), version BIGINT, event VARCHAR(40), note VARCHAR(20), frozen INTEGER, PRIMARY KEY (`+key+`))`)
}

// read returns the rows, frozen ones with the entries beside them, and the whole
// text of each row and entry as it is stored.
func (l *live) read(ctx context.Context) (rows table, texts map[string]string, err error) {
	rows, texts = table{}, map[string]string{}
	const query = "SELECT who, CAST(hour AS VARCHAR(19)), CAST(total AS VARCHAR(60)), n, last, pos, lane, version, event, note, frozen FROM totals"
	err = l.db.query(ctx, query, func(scan func(...any) error) error {
		var who string
		var hour, total, last, lane, event, note sql.NullString
		var n, pos, version, frozen sql.NullInt64
		if err := scan(&who, &hour, &total, &n, &last, &pos, &lane, &version, &event, &note, &frozen); err != nil {
			return err
		}
		key := who
		if l.b.bucketed() {
			key += "@" + hour.String
		}
		r := &row{total: new(big.Rat), n: n.Int64, last: last.String, version: version.Int64, pos: int(pos.Int64), event: event.String, frozen: frozen.Int64 == 1}
		if total.Valid {
			if _, ok := r.total.SetString(total.String); !ok {
				return fmt.Errorf("row %s: total is %q", key, total.String)
			}
		}
		_, _ = fmt.Sscanf(lane.String, "lane%d", &r.lane) // without one it is 0
		rows[key] = r
		texts[key] = fmt.Sprint(hour, total, n, last, pos, lane, version, event, note, frozen)
		return nil
	})
	if err == nil {
		err = l.readEntries(ctx, rows, texts)
	}
	return rows, texts, err
}

// entryMark stands between a row's key and an entry's run.
const entryMark = "|entry|"

// readEntries adds the entries to the rows beside which they stand.
func (l *live) readEntries(ctx context.Context, rows table, texts map[string]string) error {
	const query = "SELECT who, CAST(hour AS VARCHAR(19)), CAST(amount AS VARCHAR(60)), n, reason, run FROM entries"
	return l.db.query(ctx, query, func(scan func(...any) error) error {
		var who, amount, run string
		var hour, reason sql.NullString
		var n int64
		if err := scan(&who, &hour, &amount, &n, &reason, &run); err != nil {
			return err
		}
		key := who
		if l.b.bucketed() {
			key += "@" + hour.String
		}
		texts[key+entryMark+run] = fmt.Sprint(amount, n, reason)
		r := rows[key]
		value, ok := new(big.Rat).SetString(amount)
		if r == nil || !r.frozen || !ok {
			return fmt.Errorf("entry of %s: there is no frozen row, or %q is no amount", key, amount)
		}
		r.total.Add(r.total, value)
		r.n += n
		return nil
	})
}

// put writes rows whole; a nil row is deleted.
func (l *live) put(ctx context.Context, rows table) (err error) {
	if err := l.db.exec(ctx, "BEGIN"); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.db.exec(ctx, "ROLLBACK"))
			return
		}
		err = l.db.exec(ctx, "COMMIT")
	}()
	for key, r := range rows {
		who, at, bucketed := strings.Cut(key, "@")
		args := []any{who}
		where := "who = " + l.mark(1)
		if bucketed {
			args, where = append(args, at), where+" AND hour = "+l.mark(2)
		}
		if err := l.db.exec(ctx, "DELETE FROM totals WHERE "+where, args...); err != nil {
			return err
		}
		if r == nil {
			continue
		}
		var hour any
		if bucketed {
			hour = at
		}
		values := []any{who, hour, r.total.FloatString(2), r.n, r.last, r.pos, laneName(r.lane), r.version, r.event, "kept", map[bool]int{true: 1}[r.frozen]}
		marks := make([]string, len(values))
		for i := range marks {
			marks[i] = l.mark(i + 1)
		}
		if err := l.db.exec(ctx, "INSERT INTO totals ("+columns+") VALUES ("+strings.Join(marks, ", ")+")", values...); err != nil {
			return err
		}
	}
	return nil
}

// mark is the placeholder of an argument; both databases know it.
func (*live) mark(i int) string { return fmt.Sprintf("$%d", i) }

// whoOf is the user that a row belongs to, whatever key a wrong logic gave it.
func whoOf(key string) string {
	who, _, _ := strings.Cut(key, "@")
	return strings.TrimSuffix(who, "-x")
}
