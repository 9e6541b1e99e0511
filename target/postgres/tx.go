package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

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
	stages *int // the transaction's count of temporary tables
	// kept holds, by the key's JSON, how this transaction found rows stored
	// before it wrote them, where the canonical texts do not say it.
	kept map[string]string
}

// Begin opens the transaction at READ COMMITTED: guards and row locks look at
// the newest committed rows, and a row that moved is seen as moved, instead of
// ending the transaction by a serialization error.
func (t *table) Begin(ctx context.Context) (target.Tx, error) {
	s, err := t.begin(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadWrite})
	if err != nil {
		return nil, err
	}
	x := &tx{session: s, stages: new(int), kept: map[string]string{}}
	if err := x.prepare(ctx); err != nil {
		return nil, errors.Join(err, x.Rollback(ctx))
	}
	if err := x.announce(ctx); err != nil {
		return nil, errors.Join(err, x.Rollback(ctx))
	}
	return x, nil
}

func (x *tx) prepare(ctx context.Context) (err error) {
	var standby bool
	if err := x.tx.QueryRow(ctx, "SELECT pg_is_in_recovery()").Scan(&standby); err != nil {
		return x.explain("begin", err)
	}
	if standby {
		return refusal.ReadOnly(x.t.place, "the server is a standby: it follows another one and takes no writes", nil)
	}
	if x.d, err = x.describe(ctx); err != nil {
		return err
	}
	can, err := x.mayWrite(ctx, x.d)
	if err != nil {
		return err
	}
	if !can {
		return refusal.ReadOnly(x.t.place, fmt.Sprintf("the role may neither update nor insert nor delete in table %s", x.d.full), nil)
	}
	if err := x.lock(ctx); err != nil {
		return err
	}
	if err := x.constraints(ctx, "DEFERRED"); err != nil {
		return err
	}
	return x.makeLedger(ctx, x.d)
}

// lockKey is the number of the table's advisory lock.
const lockKey = "hashtextextended('recount table ' || $1, 0)"

// lock takes the writer lock. It waits a moment: a backend whose client was
// killed needs one to notice.
func (x *tx) lock(ctx context.Context) error {
	nested, err := x.tx.Begin(ctx)
	if err != nil {
		return x.explain("lock", err)
	}
	_, err = nested.Exec(ctx, "SET LOCAL lock_timeout = '1s'")
	if err == nil {
		_, err = nested.Exec(ctx, "SELECT pg_advisory_xact_lock("+lockKey+")", x.d.full)
	}
	if err == nil {
		_, err = nested.Exec(ctx, "SET LOCAL lock_timeout = '10s'")
	}
	if err == nil {
		return x.explain("lock", nested.Commit(ctx))
	}
	var server *pgconn.PgError
	// Two runs that wait for each other in a circle are told so by a deadlock.
	if !errors.As(err, &server) || server.Code != "55P03" && server.Code != "40P01" {
		return x.explain("lock", err)
	}
	if err := nested.Rollback(ctx); err != nil {
		return x.explain("lock", err)
	}
	who := "another run, which has just ended"
	err = x.tx.QueryRow(ctx, `SELECT format('process %s of role %s (%s) from %s, since %s', a.pid, a.usename, a.application_name, coalesce(host(a.client_addr), 'the same machine'), a.xact_start)
		FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
		AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND (l.classid::int8 << 32 | l.objid::int8) = `+lockKey+` LIMIT 1`, x.d.full).Scan(&who)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return x.explain("lock", err)
	}
	return refusal.Locked(x.t.place, who)
}

func (x *tx) Info(ctx context.Context) (recount.TableInfo, error) {
	d, err := x.describe(ctx)
	if err != nil {
		return recount.TableInfo{}, err
	}
	return d.info, nil
}

func (x *tx) Read(ctx context.Context, key, columns []string, keys [][]recount.Value, each func(recount.Row) error) error {
	return x.readKeys(ctx, x.d, key, columns, keys, each)
}

func (x *tx) Moved(ctx context.Context, key, columns []string, changes []recount.Change) ([]recount.Change, error) {
	if _, err := sqltable.CheckChanges(key, columns, changes); err != nil {
		return nil, err
	}
	keys, found, holds := make([][]recount.Value, len(changes)), make([]bool, len(changes)), make([]bool, len(changes))
	for i, c := range changes {
		keys[i], holds[i] = c.Key, true
	}
	inserts := len(changes) > 0 && changes[0].Action == recount.ActionInsert
	err := x.eachOfKeys(ctx, x.d, key, columns, keys, inserts, func(place int, values []recount.Value) error {
		found[place] = true
		holds[place] = holds[place] && sqltable.Holds(values, changes[place].Before)
		return nil
	})
	if err != nil {
		return nil, err
	}
	var moved []recount.Change
	for i, c := range changes {
		still := found[i] && holds[i]
		if c.Action == recount.ActionInsert {
			still = !found[i]
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
	keyColumns, err := x.d.pick(key)
	if err != nil {
		return 0, err
	}
	values, err := x.d.pick(columns)
	if err != nil {
		return 0, err
	}
	switch action {
	case recount.ActionUpdate:
		return x.update(ctx, keyColumns, values, changes)
	case recount.ActionInsert:
		return x.insert(ctx, keyColumns, values, changes)
	case recount.ActionDelete:
		return x.remove(ctx, keyColumns, values, changes)
	case recount.ActionExtra, recount.ActionHeld, recount.ActionExcluded:
	}
	return 0, fmt.Errorf("write changes: action %q writes nothing", action)
}

func (x *tx) update(ctx context.Context, key, columns []column, changes []recount.Change) (int64, error) {
	before, err := x.memory(ctx, x.d, changes)
	if err != nil {
		return 0, err
	}
	groups := sqltable.Groups(changes)
	groupOf := make([]int, len(changes))
	for i := range groupOf {
		groupOf[i] = -1
	}
	for g, group := range groups {
		for _, i := range group.Changes {
			groupOf[i] = g
		}
	}
	layout := slices.Concat(aliased("k", key), aliased("b", columns), aliased("a", columns))
	s, err := x.makeStage(ctx, layout, len(changes), func(i int) int { return groupOf[i] }, func(i int) []recount.Value {
		c := changes[i]
		row := slices.Concat(c.Key, c.Before, c.After)
		for j, column := range columns {
			row[len(key)+len(columns)+j] = remembered(column, c.After[j], before[i])
		}
		return row
	})
	if err != nil {
		return 0, err
	}
	if err := x.lockRows(ctx, s, key, columns, changes); err != nil {
		return 0, err
	}
	var written int64
	for g, group := range groups {
		sets := make([]string, len(group.Columns))
		for i, j := range group.Columns {
			sets[i] = fmt.Sprintf("%s = s.a%d", sqltable.Quote(columns[j].Name), j)
		}
		tag, err := x.tx.Exec(ctx, fmt.Sprintf("UPDATE %s AS t SET %s FROM %s AS s WHERE s.grp = %d AND %s%s",
			x.d.quoted, strings.Join(sets, ", "), s.name, g, join(key), guard(columns)))
		if err != nil {
			return written, x.explain("update", err)
		}
		written += tag.RowsAffected()
	}
	return written, nil
}

// remembered returns the text to write for a value: the form that it had before
// a run overwrote it, where that is the same value.
func remembered(c column, v recount.Value, before map[string]*string) recount.Value {
	if old, ok := before[c.Name]; ok && old != nil && !v.Null && c.canon(*old) == v {
		return recount.Text(*old)
	}
	return v
}

// lockRows locks the rows of a stage in the order of their keys, so that two
// writers of the same rows wait for each other instead of in a circle. What
// several stored values share a text for is read then, and compared here.
func (x *tx) lockRows(ctx context.Context, s stage, key, columns []column, changes []recount.Change) error {
	var loose []column
	var places []int
	for i, c := range columns {
		if c.loose() {
			loose, places = append(loose, c), append(places, i)
		}
	}
	ordered := fmt.Sprintf("FROM %s AS s JOIN %s AS t ON %s ORDER BY %s FOR UPDATE OF t", s.name, x.d.quoted, join(key), keyOrder(key))
	if len(loose) == 0 {
		_, err := x.tx.Exec(ctx, "SELECT count(*) FROM (SELECT 1 "+ordered+") AS locked")
		return x.explain("lock rows of", err)
	}
	return x.eachLocked(ctx, "SELECT s.seq, "+asTexts(loose)+" "+ordered, loose, func(i int, stored []*string) error {
		odd := map[string]*string{}
		for j, c := range loose {
			have := recount.Null
			if stored[j] != nil {
				have = c.canon(*stored[j])
			}
			if have != changes[i].Before[places[j]] {
				return refusal.Moved(x.t.place, fmt.Sprintf("column %q of row %s is not as planned", c.Name, recount.KeyText(changes[i].Key)), nil)
			}
			if stored[j] != nil && *stored[j] != have.Text {
				odd[c.Name] = stored[j]
			}
		}
		if len(odd) == 0 {
			return nil
		}
		return x.keep(changes[i].Key, odd)
	})
}

// eachLocked reads rows of seq and texts.
func (x *tx) eachLocked(ctx context.Context, query string, columns []column, each func(i int, stored []*string) error) error {
	rows, err := x.tx.Query(ctx, query)
	if err != nil {
		return x.explain("lock rows of", err)
	}
	defer rows.Close()
	var seq int
	stored := make([]*string, len(columns))
	into := []any{&seq}
	for i := range stored {
		into = append(into, &stored[i])
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return x.explain("lock rows of", err)
		}
		if err := each(seq, slices.Clone(stored)); err != nil {
			return err
		}
	}
	return x.explain("lock rows of", rows.Err())
}

func keyOrder(key []column) string {
	parts := make([]string, len(key))
	for i, c := range key {
		parts[i] = "t." + sqltable.Quote(c.Name)
		if c.base == "json" || c.base == "xml" {
			parts[i] += "::text"
		}
	}
	return strings.Join(parts, ", ")
}

func (x *tx) keep(key []recount.Value, stored map[string]*string) error {
	name, err := sqltable.KeyJSON(key)
	if err != nil {
		return err
	}
	text, err := json.Marshal(stored)
	if err != nil {
		return fmt.Errorf("keep stored row: %w", err)
	}
	x.kept[name] = string(text)
	return nil
}

// remove keeps whole rows, so that a rollback brings back the columns too that
// no plan names.
func (x *tx) remove(ctx context.Context, key, columns []column, changes []recount.Change) (int64, error) {
	layout := append(aliased("k", key), aliased("b", columns)...)
	s, err := x.makeStage(ctx, layout, len(changes), func(int) int { return 0 }, func(i int) []recount.Value {
		return slices.Concat(changes[i].Key, changes[i].Before)
	})
	if err != nil {
		return 0, err
	}
	if err := x.lockRows(ctx, s, key, columns, changes); err != nil {
		return 0, err
	}
	all := x.written()
	query := fmt.Sprintf("SELECT s.seq, %s FROM %s AS s JOIN %s AS t ON %s", asTexts(all), s.name, x.d.quoted, join(key))
	err = x.eachLocked(ctx, query, all, func(i int, stored []*string) error {
		row := make(map[string]*string, len(all))
		for j, c := range all {
			row[c.Name] = stored[j]
		}
		return x.keep(changes[i].Key, row)
	})
	if err != nil {
		return 0, err
	}
	tag, err := x.tx.Exec(ctx, fmt.Sprintf("DELETE FROM %s AS t USING %s AS s WHERE %s%s", x.d.quoted, s.name, join(key), guard(columns)))
	return tag.RowsAffected(), x.explain("delete from", err)
}

// written lists the columns that a statement may set.
func (x *tx) written() []column {
	return slices.DeleteFunc(slices.Clone(x.d.columns), func(c column) bool { return c.Generated })
}

func (x *tx) insert(ctx context.Context, key, columns []column, changes []recount.Change) (int64, error) {
	if err := x.keepKeysFree(ctx, key); err != nil {
		return 0, err
	}
	before, err := x.memory(ctx, x.d, changes)
	if err != nil {
		return 0, err
	}
	planned := slices.Concat(key, columns)
	var plain, whole [][]recount.Value
	all := x.written()
	for i, c := range changes {
		values := slices.Concat(c.Key, c.After)
		if row, ok := wholeRow(planned, values, all, before[i]); ok {
			whole = append(whole, row)
			continue
		}
		plain = append(plain, values)
	}
	keys, err := x.makeStage(ctx, aliased("k", key), len(changes), func(int) int { return 0 }, func(i int) []recount.Value { return changes[i].Key })
	if err != nil {
		return 0, err
	}
	var taken int
	err = x.tx.QueryRow(ctx, fmt.Sprintf("SELECT s.seq FROM %s AS s JOIN %s AS t ON %s ORDER BY s.seq LIMIT 1", keys.name, x.d.quoted, join(key))).Scan(&taken)
	switch {
	case err == nil:
		return 0, refusal.Moved(x.t.place, fmt.Sprintf("a row of key %s is there already", recount.KeyText(changes[taken].Key)), nil)
	case !errors.Is(err, pgx.ErrNoRows):
		return 0, x.explain("insert into", err)
	}
	n, err := x.insertRows(ctx, planned, plain)
	if err != nil {
		return n, err
	}
	m, err := x.insertRows(ctx, all, whole)
	return n + m, err
}

// keepKeysFree locks the table against other writers where no constraint would
// stop them from taking a key between the check and the insert.
func (x *tx) keepKeysFree(ctx context.Context, key []column) error {
	for _, unique := range x.d.info.Unique {
		covered := true
		for _, name := range unique {
			covered = covered && slices.ContainsFunc(key, func(c column) bool { return c.Name == name })
		}
		if covered {
			return nil
		}
	}
	_, err := x.tx.Exec(ctx, "LOCK TABLE "+x.d.quoted+" IN SHARE ROW EXCLUSIVE MODE")
	return x.explain("lock", err)
}

// wholeRow returns the row that a standing run deleted, if the planned values
// are those that it had.
func wholeRow(planned []column, values []recount.Value, all []column, before map[string]*string) ([]recount.Value, bool) {
	if before == nil {
		return nil, false
	}
	for i, c := range planned {
		old, ok := before[c.Name]
		have := recount.Null
		if old != nil {
			have = c.canon(*old)
		}
		if !ok || have != values[i] {
			return nil, false
		}
	}
	if len(before) != len(all) || !slices.ContainsFunc(all, func(c column) bool { _, ok := before[c.Name]; return ok }) {
		return nil, false // the table's columns are others now
	}
	row := make([]recount.Value, len(all))
	for i, c := range all {
		old, ok := before[c.Name]
		if !ok {
			return nil, false
		}
		row[i] = recount.Null
		if old != nil {
			row[i] = recount.Text(*old)
		}
	}
	return row, true
}

func (x *tx) insertRows(ctx context.Context, columns []column, rows [][]recount.Value) (int64, error) {
	if len(rows) == 0 {
		return 0, nil
	}
	layout := aliased("a", columns)
	s, err := x.makeStage(ctx, layout, len(rows), func(int) int { return 0 }, func(i int) []recount.Value { return rows[i] })
	if err != nil {
		return 0, err
	}
	aliases := make([]string, len(layout))
	for i, c := range layout {
		aliases[i] = "s." + c.alias
	}
	// A row that comes back keeps the number that an identity column gave it.
	tag, err := x.tx.Exec(ctx, fmt.Sprintf("INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM %s AS s ORDER BY s.seq",
		x.d.quoted, quoteAll(columns), strings.Join(aliases, ", "), s.name))
	return tag.RowsAffected(), x.explain("insert into", err)
}

func (x *tx) Commit(ctx context.Context) error {
	if x.beside {
		return fmt.Errorf("commit %q: the transaction is that of another table", x.t.name)
	}
	if x.done {
		return fmt.Errorf("commit %q: the transaction has ended", x.t.place)
	}
	err := x.tx.Commit(ctx)
	if err == nil {
		x.done = true
		// The rows stand; how the connection ends changes nothing.
		_ = x.conn.Close(context.WithoutCancel(ctx))
		return nil
	}
	var server *pgconn.PgError
	switch {
	case errors.Is(err, pgx.ErrTxCommitRollback):
		return fmt.Errorf("commit %q: the transaction had failed before and was rolled back: %w", x.t.place, err)
	case errors.As(err, &server) && server.Severity == "ERROR":
		return x.explain("commit", err)
	}
	return refusal.Unknown(x.t.place, "the connection broke before the answer to COMMIT came: "+x.t.scrub(err.Error()), nil)
}

func (x *tx) Rollback(ctx context.Context) error {
	if x.done || x.beside {
		return nil
	}
	x.done = true
	return x.end(ctx)
}
