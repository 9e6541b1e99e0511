//go:build !linux

package gofold

import (
	"io"
	"os"
)

// own keeps the answer's way for answers alone: what the program prints goes to
// standard error.
func own(stdout io.Writer) (io.Writer, error) {
	os.Stdout = os.Stderr
	return stdout, nil
}
