package process

import (
	"bytes"
	"regexp"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// tail keeps the last bytes that were written to it: a worker's last words say
// why it died. It is safe for concurrent use.
type tail struct {
	mu   sync.Mutex
	last []byte
	cut  bool
}

const (
	tailBytes = 8 << 10
	tailLines = 8
	lineRunes = 300
)

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(b)
	if n > tailBytes {
		b, t.cut = b[n-tailBytes:], true
	}
	if over := len(t.last) + len(b) - tailBytes; over > 0 {
		t.last, t.cut = append(t.last[:0], t.last[over:]...), true
	}
	t.last = append(t.last, b...)
	return n, nil
}

// lines returns the last lines, without control characters.
func (t *tail) lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := t.last
	if t.cut { // the first line lacks its beginning
		if i := bytes.IndexByte(text, '\n'); i >= 0 {
			text = text[i+1:]
		}
	}
	var list []string
	for line := range bytes.Lines(text) {
		if s := tidy(string(line)); s != "" {
			list = append(list, s)
		}
	}
	return list[max(0, len(list)-tailLines):]
}

// escapes are what moves a terminal's cursor or colours its text.
var escapes = regexp.MustCompile(`\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[ -/]*[0-~])`)

// tidy makes one line for a person of what a worker wrote: whatever moves a
// terminal's cursor, colours it or is no text, is taken out.
func tidy(s string) string {
	if strings.IndexByte(s, 0x1b) >= 0 {
		s = escapes.ReplaceAllString(s, "")
	}
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\t' || r == '\n':
			return ' '
		case r == utf8.RuneError:
			return '?'
		case !unicode.IsPrint(r):
			return -1
		}
		return r
	}, s)
	s = strings.TrimSpace(s)
	if runes := []rune(s); len(runes) > lineRunes {
		return string(runes[:lineRunes]) + "…"
	}
	return s
}

// clip is tidy for names and values inside of a sentence.
func clip(s string) string {
	const most = 60
	s = tidy(s[:min(len(s), 4*most)])
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return s
}
