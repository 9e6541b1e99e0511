//go:build amd64 || arm64

package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// old is where the machine's own root lies while the new one is built.
const old = "/.old"

// stepError is what the builder could not do.
type stepError struct {
	step string
	err  error
}

func (e *stepError) Error() string { return e.step + ": " + e.err.Error() }
func (e *stepError) Unwrap() error { return e.err }

func step(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &stepError{fmt.Sprintf(format, args...), err}
}

// buildRoot makes a root of its own: an empty file system in memory, in which
// nothing but the cell's binds stands. Nothing of it can be written but the
// cell's folder and /tmp.
func (c *cell) buildRoot() error {
	if err := enterEmpty(c.Dir); err != nil {
		return err
	}
	if err := c.buildProc(); err != nil {
		return err
	}
	if err := c.buildTmp(); err != nil {
		return err
	}
	if err := c.bindAll(); err != nil {
		return err
	}
	if err := c.buildDev(); err != nil {
		return err
	}
	for _, path := range sorted(accounts) {
		if err := write(path, []byte(accounts[path])); err != nil {
			return step(err, "write %s", path)
		}
	}
	if err := unix.Unmount(old, unix.MNT_DETACH); err != nil {
		return step(err, "leave the old root")
	}
	if err := os.Remove(old); err != nil {
		return step(err, "leave the old root")
	}
	return step(restrict("/", 0, unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV), "make / read-only")
}

// enterEmpty makes an empty root and goes there. It is mounted where the folder
// is only because that folder exists; it is not there any more once it is the
// root.
func enterEmpty(at string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return step(err, "keep mounts to itself")
	}
	if err := unix.Mount("recount", at, "tmpfs", unix.MS_NOSUID, "mode=0755,size=16m"); err != nil {
		return step(err, "mount an empty root")
	}
	if err := os.Mkdir(filepath.Join(at, old), 0o700); err != nil {
		return step(err, "make %s", old)
	}
	if err := unix.PivotRoot(at, filepath.Join(at, old)); err != nil {
		return step(err, "enter the new root")
	}
	return step(os.Chdir("/"), "enter the new root")
}

// buildProc shows the process itself and the others of its namespace, nothing
// else of the machine.
func (c *cell) buildProc() error {
	if err := os.Mkdir("/proc", 0o755); err != nil {
		return step(err, "make /proc")
	}
	if !c.has(layerPID) {
		return step(unix.Mount(old+"/proc", "/proc", "", unix.MS_BIND|unix.MS_REC, ""), "bind /proc")
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return step(err, "mount /proc")
	}
	// Since Linux 6.14 each namespace has its own bound, which holds for root too;
	// before, only the limit of processes bounds them.
	if c.has(layerLimits) && kernelAtLeast(6, 14) {
		_ = os.WriteFile("/proc/sys/kernel/pid_max", []byte(strconv.Itoa(c.Tasks)), 0)
	}
	if err := unix.Unmount("/proc", unix.MNT_DETACH); err != nil {
		return step(err, "mount /proc")
	}
	return step(unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC|unix.MS_RDONLY, "subset=pid,hidepid=2"), "mount /proc")
}

// tmpMiB is how much the folders hold that lie in memory.
const tmpMiB = 64

// buildTmp makes the folders that programs write to whatever they are told.
func (c *cell) buildTmp() error {
	for _, path := range []string{"/tmp", "/dev/shm"} {
		if err := os.MkdirAll(path, 0o755); err != nil {
			return step(err, "make %s", path)
		}
		options := fmt.Sprintf("mode=1777,size=%dm", tmpMiB)
		if err := unix.Mount("tmp", path, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, options); err != nil {
			return step(err, "mount %s", path)
		}
	}
	return nil
}

func (c *cell) bindAll() error {
	for _, b := range c.Binds {
		if err := bindOne(b); err != nil {
			return err
		}
	}
	for _, l := range c.Links {
		if _, err := os.Lstat(l.Path); err == nil {
			continue // its folder is bound
		}
		if err := os.MkdirAll(filepath.Dir(l.Path), 0o755); err != nil {
			return step(err, "make %s", filepath.Dir(l.Path))
		}
		if err := os.Symlink(l.Target, l.Path); err != nil && !errors.Is(err, fs.ErrExist) {
			return step(err, "make the link %s", l.Path)
		}
	}
	return nil
}

func bindOne(b bind) error {
	from := old + b.Path
	info, err := os.Stat(from)
	if err != nil {
		return step(err, "look at %s", b.Path)
	}
	if info.IsDir() {
		err = os.MkdirAll(b.Path, 0o755)
	} else if _, lerr := os.Lstat(b.Path); lerr != nil {
		err = write(b.Path, nil)
	}
	if err != nil {
		return step(err, "make %s", b.Path)
	}
	// With what is mounted below: the kernel lets nobody uncover that.
	if err := unix.Mount(from, b.Path, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return step(err, "bind %s", b.Path)
	}
	attributes := uint64(unix.MOUNT_ATTR_NOSUID)
	switch b.Access {
	case mayRead, mayRun:
		attributes |= unix.MOUNT_ATTR_RDONLY
	case mayWrite:
		attributes |= unix.MOUNT_ATTR_NOEXEC
	}
	if !strings.HasPrefix(b.Path, "/dev/") {
		attributes |= unix.MOUNT_ATTR_NODEV
	}
	return step(restrict(b.Path, unix.AT_RECURSIVE, attributes), "restrict %s", b.Path)
}

// randomBytes is how much the files in place of the random devices hold.
const randomBytes = 256 << 10

// buildDev adds what leads to the process itself, and files in place of the
// devices of chance.
func (c *cell) buildDev() error {
	chance := make([]byte, randomBytes)
	newRandom(c.Seed).fill(chance)
	for _, path := range []string{"/dev/random", "/dev/urandom"} {
		if err := write(path, chance); err != nil {
			return step(err, "write %s", path)
		}
	}
	for path, target := range map[string]string{
		"/dev/fd": "/proc/self/fd", "/dev/stdin": "/proc/self/fd/0", "/dev/stdout": "/proc/self/fd/1", "/dev/stderr": "/proc/self/fd/2",
	} {
		if err := os.Symlink(target, path); err != nil {
			return step(err, "make the link %s", path)
		}
	}
	return nil
}

// write makes a file with the folders above it.
func write(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o644)
}

func restrict(path string, flags uint, attributes uint64) error {
	return unix.MountSetattr(unix.AT_FDCWD, path, flags, &unix.MountAttr{Attr_set: attributes})
}
