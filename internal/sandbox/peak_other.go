//go:build unix && !linux

package sandbox

import (
	"runtime"
	"syscall"
)

// peakMiB is the most memory that a process held; Darwin counts bytes, the
// others KiB.
func peakMiB(u *syscall.Rusage) int {
	if runtime.GOOS == "darwin" {
		return int(u.Maxrss >> 20)
	}
	return int(u.Maxrss >> 10)
}
