//go:build unix

package sandbox

import (
	"os"
	"os/exec"
	"syscall"
)

// together makes what the process starts part of its group, and returns what
// kills them all.
func together(cmd *exec.Cmd) (kill func()) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return func() {
		if cmd.Process != nil {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			_ = cmd.Process.Kill()
		}
	}
}

// ended says how a process ended.
func ended(state *os.ProcessState) Exit {
	e := Exit{Code: state.ExitCode()}
	if w, ok := state.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		e.Signal = w.Signal().String()
	}
	if u, ok := state.SysUsage().(*syscall.Rusage); ok {
		e.PeakMiB = peakMiB(u)
	}
	return e
}
