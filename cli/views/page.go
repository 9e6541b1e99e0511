package views

import (
	"bufio"
	"io"
	"strings"
)

// ink is how a piece of text looks.
type ink int

const (
	plain ink = iota
	bold
	dim
	blue   // more: inserts, positive differences, what is well
	orange // less: deletes, negative differences, what needs a look
)

func (i ink) sgr() string {
	switch i {
	case bold:
		return "\x1b[1m"
	case dim:
		return "\x1b[2m"
	case blue:
		return "\x1b[38;5;39m"
	case orange:
		return "\x1b[38;5;208m"
	case plain:
	}
	return ""
}

// span is a piece of a line.
type span struct {
	text string
	ink  ink
}

func say(text string) span { return span{text: text} }

// page collects lines of spans. Nothing reaches a terminal but through its
// flush, which escapes and clips every line.
type page struct {
	st    Style
	g     glyphs
	lines [][]span
	zone  string // in which a person named the window; empty: in none
}

func newPage(st Style) *page { return &page{st: st, g: st.glyphs()} }

// text makes foreign text fit to be shown.
func (p *page) text(s string) string { return Visible(s, p.st.ASCII) }

func (p *page) line(spans ...span) { p.lines = append(p.lines, spans) }

func (p *page) blank() { p.line() }

// dots joins items by the separating dot.
func (p *page) dots(items ...string) string { return strings.Join(items, " "+p.g.dot+" ") }

// labelWidth is the width of the words on the left, labelIndent all before the
// text.
const (
	labelWidth  = 10
	labelIndent = 2 + labelWidth
)

// labelled writes items after a label, broken between items where they do not
// fit one line, and within an item that is longer than a line; at most most
// lines, the last of which then ends in the mark of a cut.
func (p *page) labelled(label string, most int, items ...string) {
	lines := p.flow(items, p.st.width()-labelIndent)
	for i, text := range p.limit(lines, most) {
		if i > 0 {
			label = ""
		}
		p.line(span{text: "  " + pad(label, labelWidth, false), ink: dim}, say(text))
	}
}

// limit cuts lines to at most most and marks the cut.
func (p *page) limit(lines []string, most int) []string {
	if len(lines) <= most {
		return lines
	}
	lines = lines[:most]
	room := p.st.width() - labelIndent - 1 - columns(p.g.more)
	lines[most-1] = clip(lines[most-1], room, "") + " " + p.g.more
	return lines
}

// flow lays items out in lines of at most width columns.
func (p *page) flow(items []string, width int) []string { return p.flowBy(items, width, "") }

// flowBy is flow; goesOn ends the lines of an item that goes on in the next one.
func (p *page) flowBy(items []string, width int, goesOn string) []string {
	var lines []string
	line := ""
	sep := " " + p.g.dot + " "
	for _, item := range items {
		item = p.text(item)
		if line != "" && columns(line)+columns(sep)+columns(item) <= width {
			line += sep + item
			continue
		}
		if line != "" {
			lines, line = append(lines, line), ""
		}
		parts := []string{item}
		if columns(item) > width || goesOn == "" {
			parts = wrap(item, width-columns(goesOn))
		}
		if len(parts) == 0 {
			continue
		}
		for i := range parts[:len(parts)-1] {
			parts[i] += goesOn
		}
		lines, line = append(lines, parts[:len(parts)-1]...), parts[len(parts)-1]
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// wrapped writes text in lines of at most the page's width, indented.
func (p *page) wrapped(indent int, i ink, text string) {
	for _, line := range wrap(p.text(text), p.st.width()-indent) {
		p.line(say(strings.Repeat(" ", indent)), span{text: line, ink: i})
	}
}

// flush writes the lines.
func (p *page) flush(w io.Writer) error {
	out := bufio.NewWriter(w)
	for _, line := range p.lines {
		if _, err := out.WriteString(p.paint(line) + "\n"); err != nil {
			return err
		}
	}
	p.lines = p.lines[:0]
	return out.Flush()
}

// paint escapes, clips and colours one line.
func (p *page) paint(line []span) string {
	room := p.st.width()
	texts := make([]string, len(line))
	for i, s := range line {
		text := s.text
		if !plainText(text) {
			text = Visible(text, p.st.ASCII)
		}
		texts[i] = clip(text, room, p.g.more)
		room -= columns(texts[i])
	}
	// No line ends in spaces.
	for i := len(texts) - 1; i >= 0; i-- {
		if texts[i] = strings.TrimRight(texts[i], " "); texts[i] != "" {
			break
		}
	}
	var b strings.Builder
	for i, text := range texts {
		code := line[i].ink.sgr()
		if text == "" || code == "" || !p.st.Color {
			b.WriteString(text)
			continue
		}
		b.WriteString(code + text + "\x1b[0m")
	}
	return b.String()
}
