package targettest

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"recount"
)

func writing(t *testing.T, h Harness) {
	t.Run("update, insert and delete with exact counts", func(t *testing.T) { writes(t, h) })
	t.Run("a row that changed is not written, and is told", func(t *testing.T) { updateGuard(t, h) })
	t.Run("a deleted row's guard", func(t *testing.T) { deleteGuard(t, h) })
	t.Run("an insert under a key that is taken", func(t *testing.T) { insertGuard(t, h) })
	t.Run("only columns that differ are set", func(t *testing.T) { onlyDiffering(t, h) })
	t.Run("NULL equals NULL in a guard", func(t *testing.T) { nulls(t, h) })
	t.Run("texts are written as they are", func(t *testing.T) { texts(t, h) })
	t.Run("a NUL in a text is written as it is, or refused", func(t *testing.T) { nul(t, h) })
	t.Run("typed values are written with all their digits", func(t *testing.T) { writeTyped(t, h) })
	t.Run("a key that stands twice counts twice", func(t *testing.T) { twice(t, h) })
	t.Run("a transaction reads its own writes", func(t *testing.T) { ownWrites(t, h) })
	t.Run("nothing is seen before the commit, nor after a rollback", func(t *testing.T) { atomic(t, h) })
	t.Run("columns that are not named stay", func(t *testing.T) { otherColumns(t, h) })
}

func writes(t *testing.T, h Harness) {
	table := totals(row("a", "1", "x"), row("b", "2", "y"), row("c", "3", "z"))
	live := h.New(t, table).Target
	tx := begin(t, live)
	if n := write(t, tx, table, remove(values("a"), values("1", "x")), remove(values("none"), values("1", "x"))); n != 1 {
		t.Errorf("deletes: got %d rows, want 1", n)
	}
	if n := write(t, tx, table, update(values("b"), values("2", "y"), values("20", "y")), update(values("c"), values("3", "z"), values("30", "w"))); n != 2 {
		t.Errorf("updates: got %d rows, want 2", n)
	}
	if n := write(t, tx, table, insert(values("d"), values("4", "")), insert(values("a"), values("5", "again"))); n != 2 {
		t.Errorf("inserts: got %d rows, want 2", n)
	}
	if n := write(t, tx, table); n != 0 {
		t.Errorf("no changes: got %d rows, want 0", n)
	}
	if err := tx.Record(t.Context(), run(table, live, t, "aaaaaaaaaaaa", "p1"), nil); err != nil {
		t.Fatal(err)
	}
	commit(t, tx)
	wantRows(t, live, table, []recount.Row{row("a", "5", "again"), row("b", "20", "y"), row("c", "30", "w"), row("d", "4", "")})
}

func updateGuard(t *testing.T, h Harness) {
	table := totals(row("a", "1", "x"), row("b", "2", "y"), row("c", "3", "z"))
	live := h.New(t, table)
	changes := []recount.Change{
		update(values("a"), values("1", "x"), values("10", "x")),
		update(values("b"), values("2", "y"), values("20", "y")),
		update(values("c"), values("3", "z"), values("30", "z")),
	}
	live.Edit(t, update(values("b"), values("2", "y"), values("2", "moved"))) // not the column that is written
	live.Edit(t, remove(values("c"), values("3", "z")))
	tx := begin(t, live.Target)
	moved, err := tx.Moved(t.Context(), names(table.Key), names(table.Columns), changes)
	if err != nil {
		t.Fatal(err)
	}
	if got := keys(moved); !slices.Equal(got, []string{"b", "c"}) {
		t.Errorf("moved rows: got %q, want b and c", got)
	}
	if n := write(t, tx, table, changes...); n != 1 {
		t.Errorf("rows written: got %d, want 1", n)
	}
	got := lines(read(t, tx, table, values("a"), values("b"), values("c")))
	if want := lines([]recount.Row{row("a", "10", "x"), row("b", "2", "moved")}); !slices.Equal(got, want) {
		t.Errorf("rows in the transaction: got %q, want %q", got, want)
	}
	rollback(t, tx)
	wantRows(t, live.Target, table, []recount.Row{row("a", "1", "x"), row("b", "2", "moved")})
}

func deleteGuard(t *testing.T, h Harness) {
	table := totals(row("a", "1", "x"), row("b", "2", "y"))
	live := h.New(t, table)
	live.Edit(t, update(values("b"), values("2", "y"), values("3", "y")))
	tx := begin(t, live.Target)
	changes := []recount.Change{remove(values("a"), values("1", "x")), remove(values("b"), values("2", "y"))}
	moved, err := tx.Moved(t.Context(), names(table.Key), names(table.Columns), changes)
	if err != nil {
		t.Fatal(err)
	}
	if got := keys(moved); !slices.Equal(got, []string{"b"}) {
		t.Errorf("moved rows: got %q, want b", got)
	}
	if n := write(t, tx, table, changes...); n != 1 {
		t.Errorf("rows deleted: got %d, want 1", n)
	}
	if got := lines(read(t, tx, table, values("a"), values("b"))); !slices.Equal(got, []string{show(row("b", "3", "y"))}) {
		t.Errorf("rows left: got %q, want b alone", got)
	}
}

func insertGuard(t *testing.T, h Harness) {
	for _, unique := range []bool{true, false} {
		if unique && !h.UniqueKey {
			continue
		}
		t.Run(fmt.Sprintf("unique=%v", unique), func(t *testing.T) {
			table := totals(row("a", "1", "x"))
			table.Unique = unique
			live := h.New(t, table)
			live.Edit(t, insert(values("b"), values("7", "live")))
			tx := begin(t, live.Target)
			changes := []recount.Change{insert(values("c"), values("3", "")), insert(values("b"), values("2", ""))}
			moved, err := tx.Moved(t.Context(), names(table.Key), names(table.Columns), changes)
			if err != nil {
				t.Fatal(err)
			}
			if got := keys(moved); !slices.Equal(got, []string{"b"}) {
				t.Errorf("moved rows: got %q, want b", got)
			}
			_, err = tx.Write(t.Context(), names(table.Key), names(table.Columns), changes)
			is(t, "insert under a taken key", err, recount.ErrMoved)
			rollback(t, tx)
			wantRows(t, live.Target, table, []recount.Row{row("a", "1", "x"), row("b", "7", "live")})
		})
	}
}

func onlyDiffering(t *testing.T, h Harness) {
	if !h.Types {
		// A file keeps the bytes of other fields; its own tests look at them.
		t.Skip("nothing tells a column that was set from one that was not")
	}
	// The second column holds what recount would spell otherwise: had it been
	// set, it would read so.
	table := Table{
		Name: "spelled", Key: []recount.Column{text("id")}, Unique: true,
		Columns: []recount.Column{text("total"), text("note")}, Rows: []recount.Row{row("a", "1", " 0001.50 ")},
	}
	live := h.New(t, table).Target
	change := update(values("a"), values("1", " 0001.50 "), values("2", " 0001.50 "))
	apply(t, live, table, run(table, live, t, "aaaaaaaaaaaa", "p1"), []recount.Change{change})
	wantRows(t, live, table, []recount.Row{row("a", "2", " 0001.50 ")})
}

func nulls(t *testing.T, h Harness) {
	if !h.Types {
		t.Skip("there is no NULL")
	}
	null := func(total string) []recount.Value { return []recount.Value{recount.Text(total), recount.Null} }
	table := totals(recount.Row{Key: values("a"), Values: null("1")}, row("b", "2", ""))
	live := h.New(t, table).Target
	tx := begin(t, live)
	changes := []recount.Change{
		update(values("a"), null("1"), values("10", "set")),
		update(values("b"), null("2"), values("20", "set")), // holds '', not NULL
	}
	moved, err := tx.Moved(t.Context(), names(table.Key), names(table.Columns), changes)
	if err != nil {
		t.Fatal(err)
	}
	if got := keys(moved); !slices.Equal(got, []string{"b"}) {
		t.Errorf("moved rows: got %q, want b", got)
	}
	if n := write(t, tx, table, changes...); n != 1 {
		t.Errorf("rows written: got %d, want 1", n)
	}
	if n := write(t, tx, table, update(values("b"), values("2", ""), null("2"))); n != 1 {
		t.Errorf("rows set to NULL: got %d, want 1", n)
	}
	if n := write(t, tx, table, insert(values("c"), []recount.Value{recount.Null, recount.Null})); n != 1 {
		t.Errorf("rows inserted with NULL: got %d, want 1", n)
	}
	if n := write(t, tx, table, remove(values("c"), []recount.Value{recount.Null, recount.Null})); n != 1 {
		t.Errorf("rows deleted under NULL: got %d, want 1", n)
	}
	got := lines(read(t, tx, table, values("a"), values("b"), values("c")))
	if want := lines([]recount.Row{row("a", "10", "set"), {Key: values("b"), Values: null("2")}}); !slices.Equal(got, want) {
		t.Errorf("rows in the transaction: got %q, want %q", got, want)
	}
}

func texts(t *testing.T, h Harness) {
	odd := []string{
		"", " ", "\"", "\"\"", "'", "a,b;c\td", "\n", "\r\n", "\r", "line\n\nline", "$1", ":name", "?", "\\", "%s", "NULL", "Grüße 東京 🙂 e\u0301",
		"-- x", "'; DROP TABLE totals; --", "\ufeffmark", "1e400", "0x1", "\u2028",
	}
	table := totals()
	for i := range odd {
		table.Rows = append(table.Rows, row(fmt.Sprintf("k%02d", i), odd[i], "n"))
	}
	live := h.New(t, table).Target
	var changes []recount.Change
	var want []recount.Row
	for i, r := range table.Rows {
		next := odd[(i+1)%len(odd)]
		changes = append(changes, update(r.Key, r.Values, values(next, odd[i])), insert(values("new "+odd[i]), values(next, "")))
		want = append(want, recount.Row{Key: r.Key, Values: values(next, odd[i])}, row("new "+odd[i], next, ""))
	}
	r := run(table, live, t, "aaaaaaaaaaaa", "p1")
	apply(t, live, table, r, changes)
	wantRows(t, live, table, want)
	wantUndo(t, live, r.ID, changes)
}

func nul(t *testing.T, h Harness) {
	table := totals(row("a", "1", "x"))
	live := h.New(t, table).Target
	change := update(values("a"), values("1", "x"), values("1\x002", "x"))
	tx := begin(t, live)
	_, err := tx.Write(t.Context(), names(table.Key), names(table.Columns), []recount.Change{change})
	if err != nil {
		if _, ok := errors.AsType[*recount.Error](err); !ok {
			t.Errorf("write of a NUL: got %v, want a *recount.Error", err)
		}
		rollback(t, tx)
		wantRows(t, live, table, table.Rows)
		return
	}
	if err := tx.Record(t.Context(), run(table, live, t, "aaaaaaaaaaaa", "p1"), []recount.Change{change}); err != nil {
		t.Fatal(err)
	}
	commit(t, tx)
	wantRows(t, live, table, []recount.Row{row("a", "1\x002", "x")})
	wantUndo(t, live, "aaaaaaaaaaaa", []recount.Change{change})
}

func writeTyped(t *testing.T, h Harness) {
	if !h.Types {
		t.Skip("columns have no types")
	}
	table := typed()
	rows := table.Rows
	table.Rows = rows[:1]
	live := h.New(t, table).Target
	info, err := live.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var changes []recount.Change
	want := slices.Clone(rows[:1])
	for _, r := range rows[1:] {
		after := make([]recount.Value, len(r.Values))
		fits := true
		for i, c := range table.Columns {
			own, _ := info.Column(c.Name)
			v, err := own.Fit(c.Type, r.Values[i])
			fits = fits && err == nil
			after[i] = v
		}
		if !fits { // what a column cannot hold is refused before any write
			continue
		}
		changes = append(changes, insert(r.Key, after))
		want = append(want, recount.Row{Key: r.Key, Values: after})
	}
	apply(t, live, table, run(table, live, t, "aaaaaaaaaaaa", "p1"), changes)
	tx := begin(t, live)
	var keys [][]recount.Value
	for _, r := range want {
		keys = append(keys, r.Key)
	}
	var back []recount.Change
	for _, c := range changes {
		back = append(back, remove(c.Key, c.After))
	}
	if got, want := lines(read(t, tx, table, keys...)), lines(want); !slices.Equal(got, want) {
		t.Errorf("rows read back: got %q, want %q", got, want)
	}
	if n := write(t, tx, table, back...); n != int64(len(back)) {
		t.Errorf("rows deleted under their before-images: got %d, want %d", n, len(back))
	}
}

func twice(t *testing.T, h Harness) {
	table := totals(row("a", "1", "x"), row("a", "1", "x"), row("b", "2", "y"), row("b", "3", "y"))
	table.Unique = false
	live := h.New(t, table).Target
	wantRows(t, live, table, table.Rows)
	tx := begin(t, live)
	if n := write(t, tx, table, update(values("a"), values("1", "x"), values("9", "x"))); n != 2 {
		t.Errorf("update of a key that stands twice: got %d rows, want 2", n)
	}
	if n := write(t, tx, table, update(values("b"), values("2", "y"), values("9", "y"))); n != 1 {
		t.Errorf("update of one of two rows: got %d rows, want 1", n)
	}
	if n := write(t, tx, table, remove(values("a"), values("9", "x"))); n != 2 {
		t.Errorf("delete of a key that stands twice: got %d rows, want 2", n)
	}
	got := lines(read(t, tx, table, values("a"), values("b")))
	if want := lines([]recount.Row{row("b", "9", "y"), row("b", "3", "y")}); !slices.Equal(got, want) {
		t.Errorf("rows in the transaction: got %q, want %q", got, want)
	}
}

func ownWrites(t *testing.T, h Harness) {
	table := totals(row("a", "1", "x"), row("b", "2", "y"))
	live := h.New(t, table).Target
	tx := begin(t, live)
	write(t, tx, table, update(values("a"), values("1", "x"), values("2", "x")))
	if n := write(t, tx, table, update(values("a"), values("2", "x"), values("3", "x"))); n != 1 {
		t.Errorf("second update of a row: got %d rows, want 1", n)
	}
	write(t, tx, table, remove(values("b"), values("2", "y")))
	if n := write(t, tx, table, insert(values("b"), values("4", ""))); n != 1 {
		t.Errorf("insert under a key that was freed: got %d rows, want 1", n)
	}
	if n := write(t, tx, table, update(values("b"), values("4", ""), values("5", "z"))); n != 1 {
		t.Errorf("update of an inserted row: got %d rows, want 1", n)
	}
	got := lines(read(t, tx, table, values("a"), values("b")))
	if want := lines([]recount.Row{row("a", "3", "x"), row("b", "5", "z")}); !slices.Equal(got, want) {
		t.Errorf("rows in the transaction: got %q, want %q", got, want)
	}
}

func atomic(t *testing.T, h Harness) {
	table := totals(row("a", "1", "x"), row("b", "2", "y"))
	live := h.New(t, table).Target
	tx := begin(t, live)
	write(t, tx, table, update(values("a"), values("1", "x"), values("10", "x")))
	wantRows(t, live, table, table.Rows)
	rollback(t, tx)
	wantRows(t, live, table, table.Rows)
	if _, err := tx.Write(t.Context(), names(table.Key), names(table.Columns), []recount.Change{update(values("a"), values("1", "x"), values("10", "x"))}); err == nil {
		t.Error("write after the rollback: got no error")
	}
	rollback(t, tx) // again: nothing

	r := run(table, live, t, "aaaaaaaaaaaa", "p1")
	change := update(values("a"), values("1", "x"), values("10", "x"))
	tx = begin(t, live)
	write(t, tx, table, change)
	if err := tx.Record(t.Context(), r, []recount.Change{change}); err != nil {
		t.Fatal(err)
	}
	if got := runIDs(t, live); len(got) != 0 {
		t.Errorf("runs before the commit: got %q, want none", got)
	}
	commit(t, tx)
	rollback(t, tx) // after Commit it does nothing
	wantRows(t, live, table, []recount.Row{row("a", "10", "x"), row("b", "2", "y")})
	if err := tx.Commit(t.Context()); err == nil {
		t.Error("second commit: got no error")
	}
	if got := runIDs(t, live); !slices.Equal(got, []string{r.ID}) {
		t.Errorf("runs after the commit: got %q, want %q", got, r.ID)
	}
}

func otherColumns(t *testing.T, h Harness) {
	table := totals(row("a", "1", "x"))
	live := h.New(t, table)
	narrow := Table{Name: table.Name, Key: table.Key, Columns: table.Columns[:1], Unique: true}
	live.Edit(t, update(values("a"), values("1", "x"), values("1", "changed meanwhile"))) // not looked at
	apply(t, live.Target, narrow, run(narrow, live.Target, t, "aaaaaaaaaaaa", "p1"), []recount.Change{
		update(values("a"), values("1"), values("2")),
	})
	wantRows(t, live.Target, table, []recount.Row{row("a", "2", "changed meanwhile")})
}

func keys(changes []recount.Change) []string {
	var out []string
	for _, c := range changes {
		out = append(out, recount.KeyText(c.Key))
	}
	slices.Sort(out)
	return out
}

func asError(t *testing.T, what string, err error, code recount.Code) {
	t.Helper()
	e, ok := errors.AsType[*recount.Error](err)
	if !ok {
		t.Errorf("%s: got %v, want a *recount.Error with %s", what, err, code)
		return
	}
	if e.Code != code || e.What == "" || e.Where == "" || e.Why == "" || e.Next == "" {
		t.Errorf("%s: got %+v, want all four parts and code %s", what, *e, code)
	}
}
