//go:build !unix

package sandbox

import (
	"os"
	"os/exec"
)

// together returns what kills the process.
func together(cmd *exec.Cmd) (kill func()) {
	return func() {
		if cmd.Process != nil {
			_ = cmd.Process.Kill()
		}
	}
}

// ended says how a process ended.
func ended(state *os.ProcessState) Exit { return Exit{Code: state.ExitCode()} }
