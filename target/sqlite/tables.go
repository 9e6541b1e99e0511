package sqlite

import (
	"context"
	"slices"

	"recount"
	"recount/target"
)

// Lock reads the rows: an immediate transaction keeps every other writer off the
// whole file.
func (x *tx) Lock(ctx context.Context, key, columns []string, keys [][]recount.Value, each func(recount.Row) error) error {
	return x.Read(ctx, key, columns, keys, each)
}

// On opens another table inside the same transaction, with a description and a
// memory of its own. The file has one writer lock for all.
func (x *tx) On(ctx context.Context, name string) (target.Tx, error) {
	other := &table{path: x.t.path, place: x.t.place, name: name}
	s := &session{conn: x.conn, t: other}
	d, err := s.describe(ctx)
	if err != nil {
		return nil, err
	}
	return &tx{session: s, d: d, beside: true, kept: map[string]string{}}, nil
}

// readReferences lists the tables to which foreign keys lead, as they are
// spelled where they were made: SQLite itself takes a and A for one.
func (s *session) readReferences(ctx context.Context, info *recount.TableInfo) error {
	names, err := s.texts(ctx, `SELECT DISTINCT coalesce(m.name, f."table") FROM pragma_foreign_key_list(?, 'main') f
		LEFT JOIN main.sqlite_schema m ON m.type = 'table' AND m.name = f."table" COLLATE NOCASE
		WHERE f."table" <> ? COLLATE NOCASE ORDER BY 1`, s.t.name, s.t.name)
	info.References = slices.Clip(names)
	return err
}
