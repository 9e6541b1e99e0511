package targettest

import (
	"encoding/json"
	"slices"
	"testing"

	"recount"
	"recount/target"
)

func ledger(t *testing.T, h Harness) {
	t.Run("reading makes no ledger", func(t *testing.T) { readingWritesNothing(t, h) })
	t.Run("runs and undo rows come back as they were recorded", func(t *testing.T) { recorded(t, h) })
	t.Run("a plan counts as applied until it is rolled back", func(t *testing.T) { applied(t, h) })
	t.Run("a run can be rolled back once", func(t *testing.T) { once(t, h) })
	t.Run("a run that was not committed leaves no trace", func(t *testing.T) { noTrace(t, h) })
	t.Run("a second transaction is refused", func(t *testing.T) { locked(t, h) })
	t.Run("an unknown run has no undo rows", func(t *testing.T) { unknownRun(t, h) })
}

func runIDs(t *testing.T, live target.Target) []string {
	t.Helper()
	var ids []string
	for _, r := range runs(t, live) {
		ids = append(ids, r.ID)
	}
	return ids
}

func runs(t *testing.T, live target.Target) []recount.Run {
	t.Helper()
	list, err := live.Runs(t.Context())
	if err != nil {
		t.Fatalf("runs: %v", err)
	}
	return list
}

func read(t *testing.T, tx target.Tx, table Table, keys ...[]recount.Value) []recount.Row {
	t.Helper()
	var rows []recount.Row
	err := tx.Read(t.Context(), names(table.Key), names(table.Columns), keys, func(r recount.Row) error {
		rows = append(rows, r)
		return nil
	})
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	return rows
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func wantUndo(t *testing.T, live target.Target, run string, want []recount.Change) {
	t.Helper()
	i := 0
	err := live.Undo(t.Context(), run, func(got recount.Change) error {
		if i < len(want) {
			w := want[i]
			same := got.Action == w.Action && slices.Equal(got.Key, w.Key) && slices.Equal(got.Before, w.Before) && slices.Equal(got.After, w.After) &&
				(got.Before == nil) == (w.Before == nil) && (got.After == nil) == (w.After == nil)
			if !same {
				t.Errorf("undo row %d: got %s, want %s", i, asJSON(t, got), asJSON(t, w))
			}
		}
		i++
		return nil
	})
	if err != nil {
		t.Fatalf("undo: %v", err)
	}
	if i != len(want) {
		t.Errorf("undo rows: got %d, want %d", i, len(want))
	}
}

func readingWritesNothing(t *testing.T, h Harness) {
	table := totals(row("a", "1", "x"))
	live := h.New(t, table)
	for range 2 {
		info, err := live.Target.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if info.Identity.Ledger != "" || info.LastRun != "" {
			t.Errorf("a new table has ledger %q and last run %q, want none", info.Identity.Ledger, info.LastRun)
		}
		if got := runs(t, live.Target); len(got) != 0 {
			t.Errorf("runs of a new table: got %d, want none", len(got))
		}
		can, err := live.Target.CanWrite(t.Context())
		if err != nil || !can {
			t.Errorf("can write: got %v, %v; want true", can, err)
		}
		wantRows(t, live.Target, table, table.Rows)
	}
}

func recorded(t *testing.T, h Harness) {
	table := totals(row("a", "1", "x"), row("b", "2", "y"), row("c", "3", "z"))
	live := h.New(t, table)
	changes := []recount.Change{ // not in key order: the order of writing is kept
		{Action: recount.ActionUpdate, Key: values("c"), Before: values("3", "z"), After: values("30", "<z & \u2028>")},
		remove(values("a"), values("1", "x")),
		insert(values("d"), values("", "new\nline")),
		{Action: recount.ActionUpdate, Key: values("b"), Before: values("2", "y"), After: values("20", "y")},
	}
	if h.Types {
		changes[2].After[0] = recount.Null
	}
	first := run(table, live.Target, t, "aaaaaaaaaaaa", "plan one")
	apply(t, live.Target, table, first, changes)
	second := run(table, live.Target, t, "bbbbbbbbbbbb", "plan two")
	second.At = first.At // the order is that of the commits, not of the clock
	apply(t, live.Target, table, second, []recount.Change{update(values("b"), values("20", "y"), values("21", "y"))})

	for _, again := range []target.Target{live.Target, live.Reopen(t)} {
		if got, want := asJSON(t, runs(t, again)), asJSON(t, []recount.Run{second, first}); got != want {
			t.Errorf("runs:\n got %s\nwant %s", got, want)
		}
		wantUndo(t, again, first.ID, changes)
		info, err := again.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if info.LastRun != second.ID || info.Identity.Ledger == "" {
			t.Errorf("info: last run %q, ledger %q; want %q and a uuid", info.LastRun, info.Identity.Ledger, second.ID)
		}
		tx := begin(t, again)
		inside, err := tx.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got, want := asJSON(t, inside), asJSON(t, info); got != want {
			t.Errorf("info inside the transaction:\n got %s\nwant %s", got, want)
		}
		rollback(t, tx)
	}
}

func wantApplied(t *testing.T, live target.Target, plan, want string) {
	t.Helper()
	tx := begin(t, live)
	defer rollback(t, tx)
	r, ok, err := tx.Applied(t.Context(), plan)
	if err != nil {
		t.Fatal(err)
	}
	if ok != (want != "") || r.ID != want {
		t.Errorf("run that applied %s: got %q (%v), want %q", plan, r.ID, ok, want)
	}
}

func applied(t *testing.T, h Harness) {
	table := totals(row("a", "1", "x"), row("b", "2", "y"))
	live := h.New(t, table).Target
	change := update(values("a"), values("1", "x"), values("10", "x"))
	wantApplied(t, live, "plan one", "")
	first := run(table, live, t, "aaaaaaaaaaaa", "plan one")
	apply(t, live, table, first, []recount.Change{change})
	wantApplied(t, live, "plan one", first.ID)
	wantApplied(t, live, "plan two", "")

	back := run(table, live, t, "bbbbbbbbbbbb", "plan back")
	back.Kind, back.Of = recount.PlanRollback, first.ID
	apply(t, live, table, back, []recount.Change{reverse(change)})
	wantRows(t, live, table, table.Rows)
	wantApplied(t, live, "plan one", "") // a rollback frees the plan
	first.RolledBack = back.ID
	if got, want := asJSON(t, runs(t, live)), asJSON(t, []recount.Run{back, first}); got != want {
		t.Errorf("runs:\n got %s\nwant %s", got, want)
	}

	again := run(table, live, t, "cccccccccccc", "plan one")
	apply(t, live, table, again, []recount.Change{change})
	wantApplied(t, live, "plan one", again.ID)
	wantUndo(t, live, back.ID, []recount.Change{reverse(change)})
}

func once(t *testing.T, h Harness) {
	table := totals(row("a", "1", "x"))
	live := h.New(t, table).Target
	change := update(values("a"), values("1", "x"), values("10", "x"))
	first := run(table, live, t, "aaaaaaaaaaaa", "plan one")
	apply(t, live, table, first, []recount.Change{change})
	back := run(table, live, t, "bbbbbbbbbbbb", "plan back")
	back.Kind, back.Of = recount.PlanRollback, first.ID
	apply(t, live, table, back, []recount.Change{reverse(change)})

	for _, of := range []string{first.ID, "nnnnnnnnnnnn"} {
		second := back
		second.ID, second.Plan, second.Of = "cccccccccccc", "plan back again", of
		tx := begin(t, live)
		asError(t, "rollback of "+of, tx.Record(t.Context(), second, nil), recount.CodeNoRun)
		rollback(t, tx)
	}
	wantRows(t, live, table, table.Rows)
}

func noTrace(t *testing.T, h Harness) {
	table := totals(row("a", "1", "x"))
	live := h.New(t, table).Target
	change := update(values("a"), values("1", "x"), values("10", "x"))
	tx := begin(t, live)
	write(t, tx, table, change)
	if err := tx.Record(t.Context(), run(table, live, t, "aaaaaaaaaaaa", "plan one"), []recount.Change{change}); err != nil {
		t.Fatal(err)
	}
	rollback(t, tx)
	if got := runIDs(t, live); len(got) != 0 {
		t.Errorf("runs: got %q, want none", got)
	}
	wantApplied(t, live, "plan one", "")
	apply(t, live, table, run(table, live, t, "aaaaaaaaaaaa", "plan one"), []recount.Change{change})
	wantApplied(t, live, "plan one", "aaaaaaaaaaaa")
}

func locked(t *testing.T, h Harness) {
	table := totals(row("a", "1", "x"))
	live := h.New(t, table)
	tx := begin(t, live.Target)
	for _, other := range []target.Target{live.Target, live.Reopen(t)} {
		second, err := other.Begin(t.Context())
		is(t, "second transaction", err, recount.ErrLocked)
		asError(t, "second transaction", err, recount.CodeLocked)
		if err == nil {
			rollback(t, second)
		}
		wantRows(t, other, table, table.Rows) // reading needs no lock
	}
	rollback(t, tx)
	wantApplied(t, live.Target, "plan one", "")
}

func unknownRun(t *testing.T, h Harness) {
	table := totals(row("a", "1", "x"))
	live := h.New(t, table).Target
	err := live.Undo(t.Context(), "nnnnnnnnnnnn", func(recount.Change) error { return nil })
	asError(t, "undo rows of an unknown run", err, recount.CodeNoRun)
}
