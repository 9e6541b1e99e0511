//go:build !unix

package disk

import "os"

func linked(*os.File) bool { return true }

func fsyncDir(*os.File) error { return nil }

func isFull(error) bool { return false }

func notDir(error) bool { return false }
