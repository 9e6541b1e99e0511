package views

import (
	"bytes"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"recount"
	"recount/internal/app"
	"recount/internal/archive"
	"recount/internal/archive/positions"
)

var update = flag.Bool("update", false, "write the goldens anew")

// at12 is the fixture's hour.
var at12 = time.Date(2024, 6, 10, 12, 0, 0, 0, time.UTC)

func fixtureWindow() recount.Window {
	return recount.Window{From: at12, To: at12.Add(30 * time.Minute), By: recount.ByEvent}
}

func values(texts ...string) []recount.Value {
	out := make([]recount.Value, len(texts))
	for i, s := range texts {
		out[i] = recount.Text(s)
	}
	return out
}

// fixturePlan is a plan with every action, every cause and all its extras.
func fixturePlan() *recount.Plan {
	var minutes []recount.MinuteCount
	for i := range 30 {
		m := recount.MinuteCount{From: at12.Add(time.Duration(i) * time.Minute), Events: int64(5000 + 100*i)}
		if i >= 7 && i < 19 {
			m.Events, m.Wrong = int64(400*(i-6)), int64(10*(i-5))
		}
		minutes = append(minutes, m)
	}
	return &recount.Plan{
		ID: "4b2e90c7aa3e0f5c1d2b4b2e90c7aa3e0f5c1d2b4b2e90c7aa3e0f5c1d2b0001",
		Header: recount.PlanHeader{
			Made: at12.Add(26 * time.Hour), Expires: at12.Add(50 * time.Hour), By: "alice", Program: "recount 0.1.0", TookMS: 3120,
		},
		Body: recount.PlanBody{
			Kind: recount.PlanApply, Calculation: "user_totals", Window: fixtureWindow(),
			Asked:  recount.Window{From: at12.Add(2 * time.Minute), To: at12.Add(28 * time.Minute), By: recount.ByEvent},
			Bucket: "30m", Zone: "Europe/Berlin", Stream: "orders", Snapshot: "9f3c1ab20000aa", Watermark: at12.Add(25 * time.Hour),
			Unexplained: recount.UnexplainedHold, Extra: recount.ExtraReport, Rules: []string{"total: exact"},
			Target:  recount.Identity{Adapter: "sqlite", Place: "live.db", Table: "user_totals"},
			Hazards: []string{"trigger audit_total fires on update"},
			Key:     []recount.PlanColumn{{Name: "user_id", Type: "string"}}, Columns: []recount.PlanColumn{{Name: "total", Type: "decimal(18,2)"}},
			Events: recount.EventCounts{Read: 184220, Used: 182313, Duplicates: 1904, Quarantined: 3, Late: 312},
			Rows:   recount.RowCounts{Checked: 12480, Right: 11343, Update: 1095, Insert: 31, Delete: 4, Extra: 3, Held: 2, Excluded: 2},
			Digest: "77", Causes: []recount.CauseCount{{Cause: "missed", Rows: 58}, {Cause: "twice", Rows: 31}, {Cause: "previous", Rows: 1019}, {Cause: "previous+missed", Rows: 22}},
			Given: true, Tried: []recount.Cause{"missed", "twice", "previous"}, Explained: 1130, Unexplain: 2,
			Control: &recount.Control{Rows: 12466, Spans: []recount.Window{{From: at12.Add(-30 * time.Minute), To: at12, By: recount.ByEvent}}},
			Minutes: minutes, Sums: []recount.ColumnSum{{Column: "total", Before: "1048201.17", After: "1000000.00", Net: "-48201.17"}},
			MaxChanges: 2000, Notes: []string{"repeats are known by their id"}, Overrides: []string{},
		},
		Changes: []recount.Change{
			{Action: recount.ActionUpdate, Key: values("10482"), Before: values("1912.40"), After: values("1000.00"), Cause: "previous"},
			{Action: recount.ActionUpdate, Key: values("20911"), Before: values("55.10"), After: values("61.10"), Cause: "missed"},
			{Action: recount.ActionInsert, Key: values("30007"), After: values("14.99"), Cause: "missed"},
			{Action: recount.ActionUpdate, Key: values("30008"), Before: []recount.Value{recount.Null}, After: values("3.00"), Cause: "previous+missed"},
			{Action: recount.ActionDelete, Key: values("41770"), Before: values("9.99"), Cause: "twice"},
			{Action: recount.ActionExtra, Key: values("ghost1"), Before: values("12.34")},
			{Action: recount.ActionHeld, Key: values("u-mended"), Before: values("500.00"), Cause: "unknown"},
			{Action: recount.ActionExcluded, Key: values("u-poison"), Before: values("7.00")},
			{Action: recount.ActionUpdate, Key: values("zoë"), Before: values("1.00"), After: values("1234567.00"), Cause: "twice"},
		},
	}
}

// widePlan has a composite key and several columns, some no numbers.
func widePlan() *recount.Plan {
	p := fixturePlan()
	p.Body.Key = []recount.PlanColumn{{Name: "hour", Type: "timestamp"}, {Name: "shop", Type: "string"}}
	p.Body.Columns = []recount.PlanColumn{{Name: "orders", Type: "int64"}, {Name: "revenue", Type: "decimal(18,2)"}, {Name: "best", Type: "string"}}
	p.Body.Given, p.Body.Control, p.Body.NoControl = false, nil, "the table holds only this window's rows"
	p.Body.Causes = []recount.CauseCount{{Cause: recount.CauseUnknown, Rows: 2}}
	p.Body.Rows = recount.RowCounts{Checked: 48, Right: 45, Update: 1, Insert: 1, Extra: 1}
	p.Body.Sums = []recount.ColumnSum{{Column: "orders", Net: "7"}, {Column: "revenue", Net: "-20.50"}}
	p.Body.Notes = []string{"assumes that rows hold nothing outside [from, to)", "no ids: repeats cannot be seen", "a third", "a fourth", "a fifth"}
	p.Body.Zone, p.Body.Asked, p.Body.Hazards = "UTC", p.Body.Window, nil
	p.Changes = []recount.Change{
		{Action: recount.ActionUpdate, Key: values("2024-06-10T12:00:00Z", "north, \"old\" town"), Before: values("10", "100.50", "tea"), After: values("12", "70.00", "coffee"), Cause: recount.CauseUnknown},
		{Action: recount.ActionInsert, Key: values("2024-06-10T12:00:00Z", "south"), After: []recount.Value{recount.Text("5"), recount.Text("10.00"), recount.Null}, Cause: recount.CauseUnknown},
		{Action: recount.ActionExtra, Key: values("2024-06-10T12:00:00Z", "-x"), Before: values("1", "1.00", "")},
	}
	return p
}

// severalPlan corrects three tables, one of them by differences.
func severalPlan() *recount.Plan {
	p := fixturePlan()
	p.Body.Write, p.Body.Against, p.Body.WorkerState, p.Body.Touched = recount.WriteDelta, "missed", recount.StateOwn, 1137
	p.Body.Taken = &recount.CutTaken{Kind: recount.CutColumn, How: "column last_offset says how far each row is"}
	p.Changes = p.Changes[:2]
	for i := range p.Changes {
		p.Changes[i].Delta, p.Changes[i].At = values("-912.40"), "3:17"
	}
	entries, marks := p.Body, p.Body
	entries.Target.Table, entries.Role, entries.Write, entries.Against, entries.Taken = "adjustments", recount.RoleAdjust, recount.WriteSet, "", nil
	entries.Key, entries.Columns = []recount.PlanColumn{{Name: "user_id", Type: "string"}, {Name: "run", Type: "string"}}, []recount.PlanColumn{{Name: "amount", Type: "decimal(18,2)"}}
	entries.Rows, entries.Hazards = recount.RowCounts{Checked: 2, Insert: 2}, nil
	entries.Sums = []recount.ColumnSum{{Column: "amount", Before: "0.00", After: "-906.40", Net: "-906.40"}}
	marks.Target.Table, marks.Role, marks.Write, marks.Against, marks.Taken = "processed_events", recount.RoleMark, recount.WriteSet, "", nil
	marks.Key, marks.Columns, marks.Sums = []recount.PlanColumn{{Name: "event_id", Type: "string"}}, nil, nil
	marks.Rows = recount.RowCounts{Checked: 1, Insert: 1}
	p.With = []recount.PlanPart{
		{Body: entries, Changes: []recount.Change{
			{Action: recount.ActionInsert, Key: values("10482", recount.RunPlaceholder), After: values("-912.40"), Cause: "missed"},
			{Action: recount.ActionInsert, Key: values("20911", recount.RunPlaceholder), After: values("6.00"), Cause: "missed"},
		}},
		{Body: marks, Changes: []recount.Change{{Action: recount.ActionInsert, Key: values("e-77f1"), After: []recount.Value{}, Cause: "missed"}}},
	}
	return p
}

// severalReceipt is the receipt of severalPlan.
func severalReceipt(kind recount.PlanKind) recount.Receipt {
	return recount.Receipt{
		Run: "0190b2c4aa", Plan: severalPlan().ID, Kind: kind, Table: "user_totals", Applied: 5, Verified: true,
		Moved: [][]recount.Value{values("20911")}, RolledOut: [][]recount.Value{values("e-77f2")}, Held: 2, Extra: 3, Excluded: 2, TookMS: 812,
		Steps: []string{"lock", "write", "commit"}, Notes: []string{"foreign keys lead in a circle between a, b: they were written in the plan's order"},
		Tables: []recount.TableReceipt{
			{Table: "user_totals", Applied: 2, Held: 2, Extra: 3, Excluded: 2, Moved: [][]recount.Value{values("20911")}},
			{Table: "adjustments", Role: recount.RoleAdjust, Applied: 2},
			{Table: "processed_events", Role: recount.RoleMark, Applied: 1, RolledOut: [][]recount.Value{values("e-77f2")}},
		},
	}
}

// screen is what a view wrote to its two streams.
type screen struct{ out, err bytes.Buffer }

func (s *screen) output(json bool) *Output {
	return &Output{Out: &s.out, Err: &s.err, JSON: json}
}

// golden compares got with a file in testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (renew with -update)\ngot:\n%s\nwant:\n%s", file, got, want)
	}
}

// views lists every view with a value, under the name of its golden.
func everyView() map[string]func(*Output) error {
	plan := app.Planned{Plan: fixturePlan(), File: "fix.plan", TookMS: 3120}
	wide := app.Planned{Plan: widePlan(), File: "my fix.plan", TookMS: 45}
	all := map[string]func(*Output) error{
		"plan":      func(o *Output) error { return NewPlan(o).Planned(plan) },
		"plan_wide": func(o *Output) error { return NewPlan(o).Planned(wide) },
		"plan_right": func(o *Output) error {
			p := fixturePlan()
			p.Changes, p.Body.Rows, p.Body.Causes = nil, recount.RowCounts{Checked: 12480, Right: 12480}, nil
			p.Body.Sums, p.Body.Explained, p.Body.Unexplain = nil, 0, 0
			return NewPlan(o).Planned(app.Planned{Plan: p, File: "fix.plan", TookMS: 999})
		},
		"diff": func(o *Output) error { return NewPlan(o).Differs(plan) },
		"show": func(o *Output) error { return NewShow(o).Shown(app.Shown{Plan: plan.Plan, File: plan.File}, false) },
		"show_old": func(o *Output) error {
			return NewShow(o).Shown(app.Shown{Plan: plan.Plan, File: plan.File, Expired: true}, false)
		},
		"show_all":  func(o *Output) error { return NewShow(o).Shown(app.Shown{Plan: plan.Plan, File: plan.File}, true) },
		"show_wide": func(o *Output) error { return NewShow(o).Shown(app.Shown{Plan: wide.Plan, File: wide.File}, true) },
		"about":     func(o *Output) error { return NewReceipt(o).About(app.Shown{Plan: plan.Plan, File: plan.File}) },
		"receipt": func(o *Output) error {
			return NewReceipt(o).Done(recount.Receipt{
				Run: "0190b2c4aa", Plan: plan.Plan.ID, Kind: recount.PlanApply, Table: "user_totals", Applied: 1130, Verified: true,
				Moved: [][]recount.Value{values("20911")}, Held: 2, Extra: 3, Excluded: 2, TookMS: 812,
				Steps: []string{"locked", "checked 1,130 rows", "changed", "read back equal", "committed"},
			})
		},
		"receipt_already": func(o *Output) error {
			return NewReceipt(o).Done(recount.Receipt{Run: "0190b2c4aa", Plan: plan.Plan.ID, Kind: recount.PlanApply, Table: "user_totals", Already: true, Verified: true})
		},
		"receipt_rollback": func(o *Output) error {
			return NewReceipt(o).Done(recount.Receipt{
				Run: "0190b2ff01", Plan: "ab12", Kind: recount.PlanRollback, Table: "user_totals", Applied: 1129, Verified: true, TookMS: 640,
				RolledOut: [][]recount.Value{values("20911")}, Steps: []string{"locked", "rows put back", "committed"},
			})
		},
		"error": func(o *Output) error {
			return NewError(o).Failed(&recount.Error{
				Code: recount.CodeStale, What: "plan 7f3a cannot be applied: it is stale",
				Where: `postgres "ledger", table daily_revenue, 2026-10-01 to 2026-10-02`, Why: "412 rows changed after the plan was made (2026-10-03 09:14 UTC)",
				Next: "recount plan daily_revenue --from 2026-10-01T00:00:00Z --to 2026-10-02T00:00:00Z, then apply the new plan",
			})
		},
		"error_lines": func(o *Output) error {
			return NewError(o).Failed(&recount.Error{
				Code: recount.CodeConfig, What: "recount.yaml has a mistake", Where: "recount.yaml:7:5",
				Why:  "unknown key \"colour\"; the nearest is \"columns\"\n   6 |     target:\n>  7 |       colour: red\n             ^",
				Next: "mend the line, then run the command again",
			})
		},
		"runs": func(o *Output) error {
			return NewRuns(o).Listed([]recount.Run{
				{ID: "0190b2c4aa", Plan: "p1", Kind: recount.PlanApply, Table: "user_totals", Calculation: "user_totals", At: at12, By: "alice", Applied: 1130, Held: 2, Window: fixtureWindow(), RolledBack: "0190b2ff01"},
				{ID: "0190b2ff01", Plan: "p2", Kind: recount.PlanRollback, Table: "user_totals", Calculation: "user_totals", At: at12.Add(time.Hour), By: "bob", Applied: 1129, Window: fixtureWindow(), Of: "0190b2c4aa"},
				{ID: "0190b2ff02", Plan: "p3", Kind: recount.PlanApply, Table: "user_totals", At: at12.Add(2 * time.Hour), By: "bob", Applied: 3, Window: recount.Window{From: at12, To: at12.Add(48 * time.Hour)}, Overrides: []string{"--no-control"}},
			}, nil)
		},
		"runs_none": func(o *Output) error { return NewRuns(o).Listed(nil, nil) },
		"doctor": func(o *Output) error {
			return NewDoctor(o).Diagnosed(app.Diagnosis{Checks: []app.Check{
				{Name: "configuration", Status: app.CheckOK, Detail: "recount.yaml: 1 source, 1 calculation", TookMS: 3},
				{Name: "target user_totals", Status: app.CheckWarn, Detail: "the reading role can write", Fix: "give apply: a role of its own", TookMS: 21},
				{Name: "archive orders", Status: app.CheckFail, Detail: "nothing is archived yet, so that no window can be replayed until the first run has read the files", Fix: "recount archive run --once", TookMS: 1204},
			}})
		},
		"replay_fatal":  func(o *Output) error { return NewReplay(o).Replayed(fixtureFatal()) },
		"replay":        func(o *Output) error { return NewReplay(o).Replayed(fixtureReplayed("right.csv")) },
		"replay_stdout": func(o *Output) error { return NewReplay(o).Replayed(fixtureReplayed("")) },
		"verify": func(o *Output) error {
			return NewVerify(o).Verified(app.Verified{Calculation: "user_totals", Window: fixtureWindow(), Runs: 2, Digest: "0f5c1d2b9a", Rows: recount.RowCounts{Checked: 400, Right: 400}, TookMS: 80})
		},
		"verify_certified": func(o *Output) error {
			return NewVerify(o).Verified(app.Verified{
				Calculation: "user_totals", Window: fixtureWindow(), Runs: 2, Digest: "0f5c1d2b9a", Rows: recount.RowCounts{Checked: 400, Right: 400}, TookMS: 1080,
				Certificate: fixtureCertificate(false),
			})
		},
		"verify_shaken": func(o *Output) error {
			return NewVerify(o).Verified(app.Verified{Calculation: "user_totals", Window: fixtureWindow(), TookMS: 1080, Certificate: fixtureCertificate(true)})
		},
		"verify_red": func(o *Output) error {
			return NewVerify(o).Verified(app.Verified{
				Calculation: "user_totals", Window: fixtureWindow(), Runs: 2, Digest: "0f5c1d2b9a", Rows: recount.RowCounts{Checked: 400, Right: 399, Update: 1},
				First: &plan.Plan.Changes[0], Key: plan.Plan.Body.Key, Columns: plan.Plan.Body.Columns, TookMS: 80, Red: redWindow(),
			})
		},
		"init": func(o *Output) error {
			return NewInit(o).Initialized(app.Initialized{
				File: "recount.yaml", Text: "version: 1\narchive: archive\n", Asked: 2, Sample: []string{"id=e008560  time=2024-06-10T12:09:24.053Z  user_id=u121  value=28.60"},
				Fits: []string{"total = sum(value) is right in 318 of 400 rows"}, Notes: []string{"the events are an export of kcat -J"},
				Next:      []string{"recount archive run --once", "recount plan totals --from 2024-06-10T12:00:00Z --to 2024-06-10T13:00:00Z --out fix.plan"},
				Diagnosis: &app.Diagnosis{Checks: []app.Check{{Name: "configuration", Status: app.CheckOK, Detail: "recount.yaml: 1 source", TookMS: 3}}},
			})
		},
		"version": func(o *Output) error {
			return NewVersion(o).Built(Build{Version: "v0.1.0", Revision: "9f3c1ab20000aa", Go: "go1.26.8"})
		},
		"demo": func(o *Output) error {
			d := NewDemo(o, nil)
			if err := d.Stage("A shop", "Orders lie in orders.jsonl.\nSomething went wrong.", "recount archive run --once"); err != nil {
				return err
			}
			if err := d.Stage("Is it right now?", "", ""); err != nil {
				return err
			}
			d.Fact("The half hour's rows have digest 0f5c1d2b9a77 before and after the process was killed with SIGKILL: nothing is half done.")
			d.Compared(wide)
			return d.Err()
		},
	}
	maps.Copy(all, explainViews())
	maps.Copy(all, archiveViews())
	maps.Copy(all, upkeepViews())
	maps.Copy(all, severalViews())
	maps.Copy(all, controlViews())
	maps.Copy(all, lookingViews())
	return all
}

func explainViews() map[string]func(*Output) error {
	return map[string]func(*Output) error{
		"explain":       func(o *Output) error { return NewExplain(o).Explained(fixtureExplanation(), false) },
		"explain_long":  func(o *Output) error { return NewExplain(o).Explained(longExplanation(), false) },
		"explain_all":   func(o *Output) error { return NewExplain(o).Explained(longExplanation(), true) },
		"explain_fold":  func(o *Output) error { return NewExplain(o).Explained(foldExplanation(), false) },
		"explain_mixed": func(o *Output) error { return NewExplain(o).Explained(mixedExplanation(), false) },
		"explain_right": func(o *Output) error { return NewExplain(o).Explained(rightExplanation(), false) },
	}
}

func severalViews() map[string]func(*Output) error {
	several := app.Planned{Plan: severalPlan(), File: "fix.plan", TookMS: 45}
	shown := app.Shown{Plan: several.Plan, File: several.File}
	return map[string]func(*Output) error{
		"several":          func(o *Output) error { return NewPlan(o).Planned(several) },
		"several_all":      func(o *Output) error { return NewShow(o).Shown(shown, true) },
		"several_about":    func(o *Output) error { return NewReceipt(o).About(shown) },
		"several_receipt":  func(o *Output) error { return NewReceipt(o).Done(severalReceipt(recount.PlanApply)) },
		"several_rollback": func(o *Output) error { return NewReceipt(o).Done(severalReceipt(recount.PlanRollback)) },
		"runs_replays": func(o *Output) error {
			return NewRuns(o).Listed(nil, []app.BusReplay{
				{ID: "484ad3cee4f5", Stream: "orders", Destination: "orders-again", Window: fixtureWindow().String(), Snapshot: "4ffe97b2", Events: 182313, At: at12, By: "alice", Ended: at12.Add(time.Minute)},
				{ID: "again-2", Stream: "orders", Destination: "orders", Calculation: "user_totals", Only: "missed", Window: fixtureWindow().String(), Snapshot: "4ffe97b2", Events: 31, At: at12, By: "bob"},
			})
		},
		"several_runs": func(o *Output) error {
			return NewRuns(o).Listed([]recount.Run{{
				ID: "0190b2c4aa", Plan: "p1", Kind: recount.PlanApply, Table: "user_totals", Calculation: "user_totals", At: at12, By: "alice", Applied: 2, Total: 5,
				Tables: []string{"user_totals", "adjustments", "processed_events"}, Write: recount.WriteDelta, Window: fixtureWindow(), Overrides: []string{"--worker-will-reload"},
			}}, nil)
		},
	}
}

func archiveViews() map[string]func(*Output) error {
	return map[string]func(*Output) error{
		"archive_ls":     func(o *Output) error { return NewArchive(o).Holds(fixtureStreams()) },
		"archive_verify": func(o *Output) error { return NewArchive(o).Proved(fixtureReports()) },
		"archive_cat": func(o *Output) error {
			o.Terminal = true
			return NewArchive(o).Event(fixtureEvent())
		},
		"published":    func(o *Output) error { return NewReplay(o).Published(fixturePublished()) },
		"effects":      func(o *Output) error { return NewEffects(o).Effected(fixtureEffects()) },
		"effects_held": func(o *Output) error { return NewEffects(o).Effected(fixtureHeldBack()) },
		"shadow":       func(o *Output) error { return NewReplay(o).Waits(fixtureShadow()) },
		"shadow_works": func(o *Output) error {
			s := fixtureShadow()
			s.Members, s.Left = 2, 12
			return NewReplay(o).Waits(s)
		},
		"published_dry": func(o *Output) error { return NewReplay(o).Published(fixtureToPublish()) },
		"archive_empty": func(o *Output) error { return NewArchive(o).Holds(nil) },
		"archive_adopt": func(o *Output) error {
			return NewArchive(o).Ran([]app.ArchiveRan{
				{Source: "orders", Adopted: true, Events: 20241, Repeats: 240, Files: 12, Bytes: 412_345, Commits: 1, Snapshot: "9f3c1ab20000aa", Watermark: at12.Add(25 * time.Hour), TookMS: 210},
			})
		},
		"archive_run": func(o *Output) error {
			return NewArchive(o).Ran([]app.ArchiveRan{
				{Source: "orders", Events: 20241, Repeats: 240, Conflicts: 2, Quarantined: 1, Files: 2, Bytes: 412_345, Commits: 1, Snapshot: "9f3c1ab20000aa", Watermark: at12.Add(25 * time.Hour), TookMS: 210},
				{Source: "payments", Snapshot: "77aa", Watermark: at12, TookMS: 2},
			})
		},
	}
}

func fixtureStreams() []app.ArchiveStream {
	orders, payments := app.ArchiveStream{}, app.ArchiveStream{}
	orders.Stream, orders.Snapshot, orders.Commits, orders.Watermark, orders.Lateness = "orders", "9f3c1ab20000aa", 2, at12.Add(25*time.Hour), time.Minute
	orders.Total.Files, orders.Total.Events, orders.Total.Bytes, orders.Total.Repeats = 3, 19243, 412_345, 240
	for i, events := range []int64{10241, 9000, 2} {
		h := app.ArchiveHour{Start: at12.Add(time.Duration(i) * time.Hour), Known: i < 2}
		h.Files, h.Events, h.Bytes = 1, events, 20*events
		orders.Hours = append(orders.Hours, h)
		orders.Files = append(orders.Files, recount.DataFile{
			Name: "orders/date=2024-06-10/hour=12/1.parquet", SHA256: "ab", Bytes: h.Bytes, Rows: events, Commit: 1, FirstSeq: 1, LastSeq: events,
			FirstTime: h.Start, LastTime: h.Start.Add(59 * time.Minute), TimeKnown: h.Known,
			Spans: []recount.PositionSpan{{Partition: "events.csv", First: "00001", Last: "00009", Rows: events}},
		})
	}
	payments.Stream, payments.Snapshot, payments.Commits = "payments", "77aa", 1
	for i := range 90 {
		h := app.ArchiveHour{Start: at12.Add(time.Duration(i) * time.Hour), Known: true}
		h.Files, h.Events, h.Bytes = 1, int64(i), int64(1000*i)
		payments.Hours = append(payments.Hours, h)
	}
	payments.Pulled, payments.Since = []recount.Window{{From: at12, To: at12.Add(time.Hour)}}, at12.Add(-24*time.Hour)
	payments.Gaps = []recount.Gap{
		{Partition: "3", From: "00041180", To: "00041200", Reason: recount.GapRetention}, {Partition: "3", From: "00041300", To: "00041301", Reason: recount.GapControl},
	}
	return []app.ArchiveStream{orders, payments}
}

func fixtureReports() []app.ArchiveReport {
	damage := &recount.Error{
		Code: recount.CodeDamaged, What: "a file is not what was committed", Where: "orders/date=2024-06-10/hour=12/1.parquet",
		Why: "its SHA-256 is ab…, its commit says cd…",
	}
	whole := app.ArchiveReport{Stream: "orders", Snapshot: "9f3c1ab20000aa", Commits: 2, Files: 3, Events: 19243, Bytes: 412_345}
	whole.Partitions = append(whole.Partitions, archive.PartitionSummary{Partition: "events.csv", First: "00000001", Last: "00019243", Events: 19243}, archive.PartitionSummary{
		Partition: "3", First: "00041200", Last: "00041899", Events: 600, Gaps: map[recount.GapReason]int64{recount.GapControl: 12, recount.GapRetention: 20},
		Runs: []positions.Run{{Kind: positions.Lost, First: "00041180", Last: "00041199"}, {Kind: positions.Sealed, First: "00041200", Last: "00041899"}},
	})
	damaged := app.ArchiveReport{Stream: "payments", Snapshot: "77aa", Commits: 1, Files: 90, Events: 4005, Bytes: 4_000_000, Problems: []*recount.Error{damage}}
	damaged.Leftovers = append(damaged.Leftovers, archive.Leftover{Name: "payments/date=2024-06-10/hour=13/x.parquet"})
	return []app.ArchiveReport{whole, damaged}
}

func fixtureEvent() []app.ArchivedEvent {
	first := app.ArchivedEvent{Stream: "orders"}
	first.ID, first.Partition, first.Position, first.Time, first.TimeKnown = "e-77f1", "events.csv", "00000017", at12, true
	first.Data, first.Seq, first.File, first.Commit, first.Format, first.Header = []byte("e-77f1,12:00,\x1b[31m10482,912.40"), 17, "orders/1.parquet", 1, "csv", "event_id,timestamp,user_id,value"
	first.Key = []byte{0xff}
	second := first
	second.Seq, second.Position = 90, "00000090"
	second.Marks = []recount.Mark{{Kind: recount.MarkRepeat, Why: "the same id and payload came before"}}
	return []app.ArchivedEvent{first, second}
}

func fixtureFatal() app.Replayed {
	r := fixtureReplayed("right.csv")
	r.Fatal = &app.Fatal{
		Keys: 2, Event: "e-77f1", Key: []app.NamedValue{{Name: "user_id", Value: recount.Text("10482")}}, Why: "KeyError: 'amount' (worker.py line 12)",
	}
	return r
}

func fixtureReplayed(out string) app.Replayed {
	return app.Replayed{
		Calculation: "user_totals", Window: fixtureWindow(), Asked: fixtureWindow(), Snapshot: "9f3c1ab20000aa", Watermark: at12.Add(time.Hour),
		Events: recount.EventCounts{Read: 10, Used: 9, Duplicates: 1}, Rows: 4, Digest: "0f5c1d2b9a", Excluded: 1, Out: out, TookMS: 120,
	}
}

func fixtureExplanation() app.Explanation {
	field := func(v string) []app.NamedValue {
		return []app.NamedValue{{Name: "user_id", Value: recount.Text("10482")}, {Name: "value", Value: recount.Text(v)}}
	}
	return app.Explanation{
		Plan: "4b2e90c7", Calculation: "user_totals", Window: fixtureWindow(), Change: recount.Change{
			Action: recount.ActionUpdate, Key: values("10482"), Before: values("1912.40"), After: values("1000.00"), Cause: "twice",
		},
		Key: []recount.PlanColumn{{Name: "user_id", Type: "string"}}, Columns: []recount.PlanColumn{{Name: "total", Type: "decimal(18,2)"}},
		Steps: []app.ExplainStep{
			{Seq: 1, ID: "e-77f1", Time: at12.Add(251204 * time.Millisecond), Partition: "3", Position: "00000000000000088121", Fields: field("912.40"), Counted: true, Values: values("912.40"), Under: values("912.40")},
			{Seq: 2, ID: "e-77f1", Time: at12.Add(251204 * time.Millisecond), Partition: "3", Position: "00000000000000088190", Fields: field("912.40"), Note: "a repeat", Values: values("912.40"), Under: values("1824.80")},
			{Seq: 3, ID: "e-78c0", Time: at12.Add(1120001 * time.Millisecond), Partition: "3", Position: "00000000000000090455", Fields: field("87.60"), Counted: true, Values: values("1000.00"), Under: values("1912.40")},
		},
		Result: values("1000.00"), Against: "twice", Under: values("1912.40"), Alone: true,
	}
}

func longExplanation() app.Explanation {
	e := fixtureExplanation()
	e.Steps = nil
	for i := range 200 {
		s := app.ExplainStep{Seq: int64(i), ID: "e", Time: at12.Add(time.Duration(i) * time.Second), Partition: "0", Position: "000", Counted: true, Values: values("1.00"), Under: values("1.00")}
		if i >= 90 {
			s.Under = values("2.00")
		}
		e.Steps = append(e.Steps, s)
	}
	return e
}

func rightExplanation() app.Explanation {
	e := fixtureExplanation()
	e.Change, e.Right, e.Against, e.Under = recount.Change{Key: values("10482")}, true, "", nil
	for i := range e.Steps {
		e.Steps[i].Under = nil
	}
	return e
}

func TestEveryViewLooksAsRecorded(t *testing.T) {
	for name, show := range everyView() {
		for _, side := range []struct {
			name string
			json bool
		}{{"txt", false}, {"json", true}} {
			t.Run(name+"."+side.name, func(t *testing.T) {
				var s screen
				if err := show(s.output(side.json)); err != nil {
					t.Fatal(err)
				}
				got := s.out.Bytes()
				if s.err.Len() > 0 {
					got = append(append(got, "--- stderr\n"...), s.err.Bytes()...)
				}
				golden(t, name+"."+side.name, got)
				if side.json {
					checkJSON(t, s.out.Bytes(), s.err.Bytes())
				} else {
					checkScreen(t, s.out.String()+s.err.String(), strings.Contains(name, "all") || name == "doctor")
				}
			})
		}
	}
}
