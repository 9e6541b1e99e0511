package views

import (
	"io"
	"slices"
	"strings"

	"recount"
	"recount/internal/app"
)

// Explain shows why one row is as the plan has it.
type Explain interface {
	// Explained shows all steps where all, else those that matter.
	Explained(e app.Explanation, all bool) error
}

// NewExplain returns the side that o chooses.
func NewExplain(o *Output) Explain {
	if o.JSON {
		return explainJSON{o.Out}
	}
	return explainHuman{o}
}

type explainHuman struct{ o *Output }

// maxSteps is how many events the screen shows; of more it shows the first and
// the last. Of those of folds there is room for fewer.
const (
	maxSteps      = 30
	maxStateSteps = 20
)

func (v explainHuman) Explained(e app.Explanation, all bool) error {
	p := newPage(v.o.Style)
	p.labelled("Window", 1, windowText(e.Window), e.Calculation)
	p.labelled("Row", 2, p.explainedKey(e))
	p.verdict(e)
	p.blank()
	p.explainSteps(e, all)
	p.blank()
	p.partedStates(e)
	p.explainEnd(e)
	return p.flush(v.o.Out)
}

func (p *page) explainedKey(e app.Explanation) string {
	var parts []string
	for i := range e.Change.Key {
		if i < len(e.Key) {
			parts = append(parts, p.text(e.Key[i].Name)+" "+p.value(&e.Change.Key[i]))
		}
	}
	return strings.Join(parts, ", ")
}

// verdict says what the row is, what it becomes, and why.
func (p *page) verdict(e app.Explanation) {
	c := e.Change
	switch {
	case e.Right:
		p.labelled("Now", 2, p.rowText(e.Columns, e.Result), "this row is right "+p.g.yes)
	case c.Action.Writes():
		p.labelled("Now", 2, p.rowText(e.Columns, c.Before))
		p.labelled("After", 2, p.rowText(e.Columns, afterOf(c)), actionWord(c.Action)+", cause "+causeOf(c))
	default:
		p.labelled("Now", 2, p.rowText(e.Columns, c.Before), actionWord(c.Action)+": not written")
	}
}

func actionWord(a recount.Action) string {
	if a == "" {
		return "right"
	}
	return string(a)
}

// rowText shows a row's values with their columns' names.
func (p *page) rowText(cols []recount.PlanColumn, values []recount.Value) string {
	if values == nil {
		return p.g.dash
	}
	parts := make([]string, 0, len(values))
	for i := range values {
		if i >= len(cols) {
			break
		}
		parts = append(parts, p.text(cols[i].Name)+" "+p.number(cols[i], &values[i]))
	}
	return strings.Join(parts, ", ")
}

// explainSteps lists the events with the row after each, under the right logic
// and, where a cause was found, under that. Of several columns it follows the
// one in which the row is most wrong.
func (p *page) explainSteps(e app.Explanation, all bool) {
	if len(e.Steps) == 0 {
		if e.Elsewhere == "" {
			p.line(say("  No event makes this row."))
		}
		return
	}
	s := newStepping(e)
	s.narrow = p.st.width() < wideSteps
	s.column, _, _, _ = column(e.Columns, e.Change)
	if len(e.Columns) > 1 && e.Elsewhere == "" {
		p.line(span{"  " + clip(p.text(e.Columns[s.column].Name), 40, p.g.more) + ", event by event:", dim})
	}
	t := s.table()
	shown := shownSteps(e.Steps, s.parting, s.most(all))
	for _, i := range shown {
		t.rows = append(t.rows, p.stepRow(s, i))
	}
	from := len(p.lines) + 1
	t.write(p)
	// From below, so that the rows above keep their places.
	for row, i := range slices.Backward(shown) {
		if note := e.Steps[i].Note; note != "" {
			under := 2 + 2 + len(s.layout) + tableGap // the place of the event's id
			look := dim
			if i == s.parting {
				look = orange
			}
			p.lines = slices.Insert(p.lines, from+row+1, []span{say(pad("", under, false)), {clip(p.text(note), p.st.width()-under, p.g.more), look}})
		}
		if row == 0 {
			continue
		}
		if left := i - shown[row-1] - 1; left > 0 {
			p.lines = slices.Insert(p.lines, from+row, []span{{"    " + p.g.more + " " + counted(int64(left), "more event"), dim}})
		}
	}
}

// stepping is what all rows of the steps share.
type stepping struct {
	e       app.Explanation
	layout  string // of times
	column  int    // that is followed
	parting int    // the step at which the two logics part; -1: none
	cause   bool   // the events were replayed under another logic too
	// states and underStates say that the logics are folds, which have states.
	states, underStates bool
	narrow              bool
}

// wideSteps is the width from which positions have room beside what a row holds.
const wideSteps = 96

func newStepping(e app.Explanation) stepping {
	s := stepping{e: e, layout: stepLayout(e.Steps), parting: -1, cause: e.Against != ""}
	for _, step := range e.Steps {
		s.states = s.states || step.State != nil
		s.underStates = s.underStates || step.UnderState != nil
	}
	if s.cause {
		s.parting = slices.IndexFunc(e.Steps, func(s app.ExplainStep) bool { return !s.Skipped && s.Part() })
	}
	return s
}

// most is how many steps there is room for.
func (s stepping) most(all bool) int {
	switch {
	case all:
		return len(s.e.Steps)
	case s.states || s.underStates:
		return maxStateSteps
	}
	return maxSteps
}

// table has the columns that there are to show.
func (s stepping) table() *table {
	t := &table{indent: 2}
	add := func(head string, right, fixed bool) {
		t.head, t.right, t.fixed = append(t.head, head), append(t.right, right), append(t.fixed, fixed)
	}
	add("", false, false)
	add("time", false, true)
	add("event", false, false)
	add("fields", false, false)
	if !s.crowded() {
		add("position", false, false)
	}
	if s.e.Elsewhere == "" { // else there is no row to follow
		add("right", true, false)
		if s.states {
			add("its state", false, false)
		}
	}
	if s.cause {
		add(s.otherHead(), true, false)
		if s.underStates {
			add("its state", false, false)
		}
	}
	add("", false, true)
	return t
}

// crowded says that there is no room for positions: states stand on both sides, or
// the page is narrow, and every event has an id by which it is found.
func (s stepping) crowded() bool {
	return s.states && s.underStates || s.narrow && !slices.ContainsFunc(s.e.Steps, func(s app.ExplainStep) bool { return s.ID == "" })
}

// otherHead names the other logic: the cause is how it went.
func (s stepping) otherHead() string {
	if s.e.Against == string(s.e.Change.Cause) {
		return "as it went"
	}
	return s.e.Against
}

// shownSteps chooses the steps to show: all, or the first, those around the
// parting, the first that are not counted, and the last.
func shownSteps(all []app.ExplainStep, parting, most int) []int {
	const end = maxSteps / 5
	var shown []int
	odd := 0
	for i := range all {
		near := parting >= 0 && i >= parting-end/2 && i < parting+end/2
		ends := i < end || i >= len(all)-end
		if !all[i].Counted && !near && !ends {
			odd++
		}
		if len(all) <= most || ends || near || !all[i].Counted && odd <= end {
			shown = append(shown, i)
		}
	}
	return shown
}

// stepLayout shows times of one day without the date.
func stepLayout(steps []app.ExplainStep) string {
	const day = "2006-01-02"
	if len(steps) == 0 {
		return day
	}
	first, last := steps[0].Time.UTC(), steps[len(steps)-1].Time.UTC()
	if first.Format(day) == last.Format(day) {
		return "15:04:05.000"
	}
	return "2006-01-02 15:04:05.000"
}

func (p *page) stepRow(st stepping, i int) []cell {
	s := st.e.Steps[i]
	mark, look := cell{}, plain
	if !s.Counted {
		mark, look = cell{p.g.no, orange}, dim
	}
	place := s.Position
	if s.Partition != "" {
		place = s.Partition + "@" + trimmedPosition(s.Position)
	}
	row := []cell{
		mark,
		{s.Time.UTC().Format(st.layout), look},
		{p.text(s.ID), look},
		{p.fieldsText(st.e, s.Fields), look},
	}
	if !st.crowded() {
		row = append(row, cell{p.text(place), look})
	}
	if st.e.Elsewhere == "" {
		row = append(row, cell{p.stepValue(st, s, s.Values), look})
		if st.states {
			row = append(row, cell{p.stepState(st, i, func(s app.ExplainStep) *string { return s.State }), look})
		}
	}
	if st.cause {
		row = append(row, cell{p.stepValue(st, s, s.Under), look})
		if st.underStates {
			row = append(row, cell{p.stepState(st, i, func(s app.ExplainStep) *string { return s.UnderState }), look})
		}
	}
	if i == st.parting {
		return append(row, cell{"they part here", orange})
	}
	return append(row, cell{})
}

// stepState is a fold's state after a step, from where it differs from that before
// it, if both are long.
func (p *page) stepState(st stepping, i int, of func(app.ExplainStep) *string) string {
	state := of(st.e.Steps[i])
	if state == nil {
		return ""
	}
	if i == 0 || of(st.e.Steps[i-1]) == nil {
		return p.text(*state)
	}
	_, text := p.fromDifference(p.text(*of(st.e.Steps[i-1])), p.text(*state))
	return text
}

// partedStates shows the whole states at the step where the logics part: the one
// before it, and both after it.
func (p *page) partedStates(e app.Explanation) {
	s := newStepping(e)
	if s.parting < 0 || !s.states && !s.underStates {
		return
	}
	const lines = 2
	at := e.Steps[s.parting]
	show := func(label string, state *string) {
		if state != nil {
			p.labelled(clip(strings.TrimPrefix(label, "as it "), labelWidth-1, p.g.more), lines, *state)
		}
	}
	p.line(say("  States where they part, at event " + p.text(at.ID) + ":"))
	if s.parting > 0 {
		before := e.Steps[s.parting-1]
		show("before", before.State)
		if before.UnderState != nil && (before.State == nil || *before.State != *before.UnderState) {
			show(s.otherHead(), before.UnderState)
		}
	}
	show("right", at.State)
	show(s.otherHead(), at.UnderState)
	p.blank()
}

// stepValue is the followed column of a row; nothing where it was not replayed.
func (p *page) stepValue(st stepping, s app.ExplainStep, values []recount.Value) string {
	if s.Skipped {
		return ""
	}
	if st.column >= len(st.e.Columns) {
		return p.g.dash
	}
	return p.number(st.e.Columns[st.column], at(values, st.column))
}

// trimmedPosition drops the zeros that give a position its fixed width.
func trimmedPosition(position string) string {
	if trimmed := strings.TrimLeft(position, "0"); trimmed != "" || position == "" {
		return trimmed
	}
	return "0"
}

// fieldsText shows an event's fields but those that the row's key repeats.
func (p *page) fieldsText(e app.Explanation, fields []app.NamedValue) string {
	var parts []string
	for _, f := range fields {
		i := slices.IndexFunc(e.Key, func(c recount.PlanColumn) bool { return c.Name == f.Name })
		if i >= 0 && i < len(e.Change.Key) && e.Change.Key[i] == f.Value {
			continue
		}
		parts = append(parts, p.text(f.Name)+" "+p.value(&f.Value))
	}
	return strings.Join(parts, ", ")
}

// explainEnd says what the events give, and how to see their bytes.
func (p *page) explainEnd(e app.Explanation) {
	if e.Elsewhere != "" {
		p.line(say("  " + p.text(e.Elsewhere) + "."))
		p.rawBytes(e)
		return
	}
	used := 0
	for _, s := range e.Steps {
		if s.Counted {
			used++
		}
	}
	give := " give "
	if used == 1 {
		give = " gives "
	}
	p.line(say("  Result: "+counted(int64(used), "event")+give), span{p.rowText(e.Columns, e.Result), bold})
	if e.Alone && len(e.Steps) > 0 {
		p.line(span{"  Replayed on their own, these events alone give exactly this row " + p.g.yes, blue})
	}
	p.rawBytes(e)
}

func (p *page) rawBytes(e app.Explanation) {
	if id, ok := exampleEvent(e); ok {
		p.line(say("  The raw bytes: recount archive cat " + p.text(ShellWord(id))))
	}
}

// exampleEvent is an event that is worth a look: that at which the logics part,
// else the first not counted, else the first.
func exampleEvent(e app.Explanation) (string, bool) {
	for _, s := range e.Steps {
		if e.Against != "" && s.ID != "" && !s.Skipped && s.Part() {
			return s.ID, true
		}
	}
	for _, s := range e.Steps {
		if !s.Counted && s.ID != "" {
			return s.ID, true
		}
	}
	if len(e.Steps) > 0 && e.Steps[0].ID != "" {
		return e.Steps[0].ID, true
	}
	return "", false
}

type explainJSON struct{ out io.Writer }

func (v explainJSON) Explained(e app.Explanation, _ bool) error {
	action := any(string(e.Change.Action))
	if e.Right || e.Change.Action == "" {
		action = "right"
	}
	o := explanationObject{
		head: typed("explanation"), Plan: e.Plan, Calculation: e.Calculation, Window: jsonWindow(e.Window),
		Action: action, Key: named(e.Key, list(e.Change.Key)), Cause: orNull(string(e.Change.Cause)),
		Result: named(e.Columns, e.Result), Under: named(e.Columns, e.Under), Alone: e.Alone, Elsewhere: orNull(e.Elsewhere), Against: orNull(e.Against), Steps: []stepObject{},
	}
	if !e.Right {
		o.Before, o.After = named(e.Columns, e.Change.Before), named(e.Columns, afterOf(e.Change))
	}
	parting := newStepping(e).parting
	for i, s := range e.Steps {
		step := stepObject{
			Seq: decimalCount(s.Seq), ID: orNull(s.ID), Time: stamp(s.Time), Partition: s.Partition, Position: s.Position,
			Fields: object{}, Counted: s.Counted, Note: orNull(s.Note),
			Values: named(e.Columns, s.Values), Under: named(e.Columns, s.Under), State: s.State, UnderState: s.UnderState, Replayed: !s.Skipped, Parts: i == parting,
		}
		for _, f := range s.Fields {
			step.Fields = append(step.Fields, member{f.Name, f.Value})
		}
		o.Steps = append(o.Steps, step)
	}
	return emit(v.out, o)
}

type explanationObject struct {
	head
	Plan        string       `json:"plan"`
	Calculation string       `json:"calculation"`
	Window      windowJSON   `json:"window"`
	Action      any          `json:"action"`
	Key         any          `json:"key"`
	Before      any          `json:"before"`
	After       any          `json:"after"`
	Cause       any          `json:"cause"`
	Result      any          `json:"result"`
	Under       any          `json:"under"`
	Alone       bool         `json:"alone"`
	Elsewhere   any          `json:"elsewhere"`
	Against     any          `json:"against"`
	Steps       []stepObject `json:"steps"`
}

type stepObject struct {
	Seq       string `json:"seq"`
	ID        any    `json:"id"`
	Time      stamp  `json:"time"`
	Partition string `json:"partition"`
	Position  string `json:"position"`
	Fields    object `json:"fields"`
	Counted   bool   `json:"counted"`
	Note      any    `json:"note"`
	Values    any    `json:"values"`
	Under     any    `json:"under"`
	// What folds remember, in their own words.
	State      *string `json:"state"`
	UnderState *string `json:"under_state"`
	Replayed   bool    `json:"replayed"`
	Parts      bool    `json:"parts"`
}
