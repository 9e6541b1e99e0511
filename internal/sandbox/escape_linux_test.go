//go:build amd64 || arm64

package sandbox_test

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"recount/internal/sandbox"
	"recount/internal/sandbox/escape"
)

// counted are the attempts that the kernel tells of, by the kind they count as.
var counted = map[string]string{
	"tcp4": sandbox.BlockedNetwork, "tcp6": sandbox.BlockedNetwork, "udp": sandbox.BlockedNetwork, "dns": sandbox.BlockedNetwork,
	"unix": sandbox.BlockedNetwork, "abstract": sandbox.BlockedNetwork, "raw": sandbox.BlockedNetwork, "packet": sandbox.BlockedNetwork,
	"netlink": sandbox.BlockedNetwork, "vsock": sandbox.BlockedNetwork, "listen": sandbox.BlockedNetwork, "routes": sandbox.BlockedNetwork,
	"file handle": sandbox.BlockedMount, "chroot": sandbox.BlockedMount, "mount": sandbox.BlockedMount,
	"ptrace": sandbox.BlockedTrace, "process_vm_readv": sandbox.BlockedTrace,
	"signal all": sandbox.BlockedSignal,
	"shell":      sandbox.BlockedFork, "fork bomb": sandbox.BlockedFork, "setuid program": sandbox.BlockedFork,
	"become a shell": sandbox.BlockedExec, "loader": sandbox.BlockedExec, "program in reach": sandbox.BlockedExec, "written program": sandbox.BlockedExec,
	"memfd program": sandbox.BlockedMemory, "shared memory": sandbox.BlockedMemory,
	"unshare": sandbox.BlockedNamespace, "setns": sandbox.BlockedNamespace, "keyctl": sandbox.BlockedKeys,
	"bpf": sandbox.BlockedKernel, "perf": sandbox.BlockedKernel, "userfaultfd": sandbox.BlockedKernel, "module": sandbox.BlockedKernel, "kernel ring": sandbox.BlockedKernel,
	"io_uring": sandbox.BlockedRing, "sysv memory": sandbox.BlockedIPC, "queue": sandbox.BlockedIPC,
	"set clock": sandbox.BlockedClock, "set host": sandbox.BlockedHost,
	"endless loop": sandbox.BlockedCPU,
}

// rootOnly are the attempts that need root even where nothing holds them.
var rootOnly = []string{
	"raw", "packet", "file handle", "device", "kernel log", "cgroup", "chroot", "mount", "setns", "bpf", "module", "kernel ring",
	"set clock", "set host", "unshare",
}

// onlyInside are the attempts that would harm the machine of the test.
var onlyInside = []string{"signal all"}

func TestNothingEscapes(t *testing.T) {
	for language, triesOf := range map[string]func(*testing.T) tries{"Go": goTries, "Python": pythonTries} {
		t.Run(language, func(t *testing.T) {
			w, by := newWorld(t), triesOf(t)
			names := slices.Sorted(maps.Keys(escape.Names()))
			blocked := 0
			for _, name := range names {
				if w.holds(t, by, name) {
					blocked++
				}
			}
			t.Logf("%s: %d/%d blocked", by.name, blocked, len(names))
		})
	}
}

// insideVariable makes the attempts in a sandbox alone: that they would succeed
// without one has been shown.
const insideVariable = "RECOUNT_TEST_INSIDE"

// TestNothingEscapesFromAnOrdinaryUser is the same once more, where root runs the
// tests: its sandboxes are made by other rights.
func TestNothingEscapesFromAnOrdinaryUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("the tests are run by an ordinary user")
	}
	const nobody = 65534
	dir, err := os.MkdirTemp("", "recount-nobody-") //nolint:usetesting // a folder that others may enter
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	must(t, os.CopyFS(filepath.Join(dir, "testdata"), os.DirFS("testdata")))
	program := filepath.Join(dir, "program")
	copyProgram(t, program)
	must(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Chown(path, nobody, nobody), os.Chmod(path, 0o755))
	}))
	cmd := exec.CommandContext(t.Context(), program, "-test.run=^TestNothingEscapes$", "-test.v")
	cmd.Dir, cmd.Env = dir, []string{"PATH=/usr/bin:/bin", "TMPDIR=" + dir, insideVariable + "=1"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	said, err := cmd.CombinedOutput()
	for line := range strings.Lines(string(said)) {
		if err != nil || strings.Contains(line, "blocked") {
			t.Log(strings.TrimSpace(line))
		}
	}
	must(t, err)
}

// holds makes an attempt in a sandbox, which must be held, and without one, where
// it must not: else it would tell nothing.
func (w *world) holds(t *testing.T, by tries, name string) (held bool) {
	t.Helper()
	before := w.hits.Load()
	program, err := os.ReadFile(by.program)
	must(t, err)
	got := w.inside(t, by, name)
	held = got.exit.Code != escape.Escaped
	if !held {
		t.Errorf("%s: %s: it escaped", by.name, name)
	}
	if kind := counted[name]; kind != "" && got.exit.Blocked[kind] == 0 {
		t.Errorf("%s: %s: got blocked %v, exit %d %s, want some %q; it said %s", by.name, name, got.exit.Blocked, got.exit.Code, got.exit.Signal, kind, got.errs)
	}
	if hits := w.hits.Load() - before; hits > 0 {
		t.Errorf("%s: %s: listeners were reached %d times", by.name, name, hits)
		held = false
	}
	if text, err := os.ReadFile(w.Victim); err != nil || string(text) != "whole" {
		t.Errorf("%s: %s: the victim's file is %q, %v", by.name, name, text, err)
		held = false
	}
	if text, err := os.ReadFile(by.program); err != nil || string(text) != string(program) {
		t.Errorf("%s: %s: the program was changed", by.name, name)
		held = false
	}
	if err := unix.Kill(w.PID, 0); err != nil {
		t.Errorf("%s: %s: the victim is gone: %v", by.name, name, err)
		held = false
	}
	if os.Getenv(insideVariable) != "" || slices.Contains(onlyInside, name) || os.Geteuid() != 0 && slices.Contains(rootOnly, name) {
		return held
	}
	code, said := w.beside(t, by, name)
	if strings.Contains(said, "not implemented") {
		t.Logf("%s: %s: this kernel has nothing of it", by.name, name)
	} else if code != escape.Escaped {
		t.Errorf("%s: %s: without a sandbox it ends with %d, so that it shows nothing; it said %s", by.name, name, code, said)
	}
	must(t, os.WriteFile(w.Victim, []byte("whole"), 0o644))
	must(t, os.RemoveAll(by.program))
	must(t, os.WriteFile(by.program, program, 0o755))
	return held
}
