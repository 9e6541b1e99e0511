//go:build amd64 || arm64

package sandbox_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"recount/internal/sandbox"
	"recount/internal/sandbox/escape"
)

// world is what lies outside of sandboxes in a test, and sees who reached it.
type world struct {
	escape.Outside
	hits   atomic.Int64 // what listeners were sent
	victim *exec.Cmd
}

const tokenName = "RECOUNT_ESCAPE_TOKEN"

func newWorld(t *testing.T) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{}
	w.Token = "token-of-the-outside"
	t.Setenv(tokenName, w.Token)
	w.Secret, w.Victim = filepath.Join(dir, "secret"), filepath.Join(dir, "victim")
	w.Read = filepath.Join(dir, "read")
	w.Threads = 4096
	w.Host, _ = os.Hostname()
	must(t, os.WriteFile(w.Secret, []byte(w.Token), 0o644))
	must(t, os.WriteFile(w.Victim, []byte("whole"), 0o644))
	must(t, os.Mkdir(w.Read, 0o755))
	copyProgram(t, filepath.Join(w.Read, "program"))
	w.listen(t, dir)
	w.share(t)
	w.victim = exec.CommandContext(t.Context(), filepath.Join(w.Read, "program"), escape.SleepArg)
	must(t, w.victim.Start())
	t.Cleanup(func() { _ = w.victim.Process.Kill(); _ = w.victim.Wait() })
	w.PID = w.victim.Process.Pid
	// A descriptor that a careless parent leaves to all its children.
	fd, err := unix.Open(w.Secret, unix.O_RDONLY, 0)
	must(t, err)
	t.Cleanup(func() { _ = unix.Close(fd) })
	w.Numbers = map[string]uint32{
		"inotify_init1": unix.SYS_INOTIFY_INIT1, "inotify_add_watch": unix.SYS_INOTIFY_ADD_WATCH, "ptrace": unix.SYS_PTRACE,
		"process_vm_readv": unix.SYS_PROCESS_VM_READV, "pidfd_open": unix.SYS_PIDFD_OPEN, "pidfd_getfd": unix.SYS_PIDFD_GETFD,
		"mount": unix.SYS_MOUNT, "umount2": unix.SYS_UMOUNT2, "setns": unix.SYS_SETNS, "unshare": unix.SYS_UNSHARE,
		"mq_open": unix.SYS_MQ_OPEN, "mq_unlink": unix.SYS_MQ_UNLINK, "perf_event_open": unix.SYS_PERF_EVENT_OPEN, "bpf": unix.SYS_BPF,
		"add_key": unix.SYS_ADD_KEY, "io_uring_setup": unix.SYS_IO_URING_SETUP, "userfaultfd": unix.SYS_USERFAULTFD,
		"finit_module": unix.SYS_FINIT_MODULE, "syslog": unix.SYS_SYSLOG, "settimeofday": unix.SYS_SETTIMEOFDAY,
		"name_to_handle_at": unix.SYS_NAME_TO_HANDLE_AT, "open_by_handle_at": unix.SYS_OPEN_BY_HANDLE_AT,
	}
	return w
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func copyProgram(t *testing.T, to string) {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	text, err := os.ReadFile(self)
	must(t, err)
	must(t, os.WriteFile(to, text, 0o755))
}

// listen opens everything that a process may try to reach.
func (w *world) listen(t *testing.T, dir string) {
	t.Helper()
	count := func(l net.Listener) {
		t.Cleanup(func() { _ = l.Close() })
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				w.hits.Add(1)
				_ = conn.Close()
			}
		}()
	}
	w.Unix, w.Abstract = filepath.Join(dir, "socket"), "recount-escape-"+filepath.Base(filepath.Dir(dir))
	for _, l := range []struct {
		network, address string
		to               *string
	}{{"tcp4", "127.0.0.1:0", &w.TCP4}, {"tcp6", "[::1]:0", &w.TCP6}, {"unix", w.Unix, nil}, {"unix", "@" + w.Abstract, nil}} {
		at, err := (&net.ListenConfig{}).Listen(t.Context(), l.network, l.address)
		if err != nil && l.network == "tcp6" {
			w.TCP6 = "[::1]:9" // this machine has none
			continue
		}
		must(t, err)
		if l.to != nil {
			*l.to = at.Addr().String()
		}
		count(at)
	}
	udp, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp4", "127.0.0.1:0")
	must(t, err)
	w.UDP = udp.LocalAddr().String()
	t.Cleanup(func() { _ = udp.Close() })
	go func() {
		for {
			if _, _, err := udp.ReadFrom(make([]byte, 512)); err != nil {
				return
			}
			w.hits.Add(1)
		}
	}()
}

// share makes memory that any process of the user can attach.
func (w *world) share(t *testing.T) {
	t.Helper()
	id, err := unix.SysvShmGet(unix.IPC_PRIVATE, 4096, unix.IPC_CREAT|0o600)
	must(t, err)
	t.Cleanup(func() { _, _ = unix.SysvShmCtl(id, unix.IPC_RMID, nil) })
	memory, err := unix.SysvShmAttach(id, 0, 0)
	must(t, err)
	copy(memory, w.Token)
	must(t, unix.SysvShmDetach(memory))
	w.ShmID = id
}

// tries is a language in which attempts are written.
type tries struct {
	name    string
	program string   // may be replaced by an attempt
	command []string // before the attempt's name
	read    []string
}

// goTries runs the test binary itself, a copy.
func goTries(t *testing.T) tries {
	t.Helper()
	program := filepath.Join(t.TempDir(), "program")
	copyProgram(t, program)
	return tries{"Go", program, []string{program, attemptArg}, nil}
}

// pythonTries runs testdata/escape.py, a copy.
func pythonTries(t *testing.T) tries {
	t.Helper()
	python, err := exec.LookPath("/usr/bin/python3")
	if err != nil {
		t.Skip("there is no /usr/bin/python3")
	}
	text, err := os.ReadFile(filepath.Join("testdata", "escape.py"))
	must(t, err)
	program := filepath.Join(t.TempDir(), "escape.py")
	must(t, os.WriteFile(program, text, 0o755))
	return tries{"Python", program, []string{python, "-B", program}, []string{program}}
}

// command returns the command of an attempt in a folder.
func (w *world) command(t *testing.T, by tries, name, dir string) []string {
	t.Helper()
	o := w.Outside
	o.Dir, o.Program = dir, by.program
	text, err := json.Marshal(o)
	must(t, err)
	return append(slices.Clip(by.command), name, string(text))
}

// inside makes an attempt in a sandbox and returns how it ended.
func (w *world) inside(t *testing.T, by tries, name string, without ...string) ran {
	t.Helper()
	dir := t.TempDir()
	s := sandbox.Spec{
		Command: w.command(t, by, name, dir), Dir: dir, Read: append([]string{w.Read}, by.read...),
		MemoryMiB: 400, FileMiB: 8, CPU: time.Second, Clock: time.Date(2024, 6, 10, 12, 0, 0, 0, time.UTC),
	}
	return run(t, s.Without(without...), "")
}

// beside makes an attempt as an ordinary child and returns its exit code.
func (w *world) beside(t *testing.T, by tries, name string) (int, string) {
	t.Helper()
	args := w.command(t, by, name, t.TempDir())
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	var said bytes.Buffer
	cmd.Stderr, cmd.Stdout = &said, io.Discard
	_ = cmd.Run()
	return cmd.ProcessState.ExitCode(), said.String()
}
