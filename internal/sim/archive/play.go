package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"sync"
	"syscall"

	"recount"
	"recount/internal/sim/archive/fakefs"
	"recount/internal/sim/archive/fakestore"
)

// tally is what was played, and what was found.
type tally struct {
	Points   int `json:"points"`   // crashes, each followed by what comes after it
	Pauses   int `json:"pauses"`   // archivers that slept while another one worked
	Failures int `json:"failures"` // operations that failed or lost their answer
	Crashes  int `json:"crashes"`  // all that happened, those in a recovery included
	// Compacted are archives that were compacted, before the crash or after it.
	Compacted int `json:"compacted"`
	// Expired are archives of which files were then deleted that are not needed.
	Expired int `json:"expired"`
	findings
}

func (t *tally) add(more tally) {
	t.Points += more.Points
	t.Pauses += more.Pauses
	t.Failures += more.Failures
	t.Crashes += more.Crashes
	t.Compacted += more.Compacted
	t.Expired += more.Expired
	t.Lost += more.Lost
	t.Doubled += more.Doubled
	t.Damaged += more.Damaged
	if t.first == "" {
		t.first = more.first
	}
}

// game plays one scenario: it crashes its archiver before each operation that
// changes something, and after the last one.
type game struct {
	scenario *scenario
	plant    *planted
	oracle   *oracle
	only     int  // plays this point alone; -1: all
	first    bool // ends with the first finding
	say      func(format string, args ...any)
	trace    io.Writer // gets all operations and the archives that were judged; nil: nobody

	tracing  sync.Mutex
	mu       sync.Mutex
	point    int
	finished int
	tally    tally
}

func newGame(s *scenario, plant *planted) *game {
	return &game{scenario: s, plant: plant, oracle: newOracle(), only: -1, say: func(string, ...any) {}}
}

// archiver starts a process in a world.
func (g *game) archiver(w *world, plant *planted, name int, ask each) (*archiver, error) {
	if g.trace == nil {
		return w.archiver(plant, name, ask)
	}
	return w.archiver(plant, name, func(op operation) error {
		g.tracing.Lock()
		_, _ = fmt.Fprintln(g.trace, name, op.kind, randomName.ReplaceAllString(op.name, ""))
		g.tracing.Unlock()
		return ask(op)
	})
}

// randomName is of an unfinished file.
var randomName = regexp.MustCompile(`[0-9a-f]{16}$`)

// errGone ends all that a crashed process would still do.
var errGone = errors.New("the process is gone")

// skim lets archivers that nothing disturbs read all, and judges the archive.
func (g *game) skim(ctx context.Context) (tally, error) {
	w := g.scenario.world()
	err := g.undisturbed(ctx, w, func(*archiver, operation) {}, func(*archiver, int) {})
	if err != nil && !g.plant.real() {
		return g.tally, err
	}
	var f findings
	g.finish(ctx, &f, w, nil)
	g.found(g.point, f, "nothing happens")
	return g.tally, nil
}

// undisturbed runs archivers of a world until the topic was read; then one compacts,
// and the last one deletes what is not needed any more. before is called before
// each operation, after with each that came through.
func (g *game) undisturbed(ctx context.Context, w *world, before func(*archiver, operation), after func(a *archiver, run int)) error {
	const runs, compacts, expires = 3, 3, 4
	for number := range expires + 1 {
		name := 0
		if number == expires {
			name = longAfter
		}
		var a *archiver
		var err error
		a, err = g.archiver(w, g.plant, name, func(op operation) error {
			before(a, op)
			return nil
		})
		if err != nil {
			return err
		}
		act := a.run
		switch number {
		case compacts:
			act = a.compact
		case expires:
			act = func(ctx context.Context) error {
				_, err := a.expire(ctx)
				return err
			}
		}
		if err := act(ctx); err != nil {
			return fmt.Errorf("run that nothing disturbs: %w", err)
		}
		after(a, number)
		if number == runs-2 {
			w.topic.Finish()
		}
	}
	return nil
}

// play plays the scenario and returns what was found.
func (g *game) play(ctx context.Context) (tally, error) {
	operations, err := g.crashes(ctx)
	if err != nil {
		return g.tally, err
	}
	// These begin anew each, and cost more: some operations have their turn.
	const seldom = 5
	offset := g.scenario.number % seldom
	for n := offset; n < operations && !g.ended(); n += seldom {
		if err := g.pause(ctx, n); err != nil {
			return g.tally, err
		}
		if g.plant.races {
			continue
		}
		if err := g.failure(ctx, n); err != nil {
			return g.tally, err
		}
	}
	return g.tally, nil
}

func (g *game) ended() bool { return g.first && g.tally.any() }

// next says whether the next point is to be played.
func (g *game) next() (point int, play bool) {
	point = g.point
	g.point++
	return point, (g.only < 0 || g.only == point) && !g.ended()
}

// found adds what a point found, and says how to play it again.
func (g *game) found(point int, f findings, format string, args ...any) {
	g.tally.add(tally{findings: f})
	if f.any() {
		g.say("go run ./internal/sim/archive -seed %d -scenario %d -point %d   # %s: %d lost, %d doubled, %d damaged: %s",
			g.scenario.seed, g.scenario.number, point, fmt.Sprintf(format, args...), f.Lost, f.Doubled, f.Damaged, f.first)
	}
}

// crashes runs an archiver that is never hurt, and plays crashes of it on images
// of its world. It returns how many operations there were.
func (g *game) crashes(ctx context.Context) (operations int, err error) {
	w := g.scenario.world()
	err = g.undisturbed(ctx, w, func(a *archiver, op operation) {
		g.mu.Lock()
		defer g.mu.Unlock()
		operations++
		if op.changes && !g.plant.races {
			g.crash(ctx, w, a, "before %s %s", op.kind, op.name)
		}
	}, func(a *archiver, run int) {
		if !g.plant.races {
			g.crash(ctx, w, a, "after run %d", run)
		}
	})
	if g.plant.real() {
		err = nil
	}
	return operations, err
}

// crash takes an image of what the crash of an archiver leaves, in each mode, and
// goes on from there.
func (g *game) crash(ctx context.Context, w *world, a *archiver, format string, args ...any) {
	modes := []fakefs.Mode{fakefs.All, fakefs.None, fakefs.Some, fakefs.Some}
	if w.objects != nil {
		modes = modes[:2]
	}
	for _, mode := range modes {
		point, play := g.next()
		if !play {
			continue
		}
		rng := g.scenario.rng(2, uint64(point))
		f := g.recover(ctx, w.image(mode, rng), rng, int(a.made.Load()))
		g.tally.Points++
		g.tally.Crashes++
		g.found(point, f, "%s, %s is left", fmt.Sprintf(format, args...), mode)
	}
}

// recover goes on from what a crash left: archivers are started, some of which
// crash again or meet failures, until one has read all.
func (g *game) recover(ctx context.Context, w *world, rng *rand.Rand, made int) (f findings) {
	// What is to be seen and not durable may still go.
	before, err := readLog(w.image(fakefs.None, g.scenario.rng(3)).files())
	if err != nil {
		f.damaged("after the crash: %v", err)
	}
	if len(before) < made {
		f.damaged("%d commits were kept, as the store had said, and %d are there", made, len(before))
	}
	const often, most = 3, 60
	for name := 1; rng.IntN(often) == 0; name++ {
		w, err = g.again(ctx, w, name, rng.IntN(most), rng)
		if err != nil {
			f.damaged("%v", err)
			return f
		}
	}
	g.finish(ctx, &f, w, before)
	return f
}

// again runs an archiver that crashes at its nth operation, or meets a failure
// there.
func (g *game) again(ctx context.Context, w *world, name, n int, rng *rand.Rand) (*world, error) {
	next := w
	failing := rng.IntN(2) == 0
	hurt := newHurt(n, w, rng)
	a, err := g.archiver(w, g.plant, name, func(op operation) error {
		return hurt.at(op, func() error {
			if failing {
				return hurt.failure(op)
			}
			hurt.gone = true
			next = w.image(fakefs.Mode(rng.IntN(int(fakefs.Some)+1)), rng)
			return nil
		})
	})
	if err != nil {
		return w, err
	}
	err = a.run(ctx)
	if hurt.gone {
		g.tally.Crashes++
		return next, nil
	}
	return next, explained(err)
}

// hurt lets something happen at the nth operation of an archiver.
type hurt struct {
	mu    sync.Mutex
	n     int
	cut   func() // ends the process so many operations later; nil: nothing does
	later int
	gone  bool
	disk  bool
	which int
}

func newHurt(n int, w *world, rng *rand.Rand) *hurt {
	return &hurt{n: n, disk: w.disk != nil, which: rng.IntN(1 << 10)}
}

func (h *hurt) at(op operation, act func() error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.n--; h.n == -1 {
		if err := act(); err != nil {
			return err
		}
	}
	if h.cut != nil && h.n == -1-h.later {
		h.cut()
		h.gone = true
	}
	if h.gone {
		return errGone
	}
	return nil
}

// failure is what an operation meets: a broker that is down, a full or broken
// disk, an object store that refuses or does not answer.
func (h *hurt) failure(op operation) error {
	if op.bus {
		return &recount.Error{
			Code: recount.CodeSourceFile, What: "the broker does not answer", Where: "fake://broker/topic", Why: "connection refused",
			Next: "run the command again when it is up",
		}
	}
	if h.disk {
		return []syscall.Errno{syscall.EIO, syscall.ENOSPC}[h.which%2]
	}
	outcomes := []fakestore.Outcome{fakestore.Failed, fakestore.Lost, fakestore.Unsent, fakestore.Late, fakestore.Bent}
	switch {
	case op.kind != fakestore.Complete:
		outcomes = outcomes[:1]
	case isCommit(op.name): // of its bytes nothing but the log itself could tell
		outcomes = outcomes[:4]
	}
	return outcomeError(outcomes[h.which%len(outcomes)])
}

// explained refuses an error that does not tell a person what to do.
func explained(err error) error {
	var e *recount.Error
	if err == nil || errors.As(err, &e) && e.What != "" && e.Where != "" && e.Why != "" && e.Next != "" {
		return nil
	}
	return fmt.Errorf("an error that says not what to do: %w", err)
}

// finish lets an archiver read all that there is, and judges the archive.
func (g *game) finish(ctx context.Context, f *findings, w *world, before []logged) {
	w.topic.Finish()
	// What was on its way may still come between, once.
	const tries = 3
	var err error
	for try := range tries {
		var a *archiver
		if a, err = g.archiver(w, g.plant, 100+try, func(operation) error { return nil }); err == nil {
			err = a.run(ctx)
		}
		if err == nil {
			break
		}
	}
	const sometimes = 4
	if g.finished++; err == nil && g.finished%sometimes == 1 {
		err = g.upkeep(ctx, w)
	}
	if err != nil {
		f.damaged("the archiver does not come through: %v", err)
	}
	if w.objects != nil {
		w.objects.Settle()
	} else {
		for _, bad := range w.disk.Bad() {
			f.damaged("%s", bad)
		}
	}
	left := w.image(fakefs.None, g.scenario.rng(3))
	files := left.files()
	if g.trace != nil {
		for _, name := range slices.Sorted(maps.Keys(files)) {
			_, _ = fmt.Fprintln(g.trace, name, digest(files[name]))
		}
	}
	more := g.oracle.judge(files, w.topic.Truth(), before)
	if more.compacted {
		g.tally.Compacted++
	}
	f.Lost, f.Doubled, f.Damaged = f.Lost+more.Lost, f.Doubled+more.Doubled, f.Damaged+more.Damaged
	if f.first == "" {
		f.first = more.first
	}
	// The oracle has looked at every byte; the product's own look costs as much as
	// the archive, and has its turn.
	const seldom = 8
	if g.finished%seldom != 0 || f.any() {
		return
	}
	if err := g.verify(ctx, left); err != nil {
		f.damaged("verify: %v", err)
	}
}

// upkeep compacts the archive of a world, and deletes what is not needed any more.
func (g *game) upkeep(ctx context.Context, w *world) error {
	a, err := g.archiver(w, g.plant, 200, func(operation) error { return nil })
	if err == nil {
		err = a.compact(ctx)
	}
	if err != nil {
		return err
	}
	if a, err = g.archiver(w, g.plant, longAfter, func(operation) error { return nil }); err != nil {
		return err
	}
	deleted, err := a.expire(ctx)
	if deleted {
		g.tally.Expired++
	}
	return err
}

// verify has the product prove the archive.
func (g *game) verify(ctx context.Context, w *world) error {
	a, err := g.archiver(w, &planted{}, 0, func(operation) error { return nil })
	if err != nil {
		return err
	}
	_, err = a.archive.Verify(ctx, nil, nil)
	return err
}

// pause stops an archiver before its nth operation, as SIGSTOP does, lets another
// one work, and lets it go on.
func (g *game) pause(ctx context.Context, n int) error {
	point, play := g.next()
	if !play {
		return nil
	}
	w := g.scenario.world()
	var f findings
	other := func() error {
		b, err := g.archiver(w, g.plant, 1, func(operation) error { return nil })
		if err == nil {
			err = b.run(ctx)
		}
		if err := explained(err); err != nil && !g.scenario.noLocks {
			f.damaged("the other: %v", err)
		}
		return nil
	}
	stopped := newHurt(n, w, g.scenario.rng(4, uint64(n)))
	a, err := g.archiver(w, g.plant, 0, func(op operation) error { return stopped.at(op, other) })
	if err != nil {
		return err
	}
	if err := explained(a.run(ctx)); err != nil && !g.scenario.noLocks {
		f.damaged("%v", err)
	}
	g.finish(ctx, &f, w, nil)
	g.tally.Pauses++
	g.found(point, f, "a pause before operation %d", n)
	return nil
}

// failure lets the nth operation fail, and the archiver start again.
func (g *game) failure(ctx context.Context, n int) error {
	point, play := g.next()
	if !play {
		return nil
	}
	w := g.scenario.world()
	var f findings
	rng := g.scenario.rng(5, uint64(n))
	bad, left := newHurt(n, w, rng), w
	if rng.IntN(2) == 0 { // and then the power is cut
		const soon = 15
		bad.later = 1 + rng.IntN(soon)
		bad.cut = func() { left = w.image(fakefs.None, rng) }
	}
	a, err := g.archiver(w, g.plant, 0, func(op operation) error { return bad.at(op, func() error { return bad.failure(op) }) })
	if err != nil {
		return err
	}
	err = a.run(ctx)
	if bad.gone {
		w, err = left, nil
	} else if bad.cut != nil {
		w = w.image(fakefs.None, rng)
	}
	if err := explained(err); err != nil {
		f.damaged("%v", err)
	}
	before, err := readLog(w.image(fakefs.None, g.scenario.rng(3)).files())
	if err != nil {
		f.damaged("after the failure: %v", err)
	}
	g.finish(ctx, &f, w, before)
	g.tally.Failures++
	g.found(point, f, "operation %d fails", n)
	return nil
}
