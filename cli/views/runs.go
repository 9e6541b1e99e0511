package views

import (
	"io"

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
	t := &table{indent: 2, head: []string{"run", "kind", "table", "window", "rows", "at", "by", ""}, right: make([]bool, 8)}
	t.right[4] = true
	for _, r := range runs {
		t.rows = append(t.rows, []cell{
			{text: p.text(short(r.ID)), ink: bold}, {text: p.text(string(r.Kind))}, {text: p.text(r.Table)},
			{text: briefWindow(r.Window)}, {text: count(r.Applied)}, {text: r.At.UTC().Format("2006-01-02 15:04Z")},
			{text: p.text(r.By)}, {text: p.runState(r), ink: dim},
		})
	}
	t.write(p)
	return p.flush(v.o.Out)
}

// runState says what a later run did to this one, or this one to an earlier.
func (p *page) runState(r recount.Run) string {
	switch {
	case r.RolledBack != "":
		return p.text("rolled back by " + short(r.RolledBack))
	case r.Of != "":
		return p.text("took back " + short(r.Of))
	case len(r.Overrides) > 0:
		return p.text("overrode " + r.Overrides[0])
	}
	return ""
}

// briefWindow is a window as short as it can be read.
func briefWindow(w recount.Window) string {
	if w.From.IsZero() {
		return ""
	}
	from, to := w.From.UTC(), w.To.UTC()
	if from.Format("2006-01-02") == to.Format("2006-01-02") {
		return from.Format("2006-01-02 15:04") + "-" + to.Format("15:04Z")
	}
	return from.Format("2006-01-02 15:04") + " to " + to.Format("2006-01-02 15:04Z")
}

type runsJSON struct{ out io.Writer }

func (v runsJSON) Listed(runs []recount.Run) error {
	for _, r := range runs {
		o := runObject{
			head: typed("run"), Run: r.ID, Plan: r.Plan, Kind: r.Kind, Calculation: r.Calculation, Table: r.Table,
			Window: jsonWindow(r.Window), At: stamp(r.At), By: r.By,
			Applied: decimalCount(r.Applied), Held: decimalCount(r.Held), Extra: decimalCount(r.Extra), Excluded: decimalCount(r.Excluded),
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
}
