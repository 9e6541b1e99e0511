package apply_test

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"recount"
	"recount/internal/apply"
	"recount/internal/plan"
	"recount/target"
)

func row(k, v string) recount.Row {
	return recount.Row{Key: []recount.Value{recount.Text(k)}, Values: []recount.Value{recount.Text(v)}}
}

// planFor makes the plan that turns one table into another.
func planFor(t testing.TB, from *table, to map[string]string) *recount.Plan {
	t.Helper()
	p := &recount.Plan{Body: recount.PlanBody{
		Kind: recount.PlanApply, Target: from.info.Identity, Fingerprint: from.info.Fingerprint, MaxChanges: 1000,
		Key: []recount.PlanColumn{{Name: "k", Type: "string"}}, Columns: []recount.PlanColumn{{Name: "v", Type: "string"}},
	}}
	keys := map[string]bool{}
	for k := range from.rows {
		keys[k] = true
	}
	for k := range to {
		keys[k] = true
	}
	var changes []recount.Change
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		live, there := from.rows[k]
		want, wanted := to[k]
		c := recount.Change{Key: []recount.Value{recount.Text(k)}, Cause: recount.CauseUnknown}
		switch {
		case there && !wanted:
			c.Action, c.Before = recount.ActionDelete, live.Values
		case !there:
			c.Action, c.After = recount.ActionInsert, []recount.Value{recount.Text(want)}
		case live.Values[0].Text != want:
			c.Action, c.Before, c.After = recount.ActionUpdate, live.Values, []recount.Value{recount.Text(want)}
		default:
			continue
		}
		changes = append(changes, c)
	}
	plan.Add(p, changes)
	seal(t, p)
	return p
}

var at = time.Date(2024, 6, 10, 13, 0, 0, 0, time.UTC)

func run(t testing.TB, live *table, p *recount.Plan, seconds int) (recount.Receipt, error) {
	t.Helper()
	receipt, err := apply.Run(t.Context(), live, p, apply.Options{By: "test", Now: at.Add(time.Duration(seconds) * time.Second), Beside: live.open})
	if live.locked {
		t.Fatal("the writer lock was left behind")
	}
	return receipt, err
}

func (t *table) open(_ context.Context, name string) (target.Target, error) {
	return t.beside[name], nil
}

func wantCode(t *testing.T, err error, code recount.Code) {
	t.Helper()
	if err == nil || recount.AsError(err).Code != code {
		t.Errorf("got %v, want code %s", err, code)
	}
}

func show(t *table) map[string]string {
	out := map[string]string{}
	for k, r := range t.rows {
		out[k] = r.Values[0].Text
	}
	return out
}

// TestApplyThenRollback holds X1, X2 and B1: apply(diff(a,b)) to a gives b,
// again changes nothing, and rollback gives a.
func TestApplyThenRollback(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		gen := rapid.MapOf(rapid.SampledFrom([]string{"a", "b", "c", "d", "e"}), rapid.SampledFrom([]string{"1", "2", ""}))
		a, b := gen.Draw(rt, "a"), gen.Draw(rt, "b")
		live := newTable()
		for k, v := range a {
			live.rows[k] = row(k, v)
		}
		p := planFor(t, live, b)
		receipt, err := run(t, live, p, 0)
		if err != nil {
			rt.Fatalf("apply: %v", err)
		}
		if !maps.Equal(show(live), b) || !receipt.Verified {
			rt.Fatalf("after apply: got %v verified %v, want %v", show(live), receipt.Verified, b)
		}
		again, err := run(t, live, p, 1)
		already := again.Already || receipt.Applied == 0
		if err != nil || !already || again.Applied != 0 || len(live.runs) != min(1, int(receipt.Applied)) {
			rt.Fatalf("second apply: got %+v, %v, want already and no new run", again, err)
		}
		if receipt.Applied == 0 {
			return // nothing was written, so there is no run
		}
		back := rollback(t, live, receipt.Run)
		if _, err := run(t, live, back, 2); err != nil {
			rt.Fatalf("rollback: %v", err)
		}
		if !maps.Equal(show(live), a) {
			rt.Fatalf("after rollback: got %v, want %v", show(live), a)
		}
		if _, err := run(t, live, p, 3); err != nil || !maps.Equal(show(live), b) {
			rt.Fatalf("a rollback frees the plan: got %v, %v, want %v", show(live), err, b)
		}
	})
}

// rollback makes the plan that takes a run back, in all of its tables.
func rollback(t testing.TB, live *table, id string) *recount.Plan {
	t.Helper()
	var tables []plan.RunTable
	main := live.ran(t, id)
	for i, name := range main.AllTables() {
		own := live
		if i > 0 {
			own = live.beside[name]
		}
		part := recount.PartID(id, i+1)
		tables = append(tables, plan.RunTable{Run: own.ran(t, part), Info: own.info, Undo: own.undo[part]})
	}
	p, err := plan.Rollback(tables)
	if err != nil {
		t.Fatalf("make the rollback: %v", err)
	}
	seal(t, p)
	return p
}

// seal also reads the plan back from its file.
func seal(t testing.TB, p *recount.Plan) {
	t.Helper()
	if err := plan.Seal(p); err != nil {
		t.Fatalf("seal: %v", err)
	}
	var b bytes.Buffer
	if err := plan.Write(&b, p); err != nil {
		t.Fatalf("write: %v", err)
	}
	got, err := plan.Read(&b, "test")
	if err != nil {
		t.Fatalf("read back: %v", err)
	}
	*p = *got
}

func (t *table) ran(tb testing.TB, id string) recount.Run {
	tb.Helper()
	for _, r := range t.runs {
		if r.ID == id {
			return r
		}
	}
	tb.Fatalf("no run %s", id)
	return recount.Run{}
}

func TestGuards(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*table, *recount.Plan)
		want  recount.Code
	}{
		"a row moved":   {func(l *table, _ *recount.Plan) { l.rows["a"] = row("a", "7") }, recount.CodeStale},
		"a row is gone": {func(l *table, _ *recount.Plan) { delete(l.rows, "a") }, recount.CodeStale},
		"a row moves meanwhile": {func(l *table, _ *recount.Plan) {
			l.waited = func(rows map[string]recount.Row) { rows["a"] = row("a", "7") }
		}, recount.CodeStale},
		"an insert is taken":   {func(l *table, _ *recount.Plan) { l.rows["n"] = row("n", "3") }, recount.CodeStale},
		"another server":       {func(l *table, _ *recount.Plan) { l.info.Identity.Server = "copy" }, recount.CodePlanTarget},
		"another table":        {func(l *table, _ *recount.Plan) { l.info.Identity.Table = "other" }, recount.CodePlanTarget},
		"another ledger":       {func(l *table, p *recount.Plan) { p.Body.Target.Ledger = "u1"; l.info.Identity.Ledger = "u2" }, recount.CodePlanTarget},
		"the schema changed":   {func(l *table, _ *recount.Plan) { l.info.Fingerprint = "f2" }, recount.CodeSchemaChanged},
		"over the limit":       {func(_ *table, p *recount.Plan) { p.Body.MaxChanges = 1 }, recount.CodeLimit},
		"writes are swallowed": {func(l *table, _ *recount.Plan) { l.swallow = true }, recount.CodeAffected},
		"a trigger spoils":     {func(l *table, _ *recount.Plan) { l.spoil = true }, recount.CodeReadBack},
		"the commit is lost":   {func(l *table, _ *recount.Plan) { l.lose, l.drop = true, true }, recount.CodeTargetDown},
		"nothing answers":      {func(l *table, _ *recount.Plan) { l.lose = true; l.after = func(l *table) { l.dead = true } }, recount.CodeOutcome},
	} {
		t.Run(name, func(t *testing.T) {
			live := newTable(row("a", "1"), row("b", "2"), row("z", "9"))
			p := planFor(t, live, map[string]string{"a": "5", "b": "2", "n": "3"})
			c.spoil(live, p)
			before := show(live)
			_, err := run(t, live, p, 0)
			wantCode(t, err, c.want)
			if after := show(live); c.want != recount.CodeOutcome && !maps.Equal(before, after) {
				t.Errorf("something changed: got %v, want %v", after, before)
			}
		})
	}
}

func TestALostAnswerIsLookedUp(t *testing.T) {
	live := newTable(row("a", "1"))
	p := planFor(t, live, map[string]string{"a": "5"})
	live.lose = true
	receipt, err := run(t, live, p, 0)
	if err != nil || receipt.Applied != 1 || show(live)["a"] != "5" {
		t.Errorf("got %+v, %v, %v, want one row applied", receipt, err, show(live))
	}
}

func TestAnAppliedPlanWhoseRowsMovedIsStale(t *testing.T) {
	live := newTable(row("a", "1"))
	p := planFor(t, live, map[string]string{"a": "5"})
	if _, err := run(t, live, p, 0); err != nil {
		t.Fatalf("apply: %v", err)
	}
	live.rows["a"] = row("a", "6")
	_, err := run(t, live, p, 1)
	wantCode(t, err, recount.CodeStale)
}

func TestRowsThatMovedAfterTheCommitAreListed(t *testing.T) {
	live := newTable(row("a", "1"), row("b", "1"))
	p := planFor(t, live, map[string]string{"a": "5", "b": "5"})
	live.after = func(l *table) { l.rows["b"] = row("b", "6") }
	receipt, err := run(t, live, p, 0)
	if err != nil || !receipt.Verified || len(receipt.Moved) != 1 || receipt.Moved[0][0].Text != "b" {
		t.Errorf("got %+v, %v, want verified and b moved", receipt, err)
	}
}

func TestARollbackLeavesWhatMoved(t *testing.T) {
	live := newTable(row("a", "1"), row("b", "1"))
	p := planFor(t, live, map[string]string{"a": "5", "b": "5"})
	receipt, err := run(t, live, p, 0)
	if err != nil {
		t.Fatalf("apply: %v", err)
	}
	live.rows["b"] = row("b", "6")
	back, err := run(t, live, rollback(t, live, receipt.Run), 1)
	if err != nil || len(back.RolledOut) != 1 || !maps.Equal(show(live), map[string]string{"a": "1", "b": "6"}) {
		t.Errorf("got %+v, %v, %v, want a back and b left", back, err, show(live))
	}
}

func TestStoppedBeforeAnyStepNothingIsDone(t *testing.T) {
	for _, step := range apply.Steps() {
		live := newTable(row("a", "1"))
		p := planFor(t, live, map[string]string{"a": "5"})
		stop := errors.New("stopped")
		_, err := apply.Run(t.Context(), live, p, apply.Options{Now: at, Before: func(name string) error {
			if name == step.Name {
				return stop
			}
			return nil
		}})
		if !errors.Is(err, stop) {
			t.Errorf("%s: got %v, want it stopped", step.Name, err)
		}
		done := step.Name == "again"
		if got := show(live)["a"] == "5"; got != done || live.locked {
			t.Errorf("stopped before %s: written %v, locked %v, want %v and unlocked", step.Name, got, live.locked, done)
		}
	}
}

func TestRunIDs(t *testing.T) {
	if a, b := apply.RunID("p", at), apply.RunID("p", at.Add(time.Nanosecond)); a == b || len(a) != 12 {
		t.Errorf("run ids: %s and %s", a, b)
	}
	if got, want := apply.ShowKeys([][]recount.Value{{recount.Text("a"), recount.Null}}), "a/NULL"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
