package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"recount/bench/machine"
)

// process is a running archiver that is watched.
type process struct {
	cmd   *exec.Cmd
	log   string
	began time.Time
	done  chan error
	peak  int64
}

func (b *bench) start(name string, cmd *exec.Cmd) (*process, error) {
	log := filepath.Join(b.dir, name+".log")
	out, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Close() }()
	cmd.Stdout, cmd.Stderr = out, out
	p := &process{cmd: cmd, log: log, began: time.Now(), done: make(chan error, 1)} //nolint:forbidigo // a benchmark measures the wall clock
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() { p.done <- cmd.Wait() }()
	return p, nil
}

// until asks committed a few times a second whether all is done, and ends the
// process then.
func (p *process) until(ctx context.Context, committed func() (bool, error)) (usage, error) {
	const every, patience = 250 * time.Millisecond, 10 * time.Minute
	deadline := p.began.Add(patience)
	for {
		select {
		case err := <-p.done:
			return usage{}, p.failed(errors.Join(errors.New("it ended by itself"), err))
		case <-ctx.Done():
			return usage{}, errors.Join(ctx.Err(), p.cmd.Process.Kill())
		case <-time.After(every):
		}
		p.peak = max(p.peak, resident(p.cmd.Process.Pid))
		now := time.Now() //nolint:forbidigo // see above
		ready, err := committed()
		if err != nil || now.After(deadline) {
			_ = p.cmd.Process.Kill()
			return usage{}, p.failed(errors.Join(errors.New("it did not commit all events"), err))
		}
		if !ready {
			continue
		}
		u := usage{wall: now.Sub(p.began), cpu: processor(p.cmd.Process.Pid), peak: max(p.peak, resident(p.cmd.Process.Pid))}
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		_ = p.ended() // by the signal
		return u, nil
	}
}

func (p *process) ended() error { return <-p.done }

// end waits until the process ends by itself.
func (p *process) end() (usage, error) {
	const every = 50 * time.Millisecond
	for {
		select {
		case err := <-p.done:
			now := time.Now() //nolint:forbidigo // see above
			if err != nil {
				return usage{}, p.failed(err)
			}
			state := p.cmd.ProcessState
			rusage, ok := state.SysUsage().(*syscall.Rusage)
			if ok {
				p.peak = max(p.peak, rusage.Maxrss<<10)
			}
			return usage{wall: now.Sub(p.began), cpu: state.UserTime() + state.SystemTime(), peak: p.peak}, nil
		case <-time.After(every):
			p.peak = max(p.peak, resident(p.cmd.Process.Pid))
		}
	}
}

func (p *process) failed(err error) error {
	text, _ := os.ReadFile(p.log)
	const most = 2000
	if len(text) > most {
		text = text[len(text)-most:]
	}
	return fmt.Errorf("%w\n%s", err, text)
}

// resident is the largest resident memory of a process so far, in bytes.
func resident(pid int) int64 { return machine.MemoryLine(pid, "status", "VmHWM:") }

// processor is the processor time of a process so far.
func processor(pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The name stands in brackets and may hold anything.
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	const user, system, tick = 11, 12, 10 * time.Millisecond
	if len(fields) <= system {
		return 0
	}
	u, _ := strconv.ParseInt(fields[user], 10, 64)
	s, _ := strconv.ParseInt(fields[system], 10, 64)
	return time.Duration(u+s) * tick
}
