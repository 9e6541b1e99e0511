package views

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"recount"
	"recount/internal/app"
)

// Explain shows why one row is as the plan has it.
type Explain interface {
	Explained(app.Explanation) error
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
// the last.
const maxSteps = 30

func (v explainHuman) Explained(e app.Explanation) error {
	p := newPage(v.o.Style)
	p.line(span{"  " + p.explainedKey(e), bold}, say(" "+p.g.dot+" "+p.text(e.Calculation)+" "+windowText(e.Window)))
	p.line(p.verdict(e)...)
	p.blank()
	p.explainSteps(e)
	p.blank()
	p.explainEnd(e)
	return p.flush(v.o.Out)
}

func (p *page) explainedKey(e app.Explanation) string {
	if len(e.Change.Key) == 1 && len(e.Key) == 1 {
		return clip(p.text(e.Key[0].Name)+" "+p.value(&e.Change.Key[0]), 40, p.g.more)
	}
	return clip(p.keyText(e.Key, e.Change.Key), 48, p.g.more)
}

// verdict is the line of now, after and cause.
func (p *page) verdict(e app.Explanation) []span {
	if e.Right {
		return []span{say("  now "), {p.rowText(e.Columns, e.Result), bold}, {": this row is right " + p.g.yes, blue}}
	}
	c := e.Change
	spans := []span{say("  now "), {p.rowText(e.Columns, c.Before), bold}}
	if c.Action.Writes() {
		spans = append(spans, say(" "+p.g.arrow+" after "), span{p.rowText(e.Columns, afterOf(c)), bold},
			say(" "+p.g.dot+" "+actionWord(c.Action)+", cause "+p.text(string(c.Cause))))
	} else {
		spans = append(spans, span{" " + p.g.dot + " " + actionWord(c.Action) + ": not written", orange})
	}
	return spans
}

func actionWord(a recount.Action) string {
	if a == "" {
		return "right"
	}
	return string(a)
}

// rowText shows a row's values; one column needs no name.
func (p *page) rowText(cols []recount.PlanColumn, values []recount.Value) string {
	if values == nil {
		return p.g.dash
	}
	parts := make([]string, 0, len(values))
	for i := range values {
		if i >= len(cols) {
			break
		}
		text := p.number(cols[i], &values[i])
		if len(values) > 1 {
			text = p.text(cols[i].Name) + " " + text
		}
		parts = append(parts, text)
	}
	return clip(strings.Join(parts, ", "), 40, p.g.more)
}

// explainSteps lists the events with the row after each, under the right logic
// and, where a cause was found, under that.
func (p *page) explainSteps(e app.Explanation) {
	if len(e.Steps) == 0 {
		p.line(say("  No event makes this row."))
		return
	}
	cause := e.Under != nil
	t := &table{
		indent: 2, head: []string{"", "time", "event", "fields", "position", "right"},
		right: []bool{5: true}, fixed: []bool{1: true, 5: false},
	}
	add := func(name string, right bool) {
		t.head, t.right, t.fixed = append(t.head, name), append(t.right, right), append(t.fixed, false)
	}
	parting := -1
	if cause {
		add(p.text(string(e.Change.Cause)), true)
		parting = slices.IndexFunc(e.Steps, func(s app.ExplainStep) bool { return !slices.Equal(s.Values, s.Under) })
	}
	add("", false)
	shown := shownSteps(len(e.Steps), parting)
	layout := stepLayout(e.Steps)
	for _, i := range shown {
		t.rows = append(t.rows, p.stepRow(e, i, layout, cause, i == parting))
	}
	from := len(p.lines) + 1
	t.write(p)
	// From below, so that the rows above keep their places.
	for row := len(shown) - 1; row > 0; row-- {
		if left := shown[row] - shown[row-1] - 1; left > 0 {
			p.lines = slices.Insert(p.lines, from+row, []span{{"    " + p.g.more + " " + counted(int64(left), "more event"), dim}})
		}
	}
}

// shownSteps chooses the steps to show: all, or the first, those around the
// parting, and the last.
func shownSteps(all, parting int) []int {
	const end = maxSteps / 3
	var shown []int
	for i := range all {
		near := parting >= 0 && i >= parting-end/2 && i < parting+end/2
		if all <= maxSteps || i < end || i >= all-end || near {
			shown = append(shown, i)
		}
	}
	return shown
}

// stepLayout shows times of one day without the date.
func stepLayout(steps []app.ExplainStep) string {
	const day = "2006-01-02"
	first, last := steps[0].Time.UTC(), steps[len(steps)-1].Time.UTC()
	if first.Format(day) == last.Format(day) {
		return "15:04:05.000"
	}
	return "2006-01-02 15:04:05.000"
}

func (p *page) stepRow(e app.Explanation, i int, layout string, cause, parting bool) []cell {
	s := e.Steps[i]
	mark, look := cell{}, plain
	if !s.Counted {
		mark, look = cell{p.g.no, orange}, dim
	}
	place := s.Position
	if s.Partition != "" {
		place = s.Partition + "@" + trimmedPosition(s.Position)
	}
	row := []cell{
		mark, {s.Time.UTC().Format(layout), look}, {p.text(s.ID), look}, {p.fieldsText(e, s.Fields), look},
		{p.text(place), look}, {p.rowText(e.Columns, s.Values), look},
	}
	if cause {
		row = append(row, cell{p.rowText(e.Columns, s.Under), look})
	}
	note := p.text(s.Note)
	if parting {
		note = strings.TrimSuffix("they part here: "+note, ": ")
		return append(row, cell{note, orange})
	}
	return append(row, cell{note, dim})
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
	used := 0
	for _, s := range e.Steps {
		if s.Counted {
			used++
		}
	}
	result := span{p.rowText(e.Columns, e.Result), bold}
	p.line(say(fmt.Sprintf("  Result: %s give ", counted(int64(used), "event"))), result)
	if e.Alone {
		p.line(span{"  Replayed on their own, these events alone give exactly this row " + p.g.yes, blue})
	}
	if id, ok := exampleEvent(e); ok {
		p.line(say("  The raw bytes: recount archive cat " + p.text(ShellWord(id))))
	}
}

// exampleEvent is an event that is worth a look: the first not counted, else
// the first.
func exampleEvent(e app.Explanation) (string, bool) {
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

func (v explainJSON) Explained(e app.Explanation) error {
	action := any(string(e.Change.Action))
	if e.Right || e.Change.Action == "" {
		action = "right"
	}
	o := explanationObject{
		head: typed("explanation"), Plan: e.Plan, Calculation: e.Calculation, Window: jsonWindow(e.Window),
		Action: action, Key: named(e.Key, list(e.Change.Key)), Cause: orNull(string(e.Change.Cause)),
		Result: named(e.Columns, e.Result), Under: named(e.Columns, e.Under), Alone: e.Alone, Steps: []stepObject{},
	}
	if !e.Right {
		o.Before, o.After = named(e.Columns, e.Change.Before), named(e.Columns, afterOf(e.Change))
	}
	for _, s := range e.Steps {
		step := stepObject{
			Seq: decimalCount(s.Seq), ID: orNull(s.ID), Time: stamp(s.Time), Partition: s.Partition, Position: s.Position,
			Fields: object{}, Counted: s.Counted, Note: orNull(s.Note),
			Values: named(e.Columns, s.Values), Under: named(e.Columns, s.Under),
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
}
