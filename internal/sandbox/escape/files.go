//go:build linux

package escape

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// reads looks for the token in a file.
func reads(path, token string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // an attempt
	got, err := io.ReadAll(io.LimitReader(f, 1<<20))
	if err != nil {
		return err
	}
	if !bytes.Contains(got, []byte(token)) {
		return errNothing
	}
	return nil
}

func overwrite(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString("escaped")
	return errors.Join(err, f.Close())
}

// replaceProgram puts another file where the program is.
func replaceProgram(o Outside) error {
	return errors.Join(os.Remove(o.Program), os.WriteFile(o.Program, []byte("escaped"), 0o755))
}

func symlink(o Outside) error {
	path := filepath.Join(o.Dir, "symlink")
	if err := os.Symlink(o.Secret, path); err != nil {
		return err
	}
	return reads(path, o.Token)
}

func hardlink(o Outside) error {
	path := filepath.Join(o.Dir, "hardlink")
	if err := os.Link(o.Secret, path); err != nil {
		return err
	}
	return reads(path, o.Token)
}

func hugeFile(o Outside) error {
	f, err := os.Create(filepath.Join(o.Dir, "huge"))
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // an attempt
	block := make([]byte, 1<<20)
	for range 32 {
		if _, err := f.Write(block); err != nil {
			return err
		}
	}
	return nil
}

// manyFiles fills folders that lie in memory.
func manyFiles(Outside) error {
	block := make([]byte, 4<<20)
	for n := range 24 {
		path := filepath.Join("/dev/shm", fmt.Sprintf("recount-escape-%d-%d", os.Getpid(), n))
		defer os.Remove(path) //nolint:errcheck // an attempt
		if err := os.WriteFile(path, block, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// leaked looks for a descriptor that the parent left open.
func leaked(o Outside) error {
	for fd := 3; fd < 256; fd++ {
		got := make([]byte, 4<<10)
		n, err := unix.Pread(fd, got, 0)
		if err == nil && bytes.Contains(got[:n], []byte(o.Token)) {
			return nil
		}
	}
	return errNothing
}

// handle opens a file by the kernel's own name for it, past all folders.
func handle(o Outside) error {
	h, mount, err := unix.NameToHandleAt(unix.AT_FDCWD, filepath.Dir(o.Program), 0)
	if err != nil {
		return err
	}
	_ = mount
	at, err := unix.Open(filepath.Dir(o.Program), unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	fd, err := unix.OpenByHandleAt(at, h, unix.O_RDONLY)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// device makes the device of the kernel's log.
func device(o Outside) error {
	path := filepath.Join(o.Dir, "mem")
	if err := unix.Mknod(path, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 11))); err != nil {
		return err
	}
	fd, err := unix.Open(path, unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

func opens(paths ...string) attempt {
	return func(Outside) error {
		var errs []error
		for _, path := range paths {
			f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
			if err == nil {
				return f.Close()
			}
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	}
}

func watch(o Outside) error {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		return err
	}
	_, err = unix.InotifyAddWatch(fd, o.Secret, unix.IN_ALL_EVENTS)
	return err
}

func cgroup(Outside) error {
	for _, root := range []string{"/sys/fs/cgroup/pids", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"} {
		path := filepath.Join(root, fmt.Sprintf("recount-escape-%d", os.Getpid()))
		if err := os.Mkdir(path, 0o755); err == nil {
			return os.Remove(path)
		}
	}
	return errNothing
}

func files() map[string]attempt {
	return map[string]attempt{
		"write outside":  func(o Outside) error { return overwrite(o.Victim) },
		"own program":    replaceProgram,
		"read a file":    func(o Outside) error { return reads(o.Secret, o.Token) },
		"stat a file":    func(o Outside) error { _, err := os.Stat(o.Secret); return err },
		"read accounts":  func(Outside) error { return reads("/etc/passwd", "root:") },
		"symlink":        symlink,
		"hard link":      hardlink,
		"huge file":      hugeFile,
		"fill memory":    manyFiles,
		"leaked":         leaked,
		"file handle":    handle,
		"device":         device,
		"kernel log":     opens("/dev/kmsg", "/dev/mem"),
		"inotify":        watch,
		"cgroup":         cgroup,
		"named pipe":     func(o Outside) error { return unix.Mkfifo(filepath.Join(o.Dir, "pipe"), 0o600) },
		"sysfs":          opens("/sys/class/net", "/sys/kernel"),
		"environment":    func(o Outside) error { return environment(o.Token) },
		"machine's name": machine,
	}
}

func environment(token string) error {
	if !strings.Contains(strings.Join(os.Environ(), "\n"), token) {
		return errNothing
	}
	return nil
}

func machine(o Outside) error {
	name, err := os.Hostname()
	if err != nil {
		return err
	}
	if name != o.Host {
		return errNothing
	}
	return nil
}
