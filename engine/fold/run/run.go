package run

import (
	"cmp"
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"recount"
)

// runner is one run.
type runner struct {
	spec       *Spec
	steppers   Steppers
	plan       *plan
	columns    []recount.Column // of the shape: key, then values
	wants      Wants
	threads    int
	batch      int
	chunkRows  int
	bits       int // logarithm of the number of parts
	parts      []part
	names      names
	marks      marks
	wanted     map[string]struct{}
	wantedNull bool
	ranks      []uint32
	read       atomic.Int64 // events
	keys       atomic.Int64
	made       atomic.Int64 // steppers

	mu     sync.Mutex
	result Result
	done   []*results // by part
}

// Execute folds the events of a spec and writes its files. Rows and effects are
// the same whatever Threads, Memory, Batch and the order of Files are. A stepper
// may keep nothing of a batch once Step has returned.
func Execute(ctx context.Context, s Spec, steppers Steppers) (Result, error) {
	r, err := newRunner(&s, steppers)
	if err != nil {
		return Result{}, err
	}
	if err := r.scatter(ctx); err != nil {
		return Result{}, err
	}
	if err := r.foldAll(ctx); err != nil {
		return Result{}, err
	}
	if err := r.write(ctx); err != nil {
		return Result{}, err
	}
	r.result.Events, r.result.Keys = r.read.Load(), r.keys.Load()
	slices.SortFunc(r.result.Poisoned, comparePoisoned)
	return r.result, nil
}

const chunkRows = 8192

func newRunner(s *Spec, steppers Steppers) (*runner, error) {
	r := &runner{spec: s, steppers: steppers, threads: s.Threads, batch: s.Batch, chunkRows: chunkRows}
	if r.threads <= 0 {
		r.threads = runtime.GOMAXPROCS(0)
	}
	if s.Shake.Threads {
		r.threads = 2*r.threads + 1
	}
	if r.batch <= 0 {
		r.batch = defaultBatch
	}
	if s.Shake.Batches {
		r.batch = shakenBatch
	}
	r.columns = slices.Concat(s.Shape.Key, s.Shape.Values)
	r.wants = wantsOf(s)
	var err error
	if r.plan, err = newPlan(s); err != nil {
		return nil, err
	}
	r.readWanted()
	if r.marks, err = readMarks(s.Marks, s.Dedupe); err != nil {
		return nil, err
	}
	r.bits = partBits(s.Files)
	r.parts = make([]part, 1<<r.bits)
	r.done = make([]*results, len(r.parts))
	return r, r.readOpenings()
}

// foldAll folds all parts, each thread with a stepper of its own.
func (r *runner) foldAll(ctx context.Context) error {
	r.ranks = r.names.ranks(r.spec.Shake.Interleave)
	g, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	for range min(r.threads, len(r.parts)) {
		g.Go(func() (err error) {
			d := r.newDriver()
			defer func() { err = errors.Join(err, d.close()) }()
			for {
				n := int(next.Add(1) - 1)
				if n >= len(r.parts) {
					return nil
				}
				if err := r.foldPart(ctx, d, n); err != nil {
					return err
				}
			}
		})
	}
	return g.Wait()
}

func (r *runner) foldPart(ctx context.Context, d *driver, n int) error {
	p := &r.parts[n]
	g, err := gather(r.plan, r.ranks, p.chunks, p.openings)
	if err != nil {
		return err
	}
	p.chunks, p.openings = nil, nil
	out := &results{newRecords(), newRecords()}
	k := newWalker(g)
	if err := d.fold(ctx, k, out); err != nil {
		return err
	}
	r.keys.Add(k.keys())
	out.rows.sort()
	out.effects.sort()
	r.done[n] = out
	return nil
}

func comparePoisoned(a, b Poisoned) int {
	return cmp.Or(cmp.Compare(a.Seq, b.Seq), cmp.Compare(recount.KeyText(a.Key), recount.KeyText(b.Key)))
}
