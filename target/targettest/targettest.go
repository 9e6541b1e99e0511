// Package targettest is the conformance suite of the port target: what every
// adapter promises, each promise a subtest. An adapter's test hands it a Harness
// that makes live tables in the adapter's own way; nothing here knows an
// adapter, and no promise depends on how a table is stored.
package targettest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"recount"
	"recount/target"
)

// Table is a live table that a harness makes.
type Table struct {
	// Name is what the suite would call it; a harness may use another name.
	Name string
	// Key and Columns have a name and a type. Columns may be NULL, the key not.
	Key, Columns []recount.Column
	// Unique asks for a unique key, where the harness has such.
	Unique bool
	// Parent names a table to whose key a foreign key of the first column leads;
	// empty: none.
	Parent string
	Rows   []recount.Row
}

// Live is what a harness made.
type Live struct {
	Target target.Target
	// Reopen opens the same table anew, as another process would.
	Reopen func(t *testing.T) target.Target
	// Edit changes one row past recount, as the live system does: an update by
	// After, an insert or a delete.
	Edit func(t *testing.T, c recount.Change)
	// AddColumn adds a text column past recount.
	AddColumn func(t *testing.T, name string)
	// AddTrigger makes every write of a row set off something else, past recount.
	// Nil: there are no triggers.
	AddTrigger func(t *testing.T)
	// Beside makes another table in the same database and opens it, alone. Nil:
	// the target is one table alone.
	Beside func(t *testing.T, table Table) target.Target
	// Copy makes a copy of the whole place, ledger included, and opens it. Nil:
	// there is no copy to be told apart.
	Copy func(t *testing.T) target.Target
}

// Harness makes tables for the suite.
type Harness struct {
	// New makes a table and opens it. It closes what it opened when t ends.
	New func(t *testing.T, table Table) Live
	// Where says that the target takes conditions in SQL.
	Where bool
	// Types says that columns have types and can be NULL; otherwise all values
	// are texts and NULL is none.
	Types bool
	// UniqueKey says that the target can hold a key unique.
	UniqueKey bool
}

// Run runs the whole suite.
func Run(t *testing.T, h Harness) {
	t.Run("reading", func(t *testing.T) { reading(t, h) })
	t.Run("writing", func(t *testing.T) { writing(t, h) })
	t.Run("ledger", func(t *testing.T) { ledger(t, h) })
	t.Run("identity", func(t *testing.T) { identity(t, h) })
	t.Run("tables", func(t *testing.T) { tables(t, h) })
	t.Run("properties", func(t *testing.T) { properties(t, h) })
}

func text(name string) recount.Column { return column(name, recount.KindString) }

func column(name string, kind recount.Kind) recount.Column {
	return recount.Column{Name: name, Type: recount.Type{Kind: kind}}
}

func values(texts ...string) []recount.Value {
	out := make([]recount.Value, len(texts))
	for i, s := range texts {
		out[i] = recount.Text(s)
	}
	return out
}

func row(key string, texts ...string) recount.Row {
	return recount.Row{Key: values(key), Values: values(texts...)}
}

func update(key, before, after []recount.Value) recount.Change {
	return recount.Change{Action: recount.ActionUpdate, Key: key, Before: before, After: after}
}

func insert(key, after []recount.Value) recount.Change {
	return recount.Change{Action: recount.ActionInsert, Key: key, After: after}
}

func remove(key, before []recount.Value) recount.Change {
	return recount.Change{Action: recount.ActionDelete, Key: key, Before: before}
}

// reverse is the change that takes c back.
func reverse(c recount.Change) recount.Change {
	r := recount.Change{Action: c.Action, Key: c.Key, Before: c.After, After: c.Before}
	switch {
	case r.Before == nil:
		r.Action = recount.ActionInsert
	case r.After == nil:
		r.Action = recount.ActionDelete
	}
	return r
}

func names(columns []recount.Column) []string {
	out := make([]string, len(columns))
	for i, c := range columns {
		out[i] = c.Name
	}
	return out
}

// totals is the table that most checks use: a key and two texts.
func totals(rows ...recount.Row) Table {
	return Table{Name: "totals", Key: []recount.Column{text("id")}, Columns: []recount.Column{text("total"), text("note")}, Unique: true, Rows: rows}
}

// show is a row as one line.
func show(r recount.Row) string {
	var parts []string
	for _, v := range append(slices.Clone(r.Key), r.Values...) {
		if v.Null {
			parts = append(parts, "NULL")
			continue
		}
		parts = append(parts, `"`+v.Text+`"`)
	}
	return strings.Join(parts, " ")
}

func lines(rows []recount.Row) []string {
	out := []string{}
	for _, r := range rows {
		out = append(out, show(r))
	}
	slices.Sort(out)
	return out
}

func scan(t *testing.T, live target.Target, s target.Scan) []recount.Row {
	t.Helper()
	var rows []recount.Row
	err := live.Scan(t.Context(), s, func(r recount.Row) error {
		rows = append(rows, r)
		return nil
	})
	if err != nil {
		t.Fatalf("scan: %v", err)
	}
	return rows
}

func all(table Table) target.Scan {
	return target.Scan{Key: names(table.Key), Columns: names(table.Columns)}
}

// wantRows compares the live table with rows, in any order.
func wantRows(t *testing.T, live target.Target, table Table, rows []recount.Row) {
	t.Helper()
	got, want := lines(scan(t, live, all(table))), lines(rows)
	if !slices.Equal(got, want) {
		t.Errorf("live rows: got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func begin(t *testing.T, live target.Target) target.Tx {
	t.Helper()
	tx, err := live.Begin(t.Context())
	if err != nil {
		t.Fatalf("begin: %v", err)
	}
	t.Cleanup(func() {
		if err := tx.Rollback(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("rollback at the end: %v", err)
		}
	})
	return tx
}

func write(t *testing.T, tx target.Tx, table Table, changes ...recount.Change) int64 {
	t.Helper()
	n, err := tx.Write(t.Context(), names(table.Key), names(table.Columns), changes)
	if err != nil {
		t.Fatalf("write: %v", err)
	}
	return n
}

func commit(t *testing.T, tx target.Tx) {
	t.Helper()
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatalf("commit: %v", err)
	}
}

func rollback(t *testing.T, tx target.Tx) {
	t.Helper()
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatalf("rollback: %v", err)
	}
}

// run is a ledger row with all that one can hold.
func run(table Table, live target.Target, t *testing.T, id, plan string) recount.Run {
	t.Helper()
	info, err := live.Info(t.Context())
	if err != nil {
		t.Fatalf("info: %v", err)
	}
	at := time.Date(2024, 6, 11, 9, 14, 0, 123456000, time.UTC)
	r := recount.Run{
		ID: id, Plan: plan, Kind: recount.PlanApply, Table: info.Identity.Table, At: at, By: "an operator", Applied: 3, Held: 1,
		Extra: 2, Excluded: 4, Window: recount.Window{From: at.Add(-2 * time.Hour), To: at.Add(-time.Hour), By: recount.ByEvent},
		Overrides: []string{"--no-control"}, Calculation: "totals",
	}
	for _, c := range table.Key {
		r.Key = append(r.Key, recount.PlanColumn{Name: c.Name, Type: c.Type.String()})
	}
	for _, c := range table.Columns {
		r.Columns = append(r.Columns, recount.PlanColumn{Name: c.Name, Type: c.Type.String()})
	}
	return r
}

// apply writes changes of any action in one transaction, as a run.
func apply(t *testing.T, live target.Target, table Table, r recount.Run, changes []recount.Change) {
	t.Helper()
	tx := begin(t, live)
	for _, action := range []recount.Action{recount.ActionDelete, recount.ActionUpdate, recount.ActionInsert} {
		group := slices.DeleteFunc(slices.Clone(changes), func(c recount.Change) bool { return c.Action != action })
		if len(group) == 0 {
			continue
		}
		if n := write(t, tx, table, group...); n != int64(len(group)) {
			t.Fatalf("write %s: changed %d rows, want %d", action, n, len(group))
		}
	}
	if err := tx.Record(t.Context(), r, changes); err != nil {
		t.Fatalf("record: %v", err)
	}
	commit(t, tx)
}

func is(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got error %v, want %v", what, err, want)
	}
}
