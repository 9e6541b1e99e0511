package targettest

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"recount"
	"recount/target"
)

// tables holds what is promised of locked rows, and of a transaction over
// several tables.
func tables(t *testing.T, h Harness) {
	t.Run("locked rows are given as they are", func(t *testing.T) { lockRows(t, h) })
	t.Run("one transaction writes two tables, or neither", func(t *testing.T) { two(t, h) })
	t.Run("each table has its own ledger rows", func(t *testing.T) { twoLedgers(t, h) })
	t.Run("another table that is locked is refused", func(t *testing.T) { twoLocked(t, h) })
	t.Run("foreign keys are told", func(t *testing.T) { references(t, h) })
	t.Run("changes of two tables, taken back, restore both", func(t *testing.T) { twoProperties(t, h) })
	t.Run("a table of keys alone", func(t *testing.T) { keysAlone(t, h) })
}

func lock(t *testing.T, tx target.Tx, table Table, keys ...[]recount.Value) []recount.Row {
	t.Helper()
	var rows []recount.Row
	err := tx.Lock(t.Context(), names(table.Key), names(table.Columns), keys, func(r recount.Row) error {
		rows = append(rows, r)
		return nil
	})
	if err != nil {
		t.Fatalf("lock: %v", err)
	}
	return rows
}

func lockRows(t *testing.T, h Harness) {
	table := totals(row("b", "2", "y"), row("a", "1", "x"), row("c", "", "z"))
	live := h.New(t, table)
	live.Edit(t, update(values("a"), values("1", "x"), values("11", "live")))
	tx := begin(t, live.Target)
	got := lines(lock(t, tx, table, values("c"), values("none"), values("a")))
	if want := lines([]recount.Row{row("a", "11", "live"), row("c", "", "z")}); !slices.Equal(got, want) {
		t.Errorf("locked rows: got %q, want %q", got, want)
	}
	if n := write(t, tx, table, update(values("a"), values("11", "live"), values("12", "live"))); n != 1 {
		t.Errorf("write of a locked row: got %d rows, want 1", n)
	}
	if got := lines(lock(t, tx, table, values("a"))); !slices.Equal(got, lines([]recount.Row{row("a", "12", "live")})) {
		t.Errorf("locked again after the write: got %q", got)
	}
	if got := lock(t, tx, table); len(got) != 0 {
		t.Errorf("no keys: got %d rows", len(got))
	}
	rollback(t, tx)
	wantRows(t, live.Target, table, []recount.Row{row("a", "11", "live"), row("b", "2", "y"), row("c", "", "z")})
}

// pair makes two tables of one database.
func pair(t *testing.T, h Harness) (first, second Table, one Live, other target.Target) {
	t.Helper()
	first, second = totals(row("a", "1", "x")), totals(row("a", "5", "y"), row("z", "6", ""))
	second.Name = "daily"
	one = h.New(t, first)
	if one.Beside == nil {
		tx := begin(t, one.Target)
		_, err := tx.On(t.Context(), "daily")
		is(t, "a second table", err, recount.ErrUnsupported)
		asError(t, "a second table", err, recount.CodeUnsupported)
		rollback(t, tx)
		t.Skip("one table alone, and it says so")
	}
	return first, second, one, one.Beside(t, second)
}

func on(t *testing.T, tx target.Tx, name string) target.Tx {
	t.Helper()
	beside, err := tx.On(t.Context(), name)
	if err != nil {
		t.Fatalf("on %s: %v", name, err)
	}
	return beside
}

func two(t *testing.T, h Harness) {
	first, second, one, other := pair(t, h)
	for _, end := range []string{"rollback", "commit"} {
		tx := begin(t, one.Target)
		beside := on(t, tx, second.Name)
		info, err := beside.Info(t.Context())
		if err != nil || info.Identity.Table != second.Name || info.Identity.Ledger == "" {
			t.Fatalf("info of the other table: got %+v, %v", info.Identity, err)
		}
		write(t, tx, first, update(values("a"), values("1", "x"), values("2", "x")))
		write(t, beside, second, update(values("a"), values("5", "y"), values("50", "y")), update(values("z"), values("6", ""), values("60", "")))
		write(t, beside, second, insert(values("n"), values("7", "new")))
		wantRows(t, one.Target, first, first.Rows)
		wantRows(t, other, second, second.Rows)
		if got := lines(read(t, beside, second, values("a"), values("n"))); !slices.Equal(got, lines([]recount.Row{row("a", "50", "y"), row("n", "7", "new")})) {
			t.Errorf("the other table inside the transaction: got %q", got)
		}
		if err := beside.Commit(t.Context()); err == nil {
			t.Fatal("the other table's part was committed alone")
		}
		rollback(t, beside) // does nothing
		if end == "rollback" {
			rollback(t, tx)
			wantRows(t, one.Target, first, first.Rows)
			wantRows(t, other, second, second.Rows)
			continue
		}
		if err := tx.Record(t.Context(), run(first, one.Target, t, "aaaaaaaaaaaa", "p"), nil); err != nil {
			t.Fatal(err)
		}
		commit(t, tx)
		if _, err := beside.Write(t.Context(), names(second.Key), names(second.Columns), []recount.Change{insert(values("late"), values("", ""))}); err == nil {
			t.Error("the other table was written after the commit")
		}
	}
	wantRows(t, one.Target, first, []recount.Row{row("a", "2", "x")})
	wantRows(t, other, second, []recount.Row{row("a", "50", "y"), row("z", "60", ""), row("n", "7", "new")})
}

func twoLedgers(t *testing.T, h Harness) {
	first, second, one, other := pair(t, h)
	tx := begin(t, one.Target)
	beside := on(t, tx, second.Name)
	a, b := update(values("a"), values("1", "x"), values("2", "x")), remove(values("z"), values("6", ""))
	write(t, tx, first, a)
	write(t, beside, second, b)
	r, s := run(first, one.Target, t, "aaaaaaaaaaaa", "p"), run(second, other, t, "aaaaaaaaaaaa/2", "p/2")
	r.Tables = []string{first.Name, second.Name}
	if err := tx.Record(t.Context(), r, []recount.Change{a}); err != nil {
		t.Fatal(err)
	}
	if err := beside.Record(t.Context(), s, []recount.Change{b}); err != nil {
		t.Fatal(err)
	}
	commit(t, tx)
	if got, want := asJSON(t, runs(t, one.Target)), asJSON(t, []recount.Run{r}); got != want {
		t.Errorf("runs of the first table: got %s, want %s", got, want)
	}
	if got, want := asJSON(t, runs(t, other)), asJSON(t, []recount.Run{s}); got != want {
		t.Errorf("runs of the other table: got %s, want %s", got, want)
	}
	wantUndo(t, one.Target, r.ID, []recount.Change{a})
	wantUndo(t, other, s.ID, []recount.Change{b})
	asError(t, "undo rows of another table", one.Target.Undo(t.Context(), s.ID, func(recount.Change) error { return nil }), recount.CodeNoRun)
	wantApplied(t, other, "p/2", s.ID)
	one.Target = one.Reopen(t)
	back := begin(t, one.Target)
	info, err := on(t, back, second.Name).Info(t.Context())
	if err != nil || info.LastRun != s.ID {
		t.Errorf("last run of the other table: got %q, %v, want %q", info.LastRun, err, s.ID)
	}
}

func twoLocked(t *testing.T, h Harness) {
	_, second, one, other := pair(t, h)
	holder := begin(t, other)
	if tx, err := one.Target.Begin(t.Context()); err == nil { // each table may have a lock of its own
		_, err = tx.On(t.Context(), second.Name)
		is(t, "the other table, which is locked", err, recount.ErrLocked)
		rollback(t, tx)
	} else {
		is(t, "begin beside another run", err, recount.ErrLocked)
	}
	rollback(t, holder)
	tx := begin(t, one.Target)
	on(t, tx, second.Name)
	_, err := other.Begin(t.Context())
	is(t, "a run on the other table meanwhile", err, recount.ErrLocked)
	asErrorMissing(t, tx)
}

// asErrorMissing asks for a table that is not there.
func asErrorMissing(t *testing.T, tx target.Tx) {
	t.Helper()
	_, err := tx.On(t.Context(), "nowhere")
	asError(t, "a table that is not there", err, recount.CodeNoTable)
}

func references(t *testing.T, h Harness) {
	table := totals(row("a", "1", "x"))
	live := h.New(t, table)
	info, err := live.Target.Info(t.Context())
	if err != nil || len(info.References) != 0 {
		t.Fatalf("references of a plain table: got %q, %v, want none", info.References, err)
	}
	if live.Beside == nil {
		t.Skip("one table alone")
	}
	child := Table{Name: "lines", Key: []recount.Column{text("line")}, Columns: []recount.Column{text("owner")}, Unique: true, Parent: table.Name}
	other := live.Beside(t, child)
	if info, err = other.Info(t.Context()); err != nil || !slices.Contains(info.References, table.Name) {
		t.Errorf("references: got %q, %v, want %q among them", info.References, err, table.Name)
	}
	tx := begin(t, live.Target)
	beside := on(t, tx, child.Name)
	write(t, tx, table, insert(values("b"), values("2", "")))
	if n := write(t, beside, child, insert(values("l1"), values("b"))); n != 1 {
		t.Errorf("child after its parent: got %d rows, want 1", n)
	}
	write(t, beside, child, remove(values("l1"), values("b")))
	if n := write(t, tx, table, remove(values("b"), values("2", ""))); n != 1 {
		t.Errorf("parent deleted after its child: got %d rows, want 1", n)
	}
}

// twoProperties is what properties says of one table, over two at once.
func twoProperties(t *testing.T, h Harness) {
	first, second, one, other := pair(t, h)
	n := 0
	lives := []target.Target{one.Target, other}
	shapes := []Table{first, second}
	rapid.Check(t, func(rt *rapid.T) {
		if n++; n > enough {
			return
		}
		id := fmt.Sprintf("run%09d", n)
		states, changes := make([][]recount.Row, 2), make([][]recount.Change, 2)
		for i, live := range lives {
			states[i] = scan(t, live, all(shapes[i]))
			now := map[string]recount.Row{}
			for _, r := range states[i] {
				now[recount.KeyText(r.Key)] = r
			}
			changes[i] = between(now, drawState(rt, h, 1))
		}
		applyTwo(t, lives, shapes, id, "", changes)
		back := make([][]recount.Change, 2)
		for i, live := range lives {
			wantUndo(t, live, recount.PartID(id, i+1), changes[i])
			for _, c := range changes[i] {
				back[i] = append(back[i], reverse(c))
			}
		}
		applyTwo(t, lives, shapes, id+"b", id, back)
		for i, live := range lives {
			wantRows(t, live, shapes[i], states[i])
		}
		if rapid.Bool().Draw(rt, "again") {
			applyTwo(t, lives, shapes, id+"c", "", changes)
		}
		if t.Failed() {
			rt.FailNow()
		}
	})
}

func applyTwo(t *testing.T, lives []target.Target, shapes []Table, id, of string, changes [][]recount.Change) {
	t.Helper()
	tx := begin(t, lives[0])
	txs := []target.Tx{tx, on(t, tx, shapes[1].Name)}
	for i, x := range txs {
		for _, action := range []recount.Action{recount.ActionDelete, recount.ActionUpdate, recount.ActionInsert} {
			group := slices.DeleteFunc(slices.Clone(changes[i]), func(c recount.Change) bool { return c.Action != action })
			if n := write(t, x, shapes[i], group...); n != int64(len(group)) {
				t.Fatalf("write %s: changed %d rows, want %d", action, n, len(group))
			}
		}
		r := run(shapes[i], lives[i], t, recount.PartID(id, i+1), recount.PartID("plan "+id, i+1))
		if of != "" {
			r.Kind, r.Of = recount.PlanRollback, recount.PartID(of, i+1)
		}
		if err := x.Record(t.Context(), r, changes[i]); err != nil {
			t.Fatal(err)
		}
	}
	commit(t, tx)
}

func keysAlone(t *testing.T, h Harness) {
	table := Table{Name: "processed", Key: []recount.Column{text("id"), text("lane")}, Unique: true}
	live := h.New(t, table).Target
	changes := []recount.Change{insert(values("e1", "0"), []recount.Value{}), insert(values("e2", "0"), []recount.Value{})}
	apply(t, live, table, run(table, live, t, "aaaaaaaaaaaa", "p"), changes)
	wantUndo(t, live, "aaaaaaaaaaaa", changes)
	tx := begin(t, live)
	moved, err := tx.Moved(t.Context(), names(table.Key), nil, []recount.Change{changes[0], insert(values("e3", "0"), []recount.Value{})})
	if err != nil || len(moved) != 1 {
		t.Errorf("moved: got %d, %v, want the one that is there", len(moved), err)
	}
	if n := write(t, tx, table, remove(values("e1", "0"), []recount.Value{})); n != 1 {
		t.Errorf("deleted: got %d rows, want 1", n)
	}
	if got := lock(t, tx, table, values("e1", "0"), values("e2", "0")); len(got) != 1 {
		t.Errorf("rows left: got %d, want 1", len(got))
	}
}
