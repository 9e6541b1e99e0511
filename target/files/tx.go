package files

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"recount"
	"recount/target"
	"recount/target/internal/refusal"
)

// errEnded says that a transaction was used after its end.
var errEnded = errors.New("the transaction has ended")

// tx is the transaction: the file in memory, under the ledger's lock.
type tx struct {
	t       *Target
	ledger  ledger
	lock    *os.File
	uuid    string
	entries []entry
	table   *table
	digest  string // of the file as it was read
	run     *recount.Run
	undo    []recount.Change
	ended   bool
}

// Begin takes the lock, settles what a crash left, and reads the file.
func (t *Target) Begin(ctx context.Context) (target.Tx, error) {
	path, err := t.file()
	if err != nil {
		return nil, err
	}
	l := t.ledger(path)
	lock, err := l.lock()
	if err != nil {
		return nil, err
	}
	x := &tx{t: t, ledger: l, lock: lock}
	if err := x.start(ctx); err != nil {
		return nil, errors.Join(err, x.end())
	}
	return x, nil
}

func (x *tx) start(ctx context.Context) (err error) {
	if x.uuid, err = x.ledger.make(); err != nil {
		return err
	}
	if err := x.ledger.settle(ctx); err != nil {
		return err
	}
	if x.entries, err = x.ledger.entries(ctx); err != nil {
		return err
	}
	if err := x.ledger.sweep(x.entries); err != nil {
		return err
	}
	data, err := os.ReadFile(x.ledger.path)
	if err != nil {
		return x.t.unreadable(err)
	}
	x.digest = digestOf(data)
	if err := ctx.Err(); err != nil {
		return err
	}
	x.table, err = x.t.load(data)
	return err
}

// Info describes the table as it was read.
func (x *tx) Info(context.Context) (recount.TableInfo, error) {
	if x.ended {
		return recount.TableInfo{}, errEnded
	}
	return x.t.info(x.table.d, x.uuid, lastRun(x.entries))
}

// Applied finds the run that applied a plan.
func (x *tx) Applied(_ context.Context, plan string) (recount.Run, bool, error) {
	if x.ended {
		return recount.Run{}, false, errEnded
	}
	for _, run := range runs(x.entries) {
		if run.Plan == plan && run.RolledBack == "" {
			return run, true, nil
		}
	}
	return recount.Run{}, false, nil
}

// places finds the columns of a call.
func (x *tx) places(ctx context.Context, key, columns []string) (keys, others []int, err error) {
	if x.ended {
		return nil, nil, errEnded
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	if keys, err = x.t.columns(x.table.d, key); err != nil {
		return nil, nil, err
	}
	others, err = x.t.columns(x.table.d, columns)
	return keys, others, err
}

// Write edits the rows in memory.
func (x *tx) Write(ctx context.Context, key, columns []string, changes []recount.Change) (n int64, err error) {
	keys, others, err := x.places(ctx, key, columns)
	if err != nil {
		return 0, err
	}
	if len(changes) > 0 && changes[0].Action == recount.ActionInsert {
		changes = slices.Clone(changes)
		slices.SortStableFunc(changes, func(a, b recount.Change) int { return strings.Compare(keyText(a.Key), keyText(b.Key)) })
	}
	for _, c := range changes {
		if err := x.fits(c, len(keys), len(others)); err != nil {
			return n, err
		}
		switch c.Action {
		case recount.ActionInsert:
			if len(x.table.rows(keys, c.Key)) > 0 {
				return n, fmt.Errorf("insert %s: the key is taken: %w", showKey(c.Key), recount.ErrMoved)
			}
			x.table.insert(append(slices.Clone(keys), others...), append(slices.Clone(c.Key), c.After...))
			n++
		case recount.ActionUpdate:
			n += x.update(keys, others, c)
		case recount.ActionDelete:
			for _, id := range x.held(keys, others, c) {
				x.table.remove(id)
				n++
			}
		case recount.ActionExtra, recount.ActionHeld, recount.ActionExcluded:
			return n, fmt.Errorf("write row %s: action %q writes nothing", showKey(c.Key), c.Action)
		}
	}
	return n, nil
}

// fits checks a change before anything is made of it: texts that are no UTF-8
// could not be told again by the ledger.
func (x *tx) fits(c recount.Change, keys, columns int) error {
	wrong := len(c.Key) != keys || c.Action != recount.ActionInsert && len(c.Before) != columns || c.Action != recount.ActionDelete && len(c.After) != columns
	if wrong {
		return fmt.Errorf("write row %s: the change has not as many values as columns", showKey(c.Key))
	}
	for _, v := range slices.Concat(c.Key, c.After) {
		if !utf8.ValidString(v.Text) {
			return refusal.DoesNotFit(x.t.place, fmt.Sprintf("row %s: a value is no text in UTF-8", showKey(c.Key)), nil)
		}
	}
	return nil
}

func showKey(key []recount.Value) string {
	texts := make([]string, len(key))
	for i, v := range key {
		texts[i] = v.String()
	}
	return strings.Join(texts, "/")
}

// held lists the rows of a change's key that still hold its before-image.
func (x *tx) held(keys, columns []int, c recount.Change) []int {
	return slices.DeleteFunc(x.table.rows(keys, c.Key), func(id int) bool { return !x.table.holds(id, columns, c.Before) })
}

func (x *tx) update(keys, columns []int, c recount.Change) (n int64) {
	var places []int
	var texts []string
	for i, column := range columns {
		if c.After[i].Text != c.Before[i].Text {
			places, texts = append(places, column), append(texts, c.After[i].Text)
		}
	}
	for _, id := range x.held(keys, columns, c) {
		x.table.update(id, places, texts)
		n++
	}
	return n
}

// Moved lists the changes whose rows are not as planned; a key that stands twice
// is not.
func (x *tx) Moved(ctx context.Context, key, columns []string, changes []recount.Change) ([]recount.Change, error) {
	keys, others, err := x.places(ctx, key, columns)
	if err != nil {
		return nil, err
	}
	var moved []recount.Change
	for _, c := range changes {
		ids := x.table.rows(keys, c.Key)
		as := len(ids) == 1 && len(c.Before) == len(others) && x.table.holds(ids[0], others, c.Before)
		if c.Before == nil {
			as = len(ids) == 0
		}
		if !as {
			moved = append(moved, c)
		}
	}
	return moved, nil
}

// Read gives rows by key, edits included.
func (x *tx) Read(ctx context.Context, key, columns []string, keys [][]recount.Value, each func(recount.Row) error) error {
	places, others, err := x.places(ctx, key, columns)
	if err != nil {
		return err
	}
	for _, k := range keys {
		for _, id := range x.table.rows(places, k) {
			values, err := x.table.values(id, append(slices.Clone(places), others...))
			if err != nil {
				return err
			}
			if err := each(recount.Row{Key: values[:len(places):len(places)], Values: values[len(places):]}); err != nil {
				return err
			}
		}
	}
	return nil
}

// Record keeps run and undo for the commit.
func (x *tx) Record(_ context.Context, run recount.Run, undo []recount.Change) error {
	switch {
	case x.ended:
		return errEnded
	case x.run != nil:
		return fmt.Errorf("record run %s: run %s is recorded already", run.ID, x.run.ID)
	case run.ID == "" || find(x.entries, run.ID) != nil:
		return fmt.Errorf("record run %q: the ledger has it: %w", run.ID, recount.ErrExists)
	}
	if run.Of != "" {
		old := find(x.entries, run.Of)
		if old == nil {
			return refusal.NoRun(x.t.place, run.Of, "the ledger has no such run")
		}
		if by := rolledBack(x.entries)[run.Of]; by != "" {
			return refusal.NoRun(x.t.place, run.Of, "run "+by+" has rolled it back")
		}
	}
	run.RolledBack = ""
	x.run, x.undo = &run, slices.Clone(undo)
	return nil
}

// Rollback forgets the edits.
func (x *tx) Rollback(context.Context) error { return x.end() }

// end frees the lock, once.
func (x *tx) end() error {
	if x.ended {
		return nil
	}
	x.ended, x.table = true, nil
	return release(x.lock)
}

// Lock reads the rows; the transaction already keeps every other writer off.
func (x *tx) Lock(ctx context.Context, key, columns []string, keys [][]recount.Value, each func(recount.Row) error) error {
	return x.Read(ctx, key, columns, keys, each)
}

// On is refused: a file is one table alone.
func (x *tx) On(_ context.Context, table string) (target.Tx, error) {
	return nil, &recount.Error{
		Code: recount.CodeUnsupported, What: fmt.Sprintf("table %q cannot be written together with this file", table), Where: x.t.place,
		Why: "a file is one table alone: nothing commits two of them at once", Next: "make a plan of its own for each file", Err: recount.ErrUnsupported,
	}
}
