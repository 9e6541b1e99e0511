package main

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

var placed = regexp.MustCompile(`^recount.yaml, (?:sources|calculations): (\w+)(: target)?$`)

// obey does what a reason of the last command's red control says: it adds the
// line to recount.yaml at its place, or sets FROM and TO to the flags.
func obey(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: obey REASON, after recount plan --json")
	}
	var p struct {
		Control struct {
			Reasons []struct{ Name, Line, Where string }
		}
	}
	first, _, _ := strings.Cut(ts.Getenv("RED"), "\n")
	if text := ts.ReadFile("stdout"); strings.HasPrefix(text, `{"type":"plan"`) {
		first, _, _ = strings.Cut(text, "\n")
		ts.Setenv("RED", first)
	}
	ts.Check(json.Unmarshal([]byte(first), &p))
	for _, r := range p.Control.Reasons {
		if r.Name != args[0] {
			continue
		}
		if flags := strings.Fields(r.Line); flags[0] == "--from" {
			ts.Setenv("FROM", flags[1])
			ts.Setenv("TO", flags[3])
			return
		}
		place := placed.FindStringSubmatch(r.Where)
		if place == nil {
			ts.Fatalf("obey: %q is no place", r.Where)
		}
		after, indent := "  "+place[1]+":\n", "    "
		if place[2] != "" {
			after, indent = "    target:\n", "      "
		}
		text := ts.ReadFile("recount.yaml")
		if !strings.Contains(text, after) {
			ts.Fatalf("obey: recount.yaml has no %q", after)
		}
		text = strings.Replace(text, after, after+indent+r.Line+"\n", 1)
		ts.Check(os.WriteFile(ts.MkAbs("recount.yaml"), []byte(text), 0o600))
		return
	}
	ts.Fatalf("obey: there is no reason %s in %s", args[0], first)
}
