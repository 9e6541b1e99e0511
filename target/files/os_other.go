//go:build !unix

package files

import (
	"fmt"
	"io/fs"
	"os"

	"recount"
)

// tryLock refuses: without a lock that ends with its process, two runs could not
// be told apart from one.
func tryLock(*os.File) (bool, error) {
	return false, fmt.Errorf("lock a file on this system: %w", recount.ErrUnsupported)
}

func unlock(*os.File) {}

func sameOwner(*os.File, fs.FileInfo) error { return nil }

func mayWrite(string) bool { return false }

func syncDir(string) error { return nil }

func isFull(error) bool { return false }

func readOnly(error) bool { return false }
