//go:build unix

package gofold

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// newTrail makes the trail of a number of threads.
func newTrail(path string, threads int) (_ *trail, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make the trail of a fold: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size := threads * slotBytes
	if err := f.Truncate(int64(size)); err != nil {
		return nil, fmt.Errorf("make the trail of a fold: %w", err)
	}
	mem, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("make the trail of a fold: %w", err)
	}
	return &trail{path: path, mem: mem, free: func() error { return unix.Munmap(mem) }}, nil
}
