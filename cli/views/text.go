package views

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/mattn/go-runewidth"

	"recount"
)

// columns counts the columns that s takes, the same on every machine: the
// locale's own idea of wide characters is left out.
var measure = &runewidth.Condition{EastAsianWidth: false, StrictEmojiNeutral: true}

func columns(s string) int { return measure.StringWidth(s) }

// Visible returns s with everything that a terminal would obey, or that a reader
// could not see, spelled out: control characters, escape sequences, marks that
// turn the direction of text, and bytes that are no text. With ascii it spells
// out everything beyond ASCII as well. Visible of its own result is the same.
func Visible(s string, ascii bool) string {
	if plainText(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < 0x20 || r >= 0x7f && r < 0xa0:
			fmt.Fprintf(&b, `\x%02x`, r)
		case hidden(r) || ascii && r > unicode.MaxASCII:
			writeEscape(&b, r)
		default:
			b.WriteRune(r)
		}
		i += size
	}
	return b.String()
}

func writeEscape(b *strings.Builder, r rune) {
	if r > 0xffff {
		fmt.Fprintf(b, `\U%08x`, r)
		return
	}
	fmt.Fprintf(b, `\u%04x`, r)
}

// hidden says whether r is seen as nothing or moves its neighbours: formats
// (bidi marks, zero-width characters, tags), line separators, odd spaces,
// variation selectors, private and unassigned code points.
func hidden(r rune) bool {
	if r <= unicode.MaxASCII {
		return false
	}
	if r >= 0xfe00 && r <= 0xfe0f || r >= 0xe0100 && r <= 0xe01ef || r == 0x115f || r == 0x1160 || r == 0x3164 || r == 0xffa0 {
		return true
	}
	return !unicode.IsGraphic(r) || unicode.Is(unicode.Zs, r)
}

func plainText(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// clip shortens visible text to at most width columns; more marks the cut.
func clip(s string, width int, more string) string {
	if len(s) <= width || columns(s) <= width && utf8.RuneCountInString(s) <= maxRunes(width) {
		return s
	}
	left := width - columns(more)
	if left < 0 {
		return strings.Repeat(".", max(width, 0))
	}
	used, count := 0, 0
	for i, r := range s {
		w := measure.RuneWidth(r)
		count++
		if used+w > left || count > maxRunes(width) {
			return s[:i] + more
		}
		used += w
	}
	return s
}

// maxRunes bounds the marks without width that may pile up on a few letters.
func maxRunes(width int) int { return 2*width + 8 }

// pad fills s with spaces to width columns.
func pad(s string, width int, right bool) string {
	gap := strings.Repeat(" ", max(width-columns(s), 0))
	if right {
		return gap + s
	}
	return s + gap
}

// wrap breaks text at spaces into lines of at most width columns; a word that
// is longer is broken where it must be.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		for columns(word) > width {
			if line != "" {
				lines, line = append(lines, line), ""
			}
			head := prefix(word, width)
			lines, word = append(lines, head), word[len(head):]
		}
		switch {
		case line == "":
			line = word
		case columns(line)+1+columns(word) <= width:
			line += " " + word
		default:
			lines, line = append(lines, line), word
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

func prefix(s string, width int) string {
	used := 0
	for i, r := range s {
		w := measure.RuneWidth(r)
		if used+w > width || i > 4*maxRunes(width) {
			return s[:i]
		}
		used += w
	}
	return s
}

// ShellWord quotes s so that a POSIX shell reads it as one word. What cannot be
// typed is escaped in $'…'.
func ShellWord(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=+,@%") == "" {
		return s
	}
	if Visible(s, false) == s {
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	escaped := Visible(strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(s), false)
	return "$'" + escaped + "'"
}

// windowText is a window with its brackets and its clock.
func windowText(w recount.Window) string {
	by := w.By
	if by == "" {
		by = recount.ByEvent
	}
	return w.String() + " by " + string(by)
}
