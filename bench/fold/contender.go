package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"recount/bench/machine"
)

// contender is one way to do the work, as a whole process. It prints a line that
// says how many rows it made, how many events they count and the sum of their
// totals; of equal parts of the files the lines must be equal.
type contender struct {
	name   string
	argv   []string
	part   int // it runs on 1 of so many parts
	events int // that it is over, in this part
	all    int // events of all parts
	took   []time.Duration
	peak   int64
	said   string
	note   string
	// inside says that the contender prints its own time: what it measures is less
	// than its process does.
	inside bool
}

// contenders lists all, or those of -only.
func (b *bench) contenders() ([]*contender, error) {
	const loopPart, linesPart, pandasPart = 5, 20, 10
	type ours struct {
		name string
		part int
	}
	owns := []ours{{"go", 1}, {"bare_loop", 1}, {"sql", 1}}
	if b.python != "" {
		owns = append(owns, ours{"python_arrow", 1}, ours{"python_loop", loopPart}, ours{"python_ndjson", linesPart})
	}
	var list []*contender
	for _, o := range owns {
		c, err := b.own(o.name, o.part)
		if err != nil {
			return nil, err
		}
		c.inside = o.name == "bare_loop"
		list = append(list, c)
	}
	if b.python != "" {
		for _, p := range []struct {
			name string
			part int
		}{{"pandas", pandasPart}, {"polars", 1}} {
			script, err := filepath.Abs(filepath.Join("bench", "fold", "peer_"+p.name+".py"))
			if err != nil {
				return nil, err
			}
			list = append(list, &contender{name: p.name, part: p.part, argv: []string{b.python, script, b.data, strconv.Itoa(p.part)}})
		}
	}
	if b.only != "" {
		names := strings.Split(b.only, ",")
		list = slices.DeleteFunc(list, func(c *contender) bool { return !slices.Contains(names, c.name) })
	}
	for _, c := range list {
		files, err := filesOf(b.data, c.part)
		if err != nil {
			return nil, err
		}
		c.all = b.events
		for _, f := range files {
			c.events += int(f.Rows)
		}
	}
	return list, nil
}

// run runs the contender once. Looking at its memory slows it down, so runs that
// are timed are not watched.
func (c *contender) run(ctx context.Context, watched bool) (time.Duration, error) {
	cmd := exec.CommandContext(ctx, c.argv[0], c.argv[1:]...) //nolint:gosec // our own command lines
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	stop, peaks, times := make(chan struct{}), make(chan int64, 1), make(chan time.Duration, 1)
	go func() { times <- machine.Processor(cmd.Process.Pid, stop) }()
	go func() {
		if watched {
			peaks <- machine.Watch(cmd.Process.Pid, stop)
		}
		close(peaks)
	}()
	err := cmd.Wait()
	close(stop)
	c.peak = max(c.peak, <-peaks)
	if err != nil {
		return 0, fmt.Errorf("%s: %w\n%s%s", c.name, err, out.String(), said.String())
	}
	c.said = strings.TrimSpace(out.String())
	took := max(<-times, cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime())
	if c.inside {
		text, rest, _ := strings.Cut(c.said, " ")
		seconds, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return 0, fmt.Errorf("%s: it says %q", c.name, c.said)
		}
		took, c.said = time.Duration(seconds*float64(time.Second)), rest
	}
	return took, nil
}

// compete runs all in turn, round by round, after one round that does not count,
// so that a drift of the machine hits all alike.
func compete(ctx context.Context, runs int, list []*contender) error {
	for round := range runs + 1 {
		for _, c := range list {
			took, err := c.run(ctx, round == 0)
			if err != nil {
				return err
			}
			say("round %d: %s %.2f s", round, c.name, took.Seconds())
			if round > 0 {
				c.took = append(c.took, took)
			}
		}
		if round == 0 {
			if err := agree(list); err != nil {
				return err
			}
		}
	}
	return nil
}

// agree refuses contenders that did not do the same work.
func agree(list []*contender) error {
	by := map[int]*contender{}
	for _, c := range list {
		first := by[c.part]
		if first == nil {
			by[c.part] = c
			continue
		}
		if first.said != c.said {
			return fmt.Errorf("%s says %q where %s says %q", c.name, c.said, first.name, first.said)
		}
	}
	return nil
}

// seconds is the median, scaled up to all events.
func (c *contender) seconds() float64 {
	if len(c.took) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(c.took))
	return s[len(s)/2].Seconds() * float64(c.all) / float64(c.events)
}

func (c *contender) rate() float64 { return float64(c.all) / max(c.seconds(), 1e-9) }
