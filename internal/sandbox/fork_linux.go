//go:build amd64 || arm64

package sandbox

import (
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// call is a system call that the child makes between fork and exec, with all its
// arguments worked out before: nothing of Go's runtime works there.
type call struct {
	name   string // what it does, for a person
	number uintptr
	args   [6]uintptr
	result *int32 // where its result goes, if anybody needs it
}

// failure is what the child reports if a call fails: which, and how.
type failure struct{ at, errno uint64 }

// held is what the kernel reads and writes around the fork. It lies in no stack,
// which Go might move.
var held struct {
	all, before uint64 // signals
	said        failure
	clone       cloneArgs
	pid         int32
}

// cloneArgs are the kernel's struct clone_args.
type cloneArgs struct {
	//nolint:unused // the kernel reads them
	flags, pidfd, childTID, parentTID, exitSignal, stack, stackSize, tls, setTID, setTIDSize, cgroup uint64
}

// What a process is told where nobody says otherwise, the same at every start: its
// own number (the builder has some of the small ones) and the name of its host.
const (
	pidInside  = 100
	hostInside = "recount"
)

// takeSignals is the call that undoes, in the child, what fork does around it.
func takeSignals() call {
	return call{name: "take signals again", number: unix.SYS_RT_SIGPROCMASK, args: [6]uintptr{unix.SIG_SETMASK, pointer(&held.before), 0, 8}}
}

// fork makes a child which makes the calls, one after the other; the last is an
// exec. If one fails, the child writes a failure to the pipe and ends. The
// calling goroutine must be locked to its thread: the child is a copy of that.
//
// Where number is not 0, it is the child's own.
//
// All signals are held back around the fork, so that no handler of Go's runs in
// the child.
func fork(calls []call, pipe, number int) (int, error) {
	held.all, held.pid = ^uint64(0), int32(number) //nolint:gosec // numbers of processes are small
	held.clone = cloneArgs{exitSignal: uint64(unix.SIGCHLD)}
	if number > 0 {
		held.clone.setTID, held.clone.setTIDSize = uint64(pointer(&held.pid)), 1
	}
	if _, _, errno := syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, pointer(&held.all), pointer(&held.before), 8, 0, 0); errno != 0 {
		return 0, errno
	}
	pid, errno := forkAndCall(calls, uintptr(pipe))
	_, _, _ = syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, pointer(&held.before), 0, 8, 0, 0)
	runtime.KeepAlive(calls)
	if errno != 0 {
		return 0, errno
	}
	return int(pid), nil
}

func pointer[T any](p *T) uintptr { return uintptr(unsafe.Pointer(p)) }

//go:noinline
//go:norace
//go:nosplit
func forkAndCall(calls []call, pipe uintptr) (uintptr, syscall.Errno) {
	pid, _, errno := syscall.RawSyscall6(unix.SYS_CLONE3, pointer(&held.clone), unsafe.Sizeof(held.clone), 0, 0, 0, 0)
	if errno != 0 || pid != 0 {
		return pid, errno
	}
	for i := range calls {
		c := &calls[i]
		r, _, errno := syscall.RawSyscall6(c.number, c.args[0], c.args[1], c.args[2], c.args[3], c.args[4], c.args[5])
		if errno != 0 {
			held.said.at, held.said.errno = uint64(i), uint64(errno)
			_, _, _ = syscall.RawSyscall6(unix.SYS_WRITE, pipe, uintptr(unsafe.Pointer(&held.said)), unsafe.Sizeof(held.said), 0, 0, 0)
			break
		}
		if c.result != nil {
			*c.result = int32(r)
		}
	}
	for {
		_, _, _ = syscall.RawSyscall6(unix.SYS_EXIT_GROUP, 127, 0, 0, 0, 0, 0)
	}
}
