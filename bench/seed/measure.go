package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"

	"recount/bench/machine"
)

// peer is one way to do the work, as a whole process.
type peer struct {
	name string
	argv []string
	want string // what its last line of output must hold
	took []time.Duration
	peak int64 // bytes, of the whole process tree
	note string
}

// run runs the peer once. Looking at its memory slows it down, most of all a
// large one, so runs that are timed are not watched.
func (p *peer) run(ctx context.Context, dir string, watched bool) (time.Duration, error) {
	cmd := exec.CommandContext(ctx, p.argv[0], p.argv[1:]...) //nolint:gosec // our own command lines
	cmd.Dir = dir
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	began := time.Now() //nolint:forbidigo // a benchmark measures the wall clock
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	stop := make(chan struct{})
	peaks := make(chan int64, 1)
	go func() {
		if watched {
			peaks <- machine.Watch(cmd.Process.Pid, stop)
		}
		close(peaks)
	}()
	err := cmd.Wait()
	took := time.Since(began) //nolint:forbidigo // see above
	close(stop)
	p.peak = max(p.peak, <-peaks)
	if err != nil {
		return 0, fmt.Errorf("%s: %w\n%s", p.name, err, tail(out.String()))
	}
	if p.want != "" && !strings.Contains(out.String(), p.want) {
		p.note = fmt.Sprintf("answers %s where %s is right", strings.TrimSpace(tail(out.String())), p.want)
	}
	return took, nil
}

func tail(s string) string {
	const most = 600
	if len(s) > most {
		s = "…" + s[len(s)-most:]
	}
	return s
}

// compete runs all peers in turn, round by round, after one round that does not
// count, so that a drift of the machine hits all alike.
func compete(ctx context.Context, dir string, runs int, peers []*peer) error {
	for round := range runs + 1 {
		for _, p := range peers {
			took, err := p.run(ctx, dir, round == 0)
			if err != nil {
				return err
			}
			if round > 0 {
				p.took = append(p.took, took)
			}
		}
	}
	return nil
}

func (p *peer) median() time.Duration {
	if len(p.took) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(p.took))
	return s[len(s)/2]
}
