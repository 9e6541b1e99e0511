package incidents_test

import (
	"bytes"
	"context"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"recount"
	"recount/cli/views"
	"recount/internal/app"
)

var update = flag.Bool("update", false, "write the screens anew")

// plan makes a plan in the file.
func (st *stage) plan(a *app.App, req app.PlanRequest) app.Planned {
	st.t.Helper()
	planned, err := a.Plan(st.t.Context(), req)
	if err != nil {
		st.t.Fatalf("plan: %v", err)
	}
	for _, part := range planned.Plan.Parts() {
		st.t.Logf("planned %s: %+v %q", part.Body.Target.Table, part.Body.Rows, part.Body.Notes)
	}
	return planned
}

// planAll plans until only the rows named are left. On a busy machine the worker is
// ahead of the archive now and then: what it changed by then is held, and a later
// plan has it.
func (st *stage) planAll(a *app.App, req app.PlanRequest, rest []string) app.Planned {
	st.t.Helper()
	const most = 10
	planned := st.plan(a, req)
	for n := 1; n < most && !slices.Equal(left(planned, firstOf), rest); n++ {
		if err := st.archive(st.t.Context()); err != nil {
			st.t.Fatalf("archive: %v", err)
		}
		planned = st.plan(a, req)
	}
	return planned
}

// apply applies the plan, and once more: the second time changes nothing.
func (st *stage) apply(a *app.App, planned app.Planned) recount.Receipt {
	st.t.Helper()
	req := app.ApplyRequest{File: planned.File, Confirm: strings.Join(planned.Plan.Tables(), ",")}
	receipt, err := a.Apply(st.t.Context(), req)
	if err != nil {
		st.t.Fatalf("apply: %v", err)
	}
	if !receipt.Verified || receipt.Already {
		st.t.Errorf("receipt: %+v", receipt)
	}
	if want := planned.Writes(); receipt.Applied != want {
		st.t.Errorf("%d rows were applied, planned were %d", receipt.Applied, want)
	}
	return receipt
}

// already applies a plan that was applied: nothing is changed.
func (st *stage) already(a *app.App, planned app.Planned) {
	st.t.Helper()
	req := app.ApplyRequest{File: planned.File, Confirm: strings.Join(planned.Plan.Tables(), ",")}
	if again, err := a.Apply(st.t.Context(), req); err != nil || !again.Already || again.Applied != 0 {
		st.t.Errorf("apply again: %+v, %v", again, err)
	}
}

// refused checks that applying the plan is refused with the exit code, and
// changes nothing.
func (st *stage) refused(a *app.App, planned app.Planned, exit int) {
	st.t.Helper()
	_, err := a.Apply(st.t.Context(), app.ApplyRequest{File: planned.File, Confirm: strings.Join(planned.Plan.Tables(), ",")})
	e := recount.AsError(err)
	if e == nil || e.Code.Exit() != exit {
		st.t.Errorf("apply: %v, want exit code %d", err, exit)
	}
}

// left lists the keys of the rows that a plan leaves wrong: held and extra ones,
// as the scene's query spells them.
func left(planned app.Planned, spell func(table string, key []string) string) []string {
	out := []string{}
	for _, part := range planned.Plan.Parts() {
		for _, c := range part.Changes {
			if c.Action.Writes() || c.Adjusted {
				continue
			}
			var key []string
			for _, v := range c.Key {
				key = append(key, v.Text)
			}
			out = append(out, spell(part.Body.Target.Table, key))
		}
	}
	slices.Sort(out)
	return out
}

// firstOf spells a row by the first column of its key.
func firstOf(_ string, key []string) string { return key[0] }

// row reads the live row of a key.
func (st *stage) row(key string) string {
	st.t.Helper()
	return st.rows()[key]
}

// rows reads the live rows.
func (st *stage) rows() map[string]string {
	st.t.Helper()
	conn := st.connect()
	defer conn.Close(context.Background()) //nolint:errcheck // a test's connection
	_, rows, err := st.look(st.t.Context(), conn)
	if err != nil {
		st.t.Fatal(err)
	}
	return rows
}

// unedited checks that the rows still read what somebody made of them by hand.
func (st *stage) unedited(before map[string]string, keys ...string) {
	st.t.Helper()
	now := st.rows()
	for _, key := range keys {
		if now[key] != before[key] {
			st.t.Errorf("the edit of %s was overwritten: it read %s, now %s", key, before[key], now[key])
		}
	}
}

// varies are the parts of a screen that are others in each run.
var varies = []struct{ from, to string }{
	{`postgres \S+`, "postgres …"},
	{`snapshot [0-9a-f]{8}`, "snapshot …"},
	{`\([0-9a-f]{8}, good until [^)]*\) in [0-9.]+ ?[a-z]+`, "(…, good until …) in …"},
}

// screen compares the plan's screen with the one that the incident's page shows.
func (st *stage) screen(planned app.Planned) {
	st.t.Helper()
	var out bytes.Buffer
	if err := views.NewPlan(&views.Output{Out: &out}).Planned(planned); err != nil {
		st.t.Fatal(err)
	}
	st.commands(planned.Plan, planned.File)
	got := out.String()
	for _, v := range varies {
		got = regexp.MustCompile(v.from).ReplaceAllString(got, v.to)
	}
	file := filepath.Join("testdata", st.scene.name, "plan.txt")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			st.t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		st.t.Fatal(err)
	}
	if got != string(want) {
		st.t.Errorf("the screen is not the one of %s (go test ./internal/incidents -update writes it anew):\n%s", file, got)
	}
}

// same checks that two lists of keys are the same.
func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	got, want = slices.Clone(got), slices.Clone(want)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %v\nwant %v", what, got, want)
	}
}

func sorted(rows map[string]string) []string { return slices.Sorted(maps.Keys(rows)) }

// stands checks, when traffic is over, that what a run wrote is still right.
func (st *stage) stands(a *app.App, receipt recount.Receipt) {
	st.t.Helper()
	if err := st.archive(st.t.Context()); err != nil {
		st.t.Fatal(err)
	}
	checked, err := a.CheckRun(st.t.Context(), app.CheckRequest{Run: receipt.Run})
	if err != nil {
		st.t.Fatalf("runs check: %v", err)
	}
	for _, c := range checked {
		if c.Stand+c.MovedOn != c.Rows {
			st.t.Errorf("runs check: got %+v, want all rows right", c)
		}
	}
}
