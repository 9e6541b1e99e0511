package views

import (
	"errors"
	"io"
	"strings"

	"recount"
	"recount/internal/app"
)

// Demo narrates the demo: stages, what each command shows, and proved facts.
type Demo struct {
	o     *Output
	next  func() error
	stage int64
	errs  []error
}

// NewDemo returns a narrator that writes to o and calls next between stages;
// nil goes on at once.
func NewDemo(o *Output, next func() error) *Demo { return &Demo{o: o, next: next} }

// Err returns what kept the narrator from writing.
func (d *Demo) Err() error { return errors.Join(d.errs...) }

func (d *Demo) keep(err error) {
	if err != nil {
		d.errs = append(d.errs, err)
	}
}

// Stage begins a stage with the command that a person would type.
func (d *Demo) Stage(title, text, command string) error {
	if d.stage > 0 && d.next != nil {
		if err := d.next(); err != nil {
			return err
		}
	}
	d.stage++
	if d.o.JSON {
		return emit(d.o.Out, stageObject{head: typed("demo_stage"), Stage: decimalCount(d.stage), Title: title, Text: text, Command: orNull(command)})
	}
	p := newPage(d.o.Style)
	p.blank()
	lead := p.text(count(d.stage) + ". " + title)
	rule := max(p.st.width()-columns(lead)-3, 0)
	p.line(say("  "), span{lead, bold}, span{" " + strings.Repeat(p.g.rule, rule), dim})
	for line := range strings.Lines(text) {
		p.wrapped(2, plain, strings.TrimRight(line, "\n"))
	}
	if command != "" {
		p.blank()
		p.line(span{"  $ ", dim}, span{p.text(command), blue})
	}
	return p.flush(d.o.Out)
}

// Archived shows what the archive took in.
func (d *Demo) Archived(list []app.ArchiveRan) { d.keep(NewArchive(d.o).Ran(list)) }

// Planned shows a plan.
func (d *Demo) Planned(p app.Planned) { d.keep(NewPlan(d.o).Planned(p)) }

// Explained shows why a row is as the plan has it.
func (d *Demo) Explained(e app.Explanation) { d.keep(NewExplain(d.o).Explained(e, false)) }

// Receipt shows what an apply or a rollback did.
func (d *Demo) Receipt(r recount.Receipt) { d.keep(NewReceipt(d.o).Done(r)) }

// Compared shows a diff in a few lines: its whole screen was seen before.
func (d *Demo) Compared(c app.Planned) {
	if d.o.JSON {
		d.keep(NewPlan(d.o).Differs(c))
		return
	}
	p := newPage(d.o.Style)
	p.windowLines(&c.Plan.Body)
	p.totals(&c.Plan.Body)
	p.actions(c.Plan)
	p.controlLine(&c.Plan.Body, MaxLines)
	d.keep(p.flush(d.o.Out))
}

// Fact shows one proved statement.
func (d *Demo) Fact(text string) {
	if d.o.JSON {
		d.keep(emit(d.o.Out, factObject{head: typed("demo_fact"), Text: text}))
		return
	}
	p := newPage(d.o.Style)
	for i, line := range wrap(p.text(text), p.st.width()-4) {
		mark := " "
		if i == 0 {
			mark = p.g.yes
		}
		p.line(span{"  " + pad(mark, columns(p.g.yes), false) + " ", blue}, say(line))
	}
	d.keep(p.flush(d.o.Out))
}

// Pause asks the person to go on; read waits for it.
func (d *Demo) Pause(read func() error) error {
	if _, err := io.WriteString(d.o.Err, "\n  Enter goes on, Ctrl-C leaves. "); err != nil {
		return err
	}
	return read()
}

type stageObject struct {
	head
	Stage   string `json:"stage"`
	Title   string `json:"title"`
	Text    string `json:"text"`
	Command any    `json:"command"`
}

type factObject struct {
	head
	Text string `json:"text"`
}
