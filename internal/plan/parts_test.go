package plan_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"strings"
	"testing"

	"recount"
	"recount/internal/plan"
)

func texts(list ...string) []recount.Value {
	var out []recount.Value
	for _, s := range list {
		out = append(out, recount.Text(s))
	}
	return out
}

// several is a plan of three tables: a sum that is set, one that is added to,
// and marks.
func several() *recount.Plan {
	p := sample()
	p.Body.Target = recount.Identity{Adapter: "sqlite", Place: "live.db", Table: "totals"}
	delta := recount.PlanBody{
		Kind: recount.PlanApply, Calculation: "balances", Target: p.Body.Target, Write: recount.WriteDelta, Bump: "version",
		Key:     []recount.PlanColumn{{Name: "account", Type: "string"}},
		Columns: []recount.PlanColumn{{Name: "balance", Type: "decimal(38,2)"}, {Name: "version", Type: "int64"}},
	}
	delta.Target.Table = "balances"
	plan.AddPart(p, delta, []recount.Change{
		{Action: recount.ActionUpdate, Key: texts("a"), Before: texts("10.00", "4"), After: texts("7.50", "5"), Cause: recount.CauseUnknown, Delta: []recount.Value{recount.Text("-2.5"), recount.Null}, At: "3:17"},
		{Action: recount.ActionInsert, Key: texts("b"), After: texts("3.00", "1"), Cause: recount.CauseUnknown, Delta: []recount.Value{recount.Text("3.00"), recount.Null}},
		{Action: recount.ActionHeld, Key: texts("c"), Before: texts("1", "1"), Cause: recount.CauseUnknown},
	})
	marks := recount.PlanBody{Kind: recount.PlanApply, Target: p.Body.Target, Role: recount.RoleMark, Key: []recount.PlanColumn{{Name: "id", Type: "string"}}}
	marks.Target.Table = "processed"
	plan.AddPart(p, marks, []recount.Change{{Action: recount.ActionInsert, Key: texts("e1"), After: []recount.Value{}, Cause: recount.CauseUnknown}})
	return p
}

func written(t testing.TB, p *recount.Plan) []byte {
	t.Helper()
	if err := plan.Seal(p); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := plan.Write(&b, p); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestPlansOfSeveralTablesReadBackAsTheyWereWritten(t *testing.T) {
	p := several()
	raw := written(t, p)
	got, err := plan.Read(bytes.NewReader(raw), "fix.plan")
	if err != nil {
		t.Fatal(err)
	}
	if got.ID != p.ID || len(got.With) != 2 || fmt.Sprint(got.Tables()) != "[totals balances processed]" {
		t.Errorf("got id %s and tables %v, want %s", got.ID, got.Tables(), p.ID)
	}
	c := got.With[0].Changes[0]
	if c.At != "3:17" || len(c.Delta) != 2 || c.Delta[0].Text != "-2.5" || !c.Delta[1].Null || got.With[1].Changes[0].After == nil {
		t.Errorf("a change came back as %+v", c)
	}
	if sums := got.With[0].Body.Sums; len(sums) != 1 || sums[0].Net != "+0.50" {
		t.Errorf("sums: got %+v, want the balance alone", sums)
	}
	var again bytes.Buffer
	if err := plan.Write(&again, got); err != nil || !bytes.Equal(again.Bytes(), raw) {
		t.Errorf("written again it differs: %v\n%s\n%s", err, again.Bytes(), raw)
	}
}

// TestAnyChangedByteOfSeveralTablesIsRefused holds P6, every table included.
func TestAnyChangedByteOfSeveralTablesIsRefused(t *testing.T) {
	raw := written(t, several())
	for i := range raw {
		for _, bad := range [][]byte{flipped(raw, i, 1), flipped(raw, i, 3), flipped(raw, i, 0x20), raw[:i], append(bytes.Clone(raw[:i]), raw[i+1:]...)} {
			if _, err := plan.Read(bytes.NewReader(bad), "fix.plan"); err == nil {
				t.Fatalf("a change at byte %d was accepted", i)
			}
		}
	}
	// Another framing under a right seal is refused too.
	for from, to := range map[string]string{`{"changes":6,`: `{"changes":5,`, `{"changes":3,`: `{"changes":4,`, `{"changes":1,`: `{"changes":-1,`} {
		_, rest, _ := bytes.Cut(raw, []byte("\n"))
		if _, err := plan.Read(bytes.NewReader(sealedAs(2, strings.Replace(string(rest), from, to, 1))), "fix.plan"); err == nil {
			t.Errorf("%s instead of %s was accepted", to, from)
		}
	}
	_, rest, _ := bytes.Cut(raw, []byte("\n"))
	if _, err := plan.Read(bytes.NewReader(sealedAs(1, string(rest))), "fix.plan"); err == nil {
		t.Error("format 2 was read as format 1")
	}
}

func flipped(raw []byte, i int, by byte) []byte {
	bad := bytes.Clone(raw)
	bad[i] ^= by
	return bad
}

func TestPlansOfFormat1AreStillRead(t *testing.T) {
	raw, err := os.ReadFile("testdata/compat/format-1.plan")
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.Read(bytes.NewReader(raw), "old.plan")
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Changes) != 6 || p.With != nil || p.Body.Write != recount.WriteSet || p.Body.Touched != -1 || p.Changes[0].Before[0].Text != "1912.40" {
		t.Errorf("got %+v", p)
	}
	if want := "e265a158"; len(p.ID) != 64 || !strings.HasPrefix(p.ID, want) {
		t.Errorf("id: got %s, want that of before, %s…", p.ID, want)
	}
	for i := range raw {
		if _, err := plan.Read(bytes.NewReader(flipped(raw, i, 1)), "old.plan"); err == nil {
			t.Fatalf("a change at byte %d was accepted", i)
		}
	}
}

func TestCheckFindsTablesThatDoNotBelongTogether(t *testing.T) {
	for name, spoil := range map[string]func(*recount.Plan){
		"the table twice":                   func(p *recount.Plan) { p.With[1].Body.Target.Table = "totals" },
		"another place":                     func(p *recount.Plan) { p.With[0].Body.Target.Place = "copy.db" },
		"another server":                    func(p *recount.Plan) { p.With[0].Body.Target.Server = "x" },
		"another kind":                      func(p *recount.Plan) { p.With[0].Body.Kind = recount.PlanRollback },
		"counts of a part":                  func(p *recount.Plan) { p.With[0].Body.Rows.Update++ },
		"no delta":                          func(p *recount.Plan) { p.With[0].Changes[0].Delta = nil },
		"a short delta":                     func(p *recount.Plan) { p.With[0].Changes[0].Delta = texts("-2.5") },
		"a delta that does not add":         func(p *recount.Plan) { p.With[0].Changes[0].Delta[0].Text = "-2.51" },
		"a delta that is no number":         func(p *recount.Plan) { p.With[0].Changes[0].Delta[0].Text = "NaN" },
		"a delta onto NULL that is no zero": func(p *recount.Plan) { p.With[0].Changes[0].Before[0] = recount.Null },
		"a change without delta":            func(p *recount.Plan) { p.With[0].Changes[0].Delta[0] = recount.Null },
		"a delta of nothing": func(p *recount.Plan) {
			p.With[0].Body.Bump = ""
			c := &p.With[0].Changes[0]
			c.After = c.Before
			c.Delta = []recount.Value{recount.Null, recount.Null}
		},
		"an insert's delta":       func(p *recount.Plan) { p.With[0].Changes[1].Delta[0].Text = "3.01" },
		"a delta of a version":    func(p *recount.Plan) { p.With[0].Changes[0].Delta[1] = recount.Text("1") },
		"a version that stays":    func(p *recount.Plan) { p.With[0].Changes[0].After[1].Text = "4" },
		"a version that jumps":    func(p *recount.Plan) { p.With[0].Changes[0].After[1].Text = "6" },
		"a version in the middle": func(p *recount.Plan) { p.With[0].Body.Bump = "balance" },
		"a mark that is updated": func(p *recount.Plan) {
			c := &p.With[1].Changes[0]
			c.Action, c.Before = recount.ActionUpdate, []recount.Value{}
			p.With[1].Body.Rows = recount.RowCounts{Checked: 1, Update: 1}
		},
		"a delta where values are set": func(p *recount.Plan) { p.Changes[0].Delta = texts("1", "1") },
		"filled and written":           func(p *recount.Plan) { p.Body.Filled = []recount.Filled{{Column: "note"}} },
		"entries without a run":        func(p *recount.Plan) { p.With[1].Body.Role = recount.RoleAdjust },
		"entries whose run is no key": func(p *recount.Plan) {
			p.With[1].Body.Role, p.With[1].Body.Entry = recount.RoleAdjust, &recount.Entry{Run: "run"}
		},
	} {
		p := several()
		if err := plan.Check(p); err != nil {
			t.Fatalf("the plan itself: %v", err)
		}
		if spoil(p); plan.Check(p) == nil {
			t.Errorf("a plan with %s passed", name)
		}
	}
}

// sealedAs gives content a right seal of a format.
func sealedAs(format int, content string) []byte {
	return fmt.Appendf(nil, "recount-plan/%d sha256:%x\n%s", format, sha256.Sum256([]byte(content)), content)
}
