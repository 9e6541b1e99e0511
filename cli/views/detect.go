package views

import (
	"fmt"
	"io"
	"strings"

	"recount"
	"recount/internal/app"
)

// Detect shows the outcome of detect.
type Detect interface {
	Detected(app.Detected) error
}

// NewDetect returns the side that o chooses.
func NewDetect(o *Output) Detect {
	if o.JSON {
		return detectJSON{o.Out}
	}
	return detectHuman{o}
}

type detectHuman struct{ o *Output }

func (v detectHuman) Detected(d app.Detected) error {
	p := newPage(v.o.Style)
	p.labelled("Suspects", 1, windowText(d.Window), counted(d.Events, "contribution"))
	if d.Taken != nil {
		p.labelled("Cut", 1, d.Taken.How)
	}
	p.labelled("Compared", 1, d.Calculation, counted(d.Rows, "row"), took(d.TookMS))
	p.blank()
	switch {
	case d.Wrong == 0:
		p.line(span{"  No row is wrong " + p.g.yes, blue})
		return p.flush(v.o.Out)
	case d.Refused != "":
		p.line(span{"  " + p.g.no + " " + counted(d.Wrong, "row") + " wrong, and no span of positions agrees with them", orange})
		p.wrapped(2, plain, d.Refused)
	default:
		v.spans(p, d)
	}
	if len(d.Foreign) > 0 {
		p.blank()
		p.wrapped(2, plain, "Explained by nothing: "+strings.Join(d.Foreign, ", "))
	}
	p.blank()
	p.line(span{"  Nothing has been changed.", bold})
	return p.flush(v.o.Out)
}

func (v detectHuman) spans(p *page, d app.Detected) {
	p.line(span{"  " + count(d.Explained) + " of " + counted(d.Wrong, "wrong row") + " come out just so when these events are replayed as they were processed:", blue})
	p.blank()
	kind := ""
	for _, s := range d.Spans {
		if s.Kind != kind {
			kind = s.Kind
			p.line(say("    " + kind + ":"))
		}
		p.line(say("      - "+spanLine(s)), span{fmt.Sprintf("   # %s, %s", counted(s.Events, "event"), counted(s.Keys, "row")), dim})
	}
	p.blank()
	p.line(say("  Put that under calculations: " + d.Calculation + " in recount.yaml, then"))
	p.next("recount plan " + ShellWord(d.Calculation) + " " + positionFlags(d.Spans))
}

// spanLine is an entry of recount.yaml.
func spanLine(s app.DetectedSpan) string {
	line := fmt.Sprintf("{from_position: %q, to_position: %q", edge(s.Positions, s.Positions.From), edge(s.Positions, s.Positions.To))
	if s.Times > 0 {
		line += fmt.Sprintf(", times: %d", s.Times)
	}
	return line + "}"
}

func edge(w recount.PositionWindow, position string) string {
	return w.Partition + ":" + recount.ShortPosition(position)
}

// positionFlags are the flags of a window that holds all spans.
func positionFlags(spans []app.DetectedSpan) string {
	var flags []string
	for _, s := range spans {
		flags = append(flags, "--from-position "+ShellWord(edge(s.Positions, s.Positions.From))+" --to-position "+ShellWord(edge(s.Positions, s.Positions.To)))
	}
	return strings.Join(flags, " ")
}

type detectJSON struct{ out io.Writer }

func (v detectJSON) Detected(d app.Detected) error {
	o := detectObject{
		head: typed("detect"), Calculation: d.Calculation, Window: jsonWindow(d.Window), Snapshot: d.Snapshot,
		Rows: decimalCount(d.Rows), Wrong: decimalCount(d.Wrong), Events: decimalCount(d.Events), Explained: decimalCount(d.Explained),
		Spans: []detectSpan{}, Foreign: list(d.Foreign), Refused: orNull(d.Refused), TookMS: d.TookMS,
	}
	for _, s := range d.Spans {
		o.Spans = append(o.Spans, detectSpan{
			Kind: s.Kind, Times: int64(s.Times), Partition: s.Positions.Partition, From: recount.ShortPosition(s.Positions.From), To: recount.ShortPosition(s.Positions.To),
			Events: decimalCount(s.Events), Rows: decimalCount(s.Keys),
		})
	}
	return emit(v.out, o)
}

type detectObject struct {
	head
	Calculation string       `json:"calculation"`
	Window      windowJSON   `json:"window"`
	Snapshot    string       `json:"snapshot"`
	Rows        string       `json:"rows"`
	Wrong       string       `json:"wrong"`
	Events      string       `json:"events"`
	Explained   string       `json:"explained"`
	Spans       []detectSpan `json:"spans"`
	Foreign     []string     `json:"foreign"`
	Refused     any          `json:"refused"`
	TookMS      int64        `json:"took_ms"`
}

type detectSpan struct {
	Kind      string `json:"kind"`
	Times     int64  `json:"times"`
	Partition string `json:"partition"`
	From      string `json:"from_position"`
	To        string `json:"to_position"`
	Events    string `json:"events"`
	Rows      string `json:"rows"`
}
