package sqltable

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Dialect says which quotes a database knows besides '…' and "…".
type Dialect struct {
	// Dollars: $tag$…$tag$ is a text and E'…' knows backslashes.
	Dollars bool
	// Backticks: `…` and […] are identifiers.
	Backticks bool
}

// The dialects.
var (
	Postgres = Dialect{Dollars: true}
	SQLite   = Dialect{Backticks: true}
)

// Part is one piece of a condition. The texts of all parts, joined, are the
// condition itself.
type Part struct {
	Kind PartKind
	Text string
}

// PartKind tells the pieces of a condition apart.
type PartKind int

// The kinds of parts.
const (
	PartSpace  PartKind = iota // spaces and comments
	PartWord                   // keywords, plain identifiers and numbers
	PartName                   // a quoted identifier
	PartText                   // a literal text
	PartSign                   // one sign or operator character
	PartWindow                 // $from or $to
)

// ParseWhere cuts the condition of recount.yaml into its parts, so that $from
// and $to are found where they stand for the window and not inside a text, a
// name or a comment. It refuses what could reach beyond a condition: a second
// statement, a parenthesis without its partner, an open quote, parameters of
// its own.
func ParseWhere(where string, d Dialect) ([]Part, error) {
	if strings.ContainsRune(where, 0) {
		return nil, errors.New("it holds a NUL character")
	}
	var parts []Part
	depth := 0
	for rest := where; rest != ""; {
		part, err := next(rest, d)
		if err != nil {
			return nil, err
		}
		rest = rest[len(part.Text):]
		if part.Kind == PartSign {
			switch part.Text {
			case "(":
				depth++
			case ")":
				depth--
			case ";":
				return nil, errors.New("it holds a semicolon: it is one condition, not a list of statements")
			}
			if depth < 0 {
				return nil, errors.New("a parenthesis is closed that was never opened")
			}
		}
		parts = append(parts, part)
	}
	if depth != 0 {
		return nil, errors.New("a parenthesis is not closed")
	}
	return parts, nil
}

// JoinWhere returns the condition with each $from and $to as window spells it;
// i is the part's place.
func JoinWhere(parts []Part, window func(i int, name string) (string, error)) (string, error) {
	var b strings.Builder
	for i, p := range parts {
		text := p.Text
		if p.Kind == PartWindow {
			var err error
			if text, err = window(i, strings.TrimPrefix(p.Text, "$")); err != nil {
				return "", err
			}
		}
		b.WriteString(text)
	}
	return b.String(), nil
}

// Name returns the name that a part spells, if it is one.
func (p Part) Name() (string, bool) {
	switch p.Kind {
	case PartWord:
		return p.Text, true
	case PartName:
		inner, closing := p.Text[1:len(p.Text)-1], p.Text[len(p.Text)-1:]
		if closing == "]" {
			return inner, true
		}
		return strings.ReplaceAll(inner, closing+closing, closing), true
	case PartSpace, PartText, PartSign, PartWindow:
	}
	return "", false
}

// next returns the first part of rest, which is not empty.
func next(rest string, d Dialect) (Part, error) {
	switch c := rest[0]; {
	case strings.HasPrefix(rest, "--"):
		if n := strings.IndexAny(rest, "\r\n"); n >= 0 {
			return Part{PartSpace, rest[:n]}, nil
		}
		return Part{PartSpace, rest}, nil
	case strings.HasPrefix(rest, "/*"):
		return comment(rest, d)
	case isSpace(c):
		n := 1
		for n < len(rest) && isSpace(rest[n]) {
			n++
		}
		return Part{PartSpace, rest[:n]}, nil
	case c == '\'':
		return quoted(rest, 0, '\'', false, PartText)
	case c == '"':
		return quoted(rest, 0, '"', false, PartName)
	case d.Backticks && c == '`':
		return quoted(rest, 0, '`', false, PartName)
	case d.Backticks && c == '[':
		if n := strings.IndexByte(rest, ']'); n > 0 {
			return Part{PartName, rest[:n+1]}, nil
		}
		return Part{}, errors.New("a [ is not closed")
	case d.Dollars && (c == 'e' || c == 'E') && len(rest) > 1 && rest[1] == '\'':
		return quoted(rest, 1, '\'', true, PartText)
	case c == '$':
		return dollar(rest, d)
	case isWord(c):
		n := 1
		for n < len(rest) && (isWord(rest[n]) || rest[n] == '$') {
			n++
		}
		return Part{PartWord, rest[:n]}, nil
	case d.Backticks && (c == '?' || c == '@'), d.Backticks && c == ':':
		return Part{}, fmt.Errorf("it has the parameter %q: only $from and $to are known", clip(rest))
	}
	return Part{PartSign, rest[:1]}, nil
}

// dollar reads $from, $to or a text between dollar tags.
func dollar(rest string, d Dialect) (Part, error) {
	n := 1
	for n < len(rest) && isWord(rest[n]) {
		n++
	}
	name := rest[:n]
	if d.Dollars && n < len(rest) && rest[n] == '$' && (n == 1 || !isDigit(rest[1])) {
		tag := rest[:n+1]
		end := strings.Index(rest[len(tag):], tag)
		if end < 0 {
			return Part{}, fmt.Errorf("the text that begins with %s is not closed", tag)
		}
		return Part{PartText, rest[:len(tag)+end+len(tag)]}, nil
	}
	if slices.Contains([]string{"$from", "$to"}, name) {
		return Part{PartWindow, name}, nil
	}
	return Part{}, fmt.Errorf("it has the parameter %q: only $from and $to are known", clip(rest))
}

// quoted reads to the closing quote; a doubled one stands for itself.
func quoted(rest string, at int, quote byte, backslashes bool, kind PartKind) (Part, error) {
	for i := at + 1; i < len(rest); i++ {
		switch {
		case backslashes && rest[i] == '\\':
			i++
		case rest[i] != quote:
		case i+1 < len(rest) && rest[i+1] == quote:
			i++
		default:
			return Part{kind, rest[:i+1]}, nil
		}
	}
	return Part{}, fmt.Errorf("the quote at %q is not closed", clip(rest))
}

// comment reads /* … */; PostgreSQL's may stand in each other.
func comment(rest string, d Dialect) (Part, error) {
	depth := 0
	for i := 0; i+1 < len(rest); i++ {
		switch two := rest[i : i+2]; {
		case two == "/*" && (depth == 0 || d.Dollars):
			depth++
			i++
		case two == "*/":
			depth--
			i++
			if depth == 0 {
				return Part{PartSpace, rest[:i+1]}, nil
			}
		}
	}
	return Part{}, errors.New("a comment is not closed")
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// isWord says whether c may stand in an identifier or a number; bytes beyond
// ASCII may.
func isWord(c byte) bool {
	return c == '_' || isDigit(c) || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

func clip(s string) string {
	const most = 20
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
