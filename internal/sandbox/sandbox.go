// Package sandbox runs a process where it can do no harm: without a network, in a
// folder of its own, with a clean environment, no new privileges, and bounds on
// memory, processes and time; its clock and its randomness are given to it.
package sandbox

import (
	"context"
	"io"
	"time"
)

// Spec is a process and all that it may have.
type Spec struct {
	// Command is the program, absolute or found in PATH, and its arguments.
	Command []string
	// Dir is the folder that it may write, and its working folder.
	Dir string
	// Read are files and folders that it may read besides the system's libraries
	// and its own program.
	Read []string
	// Env is all of its environment, as NAME=VALUE.
	Env []string
	// MemoryMiB, Processes and FileMiB bound it; 0: the defaults.
	MemoryMiB int
	Processes int
	FileMiB   int
	// CPU bounds its processor time; 0: none.
	CPU time.Duration
	// Clock is what its wall clock says as it starts; zero: the machine's.
	Clock time.Time
	// Seed is where its randomness begins.
	Seed uint64
	// Stderr gets what it says there.
	Stderr io.Writer
	// Unsandboxed leaves out all that needs the kernel's help.
	Unsandboxed bool
}

// Process is a running process. Its methods may be called from several goroutines.
type Process struct {
	Stdin  io.WriteCloser
	Stdout io.Reader
	// Kill ends it and all that it started.
	kill func()
	wait func() (Exit, error)
}

// Exit is how a process ended.
type Exit struct {
	Code   int    // -1: by a signal
	Signal string // empty: none
	// Blocked counts what it tried and was refused, by kind, as far as the kernel
	// tells.
	Blocked map[string]int64
	PeakMiB int
}

// Kill ends the process and all that it started. It may be called twice.
func (p *Process) Kill() { p.kill() }

// Wait waits for the end, once Stdout has been read to its end.
func (p *Process) Wait() (Exit, error) { return p.wait() }

// Start starts a process. If ctx ends, the process is killed. Where the kernel
// lacks what isolation needs, it is refused with CodeSandbox, unless
// Spec.Unsandboxed.
func Start(ctx context.Context, s Spec) (*Process, error) { return start(ctx, s) }
