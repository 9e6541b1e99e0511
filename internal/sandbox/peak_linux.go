package sandbox

import "syscall"

// peakMiB is the most memory that a process held; Linux counts KiB.
func peakMiB(u *syscall.Rusage) int { return int(u.Maxrss >> 10) }
