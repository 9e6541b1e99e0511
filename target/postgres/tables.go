package postgres

import (
	"context"
	"fmt"
	"slices"

	"recount"
	"recount/target"
)

// Lock locks all rows by one statement, in the order of their keys: the server
// sorts before it locks, and gives each row as it is once it is locked.
func (x *tx) Lock(ctx context.Context, key, columns []string, keys [][]recount.Value, each func(recount.Row) error) error {
	keyColumns, err := x.d.pick(key)
	if err != nil {
		return err
	}
	values, err := x.d.pick(columns)
	if err != nil {
		return err
	}
	for i, k := range keys {
		if len(k) != len(key) {
			return fmt.Errorf("lock rows of %q: key %d has %d values, not %d", x.t.name, i+1, len(k), len(key))
		}
	}
	s, err := x.makeStage(ctx, aliased("k", keyColumns), len(keys), func(int) int { return 0 }, func(i int) []recount.Value { return keys[i] })
	if err != nil {
		return err
	}
	selected := "s.seq"
	if len(values) > 0 {
		selected += ", " + asTexts(values)
	}
	query := fmt.Sprintf("SELECT %s FROM %s AS s JOIN %s AS t ON %s ORDER BY %s FOR UPDATE OF t", selected, s.name, x.d.quoted, join(keyColumns), keyOrder(keyColumns))
	var rows []recount.Row // each may use the connection, which is busy until all rows are read
	err = x.eachLocked(ctx, query, values, func(i int, stored []*string) error {
		row := recount.Row{Key: keys[i], Values: make([]recount.Value, len(values))}
		for j, c := range values {
			row.Values[j] = recount.Null
			if stored[j] != nil {
				row.Values[j] = c.canon(*stored[j])
			}
		}
		rows = append(rows, row)
		return nil
	})
	if err != nil {
		return err
	}
	for _, row := range rows {
		if err := each(row); err != nil {
			return err
		}
	}
	return nil
}

// On opens another table inside the same transaction, with a description, a
// writer lock and a memory of its own.
func (x *tx) On(ctx context.Context, name string) (target.Tx, error) {
	other := &table{config: x.t.config, place: x.t.place, name: name}
	beside := &tx{
		session: &session{t: other, conn: x.conn, tx: x.tx, writing: x.writing},
		beside:  true, stages: x.stages, kept: map[string]string{},
	}
	if err := beside.prepare(ctx); err != nil {
		return nil, err
	}
	return beside, nil
}

// readReferences lists the tables to which foreign keys lead, under both names:
// the one within the search path, and schema.table.
func (s *session) readReferences(ctx context.Context, d *described) error {
	names, err := s.texts(ctx, `SELECT DISTINCT name FROM pg_constraint k JOIN pg_class c ON c.oid = k.confrelid JOIN pg_namespace n ON n.oid = c.relnamespace,
		LATERAL (VALUES (n.nspname || '.' || c.relname), (CASE WHEN n.nspname = ANY (current_schemas(false)) THEN c.relname END)) AS v(name)
		WHERE k.conrelid = $1::oid AND k.contype = 'f' AND k.confrelid <> k.conrelid AND name IS NOT NULL ORDER BY 1`, d.oid)
	d.info.References = slices.Clip(names)
	return err
}

// constraints says when those that may be deferred are checked. Rows that
// exchange a unique value, or refer to one another, are right together alone: so
// they are checked once all are written, and before the commit, whose errors are
// harder to tell.
func (x *tx) constraints(ctx context.Context, when string) error {
	_, err := x.tx.Exec(ctx, "SET CONSTRAINTS ALL "+when)
	return x.explain("check constraints of", err)
}
