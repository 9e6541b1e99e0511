//go:build amd64 || arm64

package sandbox

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"recount"
)

// keeper is the parent's side of a running builder.
type keeper struct {
	cmd     *exec.Cmd
	control *net.UnixConn
	name    string // what runs, for messages
	spec    Spec

	started chan error    // gets one, when the process runs or cannot
	gone    chan struct{} // closed when the builder has been waited for
	ended   chan struct{} // closed when all is known of the end
	exit    Exit
	cpu     time.Duration // that the process has used
	told    bool          // the builder said how the process ended
	warden  *warden
	watched chan struct{} // closed when the warden has ended; nil: there is none
	err     error
}

func start(ctx context.Context, s Spec) (*Process, error) {
	if os.Getenv(builderMark) != "" {
		return nil, errForgotten()
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := missing(); err != nil {
		return nil, err
	}
	c, err := newCell(s)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", s.Command[0], err)
	}
	k := &keeper{name: s.Command[0], spec: s, started: make(chan error, 1), gone: make(chan struct{}), ended: make(chan struct{})}
	in, out, err := k.launch(text)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, k.kill)
	if err := <-k.started; err != nil {
		stop()
		<-k.ended
		_, _ = in.Close(), out.Close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, err
	}
	wait := sync.OnceValues(func() (Exit, error) {
		<-k.ended
		stop()
		return k.exit, k.err
	})
	return &Process{Stdin: in, Stdout: out, kill: k.kill, wait: wait}, nil
}

// pipes are the process's streams, and what else the builder finds open.
type pipes struct {
	stdin, stdout, cell *os.File // the parent's ends
	theirs              []*os.File
}

func (p *pipes) close() {
	for _, f := range append(p.theirs, p.stdin, p.stdout, p.cell) {
		if f != nil {
			_ = f.Close()
		}
	}
}

// launch starts the builder and hands it the cell.
func (k *keeper) launch(text []byte) (*os.File, *os.File, error) {
	p := &pipes{}
	ours, err := k.connect(p)
	if err != nil {
		p.close()
		return nil, nil, fmt.Errorf("start %s: %w", k.name, err)
	}
	k.control = ours
	k.prepare(p)
	running := make(chan error)
	go k.run(running)
	if err := <-running; err != nil {
		p.close()
		_ = ours.Close()
		return nil, nil, k.cannotStart(err)
	}
	for _, f := range p.theirs {
		_ = f.Close()
	}
	go func() {
		_, _ = p.cell.Write(text) // a builder that is gone says so itself
		_ = p.cell.Close()
	}()
	go k.listen()
	return p.stdin, p.stdout, nil
}

// connect makes the streams and the control connection.
func (k *keeper) connect(p *pipes) (*net.UnixConn, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	theirs, mine := os.NewFile(uintptr(pair[0]), "control"), os.NewFile(uintptr(pair[1]), "control")
	defer mine.Close() //nolint:errcheck // it was copied
	p.theirs = []*os.File{nil, nil, nil, theirs}
	for i, to := range []struct {
		file  **os.File
		write bool
	}{{&p.stdin, true}, {&p.stdout, false}, {&p.cell, true}} {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		if to.write {
			*to.file, p.theirs[i] = w, r
		} else {
			*to.file, p.theirs[i] = r, w
		}
	}
	conn, err := net.FileConn(mine)
	if err != nil {
		return nil, err
	}
	return conn.(*net.UnixConn), nil
}

// prepare says how the builder is started: in namespaces of its own, where it may
// build its cell.
func (k *keeper) prepare(p *pipes) {
	k.cmd = exec.Command("/proc/self/exe", builderArg) //nolint:noctx // its life is watched by Start
	k.cmd.Args[0] = os.Args[0]
	// Its garbage is not collected: it lives for one start, and most of what it makes
	// is what the packages of a large program make before main.
	k.cmd.Env = []string{builderMark + "=1", "GOTRACEBACK=none", "GOMAXPROCS=1", "GOGC=off"}
	// Where the loader finds libraries is no secret, and the builder needs it.
	if libraries := os.Getenv("LD_LIBRARY_PATH"); libraries != "" {
		k.cmd.Env = append(k.cmd.Env, "LD_LIBRARY_PATH="+libraries)
	}
	k.cmd.Dir = "/"
	k.cmd.Stdin, k.cmd.Stdout, k.cmd.Stderr = p.theirs[0], p.theirs[1], k.spec.Stderr
	k.cmd.ExtraFiles = []*os.File{p.theirs[2], p.theirs[3]}
	flags := uintptr(unix.CLONE_NEWUSER | unix.CLONE_NEWNS)
	for l, flag := range map[layer]uintptr{
		layerNet: unix.CLONE_NEWNET, layerPID: unix.CLONE_NEWPID, layerIPC: unix.CLONE_NEWIPC, layerUTS: unix.CLONE_NEWUTS,
	} {
		if k.spec.has(l) {
			flags |= flag
		}
	}
	k.cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: flags, Pdeathsig: syscall.SIGKILL, Setsid: k.spec.has(layerSession), AmbientCaps: builderCaps,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: uidInside, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: uidInside, HostID: os.Getegid(), Size: 1}},
	}
}

// run starts the builder and waits for its end, on one thread: the kernel kills the
// builder when the thread that started it is gone.
func (k *keeper) run(running chan<- error) {
	defer close(k.gone)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := k.cmd.Start()
	running <- err
	if err != nil {
		return
	}
	_ = k.cmd.Wait()
}

// cannotStart says why there is no builder.
func (k *keeper) cannotStart(err error) error {
	switch {
	case errors.Is(err, unix.ENOSPC):
		return refused("this machine allows no more user namespaces (sysctl user.max_user_namespaces)")
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return refused("this machine lets nobody make a user namespace: " + err.Error())
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS):
		return refused("this kernel lacks user, pid, mount, network, ipc or uts namespaces: " + err.Error())
	}
	return fmt.Errorf("start %s: %w", k.name, err)
}

// listen hears what the builder says until it is gone.
func (k *keeper) listen() {
	defer close(k.ended)
	defer k.control.Close() //nolint:errcheck // nothing more is said
	greeted, running := false, false
	message, rights := make([]byte, 64<<10), make([]byte, 64)
	for {
		n, r, _, _, err := k.control.ReadMsgUnix(message, rights)
		if err != nil || n == 0 {
			break
		}
		switch rest := message[1:n]; message[0] {
		case saidHello:
			greeted = true
		case saidFilter:
			k.supervise(rights[:r])
		case saidFailed:
			running = true
			k.started <- k.failure(rest)
		case saidStarted:
			running = true
			k.started <- nil
		case saidEnded:
			k.told = k.set(rest)
		}
	}
	k.finish(greeted, running)
}

// finish waits for the builder's end, which has closed the connection.
func (k *keeper) finish(greeted, running bool) {
	k.kill()
	<-k.gone
	if k.watched != nil {
		<-k.watched
	}
	switch {
	case running && !k.told:
		k.exit = Exit{Code: -1, Signal: syscall.SIGKILL.String()}
	case running:
	case !greeted:
		k.started <- errForgotten()
	default:
		k.started <- fmt.Errorf("start %s: its builder ended: %s", k.name, k.cmd.ProcessState)
	}
	k.count()
}

// count adds up what was refused.
func (k *keeper) count() {
	k.exit.Blocked = map[string]int64{}
	if k.warden != nil {
		maps.Copy(k.exit.Blocked, k.warden.blocked)
	}
	switch {
	case k.exit.Signal == unix.SIGXCPU.String(), k.exit.Signal != "" && k.spec.CPU > 0 && k.cpu >= k.spec.CPU:
		k.exit.Blocked[BlockedCPU]++
	case k.exit.Signal == unix.SIGXFSZ.String():
		k.exit.Blocked[BlockedFile]++
	}
}

func (k *keeper) kill() { _ = k.cmd.Process.Kill() }

// failure is what the builder could not do, for a person.
func (k *keeper) failure(text []byte) error {
	var f failed
	if err := json.Unmarshal(text, &f); err != nil {
		return fmt.Errorf("start %s: read what its builder said: %w", k.name, err)
	}
	if f.Start {
		return fmt.Errorf("start %s: %s", k.name, f.Why)
	}
	return refused(f.Step + ": " + f.Why + k.hint())
}

// hint says what is known to take the rights of a user namespace away.
func (k *keeper) hint() string {
	const setting = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns"
	if on, err := os.ReadFile(setting); err == nil && len(on) > 0 && on[0] == '1' && os.Geteuid() != 0 {
		return "; this system gives user namespaces no rights (sysctl kernel.apparmor_restrict_unprivileged_userns)"
	}
	return ""
}

// set reads an outcome.
func (k *keeper) set(text []byte) bool {
	var o outcome
	if _, err := binary.Decode(text, binary.NativeEndian, &o); err != nil {
		return false
	}
	status := syscall.WaitStatus(o.Status)
	k.exit.Code, k.exit.PeakMiB = status.ExitStatus(), int(o.PeakKiB>>10)
	k.cpu = time.Duration(o.CPU) * time.Microsecond
	if status.Signaled() {
		k.exit.Code, k.exit.Signal = -1, status.Signal().String()
	}
	return true
}

func errForgotten() error {
	return &recount.Error{
		Code: recount.CodeSandbox, What: "the sandbox cannot start",
		Why:  "this program does not call sandbox.Child first of all in main, or in TestMain",
		Next: "call it there: a sandbox is built by a second process of the same program",
	}
}
