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
	rows    map[string]recount.Row
	runs    []recount.Run
	undo    map[string][]recount.Change
	info    recount.TableInfo
	locked  bool
	swallow bool // writes say that they changed nothing
	spoil   bool // a trigger changes what is written
	lose    bool // the commit's answer is lost
	drop    bool // … and the commit did not happen
	dead    bool // nothing answers after the commit
	after   func(*table)
}

var errDead = errors.New("no answer")

func key(row recount.Row) string { return recount.KeyText(row.Key) }

func newTable(rows ...recount.Row) *table {
	t := &table{rows: map[string]recount.Row{}, undo: map[string][]recount.Change{}}
	t.info = recount.TableInfo{Identity: recount.Identity{Adapter: "fake", Place: "here", Table: "totals"}, Fingerprint: "f1"}
	for _, r := range rows {
		t.rows[key(r)] = r
	}
	return t
}

func (t *table) Info(context.Context) (recount.TableInfo, error) { return t.info, nil }
func (t *table) CanWrite(context.Context) (bool, error)          { return true, nil }
func (t *table) Close() error                                    { return nil }
func (t *table) Runs(context.Context) ([]recount.Run, error)     { return t.runs, nil }

func (t *table) Scan(_ context.Context, scan target.Scan, each func(recount.Row) error) error {
	if t.dead {
		return errDead
	}
	for _, k := range scan.Keys {
		if row, ok := t.rows[recount.KeyText(k)]; ok {
			if err := each(row); err != nil {
				return err
			}
		}
	}
	return nil
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
	t     *table
	rows  map[string]recount.Row
	run   recount.Run
	undo  []recount.Change
	ended bool
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

func (x *tx) holds(c recount.Change) bool {
	row, ok := x.rows[recount.KeyText(c.Key)]
	if c.Before == nil {
		return !ok
	}
	return ok && slices.Equal(row.Values, c.Before)
}

func (x *tx) Moved(_ context.Context, _, _ []string, changes []recount.Change) ([]recount.Change, error) {
	var moved []recount.Change
	for _, c := range changes {
		if !x.holds(c) {
			moved = append(moved, c)
		}
	}
	return moved, nil
}

func (x *tx) Write(_ context.Context, _, _ []string, changes []recount.Change) (n int64, err error) {
	for _, c := range changes {
		if !x.holds(c) {
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
		if c.After == nil {
			delete(x.rows, k)
			continue
		}
		after := slices.Clone(c.After)
		if x.t.spoil {
			after[0].Text += "0"
		}
		x.rows[k] = recount.Row{Key: c.Key, Values: after}
	}
	return n, nil
}

func (x *tx) Read(_ context.Context, _, _ []string, keys [][]recount.Value, each func(recount.Row) error) error {
	for _, k := range keys {
		if row, ok := x.rows[recount.KeyText(k)]; ok {
			if err := each(row); err != nil {
				return err
			}
		}
	}
	return nil
}

func (x *tx) Record(_ context.Context, run recount.Run, undo []recount.Change) error {
	x.run, x.undo = run, undo
	return nil
}

func (x *tx) Commit(context.Context) error {
	x.end()
	if !x.t.drop {
		x.t.rows = x.rows
		x.t.undo[x.run.ID] = x.undo
		for i := range x.t.runs {
			if x.t.runs[i].ID == x.run.Of {
				x.t.runs[i].RolledBack = x.run.ID
			}
		}
		x.t.runs = append(x.t.runs, x.run)
	}
	if x.t.after != nil {
		x.t.after(x.t)
	}
	if x.t.lose {
		return recount.ErrUnknown
	}
	return nil
}

func (x *tx) Rollback(context.Context) error {
	x.end()
	return nil
}

func (x *tx) end() {
	if !x.ended {
		x.ended, x.t.locked = true, false
	}
}

func (x *tx) Lock(ctx context.Context, key, columns []string, keys [][]recount.Value, each func(recount.Row) error) error {
	return x.Read(ctx, key, columns, keys, each)
}

func (*tx) On(context.Context, string) (target.Tx, error) { return nil, recount.ErrUnsupported }
