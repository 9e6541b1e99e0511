//go:build !unix

package disk

import (
	"fmt"
	"os"

	"recount"
)

// tryLock refuses: without a lock that ends with its process, two archivers
// could not be told apart from one.
func tryLock(*os.File) (bool, error) {
	return false, fmt.Errorf("lock a file on this system: %w", recount.ErrUnsupported)
}

func unlock(*os.File) {}

func linked(*os.File) bool { return true }

func fsyncDir(*os.File) error { return nil }

func isFull(error) bool { return false }

func notDir(error) bool { return false }
