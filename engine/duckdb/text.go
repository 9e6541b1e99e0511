package duckdb

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"recount"
)

// script is a user's text, cut into what is passed on and the places where $from
// and $to stand. They are replaced by constants in the text and not bound as
// parameters: DuckDB gives a parameter no type of its own, so that
// date_trunc('hour', $from) would not bind.
type script struct {
	text  string // without what follows the statement: semicolon and comments
	holes []hole
	// second is one past the semicolon that a second statement follows; 0: none.
	second int
}

type hole struct {
	start, end int // bytes of text
	to         bool
}

// bound is a script with its constants, put between a prefix and a suffix.
type bound struct {
	script script
	prefix string
	sql    string
	edges  [2]string
}

// cut reads text as DuckDB's lexer does, as far as is needed to tell code from
// quotes and comments. What it gets wrong, the parse that follows finds: the
// tree is made from the very text that is run.
func cut(text string) script {
	l := lexer{text: text}
	for l.at < len(text) {
		l.step()
	}
	end := len(text)
	if l.semicolon > 0 && !l.more {
		end = l.semicolon - 1
	}
	s := script{text: text[:end]}
	if l.more {
		s.second = l.semicolon
	}
	for _, h := range l.holes {
		if h.end <= end {
			s.holes = append(s.holes, h)
		}
	}
	return s
}

// lexer walks over a text token by token.
type lexer struct {
	text      string
	at        int
	holes     []hole
	semicolon int  // one past the first semicolon; 0: none
	more      bool // code stands behind it
}

func (l *lexer) step() {
	rest := l.text[l.at:]
	c := rest[0]
	switch {
	case strings.HasPrefix(rest, "--"):
		l.at += through(rest, "\n")
		return
	case strings.HasPrefix(rest, "/*"):
		l.at += comment(rest)
		return
	case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v':
		l.at++
		return
	case c == ';':
		l.at++
		if l.semicolon == 0 {
			l.semicolon = l.at
		}
		return
	}
	l.more = l.more || l.semicolon > 0
	switch {
	case c == '\'' || c == '"':
		l.at += quoted(rest, false)
	case (c == 'e' || c == 'E') && strings.HasPrefix(rest[1:], "'"):
		l.at += 1 + quoted(rest[1:], true)
	case c == '$':
		l.dollar(rest)
	case identStart(c) || c >= '0' && c <= '9':
		l.at += word(rest)
	default:
		l.at++
	}
}

// dollar reads $from, $to, another parameter, or a $tag$ quoted $tag$ text.
func (l *lexer) dollar(rest string) {
	n := 1
	for n < len(rest) && rest[n] != '$' && identPart(rest[n]) {
		n++
	}
	if n < len(rest) && rest[n] == '$' && (n == 1 || identStart(rest[1])) {
		tag := rest[:n+1]
		l.at += len(tag) + through(rest[len(tag):], tag)
		return
	}
	switch strings.ToLower(rest[1:n]) {
	case "from":
		l.holes = append(l.holes, hole{start: l.at, end: l.at + n})
	case "to":
		l.holes = append(l.holes, hole{start: l.at, end: l.at + n, to: true})
	}
	l.at += n
}

func identStart(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= utf8.RuneSelf
}

func identPart(c byte) bool { return identStart(c) || c >= '0' && c <= '9' || c == '$' }

func word(s string) int {
	n := 1
	for n < len(s) && identPart(s[n]) {
		n++
	}
	return n
}

// through returns the length of s up to and with the first end, or all of it.
func through(s, end string) int {
	if i := strings.Index(s, end); i >= 0 {
		return i + len(end)
	}
	return len(s)
}

// comment returns the length of the comment that s begins with; they nest.
func comment(s string) int {
	depth, i := 0, 0
	for i < len(s) {
		switch {
		case strings.HasPrefix(s[i:], "/*"):
			depth++
			i += 2
		case strings.HasPrefix(s[i:], "*/"):
			depth--
			i += 2
			if depth == 0 {
				return i
			}
		default:
			i++
		}
	}
	return len(s)
}

// quoted returns the length of the quoted text that s begins with.
func quoted(s string, escapes bool) int {
	quote := s[0]
	for i := 1; i < len(s); i++ {
		switch {
		case escapes && s[i] == '\\':
			i++
		case s[i] == quote && i+1 < len(s) && s[i+1] == quote:
			i++
		case s[i] == quote:
			return i + 1
		}
	}
	return len(s)
}

// bind puts the edges of the window in place of $from and $to. The line break
// before the suffix ends a comment that the text may end with.
func (s script) bind(prefix, suffix string, window recount.Window) bound {
	b := bound{script: s, prefix: prefix, edges: [2]string{instant(window.From), instant(window.To)}}
	var sql strings.Builder
	sql.WriteString(prefix)
	last := 0
	for _, h := range s.holes {
		sql.WriteString(s.text[last:h.start])
		sql.WriteString(b.edge(h))
		last = h.end
	}
	sql.WriteString(s.text[last:])
	sql.WriteString("\n" + suffix)
	b.sql = sql.String()
	return b
}

func (b bound) edge(h hole) string {
	if h.to {
		return b.edges[1]
	}
	return b.edges[0]
}

// origin returns the byte of the user's text that stands at offset of the bound
// text; false if none does.
func (b bound) origin(offset int) (int, bool) {
	at := offset - len(b.prefix)
	for _, h := range b.script.holes {
		if at < h.start {
			break
		}
		grown := len(b.edge(h)) - (h.end - h.start)
		if at < h.end+grown {
			return h.start, true
		}
		at -= grown
	}
	return at, at >= 0 && at <= len(b.script.text)
}

// place names the line and column of offset, counted from 1, in characters.
func (b bound) place(offset int) string {
	at, ok := b.origin(offset)
	if !ok {
		return ""
	}
	before := b.script.text[:at]
	line := strings.Count(before, "\n") + 1
	column := utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:]) + 1
	return fmt.Sprintf("%d:%d", line, column)
}

// ends says that offset lies behind the user's text.
func (b bound) ends(offset int) bool {
	at, ok := b.origin(offset)
	return ok && strings.TrimSpace(b.script.text[at:]) == "" || !ok && at > len(b.script.text)
}

// line returns the line of the user's text at offset, for a message.
func (b bound) line(offset int) string {
	at, ok := b.origin(offset)
	if !ok {
		return ""
	}
	text := b.script.text
	start := strings.LastIndexByte(text[:at], '\n') + 1
	end := start + strings.IndexByte(text[start:]+"\n", '\n')
	return strings.TrimSpace(text[start:end])
}

// instant is a constant of type TIMESTAMPTZ.
func instant(t time.Time) string {
	return "(TIMESTAMPTZ '" + t.UTC().Format("2006-01-02 15:04:05.999999") + "+00')"
}

// literal is a string constant.
func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// ident is a quoted name.
func ident(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

// pathLiteral is a path for read_parquet, which takes some characters for
// patterns.
func pathLiteral(path string) string {
	return literal(strings.NewReplacer("[", "[[]", "*", "[*]", "?", "[?]").Replace(path))
}
