package views

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"recount"
	"recount/internal/app"
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

// A terminal of 80 columns is the usual one: what a person relies on stands whole.
func TestEightyColumnsCutNothingThatMatters(t *testing.T) {
	plan := fixturePlan()
	plan.Body.Overrides = []string{"--accept-two-way"}
	for name, show := range map[string]func(*Output) error{
		"plan":    func(o *Output) error { return NewPlan(o).Planned(app.Planned{Plan: plan, File: "fix.plan"}) },
		"diff":    func(o *Output) error { return NewPlan(o).Differs(app.Planned{Plan: plan}) },
		"explain": func(o *Output) error { return NewExplain(o).Explained(fixtureExplanation(), false) },
	} {
		var s screen
		o := s.output(false)
		o.Style.Width = 80
		if err := show(o); err != nil {
			t.Fatal(err)
		}
		text := s.out.String()
		promised := []string{"same answer", "limit ", " in 1 min\n", "Nothing has been changed."}
		if name == "explain" {
			promised = []string{"they part here"}
		}
		for _, want := range promised {
			if !strings.Contains(text, want) {
				t.Errorf("%s does not show %q:\n%s", name, want, text)
			}
		}
		if _, command, _ := strings.Cut(text, "Next: "); name == "diff" {
			// Copied over its lines, the command is one, with what it needs.
			if got := strings.Join(strings.Fields(strings.ReplaceAll(command, "\\\n", "")), " "); got != planCommand(plan.Body) || !strings.Contains(got, "--accept-two-way") {
				t.Errorf("the next command reads %q, want %q", got, planCommand(plan.Body))
			}
		}
	}
}

// A mark stands under what it marks, however long the line of the file is.
func TestAnExcerptKeepsItsMark(t *testing.T) {
	var s screen
	o := s.output(false)
	o.ErrStyle.Width = 60
	line := "    8 |     timezone: CEST" + strings.Repeat(" ", 40) + "# a remark"
	err := NewError(o).Failed(&recount.Error{Code: recount.CodeConfig, What: "a mistake", Why: "no zone\n" + line + "\n      |               ^"})
	if err != nil {
		t.Fatal(err)
	}
	above, below := "", ""
	for text := range strings.Lines(s.err.String()) {
		if strings.Contains(text, "^") {
			below = text
		}
		if strings.Contains(text, "CEST") {
			above = text
		}
	}
	if strings.Index(above, "CEST") != strings.Index(below, "^") {
		t.Errorf("the mark is not under its word:\n%s", s.err.String())
	}
}
