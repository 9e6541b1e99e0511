//go:build amd64 || arm64

package sandbox

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// probeArg makes this program end at once, as the process of a sandbox that only
// shows that there can be one.
const probeArg = "__sandbox_probe"

// Supported tries a sandbox, with this program in it, and says what this machine
// has. The folder is for the process's own files.
func Supported(ctx context.Context, dir string) Support {
	s := Support{Kernel: "Linux " + kernelRelease()}
	if s.Err = missing(); s.Err != nil {
		return s
	}
	version := landlockVersion()
	s.Has = []string{"user, pid, mount, network, ipc and uts namespaces", fmt.Sprintf("landlock %d", version), "seccomp"}
	for _, l := range []struct {
		lacks bool
		what  string
	}{
		{version < 3, "landlock 3 (Linux 6.2): truncating is held by mounts alone"},
		{version < 6, "landlock 6 (Linux 6.12): signals and abstract sockets are held by namespaces and seccomp alone"},
		{!kernelAtLeast(5, 19), "seccomp that waits through signals (Linux 5.19): a clock that is read as a signal comes is read twice"},
		{os.Geteuid() == 0 && !kernelAtLeast(6, 14), "a bound of processes that holds for root (Linux 6.14): run recount as another user"},
	} {
		if l.lacks {
			s.Lacks = append(s.Lacks, l.what)
		}
	}
	s.Err = try(ctx, dir)
	return s
}

// try runs this program in a sandbox.
func try(ctx context.Context, dir string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	var said strings.Builder
	spec := Spec{Command: []string{self, probeArg}, Dir: dir, Stderr: &said}
	// Where the loader finds libraries is no secret, and this program needs it.
	if libraries := os.Getenv("LD_LIBRARY_PATH"); libraries != "" {
		spec.Env = []string{"LD_LIBRARY_PATH=" + libraries}
	}
	p, err := start(ctx, spec)
	if err != nil {
		return err
	}
	_ = p.Stdin.Close()
	_, _ = io.Copy(io.Discard, p.Stdout)
	exit, err := p.Wait()
	if err != nil {
		return err
	}
	if exit.Code != 0 {
		return refused(fmt.Sprintf("a process in a sandbox ended with %d %s: %s", exit.Code, exit.Signal, said.String()))
	}
	return nil
}

// missing says what the kernel lacks without which nothing is isolated.
func missing() error {
	var lacks []string
	for _, n := range []struct{ file, name string }{
		{"user", "user namespaces"},
		{"pid", "pid namespaces"},
		{"net", "network namespaces"},
		{"mnt", "mount namespaces"},
		{"ipc", "ipc namespaces"},
		{"uts", "uts namespaces"},
	} {
		if _, err := os.Stat("/proc/self/ns/" + n.file); err != nil {
			lacks = append(lacks, n.name)
		}
	}
	if landlockVersion() == 0 {
		lacks = append(lacks, "Landlock (Linux 5.13, with landlock among the kernel's security modules)")
	}
	var sizes [3]uint16
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_NOTIF_SIZES, 0, uintptr(unsafe.Pointer(&sizes))); errno != 0 {
		lacks = append(lacks, "seccomp with notifications (Linux 5.0)")
	}
	if len(lacks) == 0 {
		return nil
	}
	return refused("the kernel, Linux " + kernelRelease() + ", lacks " + strings.Join(lacks, ", "))
}

// kernelAtLeast says whether this is Linux major.minor or later.
func kernelAtLeast(major, minor int) bool {
	release := kernelRelease()
	var a, b int
	if _, err := fmt.Sscanf(release, "%d.%d", &a, &b); err != nil {
		return false
	}
	return a > major || a == major && b >= minor
}

func kernelRelease() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}
