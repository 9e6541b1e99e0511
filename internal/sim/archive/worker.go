package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime/debug"
	"sync"
	"time"

	"recount/internal/clock"
)

// In how many scenarios a planted fault, and a mutant, is looked for.
const (
	scenariosOfAFault  = 40
	scenariosOfAMutant = 100
)

// answer is what a worker says of a scenario.
type answer struct {
	Tally tally  `json:"tally"`
	First string `json:"first"`
}

// work plays the scenarios whose numbers come in, one a line. A worker has one
// thread, so that what it plays is the same each time; several workers use the
// cores.
func work(ctx context.Context, o options, in io.Reader, out io.Writer) error {
	const lazily = 800 // all that is played is small and soon gone
	debug.SetGCPercent(lazily)
	lines := bufio.NewScanner(in)
	enc := json.NewEncoder(out)
	for lines.Scan() {
		var number int
		if _, err := fmt.Sscan(lines.Text(), &number); err != nil {
			return fmt.Errorf("number of a scenario: %w", err)
		}
		g := newGame(draw(o.seed, number), &planted{})
		g.only, g.first, g.say = o.point, o.first, say
		play := g.play
		if o.skim {
			play = g.skim
		}
		t, err := play(ctx)
		if err != nil {
			return fmt.Errorf("scenario %d (-seed %d -scenario %d): %w", number, o.seed, number, err)
		}
		if err := enc.Encode(answer{t, t.first}); err != nil {
			return err
		}
	}
	return lines.Err()
}

// simulation hands out scenarios until there were enough points.
type simulation struct {
	options options
	watch   clock.Clock
	until   time.Time // zero: no limit

	mu    sync.Mutex
	next  int
	tally tally
}

// simulate plays scenarios in worker processes.
func simulate(ctx context.Context, o options, watch clock.Clock) (tally, error) {
	s := &simulation{options: o, watch: watch}
	if o.limit > 0 {
		s.until = watch.Now().Add(o.limit)
	}
	if o.scenario >= 0 {
		s.next, o.workers = o.scenario, 1
	}
	self, err := os.Executable()
	if err != nil {
		return tally{}, err
	}
	errs := make([]error, o.workers)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = s.employ(ctx, self) })
	}
	wg.Wait()
	return s.tally, errors.Join(errs...)
}

// take names the next scenario, if there is to be one.
func (s *simulation) take() (number int, more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	number = s.next
	s.next++
	if s.options.scenario >= 0 {
		return number, number == s.options.scenario
	}
	return number, s.tally.Points < s.options.points && (s.until.IsZero() || s.watch.Now().Before(s.until))
}

// employ runs one worker.
func (s *simulation) employ(ctx context.Context, self string) error {
	cmd := exec.CommandContext(ctx, self, "-worker", "-seed", fmt.Sprint(s.options.seed), "-point", fmt.Sprint(s.options.point))
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	answers := json.NewDecoder(out)
	for number, more := s.take(); more; number, more = s.take() {
		if _, err = fmt.Fprintln(in, number); err != nil {
			break
		}
		var a answer
		if err = answers.Decode(&a); err != nil {
			break
		}
		a.Tally.first = a.First
		s.mu.Lock()
		s.tally.add(a.Tally)
		s.mu.Unlock()
	}
	_ = in.Close()
	if waited := cmd.Wait(); waited != nil {
		return waited
	}
	return err
}
