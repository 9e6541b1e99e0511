//go:build unix

package lockfile

import (
	"errors"
	"os"
	"syscall"
)

// Try takes the kernel's lock on an open file, without waiting; false where
// another holds it. Systems without such a lock answer [recount.ErrUnsupported].
func Try(f *os.File) (bool, error) {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, syscall.EWOULDBLOCK):
			return false, nil
		case !errors.Is(err, syscall.EINTR):
			return false, os.NewSyscallError("flock", err)
		}
	}
}

// Unlock gives the lock back at once: a child that is being started has a copy of
// the open file until its own program runs, and would hold the lock as long.
func Unlock(f *os.File) { _ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN) }
