package views

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode"
	"unicode/utf8"
)

// reporter is *testing.T or *rapid.T.
type reporter interface {
	Helper()
	Errorf(format string, args ...any)
}

// checkScreen holds the promises of every screen.
func checkScreen(t reporter, text string, long bool) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(lines) > MaxLines && !long {
		t.Errorf("screen has %d lines, want at most %d:\n%s", len(lines), MaxLines, text)
	}
	for _, line := range lines {
		if w := columns(line); w > MaxWidth {
			t.Errorf("line has %d columns, want at most %d: %q", w, MaxWidth, line)
		}
		if strings.HasSuffix(line, " ") {
			t.Errorf("line ends in a space: %q", line)
		}
		if !utf8.ValidString(line) {
			t.Errorf("line is no text: %q", line)
		}
		for _, r := range line {
			if !unicode.IsGraphic(r) {
				t.Errorf("line holds %U: %q", r, line)
			}
		}
	}
}

// checkJSON holds the promises of JSON: an object a line, its type first.
func checkJSON(t reporter, texts ...[]byte) {
	t.Helper()
	for _, text := range texts {
		for line := range bytes.Lines(text) {
			if !bytes.HasPrefix(line, []byte(`{"type":"`)) || !bytes.Contains(line, []byte(`","schema":1,`)) {
				t.Errorf("object does not begin with type and schema: %.60s", line)
			}
			var v map[string]any
			if err := json.Unmarshal(line, &v); err != nil {
				t.Errorf("line is no JSON: %v: %.80s", err, line)
			}
		}
	}
}
