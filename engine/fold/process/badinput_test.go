package process_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"recount"
	"recount/engine/fold/run"
)

var numberFields = []recount.Field{
	{Name: "user_id", Type: recount.Type{Kind: recount.KindString}},
	{Name: "value", Type: recount.Type{Kind: recount.KindInt64}},
}

func hostile(t *testing.T, mode string) *project {
	t.Helper()
	text, err := os.ReadFile("testdata/hostile.py")
	if err != nil {
		t.Fatal(err)
	}
	p := newProject(t, python(t), string(text), numberFields, "user_id")
	w := p.logic.Worker
	w.Files = []string{"worker.py"}
	w.Command = append(w.Command, mode)
	p.logic.Digest += mode
	p.events(order(1, "a", "1"), order(2, "b", "2"), order(3, "b", "13"), order(4, "b", "4"), order(5, "c", "5"))
	return p
}

// TestWorkersThatGoWrong holds that whatever a worker does is told in four parts
// with its last words, and that nothing waits for ever.
func TestWorkersThatGoWrong(t *testing.T) {
	const timeout = 5 * time.Second
	for mode, c := range map[string]struct {
		code recount.Code
		says string
		slow bool // it ends by its timeout
	}{
		"never reads":   {recount.CodeWorker, "longer than", true},
		"silent":        {recount.CodeWorker, "longer than", true},
		"stray first":   {recount.CodeWorkerAnswer, "it wrote: starting up", false},
		"endless first": {recount.CodeWorkerAnswer, "it wrote: xxxx", false},
		"version":       {recount.CodeWorkerAnswer, "version 2 of the protocol", false},
		"format":        {recount.CodeWorkerAnswer, `its format is "xml"`, false},
		"no columns":    {recount.CodeWorkerAnswer, "names no columns", false},
		"type":          {recount.CodeWorkerAnswer, `unknown type "money"`, false},
		"twice":         {recount.CodeWorkerAnswer, `the column "user_id" twice`, false},
		"reserved":      {recount.CodeWorkerAnswer, `"recount_state" cannot have that name`, false},
		"reads":         {recount.CodeWorkerAnswer, `it reads "velue"`, false},
		"failed":        {recount.CodeWorkerAnswer, "it says: no licence", false},
		"exits first":   {recount.CodeWorker, "exit code 3", false},
		"stray":         {recount.CodeWorkerAnswer, "it wrote: value is", false},
		"binary":        {recount.CodeWorkerAnswer, "it wrote: ", false},
		"column":        {recount.CodeWorkerAnswer, `the column "totl", which its first line does not name`, false},
		"lacks":         {recount.CodeWorkerAnswer, `lacks the column "total"`, false},
		"text":          {recount.CodeWorkerAnswer, `column total: "four" is no int64`, false},
		"float":         {recount.CodeWorkerAnswer, `column total: "1.5" is no int64`, false},
		"bool":          {recount.CodeWorkerAnswer, "column user_id: true is no string", false},
		"list":          {recount.CodeWorkerAnswer, "column user_id: [", false},
		"number":        {recount.CodeWorkerAnswer, "column user_id: 5 is no string", false},
		"no object":     {recount.CodeWorkerAnswer, "its row is no object", false},
		"doubled":       {recount.CodeWorkerAnswer, `the column "total" twice`, false},
		"long":          {recount.CodeWorkerAnswer, "a line of more than 16 MiB", false},
		"huge":          {recount.CodeWorkerAnswer, "more than 512 MiB", false},
		"effect":        {recount.CodeWorkerAnswer, "its effect is not", false},
		"effect seq":    {recount.CodeWorkerAnswer, "an effect names the event 99", false},
		"other group":   {recount.CodeWorkerAnswer, "out of order", false},
		"other word":    {recount.CodeWorkerAnswer, "out of order", false},
		"answers twice": {recount.CodeWorkerAnswer, "out of order", false},
		"unknown word":  {recount.CodeWorkerAnswer, "it wrote: {\"rows\"", false},
	} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			p := hostile(t, mode)
			if c.slow {
				p.logic.Worker.Timeout = timeout
			}
			_, _, err := p.run(1)
			e := wantError(t, err, c.code, c.says)
			if e.Where == "" || !strings.Contains(e.Where, "worker.py") {
				t.Errorf("where: got %q, want the command", e.Where)
			}
			if !strings.Contains(e.Why, "first words\nlast words") {
				t.Errorf("why: got %q, want the worker's last words without control characters", e.Why)
			}
		})
	}
}

func wantError(t *testing.T, err error, code recount.Code, says string) *recount.Error {
	t.Helper()
	if err == nil {
		t.Fatalf("got no error, want %s", code)
	}
	e := recount.AsError(err)
	if e.Code != code || !strings.Contains(e.Why, says) {
		t.Fatalf("error: got %s %q: %s, want %s with %q", e.Code, e.What, e.Why, code, says)
	}
	if e.What == "" || e.Next == "" {
		t.Errorf("the error lacks a part: %+v", e)
	}
	return e
}

// TestWorkersThatDieAtEveryEvent holds that a worker which no event survives ends
// the run, and does not cost each key.
func TestWorkersThatDieAtEveryEvent(t *testing.T) {
	for _, mode := range []string{"exit 0", "exit 7", "killed", "leaks", "closes", "half"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			p := hostile(t, mode)
			p.logic.Worker.MemoryMiB = 256
			_, _, err := p.run(1, func(s *run.Spec) { s.MaxPoisoned = 2 })
			e := recount.AsError(err)
			if err == nil || e.Code != recount.CodePoison && e.Code != recount.CodeWorker {
				t.Fatalf("error: got %v, want one of code %s or %s", err, recount.CodePoison, recount.CodeWorker)
			}
			if e.What == "" || e.Why == "" || e.Next == "" {
				t.Errorf("the error lacks a part: %+v", e)
			}
		})
	}
}

// TestOneEventThatEndsTheWorker holds that it costs its key, and that all others
// have their rows.
func TestOneEventThatEndsTheWorker(t *testing.T) {
	for _, mode := range []string{"dies at 13", "hangs at 13", "says 13"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			p := hostile(t, mode)
			if mode == "hangs at 13" {
				p.logic.Worker.Timeout = 5 * time.Second
			}
			rows, r, err := p.run(1)
			if err != nil {
				t.Fatal(err)
			}
			want(t, rows, "a|1", "c|5")
			if len(r.Poisoned) != 1 || r.Poisoned[0].Seq != 3 || r.Poisoned[0].Key[0].Text != "b" || r.Poisoned[0].Why == "" {
				t.Errorf("poisoned: got %+v, want event 3 of key b", r.Poisoned)
			}
		})
	}
}

// TestKeysThatCannotBe holds that a key twice and a NULL in it are found.
func TestKeysThatCannotBe(t *testing.T) {
	for _, mode := range []string{"null key", "same key"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			_, _, err := hostile(t, mode).run(1)
			if e := recount.AsError(err); err == nil || e.Code != recount.CodeResultKey {
				t.Errorf("error: got %v, want one of code %s", err, recount.CodeResultKey)
			}
		})
	}
}

// TestProgramsThatCannotBeStarted holds what is said of a command.
func TestProgramsThatCannotBeStarted(t *testing.T) {
	for name, c := range map[string]struct {
		command []string
		says    string
	}{
		"not found":      {[]string{"no-such-program-at-all", "worker.py"}, "there is no program"},
		"no such path":   {[]string{"bin/worker"}, "no such file"},
		"not executable": {[]string{"./worker.py"}, "it is not executable"},
		"a folder":       {[]string{"./recount"}, "it is a folder"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProject(t, python(t), "", numberFields, "user_id")
			p.logic.Worker.Command = c.command
			_, err := p.describe()
			_ = wantError(t, err, recount.CodeWorker, c.says)
		})
	}
	t.Run("not a program", func(t *testing.T) {
		p := newProject(t, python(t), "", numberFields, "user_id")
		p.write("odd", "no program at all")
		if err := os.Chmod(p.dir+"/odd", 0o700); err != nil { //nolint:gosec // it must be executable
			t.Fatal(err)
		}
		p.logic.Worker.Command, p.logic.Worker.Files = []string{"./odd"}, []string{"odd"}
		_, err := p.describe()
		if e := recount.AsError(err); err == nil || e.Code == recount.CodeInternal || e.Next == "" {
			t.Errorf("error: got %v, want one for a person", err)
		}
	})
}
