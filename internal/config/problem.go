package config

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"recount"
)

// pos is a place in recount.yaml, counted from 1; the zero pos is the file.
type pos struct{ line, column int }

// Problem is one mistake in recount.yaml.
type Problem struct {
	Code   recount.Code
	Line   int // counted from 1; 0: the file as a whole
	Column int
	Text   string // one sentence; it never holds a resolved secret
	Next   string
}

// Problems are all mistakes of one file, in order of their place. They are the
// cause (Err) of the error that Load returns.
type Problems []Problem

// Error joins the sentences.
func (p Problems) Error() string {
	texts := make([]string, len(p))
	for i, one := range p {
		texts[i] = fmt.Sprintf("%s: %s", place(one), one.Text)
	}
	return strings.Join(texts, "; ")
}

func place(p Problem) string {
	switch {
	case p.Line == 0:
		return FileName
	case p.Column == 0:
		return fmt.Sprintf("%s:%d", FileName, p.Line)
	}
	return fmt.Sprintf("%s:%d:%d", FileName, p.Line, p.Column)
}

// mostShown bounds what a person has to read at once.
const mostShown = 20

// report makes the one error that a person gets from all problems: a single
// problem stands under its own code, several under CodeConfig unless they agree.
func report(problems Problems, source []byte) error {
	if len(problems) == 0 {
		return nil
	}
	slices.SortStableFunc(problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	problems = slices.CompactFunc(problems, func(a, b Problem) bool {
		return a.Line == b.Line && a.Column == b.Column && a.Text == b.Text
	})
	first := problems[0]
	e := &recount.Error{Code: first.Code, Where: place(first), Next: first.Next, Err: problems}
	if len(problems) == 1 {
		e.What = titles[first.Code]
		e.Why = first.Text + excerpt(source, first)
		return e
	}
	var b strings.Builder
	for i, p := range problems {
		if i == mostShown {
			fmt.Fprintf(&b, "\nand %d more", len(problems)-i)
			break
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%s: %s%s", place(p), p.Text, excerpt(source, p))
		if p.Code != e.Code {
			e.Code = recount.CodeConfig
		}
		if p.Next != e.Next {
			e.Next = nextMend
		}
	}
	e.What = fmt.Sprintf("%s has %d mistakes", FileName, len(problems))
	e.Why = b.String()
	return e
}

const (
	nextMend      = "mend " + FileName + " there, then run the command again; the keys are in docs/reference/config.md"
	nextReference = "set what the reference names, then run the command again"
)

// titles give the What of a single problem.
var titles = map[recount.Code]string{
	recount.CodeConfig:      FileName + " has a mistake",
	recount.CodeSecret:      "a reference in " + FileName + " leads nowhere",
	recount.CodeLogicFile:   "the logic's file cannot be read",
	recount.CodeUnsupported: FileName + " asks for something that is not supported",
}

// secretInLine finds passwords that somebody wrote into the file all the same.
var secretInLine = regexp.MustCompile(`(?i)(://[^\s:/@]*:)[^\s@]*@|((?:password|passwd|pwd|secret|token)["']?\s*[:=]\s*)("[^"]*"|'[^']*'|[^\s,}&]+)`)

// hide takes passwords out of a line that is to be shown.
func hide(line string) string {
	return secretInLine.ReplaceAllStringFunc(line, func(match string) string {
		parts := secretInLine.FindStringSubmatch(match)
		if parts[1] != "" {
			return parts[1] + "***@"
		}
		return parts[2] + "***"
	})
}

// excerpt shows the line of the problem with a mark under its column, as lines
// that follow the sentence.
func excerpt(source []byte, p Problem) string {
	if p.Line == 0 {
		return ""
	}
	lines := strings.SplitN(string(source), "\n", p.Line+1)
	if len(lines) < p.Line {
		return ""
	}
	line := strings.ToValidUTF8(strings.TrimRight(lines[p.Line-1], "\r"), "?")
	const widest = 120
	shown := hide(line)
	if utf8.RuneCountInString(shown) > widest {
		shown = string([]rune(shown)[:widest]) + "…"
	}
	text := fmt.Sprintf("\n%5d | %s", p.Line, strings.Map(visible, shown))
	if p.Column == 0 || p.Column > widest || shown != line {
		return text
	}
	return text + "\n      | " + strings.Repeat(" ", p.Column-1) + "^"
}

// visible keeps control characters of a hostile file off the terminal.
func visible(r rune) rune {
	if r < 0x20 || r == 0x7f {
		return ' '
	}
	return r
}
