package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"sync"
)

func start(ctx context.Context, s Spec) (*Process, error) {
	cmd := exec.CommandContext(ctx, s.Command[0], s.Command[1:]...)
	cmd.Dir, cmd.Env, cmd.Stderr = s.Dir, s.Env, s.Stderr
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
	wait := sync.OnceValues(func() (Exit, error) {
		err := cmd.Wait()
		if e, ok := errors.AsType[*exec.ExitError](err); ok {
			return Exit{Code: e.ExitCode()}, nil
		}
		return Exit{}, err
	})
	return &Process{Stdin: in, Stdout: out, kill: func() { _ = cmd.Process.Kill() }, wait: wait}, nil
}
