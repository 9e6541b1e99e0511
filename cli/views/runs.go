package views

import (
	"io"
	"slices"
	"strings"

	"recount"
)

// Runs shows the history of applies and rollbacks.
type Runs interface {
	Listed([]recount.Run) error
}

// NewRuns returns the side that o chooses.
func NewRuns(o *Output) Runs {
	if o.JSON {
		return runsJSON{o.Out}
	}
	return runsHuman{o}
}

type runsHuman struct{ o *Output }

func (v runsHuman) Listed(runs []recount.Run) error {
	p := newPage(v.o.Style)
	if len(runs) == 0 {
		p.line(say("  No runs yet: nothing has been applied."))
		return p.flush(v.o.Out)
	}
	t := &table{
		indent: 2, head: []string{"run", "at (UTC)", "by", "what", "rows", "table"},
		right: []bool{4: true, 5: false}, fixed: []bool{0: true, 1: true, 4: true, 5: false},
	}
	for _, r := range runs {
		t.rows = append(t.rows, []cell{
			{text: clip(p.text(r.ID), runDigits, p.g.more), ink: bold},
			{text: r.At.UTC().Format("2006-01-02 15:04")},
			{text: p.text(r.By)},
			{text: p.runText(r)},
			{text: count(r.Written())},
			{text: p.text(strings.Join(r.AllTables(), ", "))},
		})
	}
	from := len(p.lines) + 1
	t.write(p)
	for i, r := range slices.Backward(runs) {
		if !r.Window.From.IsZero() {
			p.lines = slices.Insert(p.lines, from+i+1, []span{{"    " + strings.TrimSpace(r.Calculation+" "+windowText(r.Window)), dim}})
		}
	}
	return p.flush(v.o.Out)
}

// runDigits is the length of a run's id.
const runDigits = 12

// runText says what a run did, and what a later one did to it.
func (p *page) runText(r recount.Run) string {
	text := string(r.Kind)
	if r.Write == recount.WriteDelta {
		text += " by delta"
	}
	if r.Of != "" {
		text += " of " + r.Of
	}
	if r.RolledBack != "" {
		text += ", rolled back"
	}
	if len(r.Overrides) > 0 {
		text += ", " + strings.Join(r.Overrides, " ")
	}
	return p.text(text)
}

type runsJSON struct{ out io.Writer }

func (v runsJSON) Listed(runs []recount.Run) error {
	for _, r := range runs {
		if r.Write == "" {
			r.Write = recount.WriteSet
		}
		o := runObject{
			head: typed("run"), Run: r.ID, Plan: r.Plan, Kind: r.Kind, Calculation: r.Calculation, Table: r.Table,
			Window: jsonWindow(r.Window), At: stamp(r.At), By: r.By,
			Applied: decimalCount(r.Written()), Tables: r.AllTables(), Write: r.Write, Held: decimalCount(r.Held), Extra: decimalCount(r.Extra), Excluded: decimalCount(r.Excluded),
			Overrides: list(r.Overrides), RolledBack: orNull(r.RolledBack), Of: orNull(r.Of),
		}
		if err := emit(v.out, o); err != nil {
			return err
		}
	}
	return nil
}

type runObject struct {
	head
	Run         string           `json:"run"`
	Plan        string           `json:"plan"`
	Kind        recount.PlanKind `json:"kind"`
	Calculation string           `json:"calculation"`
	Table       string           `json:"table"`
	Window      windowJSON       `json:"window"`
	At          stamp            `json:"at"`
	By          string           `json:"by"`
	Applied     string           `json:"applied"`
	Held        string           `json:"held"`
	Extra       string           `json:"extra"`
	Excluded    string           `json:"excluded"`
	Overrides   []string         `json:"overrides"`
	RolledBack  any              `json:"rolled_back"`
	Of          any              `json:"of"`
	// Tables are all of the run's, Table first; Applied counts in all of them.
	Tables []string          `json:"tables"`
	Write  recount.WriteMode `json:"write"`
}
