package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"recount"
	"recount/target/internal/refusal"
	"recount/target/internal/sqltable"
)

// described is the table as one transaction sees it.
type described struct {
	info    recount.TableInfo
	columns []column
	// locator names what tells rows apart: the rowid under a name that no column
	// has taken, or the primary key of a table without rowids.
	locator []string
}

func (d *described) column(name string) (column, bool) {
	for _, c := range d.columns {
		if c.Name == name {
			return c, true
		}
	}
	return column{}, false
}

// fold finds a column as SQL does: upper and lower case alike.
func (d *described) fold(name string) (column, bool) {
	for _, c := range d.columns {
		if strings.EqualFold(c.Name, name) {
			return c, true
		}
	}
	return column{}, false
}

// pick returns the columns of those names or the refusal.
func (d *described) pick(names []string) ([]column, error) {
	if _, err := sqltable.Pick(d.info, names); err != nil {
		return nil, err
	}
	out := make([]column, len(names))
	for i, name := range names {
		out[i], _ = d.column(name)
	}
	return out, nil
}

func (t *table) quoted() string { return "main." + sqltable.Quote(t.name) }

func (s *session) describe(ctx context.Context) (*described, error) {
	createSQL, err := s.find(ctx)
	if err != nil {
		return nil, err
	}
	d := &described{}
	d.info.Identity = recount.Identity{Adapter: "sqlite", Place: s.t.place, Table: s.t.name}
	description := sqltable.Description{Rules: []string{createSQL}}
	keys, err := s.readColumns(ctx, d, &description)
	if err != nil {
		return nil, err
	}
	if err := s.readUnique(ctx, d, keys); err != nil {
		return nil, err
	}
	if err := s.readHazards(ctx, d, &description); err != nil {
		return nil, err
	}
	description.Unique = d.info.Unique
	if d.info.Fingerprint, err = description.Fingerprint(); err != nil {
		return nil, err
	}
	if err := s.readLocator(ctx, d, keys); err != nil {
		return nil, err
	}
	if err := s.readReferences(ctx, &d.info); err != nil {
		return nil, err
	}
	return d, s.readLedger(ctx, &d.info)
}

// find returns the statement that made the table.
func (s *session) find(ctx context.Context) (string, error) {
	var kind, text string
	// Exactly this spelling first: SQLite itself takes a and A for one table.
	err := s.conn.QueryRowContext(ctx, "SELECT type, sql FROM main.sqlite_schema WHERE name = ? AND type IN ('table','view')", s.t.name).Scan(&kind, &text)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		names, err := s.texts(ctx, "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name NOT LIKE 'recount\\_%' ESCAPE '\\'")
		if err != nil {
			return "", err
		}
		return "", refusal.NoTable(s.t.place, s.t.name, names)
	case err != nil:
		return "", s.t.explain("read", err)
	case kind == "view":
		return "", refusal.NotATable(s.t.place, s.t.name, "view")
	case strings.HasPrefix(strings.ToUpper(text), "CREATE VIRTUAL"):
		return "", refusal.NotATable(s.t.place, s.t.name, "virtual table")
	}
	return text, nil
}

// texts returns the one column of a query.
func (s *session) texts(ctx context.Context, query string, args ...any) ([]string, error) {
	rows, err := s.conn.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, s.t.explain("read", err)
	}
	defer func() { _ = rows.Close() }()
	var out []string
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, s.t.explain("read", err)
		}
		out = append(out, text)
	}
	return out, s.t.explain("read", rows.Err())
}

// readColumns returns the names of the primary key, in its order.
func (s *session) readColumns(ctx context.Context, d *described, description *sqltable.Description) ([]string, error) {
	rows, err := s.conn.QueryContext(ctx, `SELECT name, type, "notnull", coalesce(dflt_value,''), pk, hidden FROM pragma_table_xinfo(?, 'main') ORDER BY cid`, s.t.name)
	if err != nil {
		return nil, s.t.explain("describe", err)
	}
	defer func() { _ = rows.Close() }()
	order := map[int]string{}
	for rows.Next() {
		var c column
		var standard string
		var notNull, pk, hidden int
		if err := rows.Scan(&c.Name, &c.Declared, &notNull, &standard, &pk, &hidden); err != nil {
			return nil, s.t.explain("describe", err)
		}
		const virtual, stored = 2, 3
		c.Type, c.affinity = typeOf(c.Declared), affinityOf(c.Declared)
		c.Nullable, c.Generated = notNull == 0, hidden == virtual || hidden == stored
		if pk > 0 {
			order[pk] = c.Name
		}
		d.columns = append(d.columns, c)
		description.Columns = append(description.Columns, sqltable.ColumnLine{
			Name: c.Name, Declared: c.Declared, Default: standard, Nullable: c.Nullable, Generated: c.Generated,
		})
		if c.Generated {
			d.info.Hazards = append(d.info.Hazards, fmt.Sprintf("column %q is generated: the database computes it anew", c.Name))
		}
	}
	if err := rows.Err(); err != nil {
		return nil, s.t.explain("describe", err)
	}
	keys := make([]string, len(order))
	for i := range keys {
		keys[i] = order[i+1]
	}
	if err := s.readClasses(ctx, d); err != nil {
		return nil, err
	}
	for i, c := range d.columns {
		// An INTEGER PRIMARY KEY is the rowid, and no rowid is NULL.
		if len(keys) == 1 && keys[0] == c.Name && strings.EqualFold(c.Declared, "INTEGER") {
			d.columns[i].Nullable = false
		}
		d.info.Columns = append(d.info.Columns, d.columns[i].Column)
	}
	return keys, nil
}

// readClasses looks at rows of columns that convert nothing (no declared type, or
// ANY of a strict table): where they hold numbers, numbers are written, since a
// text beside them would sort and compare as no number does.
func (s *session) readClasses(ctx context.Context, d *described) error {
	var strict bool
	if err := s.conn.QueryRowContext(ctx, "SELECT strict FROM pragma_table_list(?) WHERE schema = 'main'", s.t.name).Scan(&strict); err != nil {
		return s.t.explain("describe", err)
	}
	for i, c := range d.columns {
		anything := strict && strings.EqualFold(c.Declared, "ANY")
		if anything {
			d.columns[i].affinity = "BLOB"
		}
		if c.Generated || c.Declared != "" && !anything {
			continue
		}
		const looked = 1000
		classes, err := s.texts(ctx, fmt.Sprintf("SELECT DISTINCT typeof(x) FROM (SELECT +%s AS x FROM %s AS t WHERE t.%[1]s IS NOT NULL LIMIT ?)", sqltable.Quote(c.Name), s.t.quoted()), looked)
		if err != nil {
			return err
		}
		slices.Sort(classes)
		switch strings.Join(classes, " ") {
		case "integer":
			d.columns[i].Type = recount.Type{Kind: recount.KindInt64}
		case "real", "integer real":
			d.columns[i].Type = recount.Type{Kind: recount.KindDouble}
			d.columns[i].reals = true
		default: // texts, blobs or a mixture
			d.columns[i].Type = recount.Type{Kind: recount.KindString}
		}
	}
	return nil
}

func (s *session) readUnique(ctx context.Context, d *described, keys []string) error {
	if len(keys) > 0 {
		d.info.Unique = append(d.info.Unique, keys)
	}
	indexes, err := s.texts(ctx, `SELECT name FROM pragma_index_list(?, 'main') WHERE "unique" = 1 AND partial = 0 AND origin <> 'pk' ORDER BY name`, s.t.name)
	if err != nil {
		return err
	}
	for _, index := range indexes {
		names, err := s.texts(ctx, "SELECT coalesce(name, '') FROM pragma_index_info(?, 'main') ORDER BY seqno", index)
		if err != nil {
			return err
		}
		// An index over an expression has no name there, and holds no column unique.
		if len(names) > 0 && !slices.Contains(names, "") {
			d.info.Unique = append(d.info.Unique, names)
		}
	}
	return nil
}

// readHazards names triggers and the foreign keys that point at the table with
// an action.
func (s *session) readHazards(ctx context.Context, d *described, description *sqltable.Description) error {
	rules, err := s.texts(ctx, "SELECT sql FROM main.sqlite_schema WHERE sql IS NOT NULL AND tbl_name = ? COLLATE NOCASE AND (type = 'trigger' OR type = 'index' AND sql LIKE 'CREATE UNIQUE%') ORDER BY name", s.t.name)
	if err != nil {
		return err
	}
	description.Rules = append(description.Rules, rules...)
	triggers, err := s.texts(ctx, "SELECT name FROM main.sqlite_schema WHERE type = 'trigger' AND tbl_name = ? COLLATE NOCASE ORDER BY name", s.t.name)
	if err != nil {
		return err
	}
	for _, name := range triggers {
		d.info.Hazards = append(d.info.Hazards, fmt.Sprintf("trigger %q runs for the rows that are written", name))
	}
	cascades, err := s.texts(ctx, `SELECT m.name || char(0) || f."from" || char(0) || f.on_update || char(0) || f.on_delete
		FROM main.sqlite_schema m JOIN pragma_foreign_key_list(m.name, 'main') f
		WHERE m.type = 'table' AND f."table" = ? COLLATE NOCASE ORDER BY 1`, s.t.name)
	if err != nil {
		return err
	}
	for _, c := range cascades {
		description.Rules = append(description.Rules, "foreign key "+c)
		part := strings.Split(c, "\x00")
		for i, event := range []string{"update", "delete"} {
			if action := part[2+i]; action != "NO ACTION" && action != "RESTRICT" {
				d.info.Hazards = append(d.info.Hazards, fmt.Sprintf("foreign key %q of table %q cascades: on %s it does %s", part[1], part[0], event, action))
			}
		}
	}
	return nil
}

func (s *session) readLocator(ctx context.Context, d *described, keys []string) error {
	var withoutRowid int
	if err := s.conn.QueryRowContext(ctx, "SELECT wr FROM pragma_table_list(?) WHERE schema = 'main'", s.t.name).Scan(&withoutRowid); err != nil {
		return s.t.explain("describe", err)
	}
	if withoutRowid == 1 {
		for _, name := range keys {
			d.locator = append(d.locator, sqltable.Quote(name))
		}
		return nil
	}
	for _, name := range []string{"rowid", "_rowid_", "oid"} {
		if _, taken := d.fold(name); !taken {
			d.locator = []string{name}
			return nil
		}
	}
	return refusal.NotATable(s.t.place, s.t.name, "table whose columns hide every name of the rowid")
}
