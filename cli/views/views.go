// Package views turns results into what a person or a script reads. Each command
// has one interface with two sides, Human and JSON, which are fed the same
// values; views compute no result of their own and open nothing.
//
// What always holds: every text that came from outside (keys, values, ids, names,
// notes) passes one escaper on its way to a person, so that no terminal obeys it;
// in JSON it passes unchanged. A plan's screen has at most 40 lines of at most
// 100 columns, whatever the plan.
package views

import (
	"io"
	"strings"
)

// Output is where views write, and how.
type Output struct {
	// Out takes results, Err what accompanies them: errors, progress, questions.
	Out io.Writer
	Err io.Writer
	// JSON chooses the side.
	JSON bool
	// Terminal says that Out is one, which would obey what it is sent.
	Terminal bool
	// Quiet leaves out what is neither a result nor an error.
	Quiet bool
	// Style is that of Out, ErrStyle that of Err, on the Human side.
	Style    Style
	ErrStyle Style
}

// Style is what a terminal can show.
type Style struct {
	// Color allows colours and bold.
	Color bool
	// ASCII keeps to the characters that every terminal has.
	ASCII bool
	// Width is the number of columns; 0 means MaxWidth, and more than that is
	// not used.
	Width int
}

// MaxWidth and MaxLines bound the screens.
const (
	MaxWidth = 100
	MaxLines = 40

	minWidth = 60
)

func (s Style) width() int {
	switch {
	case s.Width <= 0 || s.Width > MaxWidth:
		return MaxWidth
	case s.Width < minWidth:
		return minWidth
	}
	return s.Width
}

// StyleFor reads the style from the environment: NO_COLOR, CLICOLOR_FORCE, TERM
// and the locale. terminal says whether the output is one, width its columns (0:
// unknown).
func StyleFor(getenv func(string) (string, bool), terminal bool, width int) Style {
	term, _ := getenv("TERM")
	s := Style{Width: width, ASCII: term == "dumb" || !unicodeLocale(getenv)}
	noColor, _ := getenv("NO_COLOR")
	force, _ := getenv("CLICOLOR_FORCE")
	switch {
	case noColor != "":
	case force != "" && force != "0":
		s.Color = true
	default:
		s.Color = terminal && term != "dumb"
	}
	return s
}

// unicodeLocale says whether the locale can show more than ASCII. No locale at
// all is that of most containers, whose terminals can.
func unicodeLocale(getenv func(string) (string, bool)) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		value, _ := getenv(name)
		if value == "" {
			continue
		}
		upper := strings.ToUpper(value)
		return strings.Contains(upper, "UTF-8") || strings.Contains(upper, "UTF8")
	}
	return true
}

// glyphs are the few marks beyond ASCII that the screens use.
type glyphs struct {
	dot, dash, more, yes, no, warn, arrow, rule string
	blocks                                      []string
}

func (s Style) glyphs() glyphs {
	if s.ASCII {
		return glyphs{
			dot: "|", dash: "-", more: "...", yes: "ok", no: "x", warn: "!", arrow: "->", rule: "-",
			blocks: []string{".", ":", "-", "=", "+", "*", "%", "#"},
		}
	}
	return glyphs{
		dot: "·", dash: "—", more: "…", yes: "✓", no: "✗", warn: "!", arrow: "→", rule: "─",
		blocks: []string{"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"},
	}
}
