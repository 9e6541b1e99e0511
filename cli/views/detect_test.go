package views

import (
	"recount"
	"recount/internal/app"
)

// lookingViews are the views of what was found in the log and in a run's rows.
func lookingViews() map[string]func(*Output) error {
	return map[string]func(*Output) error{
		"detect": func(o *Output) error {
			return NewDetect(o).Detected(app.Detected{
				Calculation: "balances", Window: fixtureWindow(), Snapshot: "9f3c1ab20000aa", Rows: 12480, Wrong: 1137, Events: 184220, Explained: 1133, Foreign: []string{"a001", "a009"}, TookMS: 900,
				Taken: &recount.CutTaken{Kind: recount.CutColumn, How: "each row's column last_offset says how far it is (offset)"},
				Spans: []app.DetectedSpan{
					{Kind: "missed", Positions: recount.PositionWindow{Partition: "3", From: recount.PadPosition("90100"), To: recount.PadPosition("90188")}, Events: 88, Keys: 61},
					{Kind: "again", Times: 2, Positions: recount.PositionWindow{Partition: "1", From: recount.PadPosition("0"), To: recount.PadPosition("900")}, Events: 900, Keys: 411},
				},
			})
		},
		"detect_refused": func(o *Output) error {
			return NewDetect(o).Detected(app.Detected{
				Calculation: "balances", Window: fixtureWindow(), Rows: 12480, Wrong: 7, Events: 184220, TookMS: 900, Foreign: []string{"a001"},
				Refused: "partition 3: more than one span agrees with the differences, and they are not the same events",
			})
		},
		"detect_right": func(o *Output) error {
			return NewDetect(o).Detected(app.Detected{Calculation: "balances", Window: fixtureWindow(), Rows: 12480, Events: 184220, TookMS: 900})
		},
		"run_check": func(o *Output) error {
			return NewRuns(o).Checked([]app.RunChecked{{
				Run: "b62c13df7ade", Table: "balances", Calculation: "balances", Rows: 26, Stand: 18, MovedOn: 5,
				Overwritten: [][]recount.Value{{recount.Text("a012")}, {recount.Text("a016")}}, Changed: [][]recount.Value{{recount.Text("a052")}},
			}, {Run: "b62c13df7ade", Table: "totals", Calculation: "totals", Rows: 3, Stand: 3, Note: "how far the rows are by now is not known"}})
		},
	}
}
