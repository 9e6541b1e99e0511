//go:build amd64 || arm64

package sandbox_test

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"recount"
	"recount/internal/sandbox"
	"recount/internal/sandbox/escape"
)

// chances are programs that print what a replay must own, each by a command.
var chances = map[string][]string{
	"go": nil, // this program
	"python": {"/usr/bin/python3", "-c", `import os, random, socket, time, uuid
print(time.time_ns(), time.localtime(), os.urandom(16), random.random(), hash("text"), uuid.uuid4(), set("abcdef"), os.getpid(), os.getuid(), socket.gethostname(), open("/dev/urandom", "rb").read(8))`},
	"node":  {"node", "-e", `console.log(Date.now(), Math.random(), process.pid, require("os").hostname())`},
	"shell": {"cat", "/dev/random"},
}

func TestClockAndChanceAreTheReplays(t *testing.T) {
	self, err := os.Executable()
	must(t, err)
	chances["go"] = []string{self, escape.ChanceArg}
	for name, command := range chances {
		t.Run(name, func(t *testing.T) {
			if _, err := exec.LookPath(command[0]); err != nil {
				t.Skip("there is no " + command[0])
			}
			said := func(at time.Time, seed uint64) string {
				got := run(t, sandbox.Spec{Command: command, Clock: at, Seed: seed, FileMiB: 64}, "")
				if got.exit.Code != 0 {
					t.Fatalf("got %+v", got)
				}
				return got.out
			}
			at := time.Date(2024, 6, 10, 12, 0, 0, 0, time.UTC)
			first := said(at, 7)
			if again := said(at, 7); again != first {
				t.Errorf("twice the same:\n%.300s\n%.300s", first, again)
			}
			if other := said(at, 8); other == first {
				t.Errorf("another seed gives the same:\n%.300s", other)
			}
			if name == "shell" {
				return
			}
			if other := said(at.Add(time.Hour), 7); other == first {
				t.Errorf("another clock gives the same:\n%.300s", other)
			}
		})
	}
}

func TestAContextThatEndsEndsAll(t *testing.T) {
	self, err := os.Executable()
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	p, err := sandbox.Start(ctx, sandbox.Spec{Command: []string{self, escape.FamilyArg}, Dir: t.TempDir(), Processes: 4})
	must(t, err)
	begun := make([]byte, 6) // the child says it when it runs
	if _, err := io.ReadFull(p.Stdout, begun); err != nil {
		t.Fatal(err)
	}
	cancel()
	// The child holds the stream open until it ends too.
	if _, err := io.ReadAll(p.Stdout); err != nil {
		t.Error(err)
	}
	if exit, err := p.Wait(); err != nil || exit.Signal != unix.SIGKILL.String() {
		t.Errorf("got %+v, %v, want it killed", exit, err)
	}
	p.Kill() // twice does no harm
}

func TestOutputWaitsForItsReader(t *testing.T) {
	p, err := sandbox.Start(t.Context(), sandbox.Spec{Command: []string{"cat", "/dev/zero"}, Dir: t.TempDir()})
	must(t, err)
	if _, err := io.CopyN(io.Discard, p.Stdout, 8<<20); err != nil {
		t.Fatal(err)
	}
	p.Kill()
	if exit, err := p.Wait(); err != nil || exit.Code == 0 {
		t.Errorf("got %+v, %v, want it killed", exit, err)
	}
}

func TestScriptsRunByTheirInterpreter(t *testing.T) {
	dir := t.TempDir()
	for name, first := range map[string]string{"plain": "#!/usr/bin/python3", "env": "#!/usr/bin/env python3", "flags": "#!/usr/bin/env -S python3 -B"} {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, []byte(first+"\nimport sys; print(sys.argv[1:])\n"), 0o755))
		got := run(t, sandbox.Spec{Command: []string{path, "an argument"}}, "")
		if got.out != "['an argument']\n" || len(got.exit.Blocked) > 0 {
			t.Errorf("%s: got %+v", first, got)
		}
	}
}

func TestAVirtualEnvironmentIsSeen(t *testing.T) {
	dir := t.TempDir()
	if text, err := exec.CommandContext(t.Context(), "/usr/bin/python3", "-m", "venv", "--without-pip", dir).CombinedOutput(); err != nil {
		t.Skipf("no virtual environment can be made: %s", text)
	}
	packages, err := filepath.Glob(filepath.Join(dir, "lib", "python3*", "site-packages"))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(packages[0], "installed.py"), []byte("answer = 42\n"), 0o644))
	got := run(t, sandbox.Spec{Command: []string{filepath.Join(dir, "bin", "python"), "-c", "import installed; print(installed.answer)"}}, "")
	if got.out != "42\n" {
		t.Errorf("got %+v", got)
	}
}

func TestWhatItMayReadAndWrite(t *testing.T) {
	dir, read, more := t.TempDir(), t.TempDir(), t.TempDir()
	must(t, os.WriteFile(filepath.Join(read, "in"), []byte("read"), 0o644))
	got := run(t, sandbox.Spec{Command: []string{"/usr/bin/python3", "-c", `
import sys
text = open(sys.argv[1] + "/in").read()
for folder in sys.argv[2:]:
    open(folder + "/out", "w").write(text)
try:
    open(sys.argv[1] + "/in", "w")
except OSError:
    print("held")
`, read, dir, more}, Dir: dir, Read: []string{read}, Write: []string{more}}, "")
	if got.out != "held\n" {
		t.Errorf("got %+v", got)
	}
	for _, folder := range []string{dir, more} {
		if text, err := os.ReadFile(filepath.Join(folder, "out")); err != nil || string(text) != "read" {
			t.Errorf("%s: got %q, %v", folder, text, err)
		}
	}
}

func TestWhatCannotStartSaysWhy(t *testing.T) {
	for name, c := range map[string]struct {
		spec sandbox.Spec
		want string
	}{
		"no program": {sandbox.Spec{Command: []string{"recount-no-such-program"}}, "not found"},
		"no command": {sandbox.Spec{}, "command is empty"},
		"no folder":  {sandbox.Spec{Command: []string{"cat"}, Read: []string{"/recount/no/such/folder"}}, "/recount/no/such/folder"},
		"everything": {sandbox.Spec{Command: []string{"cat"}, Read: []string{"/"}}, "the whole machine"},
		"no ELF":     {sandbox.Spec{Command: []string{"/etc/passwd"}}, "/etc/passwd"},
	} {
		c.spec.Dir = t.TempDir()
		_, err := sandbox.Start(t.Context(), c.spec)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want it to say %q", name, err, c.want)
		}
	}
}

func TestABuilderStartsNoBuilder(t *testing.T) {
	t.Setenv("RECOUNT_SANDBOX_BUILDER", "1")
	_, err := sandbox.Start(t.Context(), sandbox.Spec{Command: []string{"cat"}, Dir: t.TempDir()})
	var known *recount.Error
	if !errors.As(err, &known) || known.Code != recount.CodeSandbox || !strings.Contains(known.Why, "sandbox.Child") {
		t.Errorf("got %v, want %s that names sandbox.Child", err, recount.CodeSandbox)
	}
}
