package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"recount"
	"recount/target"
	"recount/target/internal/refusal"
	"recount/target/internal/sqltable"
)

func (t *table) Scan(ctx context.Context, scan target.Scan, each func(recount.Row) error) error {
	return t.read(ctx, func(s *session) error {
		d, err := s.describe(ctx)
		if err != nil {
			return err
		}
		if scan.Keys != nil {
			return s.eachOfKeys(ctx, d, scan.Key, scan.Columns, scan.Keys, scan.Alike, func(place int, values []recount.Value) error {
				return each(recount.Row{Key: scan.Keys[place], Values: values})
			})
		}
		return s.scan(ctx, d, scan, each)
	})
}

func (s *session) scan(ctx context.Context, d *described, scan target.Scan, each func(recount.Row) error) error {
	columns, err := d.pick(append(append([]string{}, scan.Key...), scan.Columns...))
	if err != nil {
		return err
	}
	query, args := fmt.Sprintf("SELECT %s FROM %s AS t", asTexts(columns), d.quoted), []any(nil)
	if scan.Where != "" {
		where, bound, err := s.bindWhere(scan.Where, scan.Window)
		if err != nil {
			return err
		}
		// The line break ends a comment that ends the condition.
		query, args = query+" WHERE ("+where+"\n)", bound
	}
	rows, err := s.tx.Query(ctx, query, args...)
	if err != nil {
		return s.explainWhere(scan.Where, err)
	}
	defer rows.Close()
	for rows.Next() {
		raw := rows.RawValues()
		texts := make([]recount.Value, len(columns))
		for i, c := range columns {
			texts[i] = c.value(raw[i])
		}
		if err := each(recount.Row{Key: texts[:len(scan.Key):len(scan.Key)], Values: texts[len(scan.Key):]}); err != nil {
			return err
		}
	}
	return s.explainWhere(scan.Where, rows.Err())
}

// value reads one field of a result in the text format.
func (c column) value(raw []byte) recount.Value {
	if raw == nil {
		return recount.Null
	}
	return c.canon(string(raw))
}

// explainWhere blames the condition for what only it can have caused.
func (s *session) explainWhere(where string, err error) error {
	var server *pgconn.PgError
	if where != "" && errors.As(err, &server) && (strings.HasPrefix(server.Code, "42") || strings.HasPrefix(server.Code, "22")) && server.Code != "42501" {
		return refusal.Where(s.t.place, s.t.scrub(server.Message), errServer)
	}
	return s.explain("scan", err)
}

// bindWhere binds the window's edges as parameters.
func (s *session) bindWhere(where string, window recount.Window) (string, []any, error) {
	parts, err := sqltable.ParseWhere(where, sqltable.Postgres)
	if err != nil {
		return "", nil, refusal.Where(s.t.place, err.Error(), err)
	}
	var args []any
	text, err := sqltable.JoinWhere(parts, func(_ int, name string) (string, error) {
		at := window.From
		if name == "to" {
			at = window.To
		}
		args = append(args, recount.FormatTimestamp(at))
		return fmt.Sprintf("$%d::timestamptz", len(args)), nil
	})
	return text, args, err
}

// keysAtOnce bounds one statement's list of keys.
const keysAtOnce = 10000

// readKeys reads the rows of keys; a row's key is given as it was asked for.
func (s *session) readKeys(ctx context.Context, d *described, key, columns []string, keys [][]recount.Value, each func(recount.Row) error) error {
	return s.eachOfKeys(ctx, d, key, columns, keys, false, func(place int, values []recount.Value) error {
		return each(recount.Row{Key: keys[place], Values: values})
	})
}

// eachOfKeys calls each with the place of the key and the row's values; alike
// takes keys as the table does.
func (s *session) eachOfKeys(ctx context.Context, d *described, key, columns []string, keys [][]recount.Value, alike bool, each func(int, []recount.Value) error) error {
	keyColumns, err := d.pick(key)
	if err != nil {
		return err
	}
	values, err := d.pick(columns)
	if err != nil {
		return err
	}
	params, names, joins := make([]string, len(key)), make([]string, len(key)), make([]string, len(key))
	for i, c := range keyColumns {
		params[i], names[i] = fmt.Sprintf("$%d::text[]", i+1), fmt.Sprintf("k%d", i)
		e := fmt.Sprintf("s.k%d::%s", i, c.plainType)
		if joins[i] = c.sameKey(e); alike && c.base != "json" && c.base != "xml" {
			joins[i] = fmt.Sprintf("t.%s = %s", sqltable.Quote(c.Name), e)
		}
	}
	selected := "s.place::int8"
	if len(values) > 0 {
		selected += ", " + asTexts(values)
	}
	query := fmt.Sprintf("SELECT %s FROM unnest(%s) WITH ORDINALITY AS s(%s, place) JOIN %s AS t ON %s ORDER BY s.place",
		selected, strings.Join(params, ", "), strings.Join(names, ", "), d.quoted, strings.Join(joins, " AND "))
	for first := 0; first < len(keys); first += keysAtOnce {
		batch := keys[first:min(first+keysAtOnce, len(keys))]
		args := make([]any, len(key))
		for i := range key {
			list := make([]*string, len(batch))
			for j, k := range batch {
				if len(k) != len(key) {
					return fmt.Errorf("read rows of %q: key %d has %d values, not %d", s.t.name, first+j+1, len(k), len(key))
				}
				if !k[i].Null {
					list[j] = &k[i].Text
				}
			}
			args[i] = list
		}
		rows, err := s.tx.Query(ctx, query, args...)
		if err == nil {
			err = collect(rows, values, first, each)
		}
		var server *pgconn.PgError
		if errors.As(err, &server) && strings.HasPrefix(server.Code, "22") {
			return refusal.DoesNotFit(s.t.place, "a key is no value of its column: "+s.t.scrub(server.Message), errServer)
		}
		if err != nil {
			return s.explain("read rows of", err)
		}
	}
	return nil
}

func collect(rows pgx.Rows, values []column, first int, each func(int, []recount.Value) error) error {
	defer rows.Close()
	for rows.Next() {
		raw := rows.RawValues()
		var place int
		if _, err := fmt.Sscan(string(raw[0]), &place); err != nil {
			return fmt.Errorf("read key's place: %w", err)
		}
		texts := make([]recount.Value, len(values))
		for i, c := range values {
			texts[i] = c.value(raw[i+1])
		}
		if err := each(first+place-1, texts); err != nil {
			return err
		}
	}
	return rows.Err()
}
