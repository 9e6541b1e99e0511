//go:build !unix

package lockfile

import (
	"fmt"
	"os"

	"recount"
)

// Try refuses: without a lock that ends with its process, two runs could not be
// told apart from one.
func Try(*os.File) (bool, error) {
	return false, fmt.Errorf("lock a file on this system: %w", recount.ErrUnsupported)
}

// Unlock has nothing to give back.
func Unlock(*os.File) {}
