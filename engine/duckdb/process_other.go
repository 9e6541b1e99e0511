//go:build !linux

package duckdb

import (
	"os"
	"os/exec"
)

func executable() (string, error) { return os.Executable() }

func harden(*exec.Cmd) {}
