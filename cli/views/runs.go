package views

import (
	"io"
	"slices"
	"strings"

	"recount"
	"recount/internal/app"
)

// Runs shows the history of applies and rollbacks.
type Runs interface {
	// Listed shows them, and the replays into a bus after them.
	Listed([]recount.Run, []app.BusReplay) error
	// Checked shows what became of a run's rows, table by table.
	Checked([]app.RunChecked) error
}

// NewRuns returns the side that o chooses.
func NewRuns(o *Output) Runs {
	if o.JSON {
		return runsJSON{o.Out}
	}
	return runsHuman{o}
}

type runsHuman struct{ o *Output }

func (v runsHuman) Listed(runs []recount.Run, replays []app.BusReplay) error {
	p := newPage(v.o.Style)
	if len(runs) == 0 {
		p.line(say("  No runs yet: nothing has been applied."))
	} else {
		p.runTable(runs)
	}
	if len(replays) > 0 {
		p.blank()
		p.replayTable(replays)
	}
	return p.flush(v.o.Out)
}

// replayTable lists replays into a bus, each over the line of its window.
func (p *page) replayTable(replays []app.BusReplay) {
	t := &table{
		indent: 2, head: []string{"replay", "at (UTC)", "by", "what", "events", "to"},
		right: []bool{4: true, 5: false}, fixed: []bool{0: true, 1: true, 4: true, 5: false},
	}
	for _, r := range replays {
		what := "done"
		if r.Ended.IsZero() {
			what = "unfinished"
		}
		if r.Only != "" {
			what = r.Calculation + " " + r.Only + ", " + what
		}
		t.rows = append(t.rows, []cell{
			{text: clip(p.text(r.ID), runDigits, p.g.more), ink: bold},
			{text: r.At.UTC().Format("2006-01-02 15:04")},
			{text: p.text(r.By)},
			{text: p.text(what)},
			{text: count(r.Events)},
			{text: p.text(r.Destination)},
		})
	}
	from := len(p.lines) + 1
	t.write(p)
	for i, r := range slices.Backward(replays) {
		p.lines = slices.Insert(p.lines, from+i+1, []span{{"    " + p.text(r.Stream+" "+r.Window), dim}})
	}
}

func (p *page) runTable(runs []recount.Run) {
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

func (v runsJSON) Listed(runs []recount.Run, replays []app.BusReplay) error {
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
	for _, r := range replays {
		o := busReplayObject{
			head: typed("bus_replay"), Replay: r.ID, Stream: r.Stream, Destination: r.Destination, Calculation: orNull(r.Calculation), Only: orNull(r.Only),
			Window: r.Window, Snapshot: r.Snapshot, Events: decimalCount(r.Events), At: stamp(r.At), By: r.By, Done: !r.Ended.IsZero(),
		}
		if o.Done {
			o.Ended = stamp(r.Ended)
		}
		if err := emit(v.out, o); err != nil {
			return err
		}
	}
	return nil
}

type busReplayObject struct {
	head
	Replay      string `json:"replay"`
	Stream      string `json:"stream"`
	Destination string `json:"destination"`
	Calculation any    `json:"calculation"`
	Only        any    `json:"only"`
	Window      string `json:"window"`
	Snapshot    string `json:"snapshot"`
	Events      string `json:"events"`
	At          stamp  `json:"at"`
	By          string `json:"by"`
	Done        bool   `json:"done"`
	Ended       any    `json:"ended"`
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

// mostCheckedKeys bounds the keys that are listed.
const mostCheckedKeys = 100

func (v runsHuman) Checked(tables []app.RunChecked) error {
	p := newPage(v.o.Style)
	for _, t := range tables {
		p.line(say("  Run "+p.text(t.Run)+" wrote "+counted(t.Rows, "row")+" of "+p.text(t.Table)+":"), say(""))
		p.line(span{"    " + p.g.yes + " " + count(t.Stand) + " read as they were written, " + count(t.MovedOn) + " moved on and are right", blue})
		if n := int64(len(t.Overwritten)); n > 0 {
			p.line(span{"    " + p.g.no + " " + count(n) + " were overwritten: they are wrong again", orange})
			p.wrapped(labelIndent, plain, keyList(t.Overwritten))
		}
		if n := int64(len(t.Changed)); n > 0 {
			p.line(span{"    ! " + count(n) + " read otherwise, and nothing explains it", orange})
			p.wrapped(labelIndent, plain, keyList(t.Changed))
		}
		if t.Note != "" {
			p.wrapped(labelIndent, dim, t.Note)
		}
		if len(t.Overwritten) > 0 {
			p.wrapped(2, plain, "The worker keeps its own state, or another writer has it: correct that first, then plan again (worker_state: own).")
		}
	}
	return p.flush(v.o.Out)
}

// keyList names a few rows.
func keyList(keys [][]recount.Value) string {
	const most = 10
	var parts []string
	for _, key := range keys[:min(most, len(keys))] {
		texts := make([]string, len(key))
		for i, v := range key {
			texts[i] = v.String()
		}
		parts = append(parts, strings.Join(texts, "/"))
	}
	if more := len(keys) - most; more > 0 {
		parts = append(parts, "and "+count(int64(more))+" more")
	}
	return strings.Join(parts, ", ")
}

func (v runsJSON) Checked(tables []app.RunChecked) error {
	for _, t := range tables {
		o := runCheckObject{
			head: typed("run_check"), Run: t.Run, Table: t.Table, Calculation: t.Calculation, Rows: decimalCount(t.Rows), Stand: decimalCount(t.Stand),
			MovedOn: decimalCount(t.MovedOn), Overwritten: decimalCount(int64(len(t.Overwritten))), Changed: decimalCount(int64(len(t.Changed))),
			OverwrittenKeys: list(t.Overwritten[:min(mostCheckedKeys, len(t.Overwritten))]), ChangedKeys: list(t.Changed[:min(mostCheckedKeys, len(t.Changed))]),
			Note: orNull(t.Note),
		}
		if err := emit(v.out, o); err != nil {
			return err
		}
	}
	return nil
}

type runCheckObject struct {
	head
	Run             string            `json:"run"`
	Table           string            `json:"table"`
	Calculation     string            `json:"calculation"`
	Rows            string            `json:"rows"`
	Stand           string            `json:"stand"`
	MovedOn         string            `json:"moved_on"`
	Overwritten     string            `json:"overwritten"`
	Changed         string            `json:"changed"`
	OverwrittenKeys [][]recount.Value `json:"overwritten_keys"`
	ChangedKeys     [][]recount.Value `json:"changed_keys"`
	Note            any               `json:"note"`
}
