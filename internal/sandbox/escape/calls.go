//go:build linux

package escape

import (
	crand "crypto/rand"
	"fmt"
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// CallsArg makes the program, run by itself, call again and again what its next
// argument names.
const (
	CallsArg   = "__calls"
	CallClock  = "clock"
	CallRandom = "random"
)

// Calls makes a number of calls and returns the exit code.
func Calls(what, times string) int {
	n, err := strconv.Atoi(times)
	if err != nil {
		return 1
	}
	var (
		now    unix.Timespec
		random [16]byte
	)
	for range n {
		if what == CallRandom {
			_, err = unix.Getrandom(random[:], 0)
		} else {
			err = unix.ClockGettime(unix.CLOCK_REALTIME, &now)
		}
		if err != nil {
			return 1
		}
	}
	return 0
}

// ChanceArg makes the program, run by itself, print what it has of clock and
// chance.
const ChanceArg = "__chance"

// Chance prints them. The order of a map is not among them: each thread of Go's
// has a chance of its own, and which one runs is the kernel's.
func Chance(w io.Writer) {
	bytes := make([]byte, 16)
	_, _ = crand.Read(bytes)
	host, _ := os.Hostname()
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_REALTIME, &now)
	fmt.Fprintln(w, now, string(bytes), host, os.Getpid(), os.Getuid(), os.Getppid())
}

// FamilyArg makes the program, run by itself, fork a child that outlives it.
const FamilyArg = "__family"

// Family starts a child, which says that it has begun, and waits.
func Family() int {
	pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if errno != 0 {
		return 1
	}
	if pid == 0 {
		_, _, _ = unix.RawSyscall(unix.SYS_WRITE, 1, text("begun\n"), 6)
	}
	for {
		_, _, _ = unix.RawSyscall6(unix.SYS_PPOLL, 0, 0, 0, 0, 0, 0)
	}
}
