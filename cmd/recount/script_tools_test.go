package main

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	_ "modernc.org/sqlite" // what `sqlite` opens

	"recount"
)

// tools are the commands of scripts that need more than files and programs.
var tools = map[string]func(*testscript.TestScript, bool, []string){
	"refuses": refuses, "sqlite": runSQLite, "expire": expire, "spoil": spoil, "flip": flip, "interrupt": interrupt,
	"nowhere": nowhere, "empty": empty, "events": manyEvents, "orders": orders, "demo": demoFacts, "sameplan": samePlan, "lock": lock, "tmpfs": mountSmall, "remount": remount,
	"makedb": makeDB, "obey": obey, "parquet": writeParquet, "project": project, "age": age,
}

// orders makes the small project of testdata/orders here: seven events of half an
// hour, and a table in which one row is wrong, one missing and one superfluous.
func orders(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: orders")
	}
	for _, name := range []string{"recount.yaml", "totals.sql", "events.csv", "live.sql"} {
		text, err := os.ReadFile(filepath.Join(ts.Getenv("ORDERS"), name)) //nolint:gosec // a file of testdata
		ts.Check(err)
		ts.Check(os.WriteFile(ts.MkAbs(name), folded(ts, text), 0o600))
	}
	runSQLite(ts, false, []string{"live.db", ts.ReadFile("live.sql"), "SELECT 1"})
}

// demoFacts reads the demo's JSON from stdout and checks what it promises.
func demoFacts(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: demo, after recount demo --auto --json")
	}
	type object struct {
		Type    string
		Causes  map[string]string
		Rows    map[string]string
		Control *struct{ Rows, Wrong string }
		Action  string
		Applied string
		Text    string
		Alone   bool
	}
	number := func(text string) int64 {
		n, err := strconv.ParseInt(text, 10, 64)
		ts.Check(err)
		return n
	}
	seen := map[string][]object{}
	for line := range strings.Lines(ts.ReadFile("stdout")) {
		var o object
		ts.Check(json.Unmarshal([]byte(line), &o))
		seen[o.Type] = append(seen[o.Type], o)
	}
	want := func(ok bool, format string, args ...any) {
		if !ok {
			ts.Fatalf("demo: "+format, args...)
		}
	}
	want(len(seen["plan"]) == 2, "%d plans, want the plan and the diff", len(seen["plan"]))
	first, again := seen["plan"][0], seen["plan"][1]
	writes := func(o object) int64 {
		return number(o.Rows["update"]) + number(o.Rows["insert"]) + number(o.Rows["delete"])
	}
	sum := int64(0)
	for _, n := range first.Causes {
		sum += number(n)
	}
	want(sum > 0 && sum == writes(first), "causes add up to %d, written rows to %d", sum, writes(first))
	want(writes(again) == 0, "after the apply %d rows would be written", writes(again))
	for _, p := range seen["plan"] {
		want(p.Control != nil && p.Control.Wrong == "0" && number(p.Control.Rows) > 0, "the control window is not green: %+v", p.Control)
		want(p.Rows["held"] == "1" && p.Rows["excluded"] == "1", "held and excluded: %v", p.Rows)
	}
	actions := ""
	for _, c := range seen["change"] {
		actions += c.Action + " "
	}
	want(actions == "held excluded " || actions == "excluded held ", "the diff lists %s", actions)
	want(len(seen["explanation"]) == 1 && seen["explanation"][0].Alone, "the explained row is not what its events alone give")
	want(len(seen["receipt"]) == 3, "%d receipts, want two applies and a rollback", len(seen["receipt"]))
	for _, r := range seen["receipt"] {
		want(number(r.Applied) == sum, "a receipt says %s rows, want %d", r.Applied, sum)
	}
	facts := ""
	for _, f := range seen["demo_fact"] {
		facts += f.Text + "\n"
	}
	want(strings.Contains(facts, "killed") && strings.Contains(facts, "nothing is half done"), "no killed apply in %s", facts)
	want(strings.Contains(facts, "byte for byte"), "no rollback in %s", facts)
}

// samePlan compares the ids of two plans.
func samePlan(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: [!] sameplan PLAN PLAN")
	}
	var ids [2]string
	for i, name := range args {
		ts.Check(ts.Exec("recount", "show", name, "--json"))
		line, _, _ := strings.Cut(ts.ReadFile("stdout"), "\n")
		var p struct{ Plan string }
		ts.Check(json.Unmarshal([]byte(line), &p))
		ids[i] = p.Plan
	}
	if same := ids[0] == ids[1]; same == neg {
		ts.Fatalf("%s is plan %s, %s is %s", args[0], ids[0], args[1], ids[1])
	}
}

// lock runs a command while another connection holds a SQLite file's writer lock.
func lock(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: lock FILE CODE COMMAND [ARGUMENT…]")
	}
	db, err := sql.Open("sqlite", "file:"+filepath.ToSlash(ts.MkAbs(args[0])))
	ts.Check(err)
	defer func() { ts.Check(db.Close()) }()
	db.SetMaxOpenConns(1)
	_, err = db.Exec("BEGIN IMMEDIATE") //nolint:noctx // a script's own file
	ts.Check(err)
	refuses(ts, false, args[1:])
	_, err = db.Exec("ROLLBACK") //nolint:noctx // a script's own file
	ts.Check(err)
}

// refuses runs a command that must be refused under a code, with that code's
// exit, in four parts, having changed nothing. Its error stays in stderr:
//
//	refuses RC1004 recount plan totals --from 2024-06-10T12:00:00 …
func refuses(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: refuses CODE COMMAND [ARGUMENT…]")
	}
	info, ok := recount.Code(args[0]).Info()
	if !ok {
		ts.Fatalf("refuses: there is no code %s", args[0])
	}
	exits(ts, false, append([]string{strconv.Itoa(info.Exit)}, args[1:]...))
	parts := errorParts(ts.ReadFile("stderr"))
	for _, part := range []string{"where", "why", "changed", "next", "page"} {
		if parts[part] == "" {
			ts.Fatalf("the error does not say %q", part)
		}
	}
	if parts["error"] != args[0] {
		ts.Fatalf("the error is %s, want %s", parts["error"], args[0])
	}
	if parts["changed"] != "nothing" {
		ts.Fatalf("changed: %q, want nothing", parts["changed"])
	}
}

// errorParts reads an error as a person sees it.
func errorParts(text string) map[string]string {
	parts := map[string]string{}
	for line := range strings.Lines(text) {
		name, rest, ok := strings.Cut(strings.TrimSpace(line), ":")
		if code, is := strings.CutPrefix(name, "error "); is {
			name, rest = "error", code
		}
		if ok && parts[name] == "" {
			parts[name] = strings.TrimSpace(rest)
		}
	}
	return parts
}

// makeDB makes a SQLite file from a file of statements.
func makeDB(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: makedb FILE STATEMENTS")
	}
	runSQLite(ts, false, []string{args[0], ts.ReadFile(args[1]), "SELECT 1"})
}

// runSQLite runs statements in a SQLite file, which it makes where there is
// none; what the last one returns goes to stdout, quoted as SQL.
func runSQLite(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: sqlite FILE STATEMENT…")
	}
	out := ts.Stdout() // also where nothing comes: stdout is this command's then
	db, err := sql.Open("sqlite", "file:"+filepath.ToSlash(ts.MkAbs(args[0]))+"?_pragma=busy_timeout(10000)")
	ts.Check(err)
	defer func() { ts.Check(db.Close()) }()
	db.SetMaxOpenConns(1)
	last := len(args) - 1
	for _, statement := range args[1:last] {
		_, err := db.Exec(statement) //nolint:noctx // a script's own file
		ts.Check(err)
	}
	rows, err := db.Query(args[last]) //nolint:noctx // a script's own file
	ts.Check(err)
	defer func() { ts.Check(rows.Close()) }()
	columns, err := rows.Columns()
	ts.Check(err)
	for rows.Next() {
		values, to := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			to[i] = &values[i]
		}
		ts.Check(rows.Scan(to...))
		texts := make([]string, len(columns))
		for i, v := range values {
			texts[i] = fmt.Sprintf("%T:%v", v, v)
		}
		_, err := fmt.Fprintln(out, strings.Join(texts, "|"))
		ts.Check(err)
	}
	ts.Check(rows.Err())
}

// expire writes a plan as it would be had it been made two days ago.
func expire(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: expire PLAN OUT")
	}
	lines := strings.SplitN(ts.ReadFile(args[0]), "\n", 3)
	var header recount.PlanHeader
	ts.Check(json.Unmarshal([]byte(lines[1]), &header))
	const days = 48 * time.Hour
	header.Made, header.Expires = header.Made.Add(-days), header.Expires.Add(-days)
	text, err := json.Marshal(header)
	ts.Check(err)
	rest := string(text) + "\n" + lines[2]
	magic, _, _ := strings.Cut(lines[0], "sha256:")
	sum := sha256.Sum256([]byte(rest))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(magic+"sha256:"+hex.EncodeToString(sum[:])+"\n"+rest), 0o600))
}

// spoil changes a file at COUNT places in turn, one byte or all that follows,
// and runs a command on each, which must be refused under the code:
//
//	spoil fix.plan 60 RC2101 recount show spoiled
func spoil(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 4 {
		ts.Fatalf("usage: spoil FILE COUNT CODE COMMAND [ARGUMENT…], whose argument `spoiled` is the spoiled file")
	}
	whole := []byte(ts.ReadFile(args[0]))
	count, err := strconv.Atoi(args[1])
	ts.Check(err)
	rng := rand.New(rand.NewPCG(1, uint64(len(whole)))) //nolint:gosec // the same places each time, but for the length
	for i := range count {
		at := rng.IntN(len(whole))
		bad := bytes.Clone(whole)
		switch {
		case i == 0:
			bad = nil
		case i%4 == 0:
			bad = bad[:at]
		default:
			bad[at] ^= byte(1 << rng.IntN(8)) //nolint:gosec // one bit
		}
		ts.Check(os.WriteFile(ts.MkAbs("spoiled"), bad, 0o600))
		refuses(ts, false, args[2:])
	}
}

// flip changes one bit in the middle of each file that the patterns match.
func flip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: flip PATTERN…")
	}
	for _, pattern := range args {
		names, err := filepath.Glob(ts.MkAbs(pattern))
		ts.Check(err)
		if len(names) == 0 {
			ts.Fatalf("flip: no file matches %s", pattern)
		}
		for _, name := range names {
			text, err := os.ReadFile(name) //nolint:gosec // the script's own file
			ts.Check(err)
			text[len(text)/2] ^= 1
			ts.Check(os.WriteFile(name, text, 0o600))
		}
	}
}

// mountSmall mounts an empty file system of the size on a folder; it is gone with
// the script.
func mountSmall(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: tmpfs FOLDER SIZE")
	}
	dir := ts.MkAbs(args[0])
	ts.Check(exec.Command("mount", "-t", "tmpfs", "-o", "size="+args[1], "recount-test", dir).Run()) //nolint:gosec,noctx // a test's own folder
	ts.Defer(func() { ts.Check(exec.Command("umount", dir).Run()) })                                 //nolint:gosec,noctx // a test's own folder
}

// remount lets a mounted folder be written, or no longer.
func remount(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: remount FOLDER ro|rw")
	}
	ts.Check(exec.Command("mount", "-o", "remount,"+args[1], ts.MkAbs(args[0])).Run()) //nolint:gosec,noctx // a test's own folder
}

// canMount says whether this machine lets a test mount a small file system.
func canMount() bool {
	dir, err := os.MkdirTemp("", "recount-mount-")
	if err != nil {
		return false
	}
	defer func() { _ = os.Remove(dir) }()
	if exec.Command("mount", "-t", "tmpfs", "-o", "size=64k", "recount-test", dir).Run() != nil { //nolint:gosec,noctx // a test's own folder
		return false
	}
	return exec.Command("umount", dir).Run() == nil //nolint:gosec,noctx // a test's own folder
}

// interrupt starts a command, sends it SIGINT once a file matches the pattern,
// and waits for its end: 130, said in four parts.
//
//	interrupt .tmp/recount-*/staged-* recount plan totals …
func interrupt(ts *testscript.TestScript, neg bool, args []string) {
	// On a busy machine a command can end by its own refusal before it hears of
	// the signal: then it is tried again.
	const tries = 5
	for range tries {
		if interruptOnce(ts, neg, args) {
			return
		}
	}
	ts.Fatalf("%v: it ended by itself %d times before it heard of the signal", args[1:], tries)
}

// interruptOnce is false where the command was refused before it heard of the
// signal.
func interruptOnce(ts *testscript.TestScript, neg bool, args []string) bool {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: interrupt PATTERN COMMAND [ARGUMENT…]")
	}
	cmd := exec.Command(args[1], args[2:]...) //nolint:gosec,noctx // as the script says; ended below
	var out, errs bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = ts.MkAbs("."), slices.Clone(environment(ts)), &out, &errs
	ts.Check(cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for asked := false; ; {
		select {
		case err := <-ended:
			var exit *exec.ExitError
			if asked && errors.As(err, &exit) && exit.ExitCode() == recount.ExitRefused {
				return false
			}
			if !asked || !errors.As(err, &exit) || exit.ExitCode() != recount.ExitInterrupted {
				ts.Fatalf("%v: interrupted %v, then %v; want exit 130\n%s%s", args[1:], asked, err, out.String(), errs.String())
			}
			parts := errorParts(errs.String())
			for _, part := range []string{"where", "why", "changed", "next"} {
				if parts[part] == "" {
					ts.Fatalf("the error does not say %q:\n%s", part, errs.String())
				}
			}
			_, err = ts.Stderr().Write(errs.Bytes())
			ts.Check(err)
			return true
		case <-tick.C:
			names, err := filepath.Glob(ts.MkAbs(args[0]))
			ts.Check(err)
			if len(names) > 0 && !asked {
				asked = true
				ts.Check(cmd.Process.Signal(os.Interrupt))
			}
		}
	}
}

func environment(ts *testscript.TestScript) []string {
	var env []string
	for _, name := range []string{"PATH", "TMPDIR", "HOME"} {
		env = append(env, name+"="+ts.Getenv(name))
	}
	return env
}

// nowhere fails if a text stands in any file below the folder, or in what the
// last command printed.
func nowhere(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: nowhere TEXT FOLDER")
	}
	for _, stream := range []string{"stdout", "stderr"} {
		if strings.Contains(ts.ReadFile(stream), args[0]) {
			ts.Fatalf("%s holds %q", stream, args[0])
		}
	}
	ts.Check(filepath.Walk(ts.MkAbs(args[1]), func(name string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		text, err := os.ReadFile(name) //nolint:gosec // the script's own file
		if err == nil && bytes.Contains(text, []byte(args[0])) {
			err = fmt.Errorf("%s holds %q", name, args[0])
		}
		return err
	}))
}

// empty fails if a file matches the pattern.
func empty(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: empty PATTERN")
	}
	names, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	if len(names) > 0 {
		ts.Fatalf("%s: there is %s", args[0], strings.Join(names, ", "))
	}
}

// manyEvents writes a CSV file of COUNT events, ten a second from 2024-06-10
// 12:00 on, over 100 users, or as many as are named.
func manyEvents(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: events COUNT OUT [USERS]")
	}
	count, err := strconv.Atoi(args[0])
	ts.Check(err)
	users := 100
	if len(args) > 2 {
		users, err = strconv.Atoi(args[2])
		ts.Check(err)
	}
	var b bytes.Buffer
	b.WriteString("id,at,user,value\n")
	at := time.Date(2024, 6, 10, 12, 0, 0, 0, time.UTC)
	for i := range count {
		fmt.Fprintf(&b, "e%d,%s,u%d,%d.25\n", i, at.Format(time.RFC3339Nano), i%users, i%7)
		at = at.Add(100 * time.Millisecond)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), b.Bytes(), 0o600))
}
