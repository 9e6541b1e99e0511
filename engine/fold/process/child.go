package process

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"recount"
	"recount/internal/sandbox"
)

// child is a running worker. One goroutine reads from it and one writes to it.
type child struct {
	proc    process
	stdin   io.WriteCloser
	stdout  io.Reader
	out     *bufio.Reader // over stdout
	said    *tail
	name    string // for messages: the command
	timeout time.Duration
	// watch ends the process if nothing has gone on for the timeout; it runs only
	// while an answer is awaited.
	watch *time.Timer
	late  atomic.Bool     // watch ended it
	ctx   context.Context //nolint:containedctx // the process lives as long as it does, and errors tell its end
	ended chan struct{}   // closed when exit and failed are set
	exit  sandbox.Exit
	fault error
	done  atomic.Bool
}

// process is a *sandbox.Process without its pipes.
type process interface {
	Kill()
	Wait() (sandbox.Exit, error)
}

// outBuffer is what is read of a worker's output at once.
const outBuffer = 64 << 10

// grace is how long a worker that has closed its output may take to end.
const grace = 2 * time.Second

// launch starts a process.
func launch(ctx context.Context, s sandbox.Spec, name string, timeout time.Duration) (*child, error) {
	said := &tail{}
	s.Stderr = said
	proc, err := sandbox.Start(ctx, s)
	if err != nil {
		return nil, err
	}
	c := newChild(ctx, proc, proc.Stdin, proc.Stdout, name, timeout)
	c.said = said
	return c, nil
}

func newChild(ctx context.Context, proc process, stdin io.WriteCloser, stdout io.Reader, name string, timeout time.Duration) *child {
	c := &child{
		proc: proc, stdin: stdin, stdout: stdout, out: bufio.NewReaderSize(stdout, outBuffer),
		said: &tail{}, name: name, timeout: timeout, ctx: ctx, ended: make(chan struct{}),
	}
	c.watch = time.AfterFunc(timeout, func() {
		c.late.Store(true)
		c.kill()
	})
	c.watch.Stop()
	return c
}

// kill ends the process, which closes its pipes. They are closed here too, a little
// later: what it started may have them. Not at once: a worker that sees its pipes
// close complains, and its complaint would stand where its last words do.
func (c *child) kill() {
	c.proc.Kill()
	time.AfterFunc(grace, c.shut)
}

func (c *child) shut() {
	if out, ok := c.stdout.(io.Closer); ok {
		_ = out.Close()
	}
	_ = c.stdin.Close()
}

// goesOn says that something has gone on; an answer is still awaited.
func (c *child) goesOn() { c.watch.Reset(c.timeout) }

// rests says that no answer is awaited.
func (c *child) rests() { c.watch.Stop() }

// Write writes to the worker's input in pieces, each of which it must take within
// the timeout.
func (c *child) Write(b []byte) (int, error) {
	const piece = 32 << 10
	written := 0
	for len(b) > 0 {
		n, err := c.stdin.Write(b[:min(len(b), piece)])
		written += n
		if err != nil {
			return written, err
		}
		b = b[n:]
		c.goesOn()
	}
	return written, nil
}

// end kills the process, if it still runs, and waits for it. It may be called
// twice.
func (c *child) end() {
	c.rests()
	if c.done.Swap(true) {
		<-c.ended
		return
	}
	c.kill()
	c.exit, c.fault = c.proc.Wait()
	close(c.ended)
}

// settle waits a little for a worker that has closed its output to end by itself,
// so that its exit code is known, and then ends it. It says whether it ended.
func (c *child) settle() bool {
	c.rests()
	if c.done.Swap(true) {
		<-c.ended
		return true
	}
	go func() {
		c.exit, c.fault = c.proc.Wait()
		close(c.ended)
	}()
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-c.ended:
		return true
	case <-timer.C:
	}
	c.kill()
	<-c.ended
	return false
}

// errLong is a line or a batch that is longer than any may be.
var errLong = errors.New("too long")

// line reads a line of at most most bytes, without its end. It is valid until the
// next one. What stands at the end of the output without a line end is given with
// io.ErrUnexpectedEOF.
func (c *child) line(most int) ([]byte, error) {
	line, err := c.out.ReadSlice('\n')
	if err == nil {
		return line[:len(line)-1], nil
	}
	whole := append([]byte(nil), line...)
	for errors.Is(err, bufio.ErrBufferFull) {
		if len(whole) > most {
			return whole[:most], errLong
		}
		line, err = c.out.ReadSlice('\n')
		whole = append(whole, line...)
	}
	if err != nil {
		if len(whole) > 0 && errors.Is(err, io.EOF) {
			return whole, io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return whole[:len(whole)-1], nil
}

// cutOff is the error of an output that ends within a line: a worker that died
// while it wrote, or one that printed something.
func (c *child) cutOff(line []byte) error {
	if len(line) > 0 && line[0] == '{' {
		return c.gone()
	}
	return c.stray(line)
}

// gone is the error of a worker from which nothing more comes, or which takes
// nothing more. It ends it.
func (c *child) gone() error {
	if err := context.Cause(c.ctx); err != nil {
		c.end()
		return err
	}
	byItself := c.settle()
	if err := context.Cause(c.ctx); err != nil {
		return err
	}
	e := &recount.Error{Code: recount.CodeWorker, What: "the worker stopped", Where: c.name}
	switch {
	case c.late.Load():
		e.What = "the worker does not answer"
		e.Why = fmt.Sprintf("it took longer than %s for one answer, and was ended", c.timeout)
		e.Next = "find what it waits for; if it needs longer, say so by `timeout` beside its command"
	case !byItself:
		e.Why = "it closed its standard output, and went on without it"
		e.Next = "let the worker answer until its standard input ends"
	default:
		e.Why = "it ended " + howEnded(c.exit) + " before it had answered"
		e.Next = "mend the worker; docs/process-workers.md says how to run it by hand on the same events"
	}
	e.Why += c.lastWords()
	return e
}

func howEnded(e sandbox.Exit) string {
	if e.Signal != "" {
		return "by signal " + e.Signal
	}
	if e.Code < 0 {
		return "by a signal"
	}
	return fmt.Sprintf("with exit code %d", e.Code)
}

// lastWords are the last lines of standard error, to follow a sentence.
func (c *child) lastWords() string {
	lines := c.said.lines()
	if len(lines) == 0 {
		return "; it said nothing on standard error"
	}
	return "; its last words:\n" + strings.Join(lines, "\n")
}

// unusable is the error of an answer that cannot be used. It ends the worker.
func (c *child) unusable(format string, args ...any) error {
	c.end()
	return &recount.Error{
		Code: recount.CodeWorkerAnswer, What: "the worker's answer cannot be used", Where: c.name,
		Why: fmt.Sprintf(format, args...) + c.lastWords(), Next: "mend the worker; docs/worker-protocol.md says what it may answer",
	}
}

// stray is the error of a line that is none of the protocol's.
func (c *child) stray(line []byte) error {
	c.end()
	return &recount.Error{
		Code: recount.CodeWorkerAnswer, What: "the worker writes to standard output what is no protocol", Where: c.name,
		Why:  fmt.Sprintf("it wrote: %s%s", quoted(line), c.lastWords()),
		Next: "let it print to standard error: standard output is the protocol's alone",
	}
}

func quoted(line []byte) string {
	if s := tidy(string(line[:min(len(line), 4*lineRunes)])); s != "" {
		return s
	}
	return fmt.Sprintf("%q", line[:min(len(line), 40)])
}

// cannotFold is the error of an event that the worker says it cannot fold.
func cannotFold(c *child, why string) error {
	if why = tidy(why); why == "" {
		why = "it does not say why"
	}
	return &recount.Error{
		Code: recount.CodeWorker, What: "the worker cannot fold an event", Where: c.name, Why: why + c.lastWords(),
		Next: "mend the worker; docs/process-workers.md says how to run it by hand on the same events",
	}
}
