//go:build amd64 || arm64

package sandbox

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	landRead  = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	landWrite = unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE
	// landFile are the rights that a file can have; the others are a folder's.
	landFile = unix.LANDLOCK_ACCESS_FS_READ_FILE | landWrite | unix.LANDLOCK_ACCESS_FS_EXECUTE
	// landMake is what a folder of the process may get: files, folders and links.
	// Pipes, sockets and devices lead out of it.
	landMake = unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE | unix.LANDLOCK_ACCESS_FS_MAKE_DIR |
		unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_SYM | unix.LANDLOCK_ACCESS_FS_REFER
	landFirst = 1<<13 - 1 // what the first version knows
)

// landlockVersion is how much of Landlock this kernel has; 0: none.
func landlockVersion() int {
	v, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0
	}
	return int(v)
}

// handled are all rights that a version of Landlock can refuse.
func handled(version int) unix.LandlockRulesetAttr {
	a := unix.LandlockRulesetAttr{Handled_access_fs: landFirst}
	if version >= 2 {
		a.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_REFER
	}
	if version >= 3 {
		a.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if version >= 4 {
		a.Handled_access_net = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
	}
	if version >= 5 {
		a.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	if version >= 6 {
		a.Scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL
	}
	return a
}

// lock restricts this thread, and the process that is made of it, to the cell's
// files. It holds whatever is mounted where.
func (c *cell) lock() error {
	all := handled(landlockVersion())
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, pointer(&all), unsafe.Sizeof(all), 0)
	if errno != 0 {
		return step(errno, "make a landlock")
	}
	rules := os.NewFile(fd, "landlock")
	defer rules.Close() //nolint:errcheck // it was used
	for _, b := range c.Binds {
		rights := uint64(landRead)
		if b.Access == mayWrite {
			rights |= landWrite | landMake
		}
		if err := allow(rules, all.Handled_access_fs, b.Path, rights); err != nil {
			return err
		}
	}
	for _, path := range c.Runs {
		if err := allow(rules, all.Handled_access_fs, path, landRead|unix.LANDLOCK_ACCESS_FS_EXECUTE); err != nil {
			return err
		}
	}
	for path, rights := range map[string]uint64{
		"/proc": landRead, "/dev/null": landRead | landWrite, "/dev/zero": landRead | landWrite, "/dev/full": landRead | landWrite,
	} {
		if err := allow(rules, all.Handled_access_fs, path, rights); err != nil {
			return err
		}
	}
	if c.has(layerMount) {
		for path, rights := range map[string]uint64{
			"/tmp": landRead | landWrite | landMake, "/dev/shm": landRead | landWrite | landMake,
			"/dev/random": landRead, "/dev/urandom": landRead, "/etc": landRead,
		} {
			if err := allow(rules, all.Handled_access_fs, path, rights); err != nil {
				return err
			}
		}
	}
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0); errno != 0 {
		return step(errno, "lock the landlock")
	}
	return nil
}

// allow adds one path to the rules.
func allow(rules *os.File, known uint64, path string, rights uint64) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return step(err, "allow %s", path)
	}
	defer unix.Close(fd) //nolint:errcheck // it was used
	var info unix.Stat_t
	if err := unix.Fstat(fd, &info); err != nil {
		return step(err, "allow %s", path)
	}
	rights &= known
	if info.Mode&unix.S_IFMT != unix.S_IFDIR {
		rights &= landFile
	}
	rule := unix.LandlockPathBeneathAttr{Allowed_access: rights, Parent_fd: int32(fd)}
	if _, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, rules.Fd(), unix.LANDLOCK_RULE_PATH_BENEATH, pointer(&rule), 0, 0, 0); errno != 0 {
		return step(errno, "allow %s", path)
	}
	return nil
}
