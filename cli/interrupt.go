package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync/atomic"

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
