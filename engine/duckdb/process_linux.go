package duckdb

import (
	"os/exec"
	"syscall"
)

// executable is this program's own file, even if it was replaced or removed
// since it started.
func executable() (string, error) { return "/proc/self/exe", nil }

// harden ties the child's life to the parent's; the closed pipe does so too, but
// only once the child looks at it.
func harden(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
