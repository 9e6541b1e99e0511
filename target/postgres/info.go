package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"recount"
	"recount/target/internal/refusal"
	"recount/target/internal/sqltable"
)

// described is the table as one transaction sees it.
type described struct {
	info    recount.TableInfo
	columns []column
	oid     uint32
	quoted  string // schema and table, for SQL
	full    string // schema.table: what the ledger and the lock know it by
	ledger  bool   // the ledger's tables are there and may be read
}

func (d *described) pick(names []string) ([]column, error) {
	if _, err := sqltable.Pick(d.info, names); err != nil {
		return nil, err
	}
	out := make([]column, len(names))
	for i, name := range names {
		for _, c := range d.columns {
			if c.Name == name {
				out[i] = c
			}
		}
	}
	return out, nil
}

func (s *session) describe(ctx context.Context) (*described, error) {
	d := &described{}
	d.info.Identity = recount.Identity{Adapter: "postgres", Place: s.t.place, Table: s.t.name}
	if err := s.find(ctx, d); err != nil {
		return nil, err
	}
	description := sqltable.Description{Rules: []string{"table " + d.full}}
	steps := []func() error{
		func() error { return s.readServer(ctx, d) },
		func() error { return s.readColumns(ctx, d, &description) },
		func() error { return s.readUnique(ctx, d, &description) },
		func() error { return s.readHazards(ctx, d, &description) },
		func() error { return s.readReferences(ctx, d) },
		func() error { return s.readLedger(ctx, d) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, err
		}
	}
	var err error
	d.info.Fingerprint, err = description.Fingerprint()
	return d, err
}

// find looks the table up under the name as it is written, then as
// schema.table.
func (s *session) find(ctx context.Context, d *described) error {
	schema, name := splitName(s.t.name)
	var kind, space, table string
	err := s.tx.QueryRow(ctx, `SELECT c.oid, n.nspname, c.relname, c.relkind::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r','p','v','m','f') AND (c.relname = $1 AND n.nspname = ANY (current_schemas(false)) OR $2 <> '' AND n.nspname = $2 AND c.relname = $3)
		ORDER BY c.relname = $1 DESC, array_position(current_schemas(false), n.nspname) LIMIT 1`, s.t.name, schema, name).Scan(&d.oid, &space, &table, &kind)
	if errors.Is(err, pgx.ErrNoRows) {
		names, err := s.texts(ctx, `SELECT CASE WHEN n.nspname = ANY (current_schemas(false)) THEN c.relname ELSE n.nspname || '.' || c.relname END
			FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
			WHERE c.relkind IN ('r','p') AND n.nspname NOT IN ('pg_catalog','information_schema','recount') AND n.nspname !~ '^pg_' ORDER BY 1 LIMIT 10000`)
		if err != nil {
			return err
		}
		return refusal.NoTable(s.t.place, s.t.name, names)
	}
	if err != nil {
		return s.explain("find", err)
	}
	d.quoted, d.full = sqltable.Quote(space)+"."+sqltable.Quote(table), space+"."+table
	if what, ok := map[string]string{"v": "view", "m": "materialized view", "f": "foreign table"}[kind]; ok {
		return refusal.NotATable(s.t.place, s.t.name, what)
	}
	return nil
}

// splitName cuts schema.table at its first point outside of quotes; schema is
// empty where there is none.
func splitName(name string) (schema, table string) {
	inQuotes := false
	for i := range len(name) {
		switch {
		case name[i] == '"':
			inQuotes = !inQuotes
		case name[i] == '.' && !inQuotes:
			return unquote(name[:i]), unquote(name[i+1:])
		}
	}
	return "", unquote(name)
}

func unquote(name string) string {
	const quotes = 2
	if len(name) >= quotes && name[0] == '"' && name[len(name)-1] == '"' {
		return strings.ReplaceAll(name[1:len(name)-1], `""`, `"`)
	}
	return name
}

// texts returns the one column of a query.
func (s *session) texts(ctx context.Context, query string, args ...any) ([]string, error) {
	rows, err := s.tx.Query(ctx, query, args...)
	if err != nil {
		return nil, s.explain("describe", err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return out, s.explain("describe", err)
}

// readServer names the database: the cluster's own number, where the role may
// read it, and the database's.
func (s *session) readServer(ctx context.Context, d *described) error {
	var may bool
	var database uint32
	err := s.tx.QueryRow(ctx, "SELECT has_function_privilege('pg_control_system()', 'EXECUTE'), (SELECT oid FROM pg_database WHERE datname = current_database())").Scan(&may, &database)
	if err != nil {
		return s.explain("describe", err)
	}
	d.info.Identity.Server = fmt.Sprintf("database %d", database)
	if !may {
		return nil
	}
	var system string
	if err := s.tx.QueryRow(ctx, "SELECT system_identifier::text FROM pg_control_system()").Scan(&system); err != nil {
		return s.explain("describe", err)
	}
	d.info.Identity.Server = fmt.Sprintf("system %s, database %d", system, database)
	return nil
}

func (s *session) readColumns(ctx context.Context, d *described, description *sqltable.Description) error {
	rows, err := s.tx.Query(ctx, `SELECT a.attname, format_type(a.atttypid, a.atttypmod), format_type(a.atttypid, -1),
		a.attnotnull OR t.typnotnull, a.attgenerated <> '', coalesce(pg_get_expr(d.adbin, d.adrelid), '') || a.attidentity::text,
		CASE WHEN b.typnamespace = 'pg_catalog'::regnamespace AND b.typtype <> 'd' THEN b.typname ELSE '' END,
		CASE t.typtype WHEN 'd' THEN t.typtypmod ELSE a.atttypmod END, coalesce(co.collname, ''), a.attcollation <> 0
		FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
		JOIN pg_type b ON b.oid = CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.oid END
		LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
		LEFT JOIN pg_collation co ON co.oid = a.attcollation
		WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`, d.oid)
	if err != nil {
		return s.explain("describe", err)
	}
	defer rows.Close()
	for rows.Next() {
		var c column
		var standard, collation string
		var notNull bool
		var modifier int
		if err := rows.Scan(&c.Name, &c.Declared, &c.plainType, &notNull, &c.Generated, &standard, &c.base, &modifier, &collation, &c.collates); err != nil {
			return s.explain("describe", err)
		}
		c.Nullable, c.Type = !notNull, typeOf(c.base, modifier)
		d.columns = append(d.columns, c)
		d.info.Columns = append(d.info.Columns, c.Column)
		description.Columns = append(description.Columns, sqltable.ColumnLine{
			Name: c.Name, Declared: c.Declared, Default: standard, Collation: collation, Nullable: c.Nullable, Generated: c.Generated,
		})
		if c.Generated {
			d.info.Hazards = append(d.info.Hazards, fmt.Sprintf("column %q is generated: the database computes it anew", c.Name))
		}
	}
	return s.explain("describe", rows.Err())
}

func (s *session) readUnique(ctx context.Context, d *described, description *sqltable.Description) error {
	rows, err := s.tx.Query(ctx, `SELECT array(SELECT a.attname::text FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(num, n)
			JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.num WHERE k.n <= i.indnkeyatts ORDER BY k.n)
		FROM pg_index i WHERE i.indrelid = $1::oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
		ORDER BY i.indisprimary DESC, 1`, d.oid)
	if err != nil {
		return s.explain("describe", err)
	}
	d.info.Unique, err = pgx.CollectRows(rows, pgx.RowTo[[]string])
	description.Unique = d.info.Unique
	return s.explain("describe", err)
}

// readHazards names what a write sets off, and adds to the description what
// decides which writes the table takes.
func (s *session) readHazards(ctx context.Context, d *described, description *sqltable.Description) error {
	rows, err := s.tx.Query(ctx, `
		SELECT 1, format('trigger "%s" runs for the rows that are written', tgname), pg_get_triggerdef(oid) || ' ' || tgenabled::text || ' ' || (SELECT md5(f.prosrc) FROM pg_proc f WHERE f.oid = tgfoid)
			FROM pg_trigger WHERE tgrelid = $1::oid AND NOT tgisinternal AND tgenabled <> 'D'
		UNION ALL SELECT 2, CASE WHEN confupdtype IN ('c','n','d') OR confdeltype IN ('c','n','d') THEN
				format('foreign key "%s" of table "%s" cascades: %s', conname, conrelid::regclass, pg_get_constraintdef(oid)) ELSE '' END,
				conrelid::regclass || ' ' || pg_get_constraintdef(oid)
			FROM pg_constraint WHERE confrelid = $1::oid AND contype = 'f' AND conparentid = 0
		UNION ALL SELECT 3, '', pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = $1::oid AND contype IN ('c','f','x')
		UNION ALL SELECT 4, format('rule "%s" rewrites the statements that write', rulename), pg_get_ruledef(oid)
			FROM pg_rewrite WHERE ev_class = $1::oid AND rulename <> '_RETURN' AND ev_enabled <> 'D'
		UNION ALL SELECT 5, 'row-level security is on: the role sees and writes only the rows that policies allow', format('row security, forced %s', relforcerowsecurity)
			FROM pg_class WHERE oid = $1::oid AND relrowsecurity
		UNION ALL SELECT 6, '', format('policy %s %s %s %s %s', polname, polcmd, polpermissive, pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))
			FROM pg_policy WHERE polrelid = $1::oid
		UNION ALL SELECT 7, '', pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = $1::oid AND indisunique AND (indpred IS NOT NULL OR indexprs IS NOT NULL)
		UNION ALL SELECT 8, format('table "%s" inherits from it: its rows are read and written too', inhrelid::regclass), 'child ' || inhrelid::regclass
			FROM pg_inherits JOIN pg_class p ON p.oid = inhparent WHERE inhparent = $1::oid AND p.relkind = 'r'
		ORDER BY 1, 2, 3`, d.oid)
	if err != nil {
		return s.explain("describe", err)
	}
	defer rows.Close()
	for rows.Next() {
		var order int
		var hazard, rule string
		if err := rows.Scan(&order, &hazard, &rule); err != nil {
			return s.explain("describe", err)
		}
		if hazard != "" {
			d.info.Hazards = append(d.info.Hazards, hazard)
		}
		description.Rules = append(description.Rules, rule)
	}
	return s.explain("describe", rows.Err())
}
