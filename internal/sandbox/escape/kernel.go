//go:build linux

package escape

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// called makes a system call. Whether it succeeds or complains of its arguments,
// it has reached the kernel; only a plain refusal has not.
func called(number uintptr, args ...uintptr) error {
	var a [6]uintptr
	copy(a[:], args)
	fd, _, errno := unix.Syscall6(number, a[0], a[1], a[2], a[3], a[4], a[5])
	switch errno {
	case 0:
		if fd > 2 {
			_ = unix.Close(int(fd))
		}
		return nil
	case unix.EPERM, unix.ENOSYS, unix.EACCES:
		return errno
	}
	return nil
}

func text(s string) uintptr {
	b := append([]byte(s), 0)
	held = append(held, b)
	return uintptr(unsafe.Pointer(&b[0]))
}

var held [][]byte

func block(b []byte) uintptr {
	held = append(held, b)
	return uintptr(unsafe.Pointer(&b[0]))
}

func mount(o Outside) error {
	if err := unix.Mount("none", o.Dir, "tmpfs", 0, ""); err != nil {
		return err
	}
	return unix.Unmount(o.Dir, 0)
}

func joins(Outside) error {
	f, err := os.Open("/proc/self/ns/uts")
	if err != nil {
		return err
	}
	return unix.Setns(int(f.Fd()), 0)
}

// terminal types for whoever reads a terminal.
func terminal(Outside) error {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// shared reads memory that another process shares.
func shared(o Outside) error {
	got, err := unix.SysvShmAttach(o.ShmID, 0, unix.SHM_RDONLY)
	if err != nil {
		return err
	}
	if !bytes.Contains(got, []byte(o.Token)) {
		return errNothing
	}
	return nil
}

func queue(Outside) error {
	fd, _, errno := unix.Syscall6(unix.SYS_MQ_OPEN, text("recount-escape"), unix.O_CREAT|unix.O_RDWR, 0o600, 0, 0, 0)
	if errno != 0 {
		return errno
	}
	_, _, _ = unix.Syscall(unix.SYS_MQ_UNLINK, text("recount-escape"), 0, 0)
	return unix.Close(int(fd))
}

func perf(Outside) error {
	attr := unix.PerfEventAttr{Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_CPU_CLOCK, Size: uint32(unsafe.Sizeof(unix.PerfEventAttr{})), Bits: unix.PerfBitExcludeKernel | unix.PerfBitExcludeHv}
	fd, err := unix.PerfEventOpen(&attr, 0, -1, -1, 0)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// hypervise makes a map for programs of the kernel.
func hypervise(Outside) error {
	attr := make([]byte, 72)
	attr[0], attr[4], attr[8], attr[12] = unix.BPF_MAP_TYPE_ARRAY, 4, 4, 1
	return called(unix.SYS_BPF, unix.BPF_MAP_CREATE, block(attr), uintptr(len(attr)))
}

func kernel() map[string]attempt {
	return map[string]attempt{
		"chroot":  func(o Outside) error { return unix.Chroot(o.Dir) },
		"mount":   mount,
		"unshare": func(Outside) error { return called(unix.SYS_UNSHARE, unix.CLONE_NEWUTS|unix.CLONE_FILES) },
		"setns":   joins,
		"keyctl": func(Outside) error {
			return called(unix.SYS_ADD_KEY, text("user"), text("escape"), text("x"), 1, 0xfffffffe)
		},
		"bpf":         hypervise,
		"perf":        perf,
		"io_uring":    func(Outside) error { return called(unix.SYS_IO_URING_SETUP, 4, block(make([]byte, 120))) },
		"userfaultfd": func(Outside) error { return called(unix.SYS_USERFAULTFD, 1|unix.O_CLOEXEC) },
		"module":      func(Outside) error { return called(unix.SYS_FINIT_MODULE, ^uintptr(0), text(""), 0) },
		"kernel ring": func(Outside) error { return called(unix.SYS_SYSLOG, 3, block(make([]byte, 64)), 64) },
		"terminal":    terminal,
		"sysv memory": shared,
		"queue":       queue,
		"set clock":   func(Outside) error { return called(unix.SYS_SETTIMEOFDAY, 0, block(make([]byte, 8))) },
		"set host":    func(o Outside) error { return unix.Sethostname([]byte(o.Host)) },
		"wall clock":  wallClock,
	}
}

// wallClock reads the machine's own clock: no replay is of this year's end.
func wallClock(Outside) error {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_REALTIME, &now); err != nil {
		return err
	}
	if now.Sec < 1_750_000_000 {
		return errors.New("it is the replay's")
	}
	return nil
}

func attempts() map[string]attempt {
	all := network()
	for _, more := range []map[string]attempt{files(), processes(), kernel()} {
		maps.Copy(all, more)
	}
	return all
}

// Names lists all attempts.
func Names() map[string]bool {
	names := map[string]bool{}
	for name := range attempts() {
		names[name] = true
	}
	return names
}
