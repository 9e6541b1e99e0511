//go:build !unix

package files

import (
	"io/fs"
	"os"
)

func sameOwner(*os.File, fs.FileInfo) error { return nil }

func mayWrite(string) bool { return false }

func syncDir(string) error { return nil }

func isFull(error) bool { return false }

func readOnly(error) bool { return false }
