//go:build unix

package disk

import (
	"errors"
	"os"
	"syscall"
)

// linked says whether the file still has a name.
func linked(f *os.File) bool {
	var st syscall.Stat_t
	return syscall.Fstat(int(f.Fd()), &st) == nil && st.Nlink > 0
}

func fsyncDir(f *os.File) error { return f.Sync() }

func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

func notDir(err error) bool { return errors.Is(err, syscall.ENOTDIR) }
