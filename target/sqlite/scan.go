package sqlite

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"recount"
	"recount/target"
	"recount/target/internal/sqltable"
)

func (t *table) Scan(ctx context.Context, scan target.Scan, each func(recount.Row) error) error {
	return t.read(ctx, func(s *session) error {
		d, err := s.describe(ctx)
		if err != nil {
			return err
		}
		if scan.Keys != nil {
			return s.readKeys(ctx, d, scan.Key, scan.Columns, scan.Keys, scan.Alike, each)
		}
		return s.scan(ctx, d, scan, each)
	})
}

func (s *session) scan(ctx context.Context, d *described, scan target.Scan, each func(recount.Row) error) error {
	columns, err := d.pick(append(append([]string{}, scan.Key...), scan.Columns...))
	if err != nil {
		return err
	}
	query := "SELECT " + bare("", columns) + " FROM " + s.t.quoted()
	var args []any
	if scan.Where != "" {
		where, bound, err := s.bindWhere(ctx, d, scan.Where, scan.Window)
		if err != nil {
			return err
		}
		// The line break ends a comment that ends the condition.
		query, args = query+" WHERE ("+where+"\n)", bound
	}
	rows, err := s.conn.QueryContext(ctx, query, args...)
	if err != nil {
		return s.t.explainWhere(scan.Where, err)
	}
	defer func() { _ = rows.Close() }()
	values, into := holders(len(columns))
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return s.t.explain("scan", err)
		}
		texts := make([]recount.Value, len(columns))
		for i, c := range columns {
			texts[i] = c.canon(values[i])
		}
		if err := each(recount.Row{Key: texts[:len(scan.Key):len(scan.Key)], Values: texts[len(scan.Key):]}); err != nil {
			return err
		}
	}
	return s.t.explainWhere(scan.Where, rows.Err())
}

// bare lists columns as expressions: a plain column name would make the driver
// turn times and truths into its own types.
func bare(prefix string, columns []column) string {
	parts := make([]string, len(columns))
	for i, c := range columns {
		parts[i] = "+" + prefix + sqltable.Quote(c.Name)
	}
	return strings.Join(parts, ", ")
}

func holders(n int) (values, into []any) {
	values, into = make([]any, n), make([]any, n)
	for i := range values {
		into[i] = &values[i]
	}
	return values, into
}

// live is one row as it is stored.
type live struct {
	locator []any
	values  []any           // stored, in the order asked for
	texts   []recount.Value // canonical, likewise
}

// resolve finds the rows of the keys: out[i] holds those of keys[i], usually
// one. values names the columns to read besides; alike takes keys as the table
// does.
func (s *session) resolve(ctx context.Context, d *described, key, values []column, keys [][]recount.Value, alike bool) ([][]live, error) {
	learned := make([]column, len(key))
	for i, c := range key {
		var err error
		if learned[i], err = s.learn(ctx, c); err != nil {
			return nil, err
		}
	}
	out := make([][]live, len(keys))
	var args []any
	// SQLite takes 32766 parameters.
	const most = 32000
	flush := func() error {
		if len(args) == 0 {
			return nil
		}
		err := s.lookUp(ctx, d, learned, values, keys, args, alike, out)
		args = args[:0]
		return err
	}
	for i, k := range keys {
		if len(k) != len(key) {
			return nil, fmt.Errorf("read rows of %q: key %d has %d values, not %d", s.t.name, i+1, len(k), len(key))
		}
		combinations := combine(i, learned, k)
		if len(args)+len(combinations) > most {
			if err := flush(); err != nil {
				return nil, err
			}
		}
		args = append(args, combinations...)
	}
	return out, flush()
}

// combine lists every form in which the key may be stored, each as the key's
// place followed by its values.
func combine(place int, key []column, values []recount.Value) []any {
	forms := [][]any{{place}}
	for i, c := range key {
		var next [][]any
		for _, form := range forms {
			for _, candidate := range c.candidates(values[i]) {
				next = append(next, append(slices.Clip(form), candidate))
			}
		}
		forms = next
	}
	var flat []any
	for _, form := range forms {
		flat = append(flat, form...)
	}
	return flat
}

// lookUp joins the forms in args with the table and files the rows under their
// key's place. What SQLite takes for equal under a collation is compared again
// by its text.
func (s *session) lookUp(ctx context.Context, d *described, key, values []column, keys [][]recount.Value, args []any, alike bool, out [][]live) error {
	width := len(key) + 1
	tuple := "(" + strings.TrimSuffix(strings.Repeat("?,", width), ",") + ")"
	names, joins := []string{"seq"}, make([]string, len(key))
	for i, c := range key {
		names = append(names, fmt.Sprintf("k%d", i))
		joins[i] = fmt.Sprintf("t.%s = s.k%d", sqltable.Quote(c.Name), i)
	}
	columns := append(append([]column{}, key...), values...)
	locators := make([]string, len(d.locator))
	for i, l := range d.locator {
		locators[i] = "+t." + l
	}
	// CROSS JOIN fixes the order: the keys first, the table through its index.
	query := fmt.Sprintf("WITH s(%s) AS (VALUES %s) SELECT s.seq, %s, %s FROM s CROSS JOIN %s AS t ON %s",
		strings.Join(names, ","), strings.TrimSuffix(strings.Repeat(tuple+",", len(args)/width), ","),
		strings.Join(locators, ", "), bare("t.", columns), s.t.quoted(), strings.Join(joins, " AND "))
	rows, err := s.conn.QueryContext(ctx, query, args...)
	if err != nil {
		return s.t.explain("read rows of", err)
	}
	defer func() { _ = rows.Close() }()
	found, into := holders(1 + len(d.locator) + len(columns))
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return s.t.explain("read rows of", err)
		}
		place, ok := found[0].(int64)
		if !ok {
			return fmt.Errorf("read rows of %q: place is a %T", s.t.name, found[0])
		}
		stored := append([]any{}, found[1:]...)
		row := live{locator: stored[:len(d.locator)], values: stored[len(d.locator)+len(key):]}
		if !alike && !sameKey(key, keys[place], stored[len(d.locator):]) || known(out[place], row.locator) {
			continue
		}
		row.texts = make([]recount.Value, len(values))
		for i, c := range values {
			row.texts[i] = c.canon(row.values[i])
		}
		out[place] = append(out[place], row)
	}
	return s.t.explain("read rows of", rows.Err())
}

func sameKey(key []column, want []recount.Value, stored []any) bool {
	for i, c := range key {
		if c.canon(stored[i]) != want[i] {
			return false
		}
	}
	return true
}

// known says whether a row was found before, under another form of its key.
func known(rows []live, locator []any) bool {
	for _, row := range rows {
		same := true
		for i := range locator {
			same = same && keep(row.locator[i]) == keep(locator[i])
		}
		if same {
			return true
		}
	}
	return false
}

func (s *session) readKeys(ctx context.Context, d *described, key, columns []string, keys [][]recount.Value, alike bool, each func(recount.Row) error) error {
	keyColumns, err := d.pick(key)
	if err != nil {
		return err
	}
	values, err := d.pick(columns)
	if err != nil {
		return err
	}
	found, err := s.resolve(ctx, d, keyColumns, values, keys, alike)
	if err != nil {
		return err
	}
	for i, rows := range found {
		for _, row := range rows {
			if err := each(recount.Row{Key: keys[i], Values: row.texts}); err != nil {
				return err
			}
		}
	}
	return nil
}
