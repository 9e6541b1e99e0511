package sqlite_test

import (
	"database/sql"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"recount"
	"recount/adapter"
	"recount/target"
	"recount/target/internal/sqltable"
	"recount/target/sqlite"
	"recount/target/targettest"
)

func TestConformance(t *testing.T) {
	// A table in a database takes longer than one in memory: fewer rounds, unless
	// the command line asks for more.
	if checks := flag.Lookup("rapid.checks"); checks != nil && checks.Value.String() == checks.DefValue {
		if err := flag.Set("rapid.checks", "30"); err != nil {
			t.Fatal(err)
		}
	}
	for name, suffix := range map[string]string{"rowid": "", "without rowid": " WITHOUT ROWID"} {
		t.Run(name, func(t *testing.T) {
			targettest.Run(t, targettest.Harness{Where: true, Types: true, UniqueKey: true, New: func(t *testing.T, table targettest.Table) targettest.Live {
				f := &liveFile{dir: t.TempDir(), table: table}
				f.create(t, suffix)
				return targettest.Live{Target: f.open(t), Reopen: f.open, Edit: f.edit, AddColumn: f.addColumn, Copy: f.copy, Beside: func(t *testing.T, table targettest.Table) target.Target {
					t.Helper()
					other := &liveFile{dir: f.dir, table: table}
					other.create(t, suffix)
					return other.open(t)
				}}
			}})
		})
	}
}

// liveFile is a database as the live system keeps it. A connection lasts for one
// act, as another process's would.
type liveFile struct {
	dir   string
	table targettest.Table
}

func (f *liveFile) exec(t *testing.T, act func(*sql.Tx) error) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(f.dir, "live.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := act(tx); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}

// declared has a decimal as TEXT: SQLite has no other column that keeps all of
// its digits.
var declared = map[recount.Kind]string{
	recount.KindString: "TEXT", recount.KindInt64: "BIGINT", recount.KindDouble: "DOUBLE", recount.KindDecimal: "TEXT",
	recount.KindBool: "BOOLEAN", recount.KindTimestamp: "TIMESTAMP", recount.KindDate: "DATE", recount.KindJSON: "JSON",
}

func (f *liveFile) create(t *testing.T, suffix string) {
	t.Helper()
	var columns, keys []string
	for _, c := range f.table.Key {
		columns = append(columns, sqltable.Quote(c.Name)+" "+declared[c.Type.Kind]+" NOT NULL")
		keys = append(keys, sqltable.Quote(c.Name))
	}
	for _, c := range f.table.Columns {
		columns = append(columns, sqltable.Quote(c.Name)+" "+declared[c.Type.Kind])
	}
	if f.table.Unique {
		columns = append(columns, "PRIMARY KEY ("+strings.Join(keys, ", ")+")")
	} else {
		suffix = ""
	}
	if f.table.Parent != "" {
		columns = append(columns, "FOREIGN KEY ("+sqltable.Quote(f.table.Columns[0].Name)+") REFERENCES "+sqltable.Quote(f.table.Parent))
	}
	f.exec(t, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(t.Context(), "CREATE TABLE "+sqltable.Quote(f.table.Name)+" ("+strings.Join(columns, ", ")+")"+suffix); err != nil {
			return err
		}
		for _, r := range f.table.Rows {
			if err := f.insert(t, tx, r.Key, r.Values); err != nil {
				return err
			}
		}
		return nil
	})
}

func (f *liveFile) insert(t *testing.T, tx *sql.Tx, key, values []recount.Value) error {
	args := f.args(slices.Concat(key, values))
	_, err := tx.ExecContext(t.Context(), "INSERT INTO "+sqltable.Quote(f.table.Name)+" VALUES ("+strings.TrimSuffix(strings.Repeat("?,", len(args)), ",")+")", args...)
	return err
}

func (f *liveFile) args(values []recount.Value) []any {
	out := make([]any, len(values))
	for i, v := range values {
		if v.Null {
			continue
		}
		out[i] = v.Text
	}
	return out
}

func (f *liveFile) edit(t *testing.T, c recount.Change) {
	t.Helper()
	f.exec(t, func(tx *sql.Tx) error {
		if c.Action == recount.ActionInsert {
			return f.insert(t, tx, c.Key, c.After)
		}
		var where []string
		for _, k := range f.table.Key {
			where = append(where, sqltable.Quote(k.Name)+" = ?")
		}
		condition := " WHERE " + strings.Join(where, " AND ")
		if c.Action == recount.ActionDelete {
			_, err := tx.ExecContext(t.Context(), "DELETE FROM "+sqltable.Quote(f.table.Name)+condition, f.args(c.Key)...)
			return err
		}
		var sets []string
		for _, column := range f.table.Columns {
			sets = append(sets, sqltable.Quote(column.Name)+" = ?")
		}
		_, err := tx.ExecContext(t.Context(), "UPDATE "+sqltable.Quote(f.table.Name)+" SET "+strings.Join(sets, ", ")+condition, f.args(slices.Concat(c.After, c.Key))...)
		return err
	})
}

func (f *liveFile) addColumn(t *testing.T, name string) {
	t.Helper()
	f.exec(t, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(t.Context(), fmt.Sprintf("ALTER TABLE %s ADD COLUMN %s TEXT", sqltable.Quote(f.table.Name), sqltable.Quote(name)))
		return err
	})
}

func (f *liveFile) open(t *testing.T) target.Target { return f.openIn(t, "live.db") }

func (f *liveFile) openIn(t *testing.T, path string) target.Target {
	t.Helper()
	opened, err := sqlite.Open(adapter.Env{Dir: f.dir, Table: f.table.Name}, sqlite.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := opened.Close(); err != nil {
			t.Error(err)
		}
	})
	return opened
}

func (f *liveFile) copy(t *testing.T) target.Target {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(f.dir, "live.db"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(f.dir, "copy.db"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	return f.openIn(t, "copy.db")
}
