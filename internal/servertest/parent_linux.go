package servertest

import (
	"os/exec"
	"syscall"
)

// endWithParent also takes the child out of the terminal's process group, so that
// an interrupt reaches the tests first. The death signal comes with the end of the
// thread that started the child: Go keeps threads while their process lives,
// unless a goroutine that locked one ends.
func endWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
