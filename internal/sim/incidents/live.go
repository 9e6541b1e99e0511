package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/big"
	"strings"
)

// live is the worker's table, as the worker and other people write it: with SQL
// of their own, never through the product.
type live struct {
	db *sql.DB
	b  *batch
}

// columns are the table's, keys first.
const columns = "who, hour, total, n, last, pos, lane, version, event, note"

func (l *live) create(ctx context.Context) error {
	key := "who"
	if l.b.bucketed() {
		key = "who, hour"
	}
	_, err := l.db.ExecContext(ctx, `CREATE TABLE totals (who VARCHAR(40) NOT NULL, hour TIMESTAMP, total DECIMAL(18,2), n BIGINT, last VARCHAR(10),
 pos BIGINT, lane VARCHAR(20), version BIGINT, event VARCHAR(40), note VARCHAR(20), PRIMARY KEY (`+key+`))`)
	return err
}

// read returns the rows, and each row's whole text as it is stored.
func (l *live) read(ctx context.Context) (rows table, texts map[string]string, err error) {
	found, err := l.db.QueryContext(ctx, "SELECT who, CAST(hour AS VARCHAR(19)), CAST(total AS VARCHAR(60)), n, last, pos, lane, version, event, note FROM totals")
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, found.Close()) }()
	rows, texts = table{}, map[string]string{}
	for found.Next() {
		var who string
		var hour, total, last, lane, event, note sql.NullString
		var n, pos, version sql.NullInt64
		if err := found.Scan(&who, &hour, &total, &n, &last, &pos, &lane, &version, &event, &note); err != nil {
			return nil, nil, err
		}
		key := who
		if l.b.bucketed() {
			key += "@" + hour.String
		}
		r := &row{total: new(big.Rat), n: n.Int64, last: last.String, version: version.Int64, pos: int(pos.Int64), event: event.String}
		if total.Valid {
			if _, ok := r.total.SetString(total.String); !ok {
				return nil, nil, fmt.Errorf("row %s: total is %q", key, total.String)
			}
		}
		_, _ = fmt.Sscanf(lane.String, "lane%d", &r.lane) // without one it is 0
		rows[key] = r
		texts[key] = fmt.Sprint(hour, total, n, last, pos, lane, version, event, note)
	}
	return rows, texts, found.Err()
}

// put writes rows whole; a nil row is deleted.
func (l *live) put(ctx context.Context, rows table) (err error) {
	tx, err := l.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, tx.Rollback())
			return
		}
		err = tx.Commit()
	}()
	for key, r := range rows {
		who, at, bucketed := strings.Cut(key, "@")
		args := []any{who}
		where := "who = " + l.mark(1)
		if bucketed {
			args, where = append(args, at), where+" AND hour = "+l.mark(2)
		}
		if _, err = tx.ExecContext(ctx, "DELETE FROM totals WHERE "+where, args...); err != nil {
			return err
		}
		if r == nil {
			continue
		}
		var hour any
		if bucketed {
			hour = at
		}
		values := []any{who, hour, r.total.FloatString(2), r.n, r.last, r.pos, laneName(r.lane), r.version, r.event, "kept"}
		marks := make([]string, len(values))
		for i := range marks {
			marks[i] = l.mark(i + 1)
		}
		if _, err = tx.ExecContext(ctx, "INSERT INTO totals ("+columns+") VALUES ("+strings.Join(marks, ", ")+")", values...); err != nil {
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
