package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"syscall"

	"recount"
)

// interrupt remembers that the person asked to stop.
type interrupt struct{ asked atomic.Bool }

func (i *interrupt) happened() bool { return i.asked.Load() }

// watch cancels the context at the first signal and leaves at the second: each
// write is one transaction, so that leaving is safe at any moment.
func (c *call) watch(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	if c.env.Signals == nil {
		return ctx, cancel
	}
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-done:
				return
			case <-c.env.Signals:
			}
			if c.signal.asked.Swap(true) {
				c.env.Exit(recount.ExitInterrupted)
				return
			}
			if !c.json() && !c.flags.quiet {
				// Nobody is left to tell if standard error is gone.
				_, _ = io.WriteString(c.env.Stderr, "\nInterrupted: ending well. Once more leaves at once.\n")
			}
			cancel()
		}
	}()
	return ctx, func() { close(done); cancel() }
}

// crashed says what a panic leaves, and shows where it came from.
func (c *call) crashed(p any, stack []byte) error {
	if !c.json() {
		_, _ = c.env.Stderr.Write(stack) // what matters comes after it
	}
	e := &recount.Error{
		Code: recount.CodeInternal, What: "recount has a mistake and stopped", Where: c.command, Why: fmt.Sprint(p),
		Next: "report it with this message; nothing that was to be written in one act was written in part",
	}
	if c.writes() {
		e.Code, e.Changed = recount.CodeOutcome, "all planned rows, or nothing: never a part"
		e.Next = "recount runs says whether the run was committed; report this message"
	}
	return e
}

// writes says whether the command changes live rows.
func (c *call) writes() bool {
	name := strings.TrimPrefix(c.command, "recount ")
	return name == "apply" || name == "rollback"
}

// interrupted says what an interrupted command leaves.
func (c *call) interrupted() *recount.Error {
	e := &recount.Error{
		Code: recount.CodeInterrupted, What: "interrupted before the end", Where: c.command,
		Why: "the process was asked to stop", Next: "run the same command again",
	}
	switch strings.TrimPrefix(c.command, "recount ") {
	case "archive run":
		e.Changed = "what was committed before stays in the archive; nothing is half written"
		e.Next = "run the same command again: it goes on where the archive ends"
	case "apply", "rollback":
		e.Changed = "nothing: the transaction was not committed"
		e.Next = "recount runs, to see that no run was added; then the same command again"
	case "plan":
		e.Changed = "nothing; no plan was written"
	}
	return e
}

// stdout is where results go. What it refuses is told from what the command had
// to say: by then the command may have done its work.
func (c *call) stdout() io.Writer { return outlet{c.env.Stdout} }

type outlet struct{ w io.Writer }

// Write writes. A reader that is gone has seen enough, which is no failure of the
// output.
func (o outlet) Write(p []byte) (int, error) {
	n, err := o.w.Write(p)
	if err != nil && !errors.Is(err, syscall.EPIPE) {
		err = &outputError{err}
	}
	return n, err
}

// outputError is a standard output that refuses to be written.
type outputError struct{ err error }

func (e *outputError) Error() string { return e.err.Error() }
func (e *outputError) Unwrap() error { return e.err }

// unprinted says what a command leaves whose report could not be written.
func (c *call) unprinted(err *outputError) *recount.Error {
	e := &recount.Error{
		Code: recount.CodeStorage, What: "the output could not be written whole", Where: "standard output", Why: err.Error(), Err: err,
		Changed: c.did, Next: "make room there, or write elsewhere, then run the same command again",
	}
	switch name := strings.TrimPrefix(c.command, "recount "); {
	case c.writes() && c.did != "":
		e.Next = "do not run it again for its report: recount runs says what was done"
	case strings.HasPrefix(name, "archive "):
		e.Changed = cmp.Or(e.Changed, "what was committed before stays in the archive")
	}
	return e
}
