package views

import (
	"recount"
	"recount/internal/app"
)

// controlViews lists plans whose control is red, or green as a given hypothesis
// has it.
func controlViews() map[string]func(*Output) error {
	return map[string]func(*Output) error{
		"plan_red": func(o *Output) error {
			p := fixturePlan()
			p.Body.Control.Wrong, p.Body.Control.First = 34, "user 8812: now 10.00, right 12.00"
			p.Body.Control.Tried, p.Body.Control.Left, p.Body.Control.Reasons = 34, 2, []recount.ControlReason{
				{Name: recount.ReasonLate, Rows: 25, Text: "late events, left out if they came 10m after their bucket's end", Line: "late: 10m", Where: "recount.yaml, calculations: user_totals"},
				{Name: recount.ReasonRounding, Rows: 6, Text: "rounding: they differ by at most 0.01", Line: "compare: {total: {abs: 0.01}}", Where: "recount.yaml, calculations: user_totals"},
				{Name: "late+rounding", Rows: 1, Text: "late and rounding at once", Line: "late: 10m; compare: {total: {abs: 0.01}}", Where: "recount.yaml, calculations: user_totals"},
				{Name: recount.ReasonForeign, Rows: 2, Text: "nothing that was tried gives them; another writer? user=8812: live total=10.00, right total=12.00; user=ghost: live total=1.00, right no row"},
			}
			p.Body.Overrides, p.Body.Cut = []string{"--allow-empty"}, 12
			return NewPlan(o).Planned(app.Planned{Plan: p, File: "fix.plan", TookMS: 61000})
		},
		"plan_known": func(o *Output) error {
			p := fixturePlan()
			p.Body.Control.Known = 31
			return NewPlan(o).Planned(app.Planned{Plan: p, File: "fix.plan", TookMS: 61000})
		},
		"plan_red_right": func(o *Output) error { // all explained, of the first that were tried
			p := fixturePlan()
			p.Body.Control.Wrong, p.Body.Control.Tried = 60000, 50000
			p.Body.Control.Reasons = []recount.ControlReason{
				{Name: recount.ReasonCut, Rows: 50000, Text: "the newest rows: the worker had not finished them", Line: "lateness: 90m", Where: "recount.yaml, sources: orders"},
			}
			return NewPlan(o).Planned(app.Planned{Plan: p, File: "fix.plan", TookMS: 61000})
		},
	}
}

// redWindow says why a row of a good window is wrong.
func redWindow() recount.Control {
	return recount.Control{Wrong: 1, Tried: 1, Reasons: []recount.ControlReason{
		{Name: recount.ReasonRepeats, Rows: 1, Text: "repeats, counted each time that they came", Line: "dedupe: false", Where: "recount.yaml, calculations: user_totals"},
	}}
}
