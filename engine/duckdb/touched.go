package duckdb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"recount"
)

// keysAtOnce is how many keys one statement brings in.
const keysAtOnce = 2000

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
	if err := in.bringKeys(ctx, r); err != nil {
		return nil, fmt.Errorf("count rows per step: %w", err)
	}
	columns, same := []string{"e.seq", "e.time"}, make([]string, len(r.Fields))
	for i, name := range r.Fields {
		columns = append(columns, "e."+ident(name))
		same[i] = fmt.Sprintf("CAST(w.%s AS VARCHAR) IS NOT DISTINCT FROM k.c%d", ident(name), i)
	}
	rows, err := in.db.conn.QueryContext(ctx, fmt.Sprintf(
		"SELECT CAST((epoch_us(w.time) - %d) // %d AS BIGINT) AS step, count(DISTINCT k.i) FROM (%s) AS w JOIN recount_keys AS k ON %s GROUP BY step",
		in.Window.From.UnixMicro(), step.Microseconds(), in.window(strings.Join(columns, ", "), sees{dedupe: r.Dedupe}), strings.Join(same, " AND ")))
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

// bringKeys makes the table of the keys.
func (in *input) bringKeys(ctx context.Context, r touchedRequest) error {
	columns := []string{"i INTEGER"}
	for i := range r.Fields {
		columns = append(columns, fmt.Sprintf("c%d VARCHAR", i))
	}
	if err := in.db.exec(ctx, "CREATE OR REPLACE TEMP TABLE recount_keys ("+strings.Join(columns, ", ")+")"); err != nil {
		return err
	}
	n := 0
	for some := range slices.Chunk(r.Keys, keysAtOnce) {
		var b strings.Builder
		for _, key := range some {
			if len(key) != len(r.Fields) {
				return fmt.Errorf("a key has %d parts, not %d", len(key), len(r.Fields))
			}
			fmt.Fprintf(&b, "%s(%d", map[bool]string{true: ", "}[b.Len() > 0], n)
			n++
			for _, v := range key {
				text := "NULL"
				if !v.Null {
					text = literal(v.Text)
				}
				b.WriteString(", " + text)
			}
			b.WriteByte(')')
		}
		if err := in.db.exec(ctx, "INSERT INTO recount_keys VALUES "+b.String()); err != nil {
			return err
		}
	}
	return nil
}
