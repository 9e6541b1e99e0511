package gofold

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"recount"
	"recount/engine/fold/run"
	"recount/internal/sandbox"
)

// once runs a request in a process. If the fold ended it, the error is a *death.
func (k *Kind) once(ctx context.Context, r request) (run.Result, error) {
	if os.Getenv(childMark) != "" {
		return run.Result{}, errForgotten()
	}
	around := surroundings(r.Spec)
	r.Seed = around.Seed
	self, err := os.Executable()
	if err != nil {
		return run.Result{}, fmt.Errorf("start a fold: %w", err)
	}
	if err := os.Remove(r.Trail); err != nil && !errors.Is(err, os.ErrNotExist) {
		return run.Result{}, fmt.Errorf("start a fold: %w", err)
	}
	said := &words{}
	p, err := sandbox.Start(ctx, sandbox.Spec{
		Command: []string{self, childArg}, Dir: r.Spec.Scratch, Read: inputs(r.Spec), Env: around.Env,
		MemoryMiB: int(r.Spec.Memory>>20) + memoryMiB, Clock: around.Clock, Seed: around.Seed,
		Host: around.Host, PID: around.PID, Processors: around.Processors,
		Stderr: said, Unsandboxed: k.options.Unsandboxed,
	})
	if err != nil {
		return run.Result{}, err
	}
	defer p.Kill()
	a, err := exchange(p, r)
	if err == nil && a.Error == nil && !a.Hangs {
		p.Kill()
		_, _ = p.Wait() // it has answered: how it ends is its own affair
		return a.Result, nil
	}
	// One that has ended by itself says how; one that only closed its output, or
	// goes on printing, does not hold up the run.
	grace := lastBreath
	if err == nil {
		grace = 0
	}
	kill := time.AfterFunc(grace, p.Kill)
	_, _ = io.Copy(io.Discard, p.Stdout)
	exit, errWait := p.Wait()
	kill.Stop()
	switch {
	case ctx.Err() != nil:
		return run.Result{}, ctx.Err()
	case err == nil && a.Error != nil:
		e := a.Error
		return run.Result{}, &recount.Error{Code: e.Code, What: e.What, Where: e.Where, Why: e.Why, Next: e.Next}
	case errors.Is(err, errNoGreeting) && exit.Signal == "":
		return run.Result{}, errForgotten()
	}
	return run.Result{}, newDeath(a, exit, errors.Join(err, errWait), said, r)
}

// lastBreath is how long a process may take to end that does not answer.
const lastBreath = 2 * time.Second

// memoryMiB is what a process may have besides what its run does: the program
// itself, and what its threads and the garbage collector take.
const memoryMiB = 1024

var errNoGreeting = errors.New("the process did not greet")

func exchange(p *sandbox.Process, r request) (answer, error) {
	// A write that fails is no error: why nobody reads is found where the answer is
	// missing.
	_ = json.NewEncoder(p.Stdin).Encode(r)
	dec := json.NewDecoder(bufio.NewReader(p.Stdout))
	var hello greeting
	if err := dec.Decode(&hello); err != nil || hello.Fold != protocol {
		return answer{}, errNoGreeting
	}
	var a answer
	if err := dec.Decode(&a); err != nil {
		return answer{}, fmt.Errorf("read the answer: %w", err)
	}
	return a, nil
}

func errForgotten() error {
	return &recount.Error{
		Code: recount.CodeWorker, What: "the fold's process cannot start",
		Why:  "this program does not call command.Main in main, or does something before that ends it",
		Next: "call worker.Register, then command.Main, and nothing before them: a fold runs in a second process of the same program",
	}
}

// death is the end of a process that had not answered.
type death struct {
	why    string
	at     []int64 // the events at which its threads were
	memory bool
	exit   sandbox.Exit
}

func (d *death) Error() string { return d.why }

func newDeath(a answer, exit sandbox.Exit, err error, said *words, r request) *death {
	d := &death{exit: exit}
	if seqs, errTrail := readTrail(r.Trail); errTrail == nil {
		d.at = slices.DeleteFunc(seqs, func(seq int64) bool { return seq == 0 })
		slices.Sort(d.at)
		d.at = slices.Compact(d.at)
	}
	last := said.lines()
	switch {
	case a.Hangs:
		d.why = fmt.Sprintf("the fold did not come back from the event within %s", r.Patience)
	case exit.Signal != "":
		d.why = "the fold's process was ended by signal " + exit.Signal
	case err != nil && exit.Code == 0:
		d.why = "the fold ended its process"
	default:
		d.why = fmt.Sprintf("the fold ended its process with exit code %d", exit.Code)
	}
	if len(last) > 0 && !a.Hangs {
		d.why += "; it said: " + strings.Join(last, " | ")
	}
	d.memory = !a.Hangs && (exit.Signal == "killed" || slices.ContainsFunc(last, func(line string) bool {
		return strings.Contains(line, "out of memory") || strings.Contains(line, "cannot allocate memory")
	}))
	return d
}

// whole is the error of a run that cannot go on.
func (d *death) whole(r request) error {
	if d.memory {
		return &recount.Error{
			Code: recount.CodeMemory, What: "the fold needs more memory than it may have", Where: r.Path, Why: d.why,
			Next: "keep less in the state of a key, or give the replay more memory",
		}
	}
	return &recount.Error{
		Code: recount.CodeWorker, What: "the fold's process stopped", Where: r.Path, Why: d.why,
		Next: "mend the fold: it must return an error for an event that it cannot process",
	}
}

func (d *death) tooOften(r request) error {
	if d.memory {
		return d.whole(r)
	}
	return &recount.Error{
		Code: recount.CodePoison, What: fmt.Sprintf("the fold ended its process at more than %d events", len(r.Fatal)), Where: r.Path, Why: "last: " + d.why,
		Next: "mend the fold: it must return an error for an event that it cannot process",
	}
}
