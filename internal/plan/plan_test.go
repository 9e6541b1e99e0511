package plan_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"recount"
	"recount/internal/plan"
)

func sample() *recount.Plan {
	v := func(texts ...string) []recount.Value {
		var out []recount.Value
		for _, t := range texts {
			out = append(out, recount.Text(t))
		}
		return out
	}
	p := &recount.Plan{
		Header: recount.PlanHeader{Made: time.Unix(0, 0).UTC(), Expires: time.Unix(86400, 0).UTC(), By: "ops", Program: "recount test"},
		Body: recount.PlanBody{
			Kind: recount.PlanApply, Calculation: "totals", Rules: []string{"total: exact"}, Tried: []recount.Cause{"missed", "previous"},
			Key:     []recount.PlanColumn{{Name: "user_id", Type: "string"}},
			Columns: []recount.PlanColumn{{Name: "total", Type: "decimal(38,2)"}, {Name: "note", Type: "string"}},
			Events:  recount.EventCounts{Read: 10, Used: 7, Duplicates: 1, Quarantined: 1, Outside: 1}, MaxChanges: 100,
			Rows: recount.RowCounts{Right: 5},
		},
	}
	plan.Add(p, []recount.Change{
		{Action: recount.ActionUpdate, Key: v("a"), Before: v("1912.40", "x"), After: v("1000.00", "x"), Cause: "previous"},
		{Action: recount.ActionInsert, Key: v("b"), After: []recount.Value{recount.Text("14.99"), recount.Null}, Cause: "missed"},
		{Action: recount.ActionDelete, Key: v("c"), Before: v("9.99", ""), Cause: recount.CauseUnknown},
		{Action: recount.ActionExtra, Key: v("d"), Before: v("1", ""), Cause: recount.CauseUnknown},
		{Action: recount.ActionHeld, Key: v("e"), Before: v("1", ""), After: v("2.00", ""), Cause: recount.CauseUnknown},
		{Action: recount.ActionExcluded, Key: v("f\x1b[31m")},
	})
	return p
}

func sealed(t testing.TB) ([]byte, *recount.Plan) {
	t.Helper()
	p := sample()
	if err := plan.Seal(p); err != nil {
		t.Fatalf("seal: %v", err)
	}
	var b bytes.Buffer
	if err := plan.Write(&b, p); err != nil {
		t.Fatalf("write: %v", err)
	}
	return b.Bytes(), p
}

func TestPlanReadsBackAsItWasWritten(t *testing.T) {
	raw, p := sealed(t)
	got, err := plan.Read(bytes.NewReader(raw), "fix.plan")
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	if got.ID != p.ID {
		t.Errorf("id: got %s, want %s", got.ID, p.ID)
	}
	var again bytes.Buffer
	if err := plan.Write(&again, got); err != nil {
		t.Fatalf("write again: %v", err)
	}
	if !bytes.Equal(again.Bytes(), raw) {
		t.Errorf("written again:\n%s\nwant:\n%s", again.Bytes(), raw)
	}
	want := recount.ColumnSum{Column: "total", Before: "1922.39", After: "1014.99", Net: "-907.40"}
	if len(got.Body.Sums) != 1 || got.Body.Sums[0] != want {
		t.Errorf("sums: got %+v, want %+v", got.Body.Sums, want)
	}
}

// TestChangesAreWrittenAsJSON holds the quick writer against encoding/json.
func TestChangesAreWrittenAsJSON(t *testing.T) {
	p := sample()
	for _, text := range []string{"", "a\"b\\c", "ä€😀", "\x00\x1b\n\t", "<&>", "\u2028", "\x7f", "null"} {
		p.Changes[0].Key[0].Text = text
		plan.Add(p, p.Changes)
		if err := plan.Seal(p); err != nil {
			t.Fatalf("seal: %v", err)
		}
		var b bytes.Buffer
		if err := plan.Write(&b, p); err != nil {
			t.Fatalf("write: %v", err)
		}
		line := bytes.Split(b.Bytes(), []byte("\n"))[3]
		c := p.Changes[0]
		var want bytes.Buffer
		enc := json.NewEncoder(&want)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(struct {
			Action recount.Action  `json:"action"`
			Key    []recount.Value `json:"key"`
			Before []recount.Value `json:"before"`
			After  []recount.Value `json:"after"`
			Cause  recount.Cause   `json:"cause"`
		}{c.Action, c.Key, c.Before, c.After, c.Cause}); err != nil {
			t.Fatal(err)
		}
		if got := string(line) + "\n"; got != want.String() {
			t.Errorf("%q: got %s, want %s", text, got, want.String())
		}
		got, err := plan.Read(&b, "x")
		if err != nil || got.Changes[0].Key[0].Text != text {
			t.Errorf("%q was read back as %+v, %v", text, got, err)
		}
	}
}

func TestOnlyTheHeaderChangesBetweenRuns(t *testing.T) {
	_, first := sealed(t)
	second := sample()
	second.Header = recount.PlanHeader{Made: time.Unix(5, 0).UTC(), By: "somebody else"}
	if err := plan.Seal(second); err != nil {
		t.Fatalf("seal: %v", err)
	}
	if first.ID != second.ID {
		t.Errorf("the same body has two ids: %s and %s", first.ID, second.ID)
	}
}

// TestAnyChangedByteIsRefused holds P6.
func TestAnyChangedByteIsRefused(t *testing.T) {
	raw, _ := sealed(t)
	refused := func(what string, i int, bad []byte) {
		t.Helper()
		_, err := plan.Read(bytes.NewReader(bad), "fix.plan")
		if err == nil {
			t.Errorf("%s at byte %d was accepted", what, i)
			return
		}
		if e := recount.AsError(err); e.Exit() != recount.ExitTampered && e.Code != recount.CodeNewerArchive {
			t.Errorf("%s at byte %d: got %v, want exit %d", what, i, err, recount.ExitTampered)
		}
	}
	for i := range raw {
		for _, flip := range []byte{1, 0x20, 0xff} {
			bad := bytes.Clone(raw)
			bad[i] ^= flip
			refused("a changed byte", i, bad)
		}
		refused("a cut", i, raw[:i])
		refused("a lost byte", i, append(bytes.Clone(raw[:i]), raw[i+1:]...))
		refused("a doubled byte", i, append(append(bytes.Clone(raw[:i+1]), raw[i]), raw[i+1:]...))
	}
	refused("an appended line", len(raw), append(bytes.Clone(raw), '\n'))
}

func TestCheckFindsPlansThatDoNotAddUp(t *testing.T) {
	for name, spoil := range map[string]func(*recount.Plan){
		"rows":    func(p *recount.Plan) { p.Body.Rows.Update++ },
		"checked": func(p *recount.Plan) { p.Body.Rows.Checked++ },
		"causes":  func(p *recount.Plan) { p.Body.Causes[0].Rows++ },
		"events":  func(p *recount.Plan) { p.Body.Events.Used++ },
		"action":  func(p *recount.Plan) { p.Changes[0].Action = "replace" },
		"image":   func(p *recount.Plan) { p.Changes[0].After = nil },
		"key":     func(p *recount.Plan) { p.Changes[0].Key = nil },
		"columns": func(p *recount.Plan) { p.Changes[1].After = p.Changes[1].After[:1] },
	} {
		p := sample()
		if err := plan.Check(p); err != nil {
			t.Fatalf("sample: %v", err)
		}
		if spoil(p); plan.Check(p) == nil {
			t.Errorf("a plan with spoiled %s passed", name)
		}
	}
}

func TestARollbackOfARollbackIsTheApply(t *testing.T) {
	p := sample()
	run := recount.Run{ID: "r1", Key: p.Body.Key, Columns: p.Body.Columns}
	back := taken(t, run, plan.Writes(p))
	again := taken(t, recount.Run{ID: "r2", Key: p.Body.Key, Columns: p.Body.Columns}, plan.Writes(back))
	want, got := plan.Writes(p), plan.Writes(again)
	for i := range want {
		if want[i].Action != got[i].Action || recount.KeyText(want[i].Before) != recount.KeyText(got[i].Before) || recount.KeyText(want[i].After) != recount.KeyText(got[i].After) {
			t.Errorf("change %d: got %+v, want %+v", i, got[i], want[i])
		}
	}
	if err := plan.Check(back); err != nil {
		t.Errorf("rollback plan: %v", err)
	}
}

func taken(t *testing.T, run recount.Run, undo []recount.Change) *recount.Plan {
	t.Helper()
	p, err := plan.Rollback([]plan.RunTable{{Run: run, Undo: undo}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func FuzzRead(f *testing.F) {
	raw, _ := sealed(f)
	f.Add(raw)
	f.Add([]byte("recount-plan/1 sha256:\n{}\n{}\n"))
	f.Add([]byte("recount-plan/2 x"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := plan.Read(bytes.NewReader(b), "x")
		if err == nil && plan.Check(p) != nil {
			t.Error("a plan was read that does not add up")
		}
	})
}
