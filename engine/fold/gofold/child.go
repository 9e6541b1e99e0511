package gofold

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"time"

	"recount"
	"recount/engine/fold/run"
	"recount/engine/fold/turns"
)

const (
	childArg = "__fold"
	// childMark stands in the child's environment alone: a program that has it
	// starts no child of its own.
	childMark = "RECOUNT_FOLD_CHILD"
)

// Child runs a fold if args (without the program's name) ask for it. A program
// that imports the package calls it first of all in main, after its folds were
// registered, and, if it was handled, exits with the code.
func Child(args []string, stdin io.Reader, stdout, stderr io.Writer) (handled bool, exit int) {
	if len(args) != 1 || args[0] != childArg || os.Getenv(childMark) == "" {
		return false, 0
	}
	out, err := own(stdout)
	if err == nil {
		err = serve(stdin, out)
	}
	if err != nil {
		fmt.Fprintln(stderr, err)
		return true, 1
	}
	return true, 0
}

// RunTests is what TestMain of a package whose tests run folds calls with its
// *testing.M: it is the child where a test started the binary, and runs the tests
// otherwise.
func RunTests(m interface{ Run() int }) int {
	if handled, exit := Child(os.Args[1:], os.Stdin, os.Stdout, os.Stderr); handled {
		return exit
	}
	return m.Run()
}

// serve does what is asked for, once. A fold that hangs is left where it is: the
// end of the process ends it.
func serve(in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	enc := json.NewEncoder(out)
	if err := enc.Encode(greeting{Fold: protocol}); err != nil {
		return fmt.Errorf("greet: %w", err)
	}
	var r request
	input := bufio.NewReader(in)
	dec := json.NewDecoder(input)
	if err := dec.Decode(&r); err != nil {
		return fmt.Errorf("read what to run: %w", err)
	}
	answers, gone := make(chan answer, 1), make(chan struct{})
	go func() { // a parent that is gone closes the pipe
		_, _ = io.Copy(io.Discard, dec.Buffered())
		_, _ = io.Copy(io.Discard, input)
		close(gone)
	}()
	go func() { answers <- execute(ctx, r) }()
	select {
	case a := <-answers:
		return enc.Encode(a)
	case <-hung(ctx, r.Trail, r.Patience):
		return enc.Encode(answer{Hangs: true})
	case <-gone:
		return errors.New("the program that started the fold is gone")
	}
}

func execute(ctx context.Context, r request) answer {
	// Threads of a shaken run may be more than those that were asked for, and each
	// may have a machine of every fold, and one more to try a state with.
	t, err := newTrail(r.Trail, (len(r.Turns)+2)*(4*max(r.Spec.Threads, 1)+16))
	if err != nil {
		return answer{Error: wire(err)}
	}
	debug.SetMemoryLimit(r.Spec.Memory + headroomMiB<<20)
	debug.SetGCPercent(garbagePercent)
	result, err := folded(ctx, r, t)
	if err != nil {
		return answer{Error: wire(err)}
	}
	return answer{Result: result}
}

// folded folds what is asked for.
func folded(ctx context.Context, r request, t *trail) (run.Result, error) {
	programs, err := r.programs()
	if err != nil {
		return run.Result{}, err
	}
	fatal := map[int64]string{}
	for _, f := range r.Fatal {
		fatal[f.Seq] = f.Why
	}
	slots := &slots{trail: t}
	parts := make([]run.Steppers, len(programs))
	for i, p := range programs {
		parts[i] = &steppers{program: p, bucket: !r.Spec.Bucket.None(), seed: r.Seed, fatal: fatal, slots: slots}
	}
	folds := parts[0]
	if len(r.Spec.Turns) > 0 {
		folds = turns.Steppers(r.Spec, parts)
	}
	result, err := run.Execute(ctx, r.Spec, folds)
	if err != nil {
		return run.Result{}, recount.Located(err, r.Path)
	}
	return result, nil
}

// garbagePercent is how much garbage there may be beside what is in use: half as
// much as usual, since the memory of all of a replay's processes counts.
const garbagePercent = 50

// headroomMiB is what a process takes besides what its run does.
const headroomMiB = 256

// hung closes its channel once a thread was at the same event for as long as
// patience lasts.
func hung(ctx context.Context, trail string, patience time.Duration) <-chan struct{} {
	const looks = 4 // within patience
	found := make(chan struct{})
	go func() {
		tick := time.NewTicker(max(patience/looks, time.Millisecond))
		defer tick.Stop()
		var last []int64
		var same []int
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			now, err := readTrail(trail)
			if err != nil {
				continue // not begun, or there is none
			}
			if len(now) != len(last) {
				last, same = now, make([]int, len(now))
				continue
			}
			for i := range now {
				if same[i]++; now[i] != last[i] || now[i] == 0 {
					same[i] = 0
				}
			}
			if slices.Max(same) > looks {
				close(found)
				return
			}
			last = now
		}
	}()
	return found
}
