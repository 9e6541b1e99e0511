package views

import (
	"fmt"
	"strings"

	"recount"
)

// mostReasons bounds the reasons on a screen, mostReasonLines the lines of one;
// JSON has all.
const (
	mostReasons     = 3
	mostReasonLines = 2
)

// knownItems says how many rows of the control are as a given hypothesis has
// them.
func knownItems(c *recount.Control) []string {
	if c.Known == 0 {
		return nil
	}
	return []string{count(c.Known) + " as a given hypothesis has them, not corrected"}
}

// redControl says how many rows of the control are wrong, what would make it
// green, and what to add for it.
func (p *page) redControl(c *recount.Control, room int) {
	text := p.g.no + " " + count(c.Wrong) + " of " + counted(c.Rows, "row") + " beside the window are wrong"
	const others = 4 // the head, what is left out, what to do
	shown := min(mostReasons, len(c.Reasons), (room-others)/mostReasonLines)
	if shown <= 0 {
		if c.First != "" {
			text += ", such as " + c.First
		}
		p.labelled("Control", 2, text, "apply refuses without --no-control")
		return
	}
	p.labelled("Control", 2, append([]string{text}, append(knownItems(c), triedItem(c))...)...)
	p.reasons(c.Reasons[:shown])
	if n := len(c.Reasons) - shown; n > 0 {
		p.labelled("", 1, fmt.Sprintf("%d more, in --json", n))
	}
	p.labelled("", 1, endItem(c))
}

// triedItem heads the reasons.
func triedItem(c *recount.Control) string {
	if c.Tried < c.Wrong {
		return "why the first " + count(c.Tried) + " are, tried by replay:"
	}
	return "why, tried by replay:"
}

// endItem says what to do with the lines.
func endItem(c *recount.Control) string {
	const refuses = "apply refuses without --no-control"
	if c.Left > 0 {
		return refuses
	}
	return "Add what is so and plan again; until then " + refuses
}

// reasons writes a line for each reason: its rows, the line to add, what it
// means. The block of recount.yaml stands before the line.
func (p *page) reasons(shown []recount.ControlReason) {
	rows := 0
	for _, r := range shown {
		rows = max(rows, len(count(r.Rows)))
	}
	for _, r := range shown {
		indent := labelIndent + rows + 2
		most := mostReasonLines
		line := r.Line != "" && !strings.Contains(r.Name, "+") // the lines of several stand above
		if line {
			most--
		}
		rowsText := count(r.Rows)
		for _, text := range p.limit(wrap(p.text(r.Text), p.st.width()-indent), most) {
			p.line(say(pad("", labelIndent, false)), span{pad(rowsText, rows, true), bold}, say("  "+text))
			rowsText = ""
		}
		if line {
			p.line(say(pad("", indent, false)), span{p.text(r.Where) + "  ", dim}, span{p.text(r.Line), blue})
		}
	}
}

// reasonJSON is a reason of a red control in JSON.
type reasonJSON struct {
	Name  string `json:"name"`
	Rows  string `json:"rows"`
	Text  string `json:"text"`
	Line  any    `json:"line"`
	Where any    `json:"where"`
}

func jsonControl(c *recount.Control) *controlJSON {
	if c == nil {
		return nil
	}
	o := &controlJSON{
		Rows: decimalCount(c.Rows), Wrong: decimalCount(c.Wrong), Known: decimalCount(c.Known), Tried: decimalCount(c.Tried), Left: decimalCount(c.Left),
		First: orNull(c.First), Spans: []windowJSON{}, Reasons: jsonReasons(c.Reasons),
	}
	for _, s := range c.Spans {
		o.Spans = append(o.Spans, jsonWindow(s))
	}
	return o
}

func jsonReasons(reasons []recount.ControlReason) []reasonJSON {
	out := []reasonJSON{}
	for _, r := range reasons {
		out = append(out, reasonJSON{Name: r.Name, Rows: decimalCount(r.Rows), Text: r.Text, Line: orNull(r.Line), Where: orNull(r.Where)})
	}
	return out
}
