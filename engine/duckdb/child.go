package duckdb

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"recount/internal/sandbox"
)

// Child runs the engine's process if args (without the program's name) ask for
// it. A program that imports the package calls it first of all in main and, if
// it was handled, exits with the code.
func Child(args []string, stdin io.Reader, stdout, stderr io.Writer) (handled bool, exit int) {
	if len(args) != 1 || args[0] != childArg || os.Getenv(childMark) == "" {
		return false, 0
	}
	limitChild()
	if stdin == io.Reader(os.Stdin) { // and no test that goes on afterwards
		// The engine reads and writes files and does nothing else, whatever the SQL is.
		if err := sandbox.Forbid(); err != nil {
			fmt.Fprintln(stderr, err)
			return true, 1
		}
	}
	if err := serve(stdin, stdout); err != nil {
		fmt.Fprintln(stderr, err)
		return true, 1
	}
	return true, 0
}

// RunTests is what TestMain of a package whose tests use the engine calls with
// its *testing.M: it is the child where the engine started the binary, and runs
// the tests otherwise. TestMain may drop the exit code: package testing keeps its
// own.
func RunTests(m interface{ Run() int }) int {
	if handled, exit := Child(os.Args[1:], os.Stdin, os.Stdout, os.Stderr); handled {
		return exit
	}
	return m.Run()
}

// lastBreath is how long a query may take to stop when the parent is gone.
const lastBreath = time.Second

// serve answers requests until the input ends, which also stops a query that
// runs: a child whose parent is gone has nothing left to do.
func serve(in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	requests, done := make(chan request), make(chan struct{})
	defer close(done)
	go func() {
		defer close(requests)
		dec := json.NewDecoder(bufio.NewReader(in))
		for {
			var r request
			if err := dec.Decode(&r); err != nil {
				break
			}
			requests <- r
		}
		cancel()
		select {
		case <-done:
		case <-time.After(lastBreath):
			killSelf()
		}
	}()
	enc := json.NewEncoder(out)
	if err := enc.Encode(greeting{Engine: protocol}); err != nil {
		return fmt.Errorf("greet: %w", err)
	}
	w := &worker{checked: map[string]*checked{}}
	if err := w.warm(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // nobody waits for it any more
		}
		return err
	}
	for r := range requests {
		value, err := w.do(ctx, r)
		var a answer
		if err == nil {
			a.Value, err = json.Marshal(value)
		}
		if err != nil {
			a = answer{Error: wire(err)}
		}
		if err := enc.Encode(a); err != nil {
			return fmt.Errorf("answer: %w", err)
		}
	}
	return w.close()
}

func killSelf() {
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Kill()
	}
}

// worker is the state of a child: a database for checks and at most one input.
type worker struct {
	checks  *database
	checked map[string]*checked
	spares  spares
	input   *input
}

// checksMemoryMiB is plenty: checks read no event.
const checksMemoryMiB = 128

// warm opens the database for checks before anybody asks.
func (w *worker) warm(ctx context.Context) error {
	var err error
	if w.checks, err = newDatabase(ctx); err != nil {
		return err
	}
	if err := w.checks.lock(ctx, settings{memoryMiB: checksMemoryMiB, threads: 1}); err != nil {
		return err
	}
	return w.checks.addFunctions()
}

func (w *worker) close() error {
	var err error
	if w.input != nil {
		err = w.input.close()
		w.input = nil
	}
	return errors.Join(err, w.spares.close(), w.checks.close())
}

var errNoInput = errors.New("no input is open")

// open opens an input, whose marks are those that upcasts leave.
func (w *worker) open(ctx context.Context, r openRequest) error {
	reshaped, err := w.reshape(ctx, &r)
	if err != nil {
		return err
	}
	w.input, err = openInput(ctx, r, &w.spares)
	w.spares.prepare(ctx, 1) // for the second run
	if err == nil {
		w.input.reshaping = reshaped
	}
	return err
}

func (w *worker) do(ctx context.Context, r request) (any, error) {
	if w.input != nil && (r.Types != nil || r.Touched != nil || r.Events != nil || r.Run != nil || r.States != nil || r.Each != nil || r.Feed != nil) {
		if err := w.input.brought(ctx); err != nil { // these see the fields
			return nil, err
		}
	}
	switch {
	case r.Check != nil:
		// Whoever checks SQL will most likely run it.
		w.spares.prepare(ctx, mostSpares)
		c, err := w.check(ctx, *r.Check)
		if err != nil {
			return nil, err
		}
		return checkAnswer{Columns: c.columns}, nil
	case r.Open != nil:
		if w.input != nil {
			return nil, errors.New("an input is open already")
		}
		return struct{}{}, w.open(ctx, *r.Open)
	case w.input == nil:
		return nil, errNoInput
	case r.Count != nil:
		return w.input.count(ctx, r.Count.Dedupe)
	case r.Minutes != nil:
		return w.input.minutes(ctx, r.Minutes.Dedupe, r.Minutes.Most)
	case r.Types != nil:
		return w.input.types(ctx, r.Types.Query)
	case r.Touched != nil:
		return w.input.touchedKeys(ctx, *r.Touched)
	case r.Quarantined != nil:
		return w.input.quarantined(ctx)
	case r.Events != nil:
		return w.events(ctx, *r.Events)
	case r.Run != nil:
		return w.run(ctx, *r.Run)
	case r.HitSpan != nil:
		return w.input.hitSpan(ctx, r.HitSpan.Dedupe)
	case r.Arrivals != nil:
		return w.input.arrivals(ctx)
	case r.States != nil:
		return w.states(ctx, *r.States)
	case r.Each != nil:
		return w.each(ctx, *r.Each)
	case r.Feed != nil:
		return w.feed(ctx, *r.Feed)
	case r.Close != nil:
		err := w.input.close()
		w.input = nil
		return struct{}{}, err
	}
	return nil, errors.New("empty request")
}
