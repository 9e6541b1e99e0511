package duckdb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"recount"
)

// touchedKeys counts per step the keys that have a used event in it.
func (in *input) touchedKeys(ctx context.Context, r touchedRequest) (counts []int64, err error) {
	if err := in.use(ctx, 0); err != nil {
		return nil, err
	}
	step := stepOf(in.Window.Length(), r.Most)
	if step <= 0 || len(r.Fields) == 0 {
		return nil, nil
	}
	for _, name := range r.Fields {
		if !slices.ContainsFunc(in.Fields, func(f recount.Field) bool { return f.Name == name }) {
			return nil, fmt.Errorf("count rows per step: %q is no declared field", name)
		}
	}
	if err := in.bringKeys(ctx, len(r.Fields), r.Keys); err != nil {
		return nil, fmt.Errorf("count rows per step: %w", err)
	}
	columns, same := []string{"e.seq", "e.time"}, make([]string, len(r.Fields))
	for i, name := range r.Fields {
		columns = append(columns, "e."+ident(name))
		same[i] = fmt.Sprintf("CAST(w.%s AS VARCHAR) IS NOT DISTINCT FROM k.c%d", ident(name), i)
	}
	rows, err := in.db.conn.QueryContext(ctx, fmt.Sprintf(
		"SELECT CAST((epoch_us(w.time) - %d) // %d AS BIGINT) AS step, count(DISTINCT k.i) FROM (%s) AS w JOIN recount_keys AS k ON %s GROUP BY step",
		in.Window.From.UnixMicro(), step.Microseconds(), in.inWindow(strings.Join(columns, ", "), sees{dedupe: r.Dedupe}), strings.Join(same, " AND ")))
	if err != nil {
		return nil, fmt.Errorf("count rows per step: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	counts = make([]int64, (in.Window.Length()+step-1)/step)
	for rows.Next() {
		var i, n int64
		if err := rows.Scan(&i, &n); err != nil {
			return nil, fmt.Errorf("count rows per step: %w", err)
		}
		counts[i] = n
	}
	return counts, rows.Err()
}

// bringKeys makes the table of the keys, numbered from 0. They come as one JSON text, which
// DuckDB reads faster than a statement of as many rows.
func (in *input) bringKeys(ctx context.Context, parts int, keys [][]recount.Value) error {
	texts := make([][]*string, len(keys))
	for i, key := range keys {
		if len(key) != parts {
			return fmt.Errorf("a key has %d parts, not %d", len(key), parts)
		}
		number := strconv.Itoa(i)
		texts[i] = append(make([]*string, 0, 1+len(key)), &number)
		for j := range key {
			if key[j].Null {
				texts[i] = append(texts[i], nil)
			} else {
				texts[i] = append(texts[i], &keys[i][j].Text)
			}
		}
	}
	all, err := json.Marshal(texts)
	if err != nil {
		return err
	}
	columns := []string{"CAST(k[1] AS BIGINT) AS i"}
	for i := range parts {
		columns = append(columns, fmt.Sprintf("k[%d] AS c%d", i+2, i))
	}
	_, err = in.db.conn.ExecContext(ctx, "CREATE OR REPLACE TEMP TABLE recount_keys AS SELECT "+strings.Join(columns, ", ")+
		` FROM (SELECT unnest(from_json(CAST(? AS JSON), '[["VARCHAR"]]')) AS k)`, string(all))
	return err
}
