package script

import (
	"fmt"
	"strings"
	"unicode"

	"recount"
)

// dialect is how a database spells texts.
type dialect int

const (
	postgres dialect = iota
	sqlite
)

// text spells a text as a literal. What does not print is escaped, so that
// neither a client nor an editor changes it on its way: a line end within quotes
// is one that sqlite3 rewrites.
func (d dialect) text(s string) string {
	odd := strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) >= 0
	switch {
	case d == sqlite && odd:
		return sqliteText(s)
	case d == postgres && (odd || strings.Contains(s, `\`)):
		return postgresText(s)
	}
	return "'" + strings.ReplaceAll(s, "'", "''") + "'"
}

// postgresText is an E'…' literal, which means the same under every setting of
// the session.
func postgresText(s string) string {
	var b strings.Builder
	b.WriteString("E'")
	for _, r := range s {
		switch {
		case r == '\'':
			b.WriteString("''")
		case r == '\\':
			b.WriteString(`\\`)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r <= 0xffff:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			fmt.Fprintf(&b, `\U%08X`, r)
		}
	}
	b.WriteString("'")
	return b.String()
}

// sqliteText joins literals and char(…) calls: SQLite has no escapes.
func sqliteText(s string) string {
	const mostArguments = 100 // the least that a build of SQLite takes is 127
	var parts []string
	var plain, odd strings.Builder
	arguments := 0
	flush := func() {
		if plain.Len() > 0 {
			parts = append(parts, "'"+plain.String()+"'")
		}
		if odd.Len() > 0 {
			parts = append(parts, "char("+odd.String()+")")
		}
		plain.Reset()
		odd.Reset()
		arguments = 0
	}
	for _, r := range s {
		if unicode.IsPrint(r) {
			if odd.Len() > 0 {
				flush()
			}
			if r == '\'' {
				plain.WriteByte('\'')
			}
			plain.WriteRune(r)
			continue
		}
		if plain.Len() > 0 || arguments == mostArguments {
			flush()
		}
		arguments++
		if odd.Len() > 0 {
			odd.WriteByte(',')
		}
		fmt.Fprintf(&odd, "%d", r)
	}
	flush()
	return concatenated(parts)
}

// concatenated joins expressions by halves: SQLite refuses one that is more than
// 1000 deep, which a chain of so many would be.
func concatenated(parts []string) string {
	const flat = 100
	if len(parts) <= flat {
		return strings.Join(parts, " || ")
	}
	half := len(parts) / 2
	return "(" + concatenated(parts[:half]) + ") || (" + concatenated(parts[half:]) + ")"
}

// value spells a value as a text or NULL.
func (d dialect) value(v recount.Value) string {
	if v.Null {
		return "NULL"
	}
	return d.text(v.Text)
}

// quoted is a name as an identifier of standard SQL.
func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// numbered lists prefix0, prefix1 and so on, n of them.
func numbered(prefix string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%s%d", prefix, i)
	}
	return out
}

// dollars quotes the body of a block of PostgreSQL under a tag that does not
// stand in it.
func dollars(body string) string {
	tag := "$recount$"
	for i := 0; strings.Contains(body, tag); i++ {
		tag = fmt.Sprintf("$recount%d$", i)
	}
	return tag + body + tag
}
