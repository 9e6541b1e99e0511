//go:build amd64 || arm64

package sandbox

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	builderArg = "__sandbox"
	// builderMark stands in the builder's environment alone. A program that has it
	// starts no builder of its own, so that one which forgets to call Child does not
	// start itself without end.
	builderMark = "RECOUNT_SANDBOX_BUILDER"
	// What the builder finds open, besides the process's own three streams.
	cellFD    = 3
	controlFD = 4
)

// What the builder says to the parent, each a message: one letter, then its rest.
const (
	saidHello   = 'h'
	saidFailed  = 'f' // a failed
	saidStarted = 's'
	saidEnded   = 'e' // an outcome
	saidFilter  = 'n' // with the descriptor that its filter asks
)

// failed is why the process was not started.
type failed struct {
	Step  string
	Why   string
	Start bool // the sandbox stands, but the program does not start
}

// outcome is how the process ended. CPU is in microseconds.
type outcome struct{ Status, PeakKiB, CPU uint64 }

// Child runs the builder if args, without the program's name, ask for it. A program
// that starts processes in a sandbox calls it first of all in main and, if it was
// handled, exits with the code.
func Child(args ...string) (handled bool, exit int) {
	if len(args) == 1 && args[0] == probeArg {
		return true, 0
	}
	if len(args) != 1 || args[0] != builderArg || os.Getenv(builderMark) == "" {
		return false, 0
	}
	if err := build(); err != nil {
		return true, 1
	}
	return true, 0
}

// build builds the cell, starts the process in it, and stays as the first process
// of its namespace: when it ends, all do.
func build() error {
	// What is taken away is taken from this thread, of which the process is a copy.
	runtime.LockOSThread()
	unix.CloseOnExec(cellFD)
	unix.CloseOnExec(controlFD)
	if err := say(saidHello, nil); err != nil {
		return err
	}
	var c cell
	if err := json.NewDecoder(os.NewFile(cellFD, "cell")).Decode(&c); err != nil {
		return fail(&stepError{"read the cell", err}, false)
	}
	pid, err := c.start()
	if err != nil {
		var atExec *execError
		return fail(err, errors.As(err, &atExec))
	}
	if err := say(saidStarted, nil); err != nil {
		return err
	}
	go func() { // a parent that is gone has closed the other end
		_, _ = unix.Read(controlFD, make([]byte, 1))
		unix.Exit(1)
	}()
	return reap(pid)
}

func say(what byte, rest []byte) error {
	_, err := unix.Write(controlFD, append([]byte{what}, rest...))
	return err
}

func fail(err error, start bool) error {
	f := failed{Why: err.Error(), Start: start}
	if at, ok := errors.AsType[*stepError](err); ok {
		f.Step, f.Why = at.step, at.err.Error()
	}
	text, _ := json.Marshal(f) //nolint:errchkjson // texts
	return errors.Join(err, say(saidFailed, text))
}

// start builds the cell and starts the process.
func (c *cell) start() (int, error) {
	if c.has(layerUTS) {
		if err := unix.Sethostname([]byte(c.Host)); err != nil {
			return 0, step(err, "set the host's name")
		}
		if err := unix.Setdomainname([]byte("(none)")); err != nil {
			return 0, step(err, "set the domain's name")
		}
	}
	if err := c.limitProcessors(); err != nil {
		return 0, err
	}
	if c.has(layerMount) {
		if err := c.buildRoot(); err != nil {
			return 0, err
		}
	}
	if c.has(layerCaps) {
		if err := boundCapabilities(); err != nil {
			return 0, err
		}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return 0, step(err, "gain no privileges")
	}
	if c.has(layerLandlock) {
		if err := c.lock(); err != nil {
			return 0, err
		}
	}
	return c.execute()
}

// limitProcessors lets the process see the first of the machine's processors
// alone. This thread is bound to them, and the process is a copy of it.
func (c *cell) limitProcessors() error {
	if c.Processors <= 0 {
		return nil
	}
	var all, some unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return step(err, "see its processors")
	}
	const most = 1024 // of a CPUSet
	for n := 0; n < most && some.Count() < c.Processors; n++ {
		if all.IsSet(n) {
			some.Set(n)
		}
	}
	return step(unix.SchedSetaffinity(0, &some), "bound its processors")
}

// execError is the program's own failure to start.
type execError struct{ err error }

func (e *execError) Error() string { return e.err.Error() }
func (e *execError) Unwrap() error { return e.err }

// execute forks and becomes the program in the child.
func (c *cell) execute() (int, error) {
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		return 0, step(err, "make a pipe")
	}
	calls, err := c.calls(ends[1])
	if err != nil {
		return 0, err
	}
	number := 0
	if c.has(layerPID) {
		number = c.PID
	}
	pid, err := fork(calls, ends[1], number)
	if err != nil {
		return 0, step(err, "fork")
	}
	if c.has(layerCaps) {
		if err := dropCapabilities(); err != nil {
			return 0, err
		}
	}
	// Nobody looks into this process, which is the process's own parent.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return 0, step(err, "hide the builder")
	}
	if err := releaseStreams(ends[1]); err != nil {
		return 0, step(err, "let go of the streams")
	}
	var report [16]byte
	n, err := io.ReadFull(os.NewFile(uintptr(ends[0]), "report"), report[:])
	if n == 0 { // the pipe was closed by the exec
		if c.has(layerClock) {
			return pid, step(c.prepareImage(pid), "give it its clock and its chance")
		}
		return pid, nil
	}
	if err != nil {
		return 0, step(err, "hear from the child")
	}
	at := binary.NativeEndian.Uint64(report[:])
	why := syscall.Errno(binary.NativeEndian.Uint64(report[8:]))
	if int(at) == len(calls)-1 {
		return 0, &execError{why}
	}
	return 0, step(why, "%s", calls[at].name)
}

// releaseStreams leaves the streams to the process alone, so that a reader sees
// their end when it closes them.
func releaseStreams(pipe int) error {
	nothing, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	for fd := range 3 {
		if err := unix.Dup3(nothing, fd, 0); err != nil {
			return err
		}
	}
	return errors.Join(unix.Close(nothing), unix.Close(pipe))
}

// calls lists what the child does to itself. Everything that it takes away from
// the whole thread was taken before.
func (c *cell) calls(pipe int) ([]call, error) {
	path, err := unix.BytePtrFromString(c.Program)
	if err != nil {
		return nil, step(err, "start %s", c.Program)
	}
	dir, err := unix.BytePtrFromString(c.Dir)
	if err != nil {
		return nil, step(err, "go to %s", c.Dir)
	}
	args, err := syscall.SlicePtrFromStrings(c.Args)
	if err != nil {
		return nil, step(err, "start %s", c.Program)
	}
	env, err := syscall.SlicePtrFromStrings(c.Env)
	if err != nil {
		return nil, step(err, "start %s", c.Program)
	}
	var list []call
	if c.has(layerCaps) {
		// First: who may do less than its child cannot prepare it.
		list = append(list, noCapabilities())
	}
	if c.has(layerClock) {
		list = append(list, call{name: "be prepared", number: unix.SYS_PTRACE, args: [6]uintptr{unix.PTRACE_TRACEME}})
	}
	list = append(list, call{name: "go to " + c.Dir, number: unix.SYS_CHDIR, args: [6]uintptr{pointer(dir)}})
	if c.has(layerSession) {
		list = append(list, call{name: "make a session", number: unix.SYS_SETSID})
	}
	if c.has(layerLimits) {
		for _, l := range c.Limits {
			most := &unix.Rlimit{Cur: l.Most, Max: l.Most}
			if l.Resource == unix.RLIMIT_CPU {
				most.Max++ // the first warns, the second kills
			}
			list = append(list, call{name: "set limits", number: unix.SYS_PRLIMIT64, args: [6]uintptr{0, uintptr(l.Resource), pointer(most)}})
			kept = append(kept, most)
		}
	}
	list = append(list, c.filterCalls()...)
	if c.has(layerFiles) {
		list = append(list, call{name: "close descriptors", number: unix.SYS_CLOSE_RANGE, args: [6]uintptr{3, uintptr(pipe - 1)}},
			call{name: "close descriptors", number: unix.SYS_CLOSE_RANGE, args: [6]uintptr{uintptr(pipe + 1), uintptr(^uint32(0))}})
	}
	kept = append(kept, path, dir, args, env)
	return append(list, takeSignals(),
		call{name: "start " + c.Program, number: unix.SYS_EXECVE, args: [6]uintptr{pointer(path), pointer(&args[0]), pointer(&env[0])}}), nil
}

// kept holds what calls point at: the kernel reads it, and the collector must not
// take it.
var kept []any

// reap waits for the process, and for all whose parent ended before them.
func reap(pid int) error {
	for {
		var status unix.WaitStatus
		var use unix.Rusage
		got, err := unix.Wait4(-1, &status, 0, &use)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		if got != pid || !status.Exited() && !status.Signaled() {
			continue
		}
		rest := binary.NativeEndian.AppendUint64(nil, uint64(status))
		rest = binary.NativeEndian.AppendUint64(rest, uint64(use.Maxrss))
		cpu := use.Utime.Nano() + use.Stime.Nano()
		return say(saidEnded, binary.NativeEndian.AppendUint64(rest, uint64(cpu/1000)))
	}
}
