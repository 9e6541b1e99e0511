package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	modernc "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"recount"
	"recount/target"
	"recount/target/internal/refusal"
	"recount/target/internal/sqltable"
)

// tx is the one writing transaction.
type tx struct {
	*session
	d    *described
	done bool
	// beside says that it is another table's part of a transaction, which ends
	// with the first one's.
	beside bool
	// kept holds, by the key's JSON, how this transaction found rows stored
	// before it wrote them; Record puts it into the undo rows.
	kept map[string]string
}

func (t *table) Begin(ctx context.Context) (target.Tx, error) {
	s, err := t.begin(ctx, true)
	if err != nil {
		return nil, err
	}
	x := &tx{session: s, kept: map[string]string{}}
	// Rows that refer to one another are right together alone: foreign keys are
	// checked once all are written, at the commit.
	_, err = s.conn.ExecContext(ctx, "PRAGMA defer_foreign_keys = ON")
	if err = t.explain("begin", err); err == nil {
		x.d, err = s.describe(ctx)
	}
	if err == nil {
		err = s.makeLedger(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, x.Rollback(ctx))
	}
	return x, nil
}

func (x *tx) Info(ctx context.Context) (recount.TableInfo, error) {
	d, err := x.describe(ctx)
	if err != nil {
		return recount.TableInfo{}, err
	}
	return d.info, nil
}

func (x *tx) Applied(ctx context.Context, plan string) (recount.Run, bool, error) {
	var body string
	err := x.conn.QueryRowContext(ctx, "SELECT body FROM recount_runs WHERE plan = ? AND rolled_back IS NULL", plan).Scan(&body)
	if errors.Is(err, sql.ErrNoRows) {
		return recount.Run{}, false, nil
	}
	if err != nil {
		return recount.Run{}, false, x.t.explain("read ledger of", err)
	}
	run, err := sqltable.DecodeRun(body, "")
	return run, err == nil, err
}

func (x *tx) Read(ctx context.Context, key, columns []string, keys [][]recount.Value, each func(recount.Row) error) error {
	return x.readKeys(ctx, x.d, key, columns, keys, false, each)
}

// found resolves the rows of changes, with the columns of columns.
func (x *tx) found(ctx context.Context, key []string, columns []column, changes []recount.Change) ([][]live, error) {
	keyColumns, err := x.d.pick(key)
	if err != nil {
		return nil, err
	}
	keys := make([][]recount.Value, len(changes))
	for i, c := range changes {
		keys[i] = c.Key
	}
	inserts := len(changes) > 0 && changes[0].Action == recount.ActionInsert
	return x.resolve(ctx, x.d, keyColumns, columns, keys, inserts)
}

func (x *tx) Moved(ctx context.Context, key, columns []string, changes []recount.Change) ([]recount.Change, error) {
	if _, err := sqltable.CheckChanges(key, columns, changes); err != nil {
		return nil, err
	}
	values, err := x.d.pick(columns)
	if err != nil {
		return nil, err
	}
	found, err := x.found(ctx, key, values, changes)
	if err != nil {
		return nil, err
	}
	var moved []recount.Change
	for i, c := range changes {
		still := len(found[i]) > 0
		for _, row := range found[i] {
			still = still && sqltable.Holds(row.texts, c.Before)
		}
		if c.Action == recount.ActionInsert {
			still = len(found[i]) == 0
		}
		if !still {
			moved = append(moved, c)
		}
	}
	return moved, nil
}

func (x *tx) Write(ctx context.Context, key, columns []string, changes []recount.Change) (int64, error) {
	action, err := sqltable.CheckChanges(key, columns, changes)
	if err != nil || len(changes) == 0 {
		return 0, err
	}
	values, err := x.d.pick(columns)
	if err != nil {
		return 0, err
	}
	switch action {
	case recount.ActionUpdate:
		return x.update(ctx, key, values, changes)
	case recount.ActionInsert:
		return x.insert(ctx, key, values, changes)
	case recount.ActionDelete:
		return x.remove(ctx, key, values, changes)
	case recount.ActionExtra, recount.ActionHeld, recount.ActionExcluded:
	}
	return 0, fmt.Errorf("write changes: action %q writes nothing", action)
}

// update writes group by group. Each row is addressed by its rowid, under the
// stored values that were read in this transaction and equal the before-image.
func (x *tx) update(ctx context.Context, key []string, columns []column, changes []recount.Change) (int64, error) {
	found, err := x.found(ctx, key, columns, changes)
	if err != nil {
		return 0, err
	}
	before, err := x.memory(ctx, changes)
	if err != nil {
		return 0, err
	}
	for i, c := range columns {
		if columns[i], err = x.learn(ctx, c); err != nil {
			return 0, err
		}
	}
	var written int64
	for _, group := range sqltable.Groups(changes) {
		n, err := x.updateGroup(ctx, columns, changes, group, found, before)
		if err != nil {
			return written, err
		}
		written += n
	}
	return written, nil
}

func (x *tx) updateGroup(ctx context.Context, columns []column, changes []recount.Change, group sqltable.Group, found [][]live, before map[int]map[string]stored) (int64, error) {
	sets := make([]string, len(group.Columns))
	for i, j := range group.Columns {
		sets[i] = sqltable.Quote(columns[j].Name) + " = ?"
	}
	statement, err := x.conn.PrepareContext(ctx, "UPDATE "+x.t.quoted()+" SET "+strings.Join(sets, ", ")+" WHERE "+x.guard(columns))
	if err != nil {
		return 0, x.t.explain("update", err)
	}
	defer func() { _ = statement.Close() }()
	var written int64
	for _, i := range group.Changes {
		for _, row := range found[i] {
			if !sqltable.Holds(row.texts, changes[i].Before) {
				continue
			}
			args := make([]any, 0, len(sets)+len(row.locator)+len(columns))
			for _, j := range group.Columns {
				args = append(args, remembered(columns[j], changes[i].After[j], before[i]))
			}
			n, err := x.exec(ctx, statement, append(append(args, row.locator...), row.values...))
			if err != nil {
				return written, err
			}
			written += n
			if err := x.keepRow(changes[i].Key, columns, row.values); err != nil {
				return written, err
			}
		}
	}
	return written, nil
}

// remembered returns what to store for a value: the form that it had before a
// run overwrote it, where that is the same value, else the column's own.
func remembered(c column, v recount.Value, before map[string]stored) any {
	if old, ok := before[c.Name]; ok {
		if value, err := old.value(); err == nil && c.canon(value) == v {
			return value
		}
	}
	return c.bind(v)
}

// guard is the condition under which one row is written: it is that row, and
// each planned column holds what was read.
func (x *tx) guard(columns []column) string {
	parts := make([]string, 0, len(x.d.locator)+len(columns))
	for _, l := range x.d.locator {
		parts = append(parts, l+" = ?")
	}
	for _, c := range columns {
		parts = append(parts, "+"+sqltable.Quote(c.Name)+" IS ?")
	}
	return strings.Join(parts, " AND ")
}

func (x *tx) exec(ctx context.Context, statement *sql.Stmt, args []any) (int64, error) {
	result, err := statement.ExecContext(ctx, args...)
	if err != nil {
		return 0, x.t.explain("write", err)
	}
	n, err := result.RowsAffected()
	return n, x.t.explain("write", err)
}

// keepRow remembers how a row was stored, where its texts alone do not say so.
func (x *tx) keepRow(key []recount.Value, columns []column, values []any) error {
	var odd []column
	var oddValues []any
	for i, c := range columns {
		plain := column{Column: c.Column, affinity: c.affinity, reals: c.reals}
		if !c.natural(plain.bind(c.canon(values[i])), values[i]) {
			odd, oddValues = append(odd, c), append(oddValues, values[i])
		}
	}
	if len(odd) == 0 {
		return nil
	}
	return x.keepWhole(key, odd, oddValues)
}

func (x *tx) keepWhole(key []recount.Value, columns []column, values []any) error {
	name, err := sqltable.KeyJSON(key)
	if err != nil {
		return err
	}
	x.kept[name], err = spelled(columns, values)
	return err
}

// natural says whether storing bound would give exactly the stored value again.
func (c column) natural(bound, value any) bool {
	if keep(bound) == keep(value) {
		return true
	}
	text, isText := bound.(string)
	switch c.affinity {
	case "NUMERIC", "INTEGER", "REAL":
		switch v := value.(type) {
		case int64:
			return isText && c.affinity != "REAL" && plainInteger(text, v)
		case float64:
			return isText && plainFloat(text, v)
		}
	}
	return false
}

func (x *tx) remove(ctx context.Context, key []string, columns []column, changes []recount.Change) (int64, error) {
	all := slices.DeleteFunc(slices.Clone(x.d.columns), func(c column) bool { return c.Generated })
	found, err := x.found(ctx, key, append(slices.Clone(columns), all...), changes)
	if err != nil {
		return 0, err
	}
	statement, err := x.conn.PrepareContext(ctx, "DELETE FROM "+x.t.quoted()+" WHERE "+x.guard(columns))
	if err != nil {
		return 0, x.t.explain("delete from", err)
	}
	defer func() { _ = statement.Close() }()
	var written int64
	for i, c := range changes {
		for _, row := range found[i] {
			if !sqltable.Holds(row.texts[:len(columns)], c.Before) {
				continue
			}
			n, err := x.exec(ctx, statement, append(slices.Clone(row.locator), row.values[:len(columns)]...))
			if err != nil {
				return written, err
			}
			written += n
			if err := x.keepWhole(c.Key, all, row.values[len(columns):]); err != nil {
				return written, err
			}
		}
	}
	return written, nil
}

// insert refuses keys that are taken, also where no constraint would.
func (x *tx) insert(ctx context.Context, key []string, columns []column, changes []recount.Change) (int64, error) {
	found, err := x.found(ctx, key, nil, changes)
	if err != nil {
		return 0, err
	}
	for i, rows := range found {
		if len(rows) > 0 {
			return 0, refusal.Moved(x.t.place, fmt.Sprintf("a row of key %s is there already", recount.KeyText(changes[i].Key)), nil)
		}
	}
	before, err := x.memory(ctx, changes)
	if err != nil {
		return 0, err
	}
	keyColumns, err := x.d.pick(key)
	if err != nil {
		return 0, err
	}
	planned := append(keyColumns, columns...)
	for i, c := range planned {
		if planned[i], err = x.learn(ctx, c); err != nil {
			return 0, err
		}
	}
	statements := map[string]*sql.Stmt{}
	defer func() {
		for _, s := range statements {
			_ = s.Close()
		}
	}()
	var written int64
	for i, c := range changes {
		names, args := x.row(planned, append(slices.Clone(c.Key), c.After...), before[i])
		text := fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s)", x.t.quoted(), strings.Join(names, ","), strings.TrimSuffix(strings.Repeat("?,", len(names)), ","))
		if statements[text] == nil {
			statement, err := x.conn.PrepareContext(ctx, text) //nolint:sqlclosecheck // all are closed together, above
			if err != nil {
				return written, x.t.explain("insert into", err)
			}
			statements[text] = statement
		}
		n, err := x.exec(ctx, statements[text], args)
		if err != nil {
			return written, err
		}
		written += n
	}
	return written, nil
}

// row returns the columns and values of a new row. Where a standing run deleted
// the very row, its other columns come back too, as far as the table still has
// them.
func (x *tx) row(planned []column, values []recount.Value, before map[string]stored) (names []string, args []any) {
	same := before != nil
	rest := maps.Clone(before)
	for i, c := range planned {
		value := remembered(c, values[i], before)
		old, ok := before[c.Name]
		same = same && ok && old.is(value)
		delete(rest, c.Name)
		names, args = append(names, sqltable.Quote(c.Name)), append(args, value)
	}
	if !same {
		return names, args
	}
	for _, name := range slices.Sorted(maps.Keys(rest)) {
		if _, there := x.d.column(name); !there {
			continue
		}
		if value, err := rest[name].value(); err == nil {
			names, args = append(names, sqltable.Quote(name)), append(args, value)
		}
	}
	return names, args
}

func (x *tx) Record(ctx context.Context, run recount.Run, undo []recount.Change) error {
	body, err := sqltable.EncodeRun(run)
	if err != nil {
		return err
	}
	if run.Of != "" {
		result, err := x.conn.ExecContext(ctx, "UPDATE recount_runs SET rolled_back = ? WHERE run = ? AND target = ? AND rolled_back IS NULL", run.ID, run.Of, x.t.name)
		if err != nil {
			return x.t.explain("write ledger of", err)
		}
		if n, err := result.RowsAffected(); err != nil || n != 1 {
			return errors.Join(refusal.NoRun(x.t.place, run.Of, "the ledger has no such run on this table, or it was rolled back before"), err)
		}
	}
	_, err = x.conn.ExecContext(ctx, "INSERT INTO recount_runs (run, plan, target, kind, at, of_run, body) VALUES (?,?,?,?,?,?,?)",
		run.ID, run.Plan, x.t.name, string(run.Kind), recount.FormatTimestamp(run.At), run.Of, body)
	if err != nil {
		return x.t.explain("write ledger of", err)
	}
	return x.recordUndo(ctx, run.ID, undo)
}

func (x *tx) recordUndo(ctx context.Context, run string, undo []recount.Change) error {
	statement, err := x.conn.PrepareContext(ctx, "INSERT INTO recount_undo (run, action, key, before, after, stored) VALUES (?,?,?,?,?,?)")
	if err != nil {
		return x.t.explain("write ledger of", err)
	}
	defer func() { _ = statement.Close() }()
	for _, c := range undo {
		row, err := sqltable.EncodeUndo(c)
		if err != nil {
			return err
		}
		var kept any
		if text, ok := x.kept[row.Key]; ok {
			kept = text
		}
		if _, err := x.exec(ctx, statement, []any{run, row.Action, row.Key, row.Before, row.After, kept}); err != nil {
			return err
		}
	}
	return nil
}

func (x *tx) Commit(ctx context.Context) error {
	if x.beside {
		return fmt.Errorf("commit %q: the transaction is that of another table", x.t.name)
	}
	if x.done {
		return fmt.Errorf("commit %q: the transaction has ended", x.t.place)
	}
	if _, err := x.conn.ExecContext(ctx, fmt.Sprintf("PRAGMA busy_timeout = %d", commitWaitMS)); err != nil {
		return x.t.explain("commit", err)
	}
	_, err := x.conn.ExecContext(ctx, "COMMIT")
	if err == nil {
		x.done = true
		return x.conn.Close()
	}
	if raw, ok := errors.AsType[*modernc.Error](err); ok {
		switch raw.Code() & 0xff {
		case lib.SQLITE_BUSY, lib.SQLITE_CONSTRAINT, lib.SQLITE_FULL, lib.SQLITE_READONLY:
			// These come before the file says that the transaction stands.
			return x.t.explain("commit", err)
		}
	}
	return refusal.Unknown(x.t.place, "COMMIT failed: "+err.Error(), err)
}

func (x *tx) Rollback(ctx context.Context) error {
	if x.done || x.beside {
		return nil
	}
	x.done = true
	return x.end(ctx)
}
