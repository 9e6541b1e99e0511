package views

import (
	"io"
	"strings"

	"recount/internal/app"
)

// Init shows the configuration that init wrote.
type Init interface {
	Initialized(app.Initialized) error
}

// NewInit returns the side that o chooses.
func NewInit(o *Output) Init {
	if o.JSON {
		return initJSON{o.Out}
	}
	return initHuman{o}
}

type initHuman struct{ o *Output }

func (v initHuman) Initialized(r app.Initialized) error {
	p := newPage(v.o.Style)
	p.line(say("  Wrote "), span{p.text(ShellWord(r.File)), bold}, say(":"))
	p.blank()
	for line := range strings.Lines(r.Text) {
		p.line(say("    " + p.text(strings.TrimRight(line, "\n"))))
	}
	for _, part := range []struct {
		title string
		lines []string
	}{
		{"The first events read as:", r.Sample}, {"Aggregates of the events give the table's rows:", r.Fits}, {"Note:", r.Notes},
	} {
		if len(part.lines) > 0 {
			p.blank()
			p.line(span{"  " + part.title, dim})
		}
		for _, s := range part.lines {
			p.line(say("    " + p.text(s)))
		}
	}
	if r.Diagnosis != nil {
		p.blank()
		p.checks(*r.Diagnosis)
	}
	for n, command := range r.Next {
		label := "  Next: "
		if n > 0 {
			label = "        "
		}
		p.command(label, p.text(command))
	}
	return p.flush(v.o.Out)
}

// command writes a command that can be copied: where it is longer than a line, it
// is broken before an option, as a shell reads it.
func (p *page) command(label, text string) {
	indent := pad("", len(label), false)
	for len(label)+len(text) > p.st.width() {
		cut := strings.LastIndex(text[:min(len(text), max(p.st.width()-len(label)-1, 1))], " --")
		if cut <= 0 {
			break
		}
		p.line(span{label, dim}, say(text[:cut]+" \\"))
		label, text = indent, "  "+text[cut+1:]
	}
	p.line(span{label, dim}, say(text))
}

type initJSON struct{ out io.Writer }

// Initialized writes the init object, then one for each check.
func (v initJSON) Initialized(r app.Initialized) error {
	if err := emit(v.out, initObject{
		head: typed("init"), File: r.File, Text: r.Text, Asked: decimalCount(int64(r.Asked)), Sample: list(r.Sample),
		Fits: list(r.Fits), Notes: list(r.Notes), Next: list(r.Next),
	}); err != nil {
		return err
	}
	if r.Diagnosis == nil {
		return nil
	}
	return doctorJSON(v).Diagnosed(*r.Diagnosis)
}

type initObject struct {
	head
	File   string   `json:"file"`
	Text   string   `json:"text"`
	Asked  string   `json:"asked"`
	Sample []string `json:"sample"`
	Fits   []string `json:"fits"`
	Notes  []string `json:"notes"`
	Next   []string `json:"next"`
}
