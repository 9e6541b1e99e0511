package apply_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"recount"
	"recount/internal/apply"
	"recount/internal/plan"
)

func vals(texts ...string) []recount.Value {
	out := make([]recount.Value, len(texts))
	for i, s := range texts {
		out[i] = recount.Text(s)
		if s == "NULL" {
			out[i] = recount.Null
		}
	}
	return out
}

func wide(k string, texts ...string) recount.Row {
	return recount.Row{Key: vals(k), Values: vals(texts...)}
}

// contents is a table as lines.
func contents(t *table) []string {
	var out []string
	for _, r := range t.rows {
		out = append(out, fmt.Sprint(r.Key, r.Values))
	}
	slices.Sort(out)
	return out
}

var kinds = map[string]string{"k": "string", "run": "string", "v": "string", "note": "string", "n": "int64", "version": "int64", "total": "decimal(18,2)", "amount": "decimal(18,2)"}

// body is the part of a plan for a table, with columns of its own.
func body(of *table, key []string, columns ...string) recount.PlanBody {
	b := recount.PlanBody{Kind: recount.PlanApply, Calculation: of.info.Identity.Table, Target: of.info.Identity, Fingerprint: of.info.Fingerprint, MaxChanges: 100, Write: recount.WriteSet}
	for _, k := range key {
		b.Key = append(b.Key, recount.PlanColumn{Name: k, Type: kinds[k]})
	}
	for _, c := range columns {
		b.Columns = append(b.Columns, recount.PlanColumn{Name: c, Type: kinds[c]})
	}
	return b
}

func changed(k string, before, after []recount.Value) recount.Change {
	c := recount.Change{Action: recount.ActionUpdate, Key: vals(k), Before: before, After: after, Cause: recount.CauseUnknown}
	switch {
	case before == nil:
		c.Action = recount.ActionInsert
	case after == nil:
		c.Action = recount.ActionDelete
	}
	return c
}

// shop is three tables of one database: lines lead to orders, orders to users.
func shop() (users, orders, lines *table) {
	users = named("users", []string{"v"}, wide("u1", "1"), wide("u2", "2"))
	orders = named("orders", []string{"v"}, wide("o1", "1"), wide("o2", "2"))
	lines = named("lines", []string{"v"}, wide("l1", "1"), wide("l2", "2"))
	orders.info.References, lines.info.References = []string{"users"}, []string{"orders", "users"}
	join(lines, users, orders)
	return users, orders, lines
}

func shopPlan(t testing.TB, users, orders, lines *table) *recount.Plan {
	t.Helper()
	p := &recount.Plan{Body: body(lines, []string{"k"}, "v")}
	plan.Add(p, []recount.Change{changed("l1", vals("1"), vals("10")), changed("l2", vals("2"), nil), changed("l3", nil, vals("3"))})
	plan.AddPart(p, body(users, []string{"k"}, "v"), []recount.Change{changed("u1", vals("1"), nil), changed("u2", vals("2"), vals("20")), changed("u3", nil, vals("3"))})
	plan.AddPart(p, body(orders, []string{"k"}, "v"), []recount.Change{changed("o1", vals("1"), nil), changed("o3", nil, vals("3"))})
	seal(t, p)
	return p
}

func all(tables ...*table) []string {
	var out []string
	for _, t := range tables {
		out = append(out, contents(t)...)
	}
	return out
}

func TestForeignKeysOrderTheWrites(t *testing.T) {
	users, orders, lines := shop()
	before := all(users, orders, lines)
	receipt, err := run(t, lines, shopPlan(t, users, orders, lines), 0)
	if err != nil {
		t.Fatal(err)
	}
	want := "lock orders, lock users, delete lines, delete orders, delete users, update users, update lines, insert users, insert orders, insert lines"
	if got := strings.Join(*lines.log, ", "); got != want {
		t.Errorf("order: got %s\nwant %s", got, want)
	}
	if receipt.Applied != 8 || len(receipt.Tables) != 3 || receipt.Tables[1].Table != "users" || receipt.Tables[1].Applied != 3 || len(receipt.Notes) != 0 {
		t.Errorf("receipt: got %+v", receipt)
	}
	main := lines.ran(t, receipt.Run)
	if !slices.Equal(main.Tables, []string{"lines", "users", "orders"}) || main.Total != 8 || main.Applied != 3 {
		t.Errorf("ledger row: got %+v", main)
	}
	if own := users.ran(t, receipt.Run+"/2"); own.Plan != receipt.Plan+"/2" || own.Applied != 3 || own.Tables != nil {
		t.Errorf("ledger row of users: got %+v", own)
	}
	again, err := run(t, lines, shopPlan(t, users, orders, lines), 1)
	if err != nil || !again.Already || again.Run != receipt.Run {
		t.Errorf("again: got %+v, %v", again, err)
	}
	back, err := run(t, lines, rollback(t, lines, receipt.Run), 2)
	if err != nil || back.Applied != 8 || !slices.Equal(all(users, orders, lines), before) {
		t.Errorf("rollback: got %+v, %v\n%q\nwant %q", back, err, all(users, orders, lines), before)
	}
	if users.ran(t, receipt.Run+"/2").RolledBack != back.Run+"/2" {
		t.Error("the part of users is not marked as rolled back")
	}
	if _, err := run(t, lines, rollback(t, lines, back.Run), 3); err != nil || slices.Equal(all(users, orders, lines), before) {
		t.Errorf("rollback of the rollback: %v", err)
	}
}

func TestACircleOfForeignKeysIsTold(t *testing.T) {
	users, orders, lines := shop()
	users.info.References = []string{"lines"}
	receipt, err := run(t, lines, shopPlan(t, users, orders, lines), 0)
	if err != nil || len(receipt.Notes) != 1 || !strings.Contains(receipt.Notes[0], "lines, users, orders") {
		t.Errorf("got %q, %v, want a note that names the circle", receipt.Notes, err)
	}
}

// TestAPlanOfTwoTablesOneOfWhichMoved: nothing of either is written.
func TestAPlanOfTwoTablesOneOfWhichMoved(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(users, orders, lines *table)
		code  recount.Code
		names string
	}{
		"the first":       {func(_, _, l *table) { l.rows["l1"] = wide("l1", "7") }, recount.CodeStale, "lines: l1"},
		"the second":      {func(u, _, _ *table) { u.rows["u2"] = wide("u2", "7") }, recount.CodeStale, "users: u2"},
		"a key taken":     {func(_, o, _ *table) { o.rows["o3"] = wide("o3", "7") }, recount.CodeStale, "orders: o3"},
		"both":            {func(u, _, l *table) { delete(u.rows, "u2"); delete(l.rows, "l1") }, recount.CodeStale, "lines: l1; users: u2"},
		"another schema":  {func(u, _, _ *table) { u.info.Fingerprint = "f2" }, recount.CodeSchemaChanged, "users"},
		"another server":  {func(_, o, _ *table) { o.info.Identity.Server = "copy" }, recount.CodePlanTarget, "orders"},
		"locked":          {func(_, o, _ *table) { o.locked = true }, recount.CodeInternal, "lock"},
		"swallowed":       {func(_, o, _ *table) { o.swallow = true }, recount.CodeAffected, "orders"},
		"spoiled":         {func(u, _, _ *table) { u.spoil = true }, recount.CodeReadBack, "users"},
		"the commit lost": {func(_, _, l *table) { l.lose, l.drop = true, true }, recount.CodeTargetDown, "lines"},
		"nothing answers": {func(_, _, l *table) { l.lose, l.drop = true, true; l.after = func(l *table) { l.dead = true } }, recount.CodeOutcome, "lines"},
	} {
		t.Run(name, func(t *testing.T) {
			users, orders, lines := shop()
			p := shopPlan(t, users, orders, lines)
			c.spoil(users, orders, lines)
			before := all(users, orders, lines)
			_, err := run(t, lines, p, 0)
			if c.code != recount.CodeInternal {
				wantCode(t, err, c.code)
			}
			if err == nil || !strings.Contains(fmt.Sprintf("%+v %s", recount.AsError(err), err), c.names) {
				t.Errorf("got %v, want %q named", err, c.names)
			}
			if got := all(users, orders, lines); !slices.Equal(got, before) || len(users.runs)+len(lines.runs) > 0 {
				t.Errorf("something was written: got %q, want %q", got, before)
			}
		})
	}
}

func TestALostAnswerOfSeveralTablesIsLookedUp(t *testing.T) {
	users, orders, lines := shop()
	lines.lose = true
	receipt, err := run(t, lines, shopPlan(t, users, orders, lines), 0)
	if err != nil || receipt.Applied != 8 || len(users.runs) != 1 {
		t.Errorf("got %+v, %v, want all applied", receipt, err)
	}
}

func TestStoppedBeforeAnyStepNoTableIsWritten(t *testing.T) {
	for _, step := range apply.Steps() {
		users, orders, lines := shop()
		before := all(users, orders, lines)
		stop := errors.New("stopped")
		_, err := apply.Run(t.Context(), lines, shopPlan(t, users, orders, lines), apply.Options{Now: at, Beside: lines.open, Before: func(name string) error {
			if name == step.Name {
				return stop
			}
			return nil
		}})
		written := !slices.Equal(all(users, orders, lines), before)
		if !errors.Is(err, stop) || written != (step.Name == "again") || users.locked || orders.locked || lines.locked {
			t.Errorf("stopped before %s: got %v, written %v", step.Name, err, written)
		}
	}
}

func TestARollbackOfSeveralTablesLeavesWhatMoved(t *testing.T) {
	users, orders, lines := shop()
	receipt, err := run(t, lines, shopPlan(t, users, orders, lines), 0)
	if err != nil {
		t.Fatal(err)
	}
	users.rows["u2"], users.rows["u3"] = wide("u2", "21"), wide("u3", "31")
	back, err := run(t, lines, rollback(t, lines, receipt.Run), 1)
	if err != nil || len(back.RolledOut) != 2 || len(back.Tables[1].RolledOut) != 2 || back.Applied != 6 {
		t.Fatalf("got %+v, %v, want two rows of users left", back, err)
	}
	if got := contents(users); !slices.Equal(got, []string{"[u1] [1]", "[u2] [21]", "[u3] [31]"}) {
		t.Errorf("users: got %q", got)
	}
}

func TestAnInsertFillsColumnsAndTheyAreReadBack(t *testing.T) {
	live := named("totals", []string{"total", "note", "n"}, wide("a", "1.00", "kept", "7"), wide("z", "5.00", "old", "8"))
	p := &recount.Plan{Body: body(live, []string{"k"}, "total")}
	p.Body.Filled = []recount.Filled{{Column: "note", Text: "by recount"}, {Column: "n", Text: " 0 "}}
	plan.Add(p, []recount.Change{changed("a", vals("1.00"), vals("2.00")), changed("b", nil, vals("3.00")), changed("z", vals("5.00"), nil)})
	seal(t, p)
	before := contents(live)
	receipt, err := run(t, live, p, 0)
	if err != nil || !slices.Equal(contents(live), []string{"[a] [2.00 kept 7]", "[b] [3.00 by recount 0]"}) {
		t.Fatalf("got %q, %v", contents(live), err)
	}
	if undo := live.undo[receipt.Run]; len(undo[1].After) != 3 || len(undo[0].After) != 1 {
		t.Errorf("undo rows: got %v", undo)
	}
	if again, err := run(t, live, p, 1); err != nil || !again.Already {
		t.Errorf("again: got %+v, %v", again, err)
	}
	// Somebody's note on the new row is no part of what was applied.
	kept := live.rows["b"]
	live.rows["b"] = wide("b", "3.00", "mine", "0")
	back, err := run(t, live, rollback(t, live, receipt.Run), 2)
	if err != nil || len(back.RolledOut) != 1 {
		t.Errorf("rollback beside a foreign note: got %+v, %v, want b left", back, err)
	}
	live.rows["b"] = kept
	if _, err = run(t, live, rollback(t, live, back.Run), 3); err != nil {
		t.Fatal(err)
	}
	live.runs = live.runs[:1] // as if it had never been rolled back
	live.runs[0].RolledBack = ""
	live.rows["a"], live.rows["b"] = wide("a", "2.00", "kept", "7"), kept
	delete(live.rows, "z")
	if _, err = run(t, live, rollback(t, live, receipt.Run), 4); err != nil {
		t.Fatal(err)
	}
	if got := contents(live); !slices.Equal(got, append(slices.Clip(before[:1]), "[z] [5.00 NULL NULL]")) { // a database brings the rest back
		t.Errorf("rolled back: got %q, want %q", got, before)
	}
}

func TestAVersionCountsOnAlsoInARollback(t *testing.T) {
	live := named("totals", []string{"total", "version"}, wide("a", "1.00", "4"))
	p := &recount.Plan{Body: body(live, []string{"k"}, "total", "version")}
	p.Body.Bump = "version"
	plan.Add(p, []recount.Change{changed("a", vals("1.00", "4"), vals("2.00", "5"))})
	seal(t, p)
	receipt, err := run(t, live, p, 0)
	if err != nil || contents(live)[0] != "[a] [2.00 5]" {
		t.Fatalf("got %q, %v", contents(live), err)
	}
	if _, err := run(t, live, rollback(t, live, receipt.Run), 1); err != nil || contents(live)[0] != "[a] [1.00 6]" {
		t.Errorf("rollback: got %q, %v, want the version to go on", contents(live), err)
	}
}

func ledgerOf(rows ...recount.Row) *table {
	live := named("entries", []string{"amount", "note", "v"})
	for _, r := range rows {
		live.rows[key(r)] = r
	}
	return live
}

func adjustment(live *table) recount.PlanBody {
	b := body(live, []string{"k", "run"}, "amount", "note", "v")
	b.Role, b.Write = recount.RoleAdjust, recount.WriteAdjust
	b.Entry = &recount.Entry{Amounts: []string{"amount"}, Reason: "note", Run: "run", At: "v"}
	return b
}

func TestAnAdjustmentIsAnsweredByItsOpposite(t *testing.T) {
	results, entries := newTable(row("a", "1")), ledgerOf()
	join(results, entries)
	p := planFor(t, results, map[string]string{"a": "5"})
	plan.AddPart(p, adjustment(entries), []recount.Change{
		{Action: recount.ActionInsert, Key: vals("acc1", recount.RunPlaceholder), After: vals("-2.50", "vat was wrong", recount.AtPlaceholder), Cause: "previous"},
		{Action: recount.ActionInsert, Key: vals("acc2", recount.RunPlaceholder), After: vals("4.00", "vat was wrong", recount.AtPlaceholder), Cause: recount.CauseUnknown},
	})
	p.With[0].Body.Causes = []recount.CauseCount{{Cause: "previous", Rows: 2}}
	seal(t, p)
	receipt, err := run(t, results, p, 0)
	if err != nil {
		t.Fatal(err)
	}
	first := []string{
		"[acc1 " + receipt.Run + "] [-2.50 vat was wrong 2024-06-10T13:00:00Z]", "[acc2 " + receipt.Run + "] [4.00 vat was wrong 2024-06-10T13:00:00Z]",
	}
	if got := contents(entries); !slices.Equal(got, first) {
		t.Fatalf("entries: got %q, want %q", got, first)
	}
	if again, err := run(t, results, p, 1); err != nil || !again.Already {
		t.Errorf("again: got %+v, %v", again, err)
	}
	// One entry was corrected by hand since: there is nothing left to answer.
	for k, r := range entries.rows {
		if r.Key[0].Text == "acc2" {
			entries.rows[k] = recount.Row{Key: r.Key, Values: vals("1.00", "by hand", "")}
		}
	}
	back, err := run(t, results, rollback(t, results, receipt.Run), 60)
	if err != nil || back.Applied != 2 || len(back.RolledOut) != 1 {
		t.Fatalf("rollback: got %+v, %v", back, err)
	}
	opposite := "[acc1 " + back.Run + "] [2.50 rolls back run " + receipt.Run + " 2024-06-10T13:01:00Z]"
	if got := contents(entries); len(got) != 3 || !slices.Contains(got, opposite) || !slices.Contains(got, first[0]) {
		t.Errorf("entries: got %q, want %q beside the first", got, opposite)
	}
	third, err := run(t, results, rollback(t, results, back.Run), 120)
	if err != nil || !slices.Contains(contents(entries), "[acc1 "+third.Run+"] [-2.50 rolls back run "+back.Run+" 2024-06-10T13:02:00Z]") {
		t.Errorf("rollback of the rollback: got %q, %v", contents(entries), err)
	}
}

func TestMarksAreInsertedAndTakenBack(t *testing.T) {
	make := func() (*table, *table, *recount.Plan) {
		results, marks := newTable(row("a", "1")), named("processed", nil)
		join(results, marks)
		p := planFor(t, results, map[string]string{"a": "5"})
		b := body(marks, []string{"k"})
		b.Role = recount.RoleMark
		plan.AddPart(p, b, []recount.Change{changed("e1", nil, []recount.Value{}), changed("e2", nil, []recount.Value{})})
		seal(t, p)
		return results, marks, p
	}
	results, marks, p := make()
	receipt, err := run(t, results, p, 0)
	if err != nil || len(marks.rows) != 2 {
		t.Fatalf("got %+v, %v", receipt, err)
	}
	if _, err := run(t, results, rollback(t, results, receipt.Run), 1); err != nil || len(marks.rows) != 0 || results.rows["a"].Values[0].Text != "1" {
		t.Errorf("rollback: got %q, %v", contents(marks), err)
	}
	results, marks, p = make()
	marks.rows["e2"] = wide("e2") // the worker came to it after all
	_, err = run(t, results, p, 0)
	wantCode(t, err, recount.CodeStale)
	if results.rows["a"].Values[0].Text != "1" || len(marks.rows) != 1 {
		t.Error("something was written beside a mark that was there")
	}
}

func TestStepsSayWhatIsDone(t *testing.T) {
	live := balances()
	text := func(p *recount.Plan) string {
		var out []string
		for _, s := range apply.StepsOf(p) {
			out = append(out, s.Text)
		}
		return strings.Join(out, "; ")
	}
	users, orders, lines := shop()
	for want, p := range map[string]*recount.Plan{
		"lock each row as it is now":      {Body: recount.PlanBody{Kind: recount.PlanRollback, Write: recount.WriteDelta}},
		"add the difference":              balancePlan(t, live),
		"locks of lines, users, orders":   shopPlan(t, users, orders, lines),
		"each row still reads as planned": planFor(t, newTable(row("a", "1")), nil),
	} {
		if got := text(p); !strings.Contains(got, want) {
			t.Errorf("got %s, want %q in it", got, want)
		}
	}
}

// TestSeveralTablesAppliedAndRolledBack is TestApplyThenRollback over two tables.
func TestSeveralTablesAppliedAndRolledBack(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		gen := rapid.MapOf(rapid.SampledFrom([]string{"a", "b", "c", "d"}), rapid.SampledFrom([]string{"1", "2", ""}))
		var tables []*table
		var p *recount.Plan
		want := make([]map[string]string, 2)
		for i, name := range []string{"one", "two"} {
			var rows []recount.Row
			for k, v := range gen.Draw(rt, name) {
				rows = append(rows, row(k, v))
			}
			live := named(name, []string{"v"}, rows...)
			tables = append(tables, live)
			want[i] = gen.Draw(rt, name+" right")
			own := planFor(t, live, want[i])
			if i == 0 {
				p = own
				continue
			}
			plan.AddPart(p, own.Body, own.Changes)
		}
		join(tables...)
		seal(t, p)
		before := []map[string]string{show(tables[0]), show(tables[1])}
		receipt, err := run(t, tables[0], p, 0)
		if err != nil || !maps.Equal(show(tables[0]), want[0]) || !maps.Equal(show(tables[1]), want[1]) {
			rt.Fatalf("apply: %v, got %v %v, want %v", err, show(tables[0]), show(tables[1]), want)
		}
		if receipt.Applied == 0 {
			return
		}
		if again, err := run(t, tables[0], p, 1); err != nil || !again.Already {
			rt.Fatalf("again: %+v, %v", again, err)
		}
		if _, err := run(t, tables[0], rollback(t, tables[0], receipt.Run), 2); err != nil || !maps.Equal(show(tables[0]), before[0]) || !maps.Equal(show(tables[1]), before[1]) {
			rt.Fatalf("rollback: %v, got %v %v, want %v", err, show(tables[0]), show(tables[1]), before)
		}
	})
}
