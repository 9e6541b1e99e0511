package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"recount"
)

// ClockVariable stands in the environment of a process whose clock is given. It
// is all that a process without a sandbox learns of it.
const ClockVariable = "RECOUNT_CLOCK"

// environment is what the process gets.
func (s Spec) environment() []string {
	env := slices.Clone(s.Env)
	// Without one, libraries look for it among the machine's accounts.
	if !slices.ContainsFunc(env, func(v string) bool { return strings.HasPrefix(v, "HOME=") }) {
		env = append(env, "HOME=/tmp")
	}
	if !s.Clock.IsZero() {
		env = append(env, ClockVariable+"="+s.Clock.UTC().Format(time.RFC3339Nano))
	}
	return env
}

// startPlain starts the process with nothing that needs the kernel's help.
func startPlain(ctx context.Context, s Spec) (*Process, error) {
	cmd := exec.CommandContext(ctx, s.Command[0], s.Command[1:]...)
	cmd.Dir, cmd.Env, cmd.Stderr = s.Dir, s.environment(), s.Stderr
	kill := together(cmd)
	cmd.Cancel = func() error { kill(); return nil }
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", s.Command[0], err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", s.Command[0], err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", s.Command[0], err)
	}
	var over atomic.Bool // the number may be another's by now
	killOnce := kill
	kill = func() {
		if !over.Load() {
			killOnce()
		}
	}
	wait := sync.OnceValues(func() (Exit, error) {
		err := cmd.Wait()
		over.Store(true)
		if e, ok := errors.AsType[*exec.ExitError](err); ok {
			return ended(e.ProcessState), nil
		}
		if err != nil && ctx.Err() == nil {
			return Exit{}, fmt.Errorf("wait for %s: %w", s.Command[0], err)
		}
		return ended(cmd.ProcessState), nil
	})
	return &Process{Stdin: in, Stdout: out, kill: kill, wait: wait}, nil
}

// refused says why nothing was started.
func refused(why string) error {
	return &recount.Error{
		Code: recount.CodeSandbox, What: "the worker cannot be isolated here", Why: why,
		Next: "run it on a machine whose kernel has what is missing (recount doctor lists it), or, for a worker that you trust, add --unsandboxed",
	}
}
