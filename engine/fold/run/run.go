package run

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"recount"
	"recount/engine/result"
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
	memory     *budget
	resume     string // folder of parts that are done; empty: none are kept
	bits       int    // logarithm of the number of parts
	parts      []part
	names      names
	marks      marks
	attempts   *attempts // nil: each key is folded once
	wanted     map[string]struct{}
	wantedNull bool
	ranks      []uint32
	keys       atomic.Int64
	made       atomic.Int64 // steppers

	mu          sync.Mutex
	result      Result
	done        []*results // by part
	files       []*spillFile
	openingFile *spillFile
}

// Execute folds the events of a spec and writes its files. Rows and effects are
// the same whatever Threads, Memory, Batch and the order of Files are.
func Execute(ctx context.Context, s Spec, steppers Steppers) (Result, error) {
	result, err := execute(ctx, &s, steppers, true)
	if errors.Is(err, errOddPosition) {
		return execute(ctx, &s, steppers, false)
	}
	return result, err
}

func execute(ctx context.Context, s *Spec, steppers Steppers, numbered bool) (result Result, err error) {
	r, err := newRunner(s, steppers, numbered)
	if err != nil {
		return Result{}, err
	}
	defer func() {
		for _, f := range r.files {
			err = errors.Join(err, f.close())
		}
	}()
	if err := r.resumeParts(); err != nil {
		return Result{}, err
	}
	if err := r.readOpenings(ctx); err != nil {
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
	for i := range r.parts {
		r.result.Events += r.parts[i].events
	}
	r.result.Keys, r.result.Spilled = r.keys.Load(), r.memory.spilled.Load()
	slices.SortFunc(r.result.Poisoned, comparePoisoned)
	if r.resume != "" {
		if err := os.RemoveAll(r.resume); err != nil {
			return Result{}, fmt.Errorf("remove the parts of a run: %w", err)
		}
	}
	return r.result, nil
}

func newRunner(s *Spec, steppers Steppers, numbered bool) (*runner, error) {
	r := &runner{spec: s, steppers: steppers, threads: s.Threads, batch: s.Batch}
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
	if r.plan, err = newPlan(s, numbered); err != nil {
		return nil, err
	}
	r.readWanted()
	if err := r.readAttempts(); err != nil {
		return nil, err
	}
	if r.marks, err = readMarks(s.Marks, s.Dedupe); err != nil {
		return nil, err
	}
	rows := int64(0)
	for _, f := range s.Files {
		rows += f.Rows
	}
	if s.Opening != "" {
		n, err := result.Count(s.Opening)
		if err != nil {
			return nil, err
		}
		rows += n
	}
	if s.Shake.Batches && rows < fewRows {
		r.batch = smallBatch
	}
	r.bits = partBits(rows)
	if s.Shake.Threads { // keys are dealt out otherwise: other keys share a thread, in another order
		r.bits = min(r.bits+shakenBits, mostBits)
	}
	r.parts = make([]part, 1<<r.bits)
	r.done = make([]*results, len(r.parts))
	r.memory = r.divide()
	return r, nil
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
	if p.done {
		return nil
	}
	k, free, err := r.keyed(d, p)
	if err != nil {
		return err
	}
	out := r.newResults(d.spill)
	d.poison = nil
	if err := d.fold(ctx, k, out); err != nil {
		return err
	}
	free()
	r.keys.Add(k.keys())
	r.done[n] = out
	if r.resume != "" {
		return r.keepPart(ctx, n, out, k.keys(), d.poison)
	}
	for _, records := range []*records{out.rows, out.effects} {
		if size := int64(records.size()); r.memory.written.Add(size) > r.memory.records/2 {
			r.memory.written.Add(-size)
			if err := records.flush(); err != nil {
				return err
			}
			records.arena, records.list = nil, nil
		} else {
			records.sort()
		}
	}
	return nil
}

// spill returns the file to which the driver's rows are spilled.
func (d *driver) spill() (*spillFile, error) {
	if d.file != nil {
		return d.file, nil
	}
	var err error
	d.file, err = d.newSpill()
	return d.file, err
}

// keyed groups the events of a part, in memory where they fit. free gives the
// memory back.
func (r *runner) keyed(d *driver, p *part) (k keyed, free func(), err error) {
	if err := r.loadOpenings(p); err != nil {
		return nil, nil, err
	}
	var need, rows int64
	for _, s := range p.stored {
		need += int64(s.bytes)
		rows += int64(s.rows)
	}
	if need+rows*rowBytes > min(r.memory.gather, mostPart) {
		if r.spec.Show || r.attempts != nil {
			return nil, nil, r.tooLarge()
		}
		m, err := r.newMerged(p)
		return m, func() {}, err
	}
	whole, err := r.load(p, &d.scratch)
	if err != nil {
		return nil, nil, err
	}
	g, err := gather(r.plan, r.ranks, []*chunk{whole}, p.openings)
	if err != nil {
		return nil, nil, err
	}
	p.openings = nil
	if r.attempts != nil {
		g.single(r.attempts)
	}
	return newWalker(g), func() { r.memory.giveWhole(whole) }, nil
}

// load brings all events of a part into one chunk, in the order in which they
// were read.
func (r *runner) load(p *part, scratch *scratch) (*chunk, error) {
	whole := r.memory.whole(r.plan)
	slices.SortFunc(p.stored, func(a, b stored) int { return cmp.Compare(a.order, b.order) })
	for i, s := range p.stored {
		if err := s.read(whole, scratch); err != nil {
			return nil, err
		}
		r.memory.release(s)
		p.stored[i] = stored{}
	}
	p.stored = nil
	return whole, nil
}

func comparePoisoned(a, b Poisoned) int {
	return cmp.Or(cmp.Compare(a.Seq, b.Seq), cmp.Compare(recount.KeyText(a.Key), recount.KeyText(b.Key)))
}
