package postgres_test

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"recount"
	"recount/adapter"
	"recount/internal/pgtest"
	"recount/target"
	"recount/target/internal/sqltable"
	"recount/target/postgres"
	"recount/target/targettest"
)

func TestConformance(t *testing.T) {
	// A table in a database takes longer than one in memory: fewer rounds, unless
	// the command line asks for more.
	if checks := flag.Lookup("rapid.checks"); checks != nil && checks.Value.String() == checks.DefValue {
		if err := flag.Set("rapid.checks", "10"); err != nil {
			t.Fatal(err)
		}
	}
	dsn := pgtest.Start(t)
	targettest.Run(t, targettest.Harness{Where: true, Types: true, UniqueKey: true, New: func(t *testing.T, table targettest.Table) targettest.Live {
		// One database, emptied: making one for each subtest takes most of the time.
		run(t, dsn, "DROP SCHEMA IF EXISTS recount CASCADE")
		run(t, dsn, "DROP SCHEMA public CASCADE")
		run(t, dsn, "CREATE SCHEMA public")
		d := &database{dsn: dsn, table: table}
		d.create(t)
		return targettest.Live{Target: d.open(t), Reopen: d.open, Edit: d.edit, AddColumn: d.addColumn, Copy: d.copy, Beside: d.beside}
	}})
}

// database is a table as the live system keeps it.
type database struct {
	dsn   string
	table targettest.Table
}

func run(t *testing.T, dsn string, statement string, args ...any) {
	t.Helper()
	conn := connect(t, dsn)
	defer func() { _ = conn.Close(t.Context()) }()
	if _, err := conn.Exec(t.Context(), statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	// Parameters go as texts, whatever the column's type.
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	config.RuntimeParams["timezone"] = "UTC"
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func declared(c recount.Column) string {
	switch c.Type.Kind {
	case recount.KindString:
		return "text"
	case recount.KindInt64:
		return "bigint"
	case recount.KindDouble:
		return "double precision"
	case recount.KindDecimal:
		return fmt.Sprintf("numeric(%d,%d)", c.Type.Precision, c.Type.Scale)
	case recount.KindBool:
		return "boolean"
	case recount.KindTimestamp:
		return "timestamptz"
	case recount.KindDate:
		return "date"
	case recount.KindJSON:
		return "jsonb"
	}
	return "text"
}

func (d *database) create(t *testing.T) {
	t.Helper()
	var columns, keys []string
	for _, c := range d.table.Key {
		columns = append(columns, sqltable.Quote(c.Name)+" "+declared(c)+" NOT NULL")
		keys = append(keys, sqltable.Quote(c.Name))
	}
	for _, c := range d.table.Columns {
		columns = append(columns, sqltable.Quote(c.Name)+" "+declared(c))
	}
	if d.table.Unique {
		columns = append(columns, "PRIMARY KEY ("+strings.Join(keys, ", ")+")")
	}
	if d.table.Parent != "" {
		columns = append(columns, "FOREIGN KEY ("+sqltable.Quote(d.table.Columns[0].Name)+") REFERENCES "+sqltable.Quote(d.table.Parent))
	}
	run(t, d.dsn, "CREATE TABLE "+sqltable.Quote(d.table.Name)+" ("+strings.Join(columns, ", ")+")")
	conn := connect(t, d.dsn)
	defer func() { _ = conn.Close(t.Context()) }()
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range d.table.Rows {
		if _, err := tx.Exec(t.Context(), d.insert(r.Key, r.Values), args(r.Key, r.Values)...); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (d *database) insert(key, values []recount.Value) string {
	params := make([]string, len(key)+len(values))
	for i := range params {
		params[i] = fmt.Sprintf("$%d", i+1)
	}
	return "INSERT INTO " + sqltable.Quote(d.table.Name) + " VALUES (" + strings.Join(params, ", ") + ")"
}

func args(groups ...[]recount.Value) []any {
	var out []any
	for _, v := range slices.Concat(groups...) {
		if v.Null {
			out = append(out, nil)
			continue
		}
		out = append(out, v.Text)
	}
	return out
}

func (d *database) edit(t *testing.T, c recount.Change) {
	t.Helper()
	if c.Action == recount.ActionInsert {
		run(t, d.dsn, d.insert(c.Key, c.After), args(c.Key, c.After)...)
		return
	}
	n := 0
	assign := func(columns []recount.Column, joint string) string {
		var parts []string
		for _, column := range columns {
			n++
			parts = append(parts, fmt.Sprintf("%s = $%d", sqltable.Quote(column.Name), n))
		}
		return strings.Join(parts, joint)
	}
	if c.Action == recount.ActionDelete {
		run(t, d.dsn, "DELETE FROM "+sqltable.Quote(d.table.Name)+" WHERE "+assign(d.table.Key, " AND "), args(c.Key)...)
		return
	}
	sets := assign(d.table.Columns, ", ")
	run(t, d.dsn, "UPDATE "+sqltable.Quote(d.table.Name)+" SET "+sets+" WHERE "+assign(d.table.Key, " AND "), args(c.After, c.Key)...)
}

func (d *database) addColumn(t *testing.T, name string) {
	t.Helper()
	run(t, d.dsn, fmt.Sprintf("ALTER TABLE %s ADD COLUMN %s text", sqltable.Quote(d.table.Name), sqltable.Quote(name)))
}

// beside makes another table in the same database.
func (d *database) beside(t *testing.T, table targettest.Table) target.Target {
	t.Helper()
	other := &database{dsn: d.dsn, table: table}
	other.create(t)
	return other.open(t)
}

func (d *database) open(t *testing.T) target.Target { return open(t, d.dsn, d.table.Name) }

func open(t *testing.T, dsn, table string) target.Target {
	t.Helper()
	opened, err := postgres.Open(adapter.Env{Table: table}, postgres.Config{DSN: recount.Secret(dsn)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = opened.Close() })
	return opened
}

// copy makes a database from this one as its template.
func (d *database) copy(t *testing.T) target.Target {
	t.Helper()
	config, err := pgx.ParseConfig(d.dsn)
	if err != nil {
		t.Fatal(err)
	}
	other := pgtest.Start(t)
	copied := config.Database + "_copy"
	run(t, other, "CREATE DATABASE "+copied+" TEMPLATE "+config.Database)
	return open(t, strings.Replace(d.dsn, "/"+config.Database+"?", "/"+copied+"?", 1), d.table.Name)
}
