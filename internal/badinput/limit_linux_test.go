package badinput

import (
	"os/signal"
	"syscall"
)

// limitFiles keeps this process's files from growing.
func limitFiles() {
	const room = 8 << 10
	signal.Ignore(syscall.SIGXFSZ)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: room, Max: room}); err != nil {
		panic(err)
	}
}
