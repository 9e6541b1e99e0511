//go:build !linux || !(amd64 || arm64)

package sandbox

import (
	"context"
	"runtime"
)

func start(context.Context, Spec) (*Process, error) {
	return nil, refused("workers are isolated on Linux on amd64 and arm64 alone, and this is " + runtime.GOOS + " on " + runtime.GOARCH)
}

// Supported says that nothing is isolated here.
func Supported(ctx context.Context, _ string) Support {
	_, err := start(ctx, Spec{})
	return Support{Kernel: runtime.GOOS, Err: err}
}

// Child is never asked for anything here.
func Child(...string) (handled bool, exit int) { return false, 0 }

// Forbid takes nothing here.
func Forbid() error { return nil }
