package apply_test

import (
	"context"
	"errors"
	"maps"
	"slices"

	"recount"
	"recount/target"
)

// table is a target in memory, with every fault that a database can have.
type table struct {
	columns []string // of rows' values
	rows    map[string]recount.Row
	runs    []recount.Run
	undo    map[string][]recount.Change
	info    recount.TableInfo
	beside  map[string]*table // the other tables of the database
	log     *[]string         // writes in their order
	locked  bool
	swallow bool // writes say that they changed nothing
	spoil   bool // a trigger changes what is written
	lose    bool // the commit's answer is lost
	drop    bool // … and the commit did not happen
	dead    bool // nothing answers after the commit
	after   func(*table)
	// traffic changes rows when they are locked: what was committed until then.
	traffic func(rows map[string]recount.Row)
	// waited changes rows before they are written: what a write waited for.
	waited func(rows map[string]recount.Row)
}

var errDead = errors.New("no answer")

func key(row recount.Row) string { return recount.KeyText(row.Key) }

func newTable(rows ...recount.Row) *table { return named("totals", []string{"v"}, rows...) }

func named(name string, columns []string, rows ...recount.Row) *table {
	t := &table{columns: columns, rows: map[string]recount.Row{}, undo: map[string][]recount.Change{}, beside: map[string]*table{}, log: new([]string)}
	t.info = recount.TableInfo{Identity: recount.Identity{Adapter: "fake", Place: "here", Table: name}, Fingerprint: "f1"}
	for _, c := range append([]string{"k", "run"}, columns...) {
		kind := recount.Type{Kind: recount.KindString}
		switch c {
		case "n", "version":
			kind.Kind = recount.KindInt64
		case "amount", "total":
			kind = recount.Decimal(6, 2)
		}
		t.info.Columns = append(t.info.Columns, recount.Column{Name: c, Type: kind, Nullable: true})
	}
	for _, r := range rows {
		t.rows[key(r)] = r
	}
	return t
}

// join makes one database of tables.
func join(tables ...*table) {
	for _, t := range tables {
		t.log = tables[0].log
		for _, other := range tables {
			if other != t {
				t.beside[other.info.Identity.Table] = other
			}
		}
	}
}

func (t *table) Info(context.Context) (recount.TableInfo, error) { return t.info, nil }
func (t *table) CanWrite(context.Context) (bool, error)          { return true, nil }
func (t *table) Close() error                                    { return nil }
func (t *table) Runs(context.Context) ([]recount.Run, error)     { return t.runs, nil }

// pick gives the columns of a row, those that come to mind last too.
func (t *table) pick(row recount.Row, columns []string) recount.Row {
	out := recount.Row{Key: row.Key, Values: make([]recount.Value, len(columns))}
	for i, c := range columns {
		out.Values[i] = recount.Null
		if j := slices.Index(t.columns, c); j >= 0 && j < len(row.Values) {
			out.Values[i] = row.Values[j]
		}
	}
	return out
}

func (t *table) read(rows map[string]recount.Row, columns []string, keys [][]recount.Value, each func(recount.Row) error) error {
	for _, k := range keys {
		if row, ok := rows[recount.KeyText(k)]; ok {
			if err := each(t.pick(row, columns)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *table) Scan(_ context.Context, scan target.Scan, each func(recount.Row) error) error {
	if t.dead {
		return errDead
	}
	return t.read(t.rows, scan.Columns, scan.Keys, each)
}

func (t *table) Undo(_ context.Context, run string, each func(recount.Change) error) error {
	for _, c := range t.undo[run] {
		if err := each(c); err != nil {
			return err
		}
	}
	return nil
}

func (t *table) Begin(context.Context) (target.Tx, error) {
	if t.dead {
		return nil, errDead
	}
	if t.locked {
		return nil, recount.ErrLocked
	}
	t.locked = true
	return &tx{t: t, rows: maps.Clone(t.rows)}, nil
}

type tx struct {
	t      *table
	rows   map[string]recount.Row
	run    recount.Run
	undo   []recount.Change
	beside []*tx
	ended  bool
}

func (x *tx) Info(ctx context.Context) (recount.TableInfo, error) { return x.t.Info(ctx) }

func (x *tx) Applied(_ context.Context, plan string) (recount.Run, bool, error) {
	for _, r := range x.t.runs {
		if r.Plan == plan && r.RolledBack == "" {
			return r, true, nil
		}
	}
	return recount.Run{}, false, nil
}

func (x *tx) holds(columns []string, c recount.Change) bool {
	row, ok := x.rows[recount.KeyText(c.Key)]
	if c.Before == nil {
		return !ok
	}
	return ok && slices.Equal(x.t.pick(row, columns).Values, c.Before)
}

func (x *tx) Moved(_ context.Context, _, columns []string, changes []recount.Change) ([]recount.Change, error) {
	var moved []recount.Change
	for _, c := range changes {
		if !x.holds(columns, c) {
			moved = append(moved, c)
		}
	}
	return moved, nil
}

func (x *tx) Write(_ context.Context, _, columns []string, changes []recount.Change) (n int64, err error) {
	if x.t.waited != nil {
		x.t.waited(x.rows)
	}
	for _, c := range changes {
		if !x.holds(columns, c) {
			if c.Action == recount.ActionInsert {
				return n, recount.ErrMoved
			}
			continue
		}
		if x.t.swallow {
			continue
		}
		n++
		k := recount.KeyText(c.Key)
		*x.t.log = append(*x.t.log, string(c.Action)+" "+x.t.info.Identity.Table)
		if c.After == nil {
			delete(x.rows, k)
			continue
		}
		values := make([]recount.Value, len(x.t.columns))
		for i := range values {
			values[i] = recount.Null
		}
		copy(values, x.rows[k].Values)
		for i, name := range columns {
			values[slices.Index(x.t.columns, name)] = c.After[i]
		}
		if x.t.spoil {
			values[0].Text += "0"
		}
		x.rows[k] = recount.Row{Key: c.Key, Values: values}
	}
	return n, nil
}

func (x *tx) Read(_ context.Context, _, columns []string, keys [][]recount.Value, each func(recount.Row) error) error {
	return x.t.read(x.rows, columns, keys, each)
}

// Lock sees what traffic committed before it had the rows.
func (x *tx) Lock(ctx context.Context, key, columns []string, keys [][]recount.Value, each func(recount.Row) error) error {
	if x.t.traffic != nil {
		x.t.traffic(x.rows)
	}
	return x.Read(ctx, key, columns, keys, each)
}

func (x *tx) On(_ context.Context, name string) (target.Tx, error) {
	other, ok := x.t.beside[name]
	if !ok {
		return nil, recount.ErrUnsupported
	}
	if other.locked {
		return nil, recount.ErrLocked
	}
	other.locked = true
	*x.t.log = append(*x.t.log, "lock "+name)
	own := &tx{t: other, rows: maps.Clone(other.rows)}
	x.beside = append(x.beside, own)
	return own, nil
}

func (x *tx) Record(_ context.Context, run recount.Run, undo []recount.Change) error {
	x.run, x.undo = run, undo
	return nil
}

func (x *tx) Commit(context.Context) error {
	x.end()
	if !x.t.drop {
		for _, own := range append([]*tx{x}, x.beside...) {
			own.stand()
		}
	}
	if x.t.after != nil {
		x.t.after(x.t)
	}
	if x.t.lose {
		return recount.ErrUnknown
	}
	return nil
}

// stand makes what the transaction did to one table the table's.
func (x *tx) stand() {
	x.t.rows = x.rows
	x.t.undo[x.run.ID] = x.undo
	for i := range x.t.runs {
		if x.t.runs[i].ID == x.run.Of {
			x.t.runs[i].RolledBack = x.run.ID
		}
	}
	x.t.runs = append(x.t.runs, x.run)
}

func (x *tx) Rollback(context.Context) error {
	x.end()
	return nil
}

func (x *tx) end() {
	if !x.ended {
		x.ended, x.t.locked = true, false
		for _, own := range x.beside {
			own.t.locked = false
		}
	}
}
