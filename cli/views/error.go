package views

import (
	"io"
	"regexp"
	"strings"

	"recount"
)

// Error shows why something could not be done.
type Error interface {
	Failed(*recount.Error) error
}

// NewError returns the side that o chooses. Errors go to o.Err.
func NewError(o *Output) Error {
	if o.JSON {
		return errorJSON{o.Err}
	}
	return errorHuman{o}
}

type errorHuman struct{ o *Output }

func (v errorHuman) Failed(e *recount.Error) error {
	p := newPage(v.o.ErrStyle)
	lead := "error " + string(e.Code) + ": "
	for i, line := range wrap(p.text(e.What), p.st.width()-len(lead)) {
		if i == 0 {
			p.line(span{lead, orange}, span{line, bold})
			continue
		}
		p.line(span{strings.Repeat(" ", len(lead)) + line, bold})
	}
	p.errorPart("where", e.Where)
	p.errorPart("why", e.Why)
	p.errorPart("changed", changedOf(e))
	p.errorPart("next", e.Next)
	p.errorPart("page", errorPage(e.Code))
	return p.flush(v.o.Err)
}

// excerptLine is a line of a file that is shown with its number, or the mark below it.
var excerptLine = regexp.MustCompile(`^ *[0-9]* +\| `)

// errorPart writes one part under the others, its lines aligned.
func (p *page) errorPart(label, text string) {
	const indent = len("  changed: ")
	// A message may hold lines of its own, such as an excerpt of a file: they
	// stay apart.
	for paragraph := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		lines := []string{p.text(strings.ReplaceAll(paragraph, "\t", "    "))}
		if room := p.st.width() - indent; excerptLine.MatchString(lines[0]) {
			lines[0] = clip(lines[0], room, p.g.more) // the mark below it must keep its place
		} else if columns(lines[0]) > room {
			lines = wrap(lines[0], room)
		}
		for _, line := range lines {
			if line == "" {
				continue
			}
			name := ""
			if label != "" {
				name = label + ":"
			}
			p.line(span{"  " + pad(name, indent-2, false), dim}, say(line))
			label = ""
		}
	}
}

func changedOf(e *recount.Error) string {
	if e.Changed == "" {
		return "nothing"
	}
	return e.Changed
}

func errorPage(c recount.Code) string { return "docs/errors/" + string(c) + ".md" }

type errorJSON struct{ err io.Writer }

func (v errorJSON) Failed(e *recount.Error) error {
	return emit(v.err, errorObject{
		head: typed("error"), Code: e.Code, Exit: e.Exit(), What: e.What, Where: e.Where, Why: e.Why,
		Changed: changedOf(e), Next: e.Next, Page: errorPage(e.Code),
	})
}

type errorObject struct {
	head
	Code    recount.Code `json:"code"`
	Exit    int          `json:"exit"`
	What    string       `json:"what"`
	Where   string       `json:"where"`
	Why     string       `json:"why"`
	Changed string       `json:"changed"`
	Next    string       `json:"next"`
	Page    string       `json:"page"`
}
