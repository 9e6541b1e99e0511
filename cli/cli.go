// Package cli is the command line: it reads arguments, calls the use cases of
// internal/app and hands their results to views. It decides nothing about data.
//
// What always holds: results go to standard output, progress, questions and
// errors to standard error; nothing is asked without a terminal; the exit code
// is that of the contract; the process is ended by nobody but main.
package cli

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"syscall"

	"github.com/spf13/cobra"

	"recount"
	"recount/adapter"
	"recount/cli/views"
	"recount/internal/app"
	"recount/internal/clock"
)

// Env is everything that the command line gets from its process.
type Env struct {
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	// Dir is the working folder.
	Dir    string
	Getenv func(string) (string, bool)
	// Terminal says whether a stream is one, and its columns.
	Terminal func(stream any) (columns int, yes bool)
	Clock    clock.Clock
	User     string
	Registry *adapter.Registry
	Build    views.Build
	// Signals brings what should interrupt: the first asks to end well, the
	// second calls Exit at once.
	Signals <-chan os.Signal
	Exit    func(code int)
	// Open opens the project; nil means app.Open.
	Open func(context.Context, app.Options) (Recount, error)
	// Init makes a project; nil means app.Init.
	Init func(context.Context, app.InitRequest) (app.Initialized, error)
}

// Main runs one command and returns the exit code. args are those after the
// program's name.
func Main(ctx context.Context, args []string, env Env) (exit int) {
	c := &call{env: env, args: args}
	defer func() {
		// Go ends a panic with 2, which would read as "differences found".
		if p := recover(); p != nil {
			exit = c.finish(c.crashed(p, debug.Stack()))
		}
	}()
	ctx, stop := c.watch(ctx)
	defer stop()
	root := c.root() //nolint:contextcheck // each command is given its context by ExecuteContext
	root.SetArgs(args)
	root.SetIn(env.Stdin)
	root.SetOut(helpOut{env.Stdout})
	root.SetErr(env.Stderr)
	err := root.ExecuteContext(ctx)
	return c.finish(err)
}

// helpOut takes help. A reader that is gone has seen enough of it.
type helpOut struct{ w io.Writer }

func (h helpOut) Write(p []byte) (int, error) {
	n, err := h.w.Write(p)
	if errors.Is(err, syscall.EPIPE) {
		return len(p), nil
	}
	return n, err
}

// call is one run of the program.
type call struct {
	env   Env
	args  []string
	flags globals
	// begun says that a command's own work has begun: errors before that are
	// the command line's.
	begun   bool
	command string
	// exit is the code of a success that says more than 0.
	exit int
	// did is what the command has done that stays, where only its report is left.
	did    string
	signal interrupt
	input  *bufio.Reader // answers; nil until one is asked for
	bars   *bars         // nil until something may last
	// unsandboxed lets workers run without isolation.
	unsandboxed bool
}

// globals are the flags that every command takes.
type globals struct {
	json    bool
	quiet   bool
	noInput bool
	noColor bool
	dir     string
}

// finish shows the error, if there is one, and returns the exit code.
func (c *call) finish(err error) int {
	c.progress().clear()
	if err == nil {
		return c.exit
	}
	// Who reads our output has seen enough: no failure of ours.
	if errors.Is(err, syscall.EPIPE) {
		return c.exit
	}
	e := c.explain(err)
	if showErr := views.NewError(c.output()).Failed(e); showErr != nil {
		return recount.ExitError
	}
	return e.Exit()
}

// explain turns err into what a person can act on.
func (c *call) explain(err error) *recount.Error {
	if failed, ok := errors.AsType[*outputError](err); ok {
		return c.unprinted(failed)
	}
	if c.signal.happened() && c.cutShort(err) {
		return c.interrupted()
	}
	if e, ok := errors.AsType[*recount.Error](err); ok {
		return e
	}
	if !c.begun {
		return usage(err.Error(), "", c.helpLine())
	}
	return recount.AsError(err)
}

// cutShort says whether err comes from the interruption rather than from what
// the command found. An unknown outcome stays one.
func (c *call) cutShort(err error) bool {
	var e *recount.Error
	if !errors.As(err, &e) {
		return true
	}
	if e.Changed != "" {
		return false // it knows better what the interruption left
	}
	switch e.Code { //nolint:exhaustive // all other codes are judged by their cause, below
	case recount.CodeEngine, recount.CodeInternal:
		// The terminal interrupts the engine's process as well.
		return true
	case recount.CodeOutcome, recount.CodeInterrupted:
		return false
	}
	return errors.Is(err, context.Canceled)
}

// output is where and how views write. Bars are cleared for it.
func (c *call) output() *views.Output {
	if c.bars != nil {
		c.bars.clear()
	}
	_, terminal := c.env.Terminal(c.env.Stdout)
	return &views.Output{
		Out: c.stdout(), Err: c.env.Stderr, JSON: c.json(), Terminal: terminal, Quiet: c.flags.quiet,
		Style: c.style(c.env.Stdout), ErrStyle: c.style(c.env.Stderr),
	}
}

func (c *call) style(stream any) views.Style {
	width, terminal := c.env.Terminal(stream)
	s := views.StyleFor(c.env.Getenv, terminal, width)
	if c.flags.noColor {
		s.Color = false
	}
	return s
}

// json says whether JSON was asked for; also where the flags could not be read
// to their end.
func (c *call) json() bool {
	if c.flags.json || c.begun {
		return c.flags.json
	}
	args := c.args
	if end := slices.Index(args, "--"); end >= 0 {
		args = args[:end]
	}
	return slices.Contains(args, "--json") || slices.Contains(args, "--json=true")
}

// helpLine names the help of the command that was meant.
func (c *call) helpLine() string {
	if c.command == "" || c.command == "recount" {
		return "recount --help"
	}
	return c.command + " --help"
}

// run wraps a command's work: from here on an error is not the command line's.
func (c *call) run(work func(context.Context, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c.command = cmd.CommandPath()
		c.begun = true
		return work(cmd.Context(), args)
	}
}
