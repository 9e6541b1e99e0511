package main

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// commands are what scripts can call besides programs.
func commands() map[string]func(*testscript.TestScript, bool, []string) {
	all := map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "runid": runID, "edit": edit, "runplan": runPlan, "lf": lf}
	maps.Copy(all, tools)
	return all
}

// exits runs a command and compares its exit code:
//
//	exits 64 recount plan
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND [ARGUMENT…]")
	}
	want, err := strconv.Atoi(args[0])
	if err != nil {
		ts.Fatalf("exits: %v", err)
	}
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("exits: %v", err)
	}
	if got != want {
		ts.Fatalf("%v: exit %d, want %d", args[1:], got, want)
	}
}

// runID sets a variable to the id of the newest run.
func runID(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: runid VARIABLE")
	}
	ts.Check(ts.Exec("recount", "runs", "--json"))
	var run struct{ Run string }
	line, _, _ := strings.Cut(ts.ReadFile("stdout"), "\n")
	ts.Check(json.Unmarshal([]byte(line), &run))
	ts.Setenv(args[0], run.Run)
}

// edit replaces one text of a file and writes the result to another; \n in NEW is
// a line end.
func edit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: edit FILE OLD NEW OUT")
	}
	text := ts.ReadFile(args[0])
	if strings.Count(text, args[1]) == 0 {
		ts.Fatalf("edit: %s does not hold %q", args[0], args[1])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[3]), []byte(strings.Replace(text, args[1], strings.ReplaceAll(args[2], `\n`, "\n"), 1)), 0o600))
}

// runPlan plans the seed's window with the only calculation that there is.
func runPlan(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: runplan")
	}
	ts.Check(ts.Exec("recount", "__complete", "plan", ""))
	name, _, _ := strings.Cut(ts.ReadFile("stdout"), "\n")
	ts.Check(ts.Exec("recount", "plan", name, "--from", "2024-06-10T12:00:00Z", "--to", "2024-06-10T12:30:00Z", "--out", "fix.plan"))
}

// lf copies a file with LF for each CRLF.
func lf(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: lf FILE OUT")
	}
	text := strings.ReplaceAll(ts.ReadFile(args[0]), "\r\n", "\n")
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(text), 0o600))
}
