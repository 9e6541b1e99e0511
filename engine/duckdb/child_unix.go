//go:build unix

package duckdb

import "golang.org/x/sys/unix"

// limitChild keeps the events of a crash out of a core file.
func limitChild() { _ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}) }
