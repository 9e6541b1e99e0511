package gofold

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// own keeps the answer's way for answers alone: whatever else the program prints
// goes to standard error. A crash leaves no core file with events in it.
func own(stdout io.Writer) (io.Writer, error) {
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	f, ok := stdout.(*os.File)
	if !ok {
		return stdout, nil
	}
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, fmt.Errorf("keep standard output: %w", err)
	}
	if err := unix.Dup3(int(os.Stderr.Fd()), int(f.Fd()), 0); err != nil {
		return nil, fmt.Errorf("keep standard output: %w", err)
	}
	return os.NewFile(uintptr(fd), "answers"), nil
}
