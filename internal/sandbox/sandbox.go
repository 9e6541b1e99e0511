// Package sandbox runs a process where it can do no harm: without a network, in a
// folder of its own, with a clean environment, no new privileges, and bounds on
// memory, processes and time; its clock and its randomness are given to it.
//
// The program that calls Start is executed once more, as a builder, which takes
// everything away from itself and of which the process is then a part: Child must
// be called first of all in main. docs/isolation.md says what is taken away, by which layer.
package sandbox

import (
	"context"
	"io"
	"time"
)

// Spec is a process and all that it may have.
type Spec struct {
	// Command is the program, absolute or found in PATH, and its arguments. A
	// script is run by the interpreter that its first line names. It cannot start
	// another program.
	Command []string
	// Dir is the folder that it may write, and its working folder.
	Dir string
	// Write are further folders that it may write. They must exist.
	Write []string
	// Read are files and folders that it may read besides the system's libraries
	// and its own program. They must exist.
	Read []string
	// Env is all of its environment, as NAME=VALUE, but for HOME, which is /tmp
	// where it is not given, and ClockVariable.
	Env []string
	// MemoryMiB, Processes and FileMiB bound it; 0: the defaults. Memory is each
	// process's own; Processes is how many it may be at once, by default itself
	// alone; FileMiB is the largest file.
	MemoryMiB int
	Processes int
	FileMiB   int
	// CPU bounds its processor time; 0: none.
	CPU time.Duration
	// Clock is what its wall clock says as it starts; zero: the machine's.
	Clock time.Time
	// Seed is where its randomness begins.
	Seed uint64
	// Host is the name of its host, PID its own number, from 100 on, and Processors
	// is how many of the machine's it sees. Empty and 0: recount, 100, and all.
	Host       string
	PID        int
	Processors int
	// Stderr gets what it says there.
	Stderr io.Writer
	// Unsandboxed leaves out all that needs the kernel's help.
	Unsandboxed bool

	off layer // what tests leave out
}

// The bounds of a process whose Spec has none.
const (
	DefaultMemoryMiB = 8 << 10
	DefaultProcesses = 1
	DefaultFileMiB   = 16 << 10
)

// layer is one of the means that isolate a process. Each can be left out by a
// test alone, to see that something escapes then.
type layer uint

const (
	layerNet layer = 1 << iota
	layerPID
	layerMount
	layerIPC
	layerUTS
	layerLandlock
	layerSeccomp
	layerLimits
	layerCaps
	layerFiles // descriptors are closed
	layerClock
	layerSession
)

func (s Spec) has(l layer) bool { return s.off&l == 0 }

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
func Start(ctx context.Context, s Spec) (*Process, error) {
	if s.Unsandboxed {
		return startPlain(ctx, s)
	}
	return start(ctx, s)
}

// Support is what this machine has of what isolates a process.
type Support struct {
	Kernel string
	// Has are the means that are there.
	Has []string
	// Lacks are those that are not, and that a sandbox can do without; each says
	// what follows.
	Lacks []string
	// Err is why no process can be isolated here; nil: a process was.
	Err error
}
