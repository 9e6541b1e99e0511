package views

import (
	"io"
	"strings"

	"recount"
	"recount/internal/app"
)

// Plan shows the outcome of `plan` and of `diff`.
type Plan interface {
	// Planned shows a plan that was just made and saved.
	Planned(app.Planned) error
	// Differs shows a comparison of which no plan was written.
	Differs(app.Planned) error
}

// NewPlan returns the side that o chooses.
func NewPlan(o *Output) Plan {
	if o.JSON {
		return planJSON{o.Out}
	}
	return planHuman{o}
}

type planHuman struct{ o *Output }

func (v planHuman) Planned(p app.Planned) error {
	page := newPage(v.o.Style)
	page.zone = p.Zone
	plan := p.Plan
	page.planScreen(plan, func() {
		page.saved(plan, p.File, p.TookMS)
		page.nextSteps(plan, p.File)
	})
	return page.flush(v.o.Out)
}

func (v planHuman) Differs(p app.Planned) error {
	page := newPage(v.o.Style)
	page.zone = p.Zone
	body := p.Plan.Body
	page.planScreen(p.Plan, func() {
		page.line(say("  Compared only, in "+took(p.TookMS)+": no plan was written. "), span{"Nothing has been changed.", bold})
		if planWrites(p.Plan) > 0 {
			page.next(planCommand(body))
		}
	})
	return page.flush(v.o.Out)
}

type planJSON struct{ out io.Writer }

// Planned writes one object a table, the plan's own first.
func (v planJSON) Planned(p app.Planned) error {
	for i := range p.Plan.Parts() {
		if err := emit(v.out, jsonPart(p.Plan, i, p.File, p.TookMS)); err != nil {
			return err
		}
	}
	return nil
}

// Differs writes the changes too: there is no file in which to read them later.
func (v planJSON) Differs(p app.Planned) error {
	for i, part := range p.Plan.Parts() {
		if err := emit(v.out, jsonPart(p.Plan, i, "", p.TookMS)); err != nil {
			return err
		}
		if err := emitChanges(v.out, p.Plan, part); err != nil {
			return err
		}
	}
	return nil
}

// planObject is a plan in JSON.
type planObject struct {
	head
	Plan          string                `json:"plan"`
	Kind          recount.PlanKind      `json:"kind"`
	Calculation   string                `json:"calculation"`
	Window        windowJSON            `json:"window"`
	Asked         windowJSON            `json:"asked"`
	Events        recount.EventCounts   `json:"events"`
	Rows          recount.RowCounts     `json:"rows"`
	Deterministic bool                  `json:"deterministic"`
	Causes        object                `json:"causes"`
	Explained     any                   `json:"explained"`
	Unexplained   any                   `json:"unexplained"`
	Control       *controlJSON          `json:"control"`
	NoControl     any                   `json:"no_control"`
	Sums          []recount.ColumnSum   `json:"sums"`
	Target        targetJSON            `json:"target"`
	Key           []string              `json:"key"`
	Columns       []string              `json:"columns"`
	Rules         []string              `json:"rules"`
	Stream        string                `json:"stream"`
	Snapshot      string                `json:"snapshot"`
	Watermark     stamp                 `json:"watermark"`
	NotTried      string                `json:"not_tried"`
	MaxChanges    string                `json:"max_changes"`
	Hazards       []string              `json:"hazards"`
	Notes         []string              `json:"notes"`
	Overrides     []string              `json:"overrides"`
	Made          stamp                 `json:"made"`
	Expires       stamp                 `json:"expires"`
	File          any                   `json:"file"`
	TookMS        int64                 `json:"took_ms"`
	Role          string                `json:"role"`
	Write         recount.WriteMode     `json:"write"`
	Against       any                   `json:"against"`
	Tables        []string              `json:"tables"`
	WorkerState   recount.WorkerState   `json:"worker_state"`
	Cut           any                   `json:"cut"`
	Unproved      any                   `json:"unproved"`
	Effects       []recount.KindCount   `json:"effects,omitempty"` // held back
	As            string                `json:"as,omitempty"`
	Versions      []recount.PlanVersion `json:"versions,omitempty"`
	Upcasts       []recount.PlanInput   `json:"upcasts,omitempty"`
	Lookups       []recount.PlanInput   `json:"lookups,omitempty"`
}

type controlJSON struct {
	Rows    string       `json:"rows"`
	Wrong   string       `json:"wrong"`
	Spans   []windowJSON `json:"spans"`
	First   any          `json:"first"`
	Known   string       `json:"known"`
	Tried   string       `json:"tried"`
	Left    string       `json:"left"`
	Reasons []reasonJSON `json:"reasons"`
}

type targetJSON struct {
	Adapter string `json:"adapter"`
	Place   string `json:"place"`
	Table   string `json:"table"`
}

// inputLine says what else made the rows what they are: versions of the logic, the
// steps from old shapes of events, and reference data.
func (p *page) inputLine(b *recount.PlanBody) {
	var items []string
	add := func(what string, names []string) {
		if len(names) > 0 {
			items = append(items, what+" "+clip(p.text(strings.Join(names, ", ")), 60, p.g.more))
		}
	}
	var versions []string
	for _, v := range b.Versions {
		versions = append(versions, v.Name)
	}
	if b.As != "" {
		versions = []string{b.As + " for all"}
	}
	add("logic", versions)
	add("upcasts", inputNames(b.Upcasts))
	add("lookups", inputNames(b.Lookups))
	if len(items) > 0 {
		p.labelled("Using", 2, items...)
	}
}

func inputNames(inputs []recount.PlanInput) []string {
	names := make([]string, len(inputs))
	for i, in := range inputs {
		names[i] = in.Name
	}
	return names
}

// roleName is the role of a table in JSON.
func roleName(r recount.PartRole) string {
	if r == recount.RoleResult {
		return "result"
	}
	return string(r)
}

// jsonWrite fills in how a table is written.
func jsonWrite(o *planObject, b recount.PlanBody) {
	o.Role, o.Write, o.Against, o.Unproved = roleName(b.Role), b.Write, orNull(string(b.Against)), orNull(b.Unproved)
	if o.Write == "" {
		o.Write = recount.WriteSet
	}
	if o.WorkerState = b.WorkerState; o.WorkerState == "" {
		o.WorkerState = recount.StateRow
	}
	if b.Taken != nil {
		o.Cut = b.Taken
	}
}

// jsonPart is the plan as it is for the nth of its tables, counted from 0.
func jsonPart(p *recount.Plan, n int, file string, tookMS int64) planObject {
	b := p.Parts()[n].Body
	o := planObject{
		head: typed("plan"), Plan: p.ID, Kind: b.Kind, Calculation: b.Calculation,
		Window: jsonWindow(b.Window), Asked: jsonWindow(asked(b)),
		Events: b.Events, Rows: b.Rows, Deterministic: b.Unproved == "", Causes: object{},
		NoControl: orNull(b.NoControl), Sums: list(b.Sums),
		Target: targetJSON{Adapter: b.Target.Adapter, Place: b.Target.Place, Table: b.Target.Table},
		Key:    columnNames(b.Key), Columns: columnNames(b.Columns), Rules: list(b.Rules),
		Stream: b.Stream, Snapshot: b.Snapshot, Watermark: stamp(b.Watermark),
		NotTried: decimalCount(int64(b.Cut)), MaxChanges: decimalCount(b.MaxChanges),
		Hazards: list(b.Hazards), Notes: list(b.Notes), Overrides: list(b.Overrides),
		Made: stamp(p.Header.Made), Expires: stamp(p.Header.Expires), File: orNull(file), TookMS: tookMS,
	}
	for _, c := range b.Causes {
		o.Causes = append(o.Causes, member{name: string(c.Cause), value: decimalCount(c.Rows)})
	}
	if b.Given {
		o.Explained, o.Unexplained = decimalCount(b.Explained), decimalCount(b.Unexplain)
	}
	o.Control = jsonControl(b.Control)
	o.Tables = p.Tables()
	o.Effects = b.Effects
	o.As, o.Versions, o.Upcasts, o.Lookups = b.As, b.Versions, b.Upcasts, b.Lookups
	jsonWrite(&o, b)
	return o
}

// planCommand makes a plan of the same window.
func planCommand(b recount.PlanBody) string {
	words := []string{"recount plan", ShellWord(b.Calculation)}
	for _, word := range append(b.AskedFlags(), b.Overrides...) {
		words = append(words, ShellWord(word))
	}
	return strings.Join(words, " ")
}

// asked is the window before it was widened; plans of old had none.
func asked(b recount.PlanBody) recount.Window {
	if b.Asked.From.IsZero() {
		return b.Window
	}
	return b.Asked
}

func columnNames(cols []recount.PlanColumn) []string {
	names := make([]string, len(cols))
	for i, c := range cols {
		names[i] = c.Name
	}
	return names
}

// changeObject is one row of a plan in JSON.
type changeObject struct {
	head
	Action recount.Action `json:"action"`
	Key    any            `json:"key"`
	Before any            `json:"before"`
	After  any            `json:"after"`
	Cause  recount.Cause  `json:"cause"`
	Event  string         `json:"event,omitempty"`
	Delta  any            `json:"delta,omitempty"`
	At     string         `json:"at,omitempty"`
	Table  string         `json:"table,omitempty"`
	// Adjusted rows are held: an entry beside them makes them right.
	Adjusted bool `json:"adjusted,omitempty"`
}

func jsonChange(c recount.Change, key, cols []recount.PlanColumn) changeObject {
	o := changeObject{head: typed("change"), Action: c.Action, Key: named(key, list(c.Key)), Cause: c.Cause, Event: c.Event, Adjusted: c.Adjusted}
	if o.Cause == "" {
		o.Cause = recount.CauseUnknown
	}
	if c.Action != recount.ActionInsert {
		o.Before = named(cols, c.Before)
	}
	if c.Action == recount.ActionInsert || c.Action == recount.ActionUpdate {
		o.After = named(cols, c.After)
	}
	if c.Delta != nil {
		o.Delta = named(cols, c.Delta)
	}
	o.At = c.At
	return o
}

// emitChanges writes the changes of one of the plan's tables, which they name
// where there are several.
func emitChanges(w io.Writer, p *recount.Plan, part recount.PlanPart) error {
	for _, c := range part.Changes {
		o := jsonChange(c, part.Body.Key, part.Body.Columns)
		if len(p.With) > 0 {
			o.Table = part.Body.Target.Table
		}
		if err := emit(w, o); err != nil {
			return err
		}
	}
	return nil
}
