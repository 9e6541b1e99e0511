//go:build amd64 || arm64

package sandbox

import (
	"encoding/binary"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// The kernel's structs seccomp_notif and seccomp_notif_resp.
type asked struct {
	ID     uint64
	PID    uint32
	Flags  uint32
	Number uint32
	Arch   uint32
	IP     uint64
	Args   [6]uint64
}

type answered struct {
	ID    uint64
	Value int64
	Error int32
	Flags uint32
}

// What x/sys has no names for.
const (
	notifySetFlags = 0x40082104 // SECCOMP_IOCTL_NOTIF_SET_FLAGS
	wakeUpAtOnce   = 1          // SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP
	goOn           = 1          // SECCOMP_USER_NOTIF_FLAG_CONTINUE
)

// tick is how far the process's wall clock goes whenever it is read: it never
// stands, and never depends on how long anything takes.
const tick = time.Microsecond

// mostRandom is how many random bytes one call gets; who wants more asks again.
const mostRandom = 64 << 10

// warden answers what a process's filter asks: it refuses and counts, and is the
// process's clock and its chance. One goroutine uses it.
type warden struct {
	fd      int
	clock   time.Time
	random  random
	started bool
	blocked map[string]int64
}

// supervise starts the warden that the rights of a message lead to.
func (k *keeper) supervise(rights []byte) {
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil || len(messages) != 1 {
		return
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return
	}
	w := &warden{fd: fds[0], clock: k.spec.Clock, random: newRandom(k.spec.Seed), blocked: map[string]int64{}}
	unix.CloseOnExec(w.fd)
	done := make(chan struct{})
	k.warden, k.watched = w, done
	go func() {
		defer close(done)
		w.watch()
	}()
}

// watch answers until no process with the filter is left.
func (w *warden) watch() {
	defer unix.Close(w.fd) //nolint:errcheck // nobody asks any more
	_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(w.fd), notifySetFlags, wakeUpAtOnce)
	for {
		poll := []unix.PollFd{{Fd: int32(w.fd), Events: unix.POLLIN}}
		if _, err := unix.Poll(poll, -1); err != nil {
			if errors.Is(err, unix.EINTR) {
				continue
			}
			return
		}
		if poll[0].Revents&unix.POLLIN == 0 {
			return
		}
		var q asked
		if errno := w.ioctl(unix.SECCOMP_IOCTL_NOTIF_RECV, pointer(&q)); errno != 0 {
			continue // who asked was killed
		}
		a := w.answer(&q)
		a.ID = q.ID
		_ = w.ioctl(unix.SECCOMP_IOCTL_NOTIF_SEND, pointer(&a)) // or was killed since
	}
}

func (w *warden) ioctl(request, at uintptr) unix.Errno {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(w.fd), request, at)
	return errno
}

func (w *warden) answer(q *asked) answered {
	if size, ok := timeCall(q.Number); ok {
		return w.tell(q, size)
	}
	switch q.Number {
	case unix.SYS_GETRANDOM:
		bytes := make([]byte, min(q.Args[1], mostRandom))
		w.random.fill(bytes)
		if err := w.write(q, q.Args[0], bytes); err != nil {
			return refuse(err)
		}
		return answered{Value: int64(len(bytes))}
	case unix.SYS_EXECVE:
		if !w.started { // it becomes the program
			w.started = true
			return answered{Flags: goOn}
		}
	}
	w.blocked[kindOf(q.Number)]++
	return refuse(unix.EPERM)
}

func refuse(err error) answered {
	errno := unix.EPERM
	_ = errors.As(err, &errno)
	return answered{Error: -int32(errno)}
}

// tell answers a call that reads the wall clock.
func (w *warden) tell(q *asked, c clockCall) answered {
	now := w.clock
	w.clock = w.clock.Add(tick)
	second := uint64(now.Unix())
	var err error
	switch c {
	case clockNano:
		err = w.write(q, q.Args[1], pair(second, uint64(now.Nanosecond())))
	case clockMicro:
		if q.Args[0] != 0 {
			err = w.write(q, q.Args[0], pair(second, uint64(now.Nanosecond()/1000)))
		}
		if err == nil && q.Args[1] != 0 { // a zone, which no kernel has
			err = w.write(q, q.Args[1], make([]byte, 8))
		}
	case clockSecond:
		if q.Args[0] != 0 {
			err = w.write(q, q.Args[0], binary.NativeEndian.AppendUint64(nil, second))
		}
		if err == nil {
			return answered{Value: int64(second)}
		}
	}
	if err != nil {
		return refuse(err)
	}
	return answered{}
}

func pair(a, b uint64) []byte {
	return binary.NativeEndian.AppendUint64(binary.NativeEndian.AppendUint64(nil, a), b)
}

// write writes to the memory of who asks, which waits for the answer.
func (w *warden) write(q *asked, at uint64, bytes []byte) error {
	if len(bytes) == 0 {
		return nil
	}
	// Who asked may have been killed, and another have its number.
	if errno := w.ioctl(unix.SECCOMP_IOCTL_NOTIF_ID_VALID, pointer(&q.ID)); errno != 0 {
		return errno
	}
	local := []unix.Iovec{{Base: &bytes[0], Len: uint64(len(bytes))}}
	remote := []unix.RemoteIovec{{Base: uintptr(at), Len: len(bytes)}}
	n, err := unix.ProcessVMWritev(int(q.PID), local, remote, 0)
	if err != nil {
		return os.NewSyscallError("write to the process", err)
	}
	if n != len(bytes) {
		return unix.EFAULT
	}
	return nil
}

// clockCall is how a call tells the time.
type clockCall int

const (
	clockNano   clockCall = iota // a timespec
	clockMicro                   // a timeval
	clockSecond                  // seconds
)

func timeCall(number uint32) (clockCall, bool) {
	if number == unix.SYS_CLOCK_GETTIME {
		return clockNano, true
	}
	for i, c := range clockCalls {
		if number == c {
			return clockMicro + clockCall(i), true
		}
	}
	return 0, false
}
