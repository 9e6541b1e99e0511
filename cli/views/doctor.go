package views

import (
	"io"
	"strings"

	"recount/internal/app"
)

// Doctor shows what doctor found.
type Doctor interface {
	Diagnosed(app.Diagnosis) error
}

// NewDoctor returns the side that o chooses.
func NewDoctor(o *Output) Doctor {
	if o.JSON {
		return doctorJSON{o.Out}
	}
	return doctorHuman{o}
}

type doctorHuman struct{ o *Output }

func (v doctorHuman) Diagnosed(d app.Diagnosis) error {
	p := newPage(v.o.Style)
	p.checks(d)
	return p.flush(v.o.Out)
}

// checks writes one check a line, with its time, and under it what mends it.
func (p *page) checks(d app.Diagnosis) {
	width := 0
	for _, c := range d.Checks {
		width = max(width, columns(p.text(c.Name)))
	}
	width = min(width, 30)
	var warned, failed int64
	for _, c := range d.Checks {
		mark := span{p.g.yes, blue}
		switch c.Status {
		case app.CheckOK:
		case app.CheckWarn:
			warned++
			mark = span{p.g.warn, orange}
		case app.CheckFail:
			failed++
			mark = span{p.g.no, orange}
		}
		mark.text = pad(mark.text, columns(p.g.yes), false)
		indent := 2 + columns(mark.text) + 1
		text := indent + width + 2
		time := took(c.TookMS)
		lines := wrap(p.text(oneLine(c.Detail)), p.st.width()-text-len(time)-2)
		if len(lines) == 0 {
			lines = []string{""}
		}
		gap := max(p.st.width()-text-columns(lines[0])-len(time), 2)
		p.line(say("  "), mark, span{" " + pad(clip(p.text(c.Name), width, p.g.more), width, false) + "  ", bold},
			say(lines[0]), span{pad("", gap, false) + time, dim})
		for _, line := range lines[1:] {
			p.line(say(pad("", text, false) + line))
		}
		if c.Fix != "" {
			p.wrapped(text, plain, "fix: "+oneLine(c.Fix))
		}
	}
	p.line(say("  "+p.dots(counted(int64(len(d.Checks)), "check"), counted(warned, "warning"))+" "+p.g.dot+" "),
		span{counted(failed, "failure"), map[bool]ink{true: orange, false: blue}[failed > 0]})
}

// oneLine joins the lines of a message of others.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

type doctorJSON struct{ out io.Writer }

func (v doctorJSON) Diagnosed(d app.Diagnosis) error {
	for _, c := range d.Checks {
		if err := emit(v.out, checkObject{
			head: typed("check"), Name: c.Name, Status: c.Status, Detail: c.Detail, Fix: orNull(c.Fix), TookMS: c.TookMS,
		}); err != nil {
			return err
		}
	}
	return nil
}

type checkObject struct {
	head
	Name   string          `json:"name"`
	Status app.CheckStatus `json:"status"`
	Detail string          `json:"detail"`
	Fix    any             `json:"fix"`
	TookMS int64           `json:"took_ms"`
}
