package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
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
			peaks <- watch(cmd.Process.Pid, stop)
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

// watch samples the proportional memory of a process and its descendants until
// stop, and returns the largest sum in bytes.
func watch(pid int, stop <-chan struct{}) int64 {
	const every = 15 * time.Millisecond
	tick := time.NewTicker(every)
	defer tick.Stop()
	var peak int64
	for {
		peak = max(peak, memory(pid))
		select {
		case <-stop:
			return peak
		case <-tick.C:
		}
	}
}

func memory(pid int) int64 {
	sum := pss(pid)
	children, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, name := range children {
		list, err := os.ReadFile(name) //nolint:gosec // of /proc
		if err != nil {
			continue // ended meanwhile
		}
		for text := range strings.FieldsSeq(string(list)) {
			if child, err := strconv.Atoi(text); err == nil {
				sum += memory(child)
			}
		}
	}
	return sum
}

// pss is the process's share of memory: pages that several processes share, such
// as the program's own, count once in all.
func pss(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "Pss:" {
			kib, _ := strconv.ParseInt(fields[1], 10, 64)
			return kib << 10
		}
	}
	return 0
}

// python makes the benchmark's own environment with pinned versions, once.
func python(ctx context.Context, cache, requirements string) (string, error) {
	bin := filepath.Join(cache, "venv", "bin", "python")
	if exec.CommandContext(ctx, bin, "-c", "import duckdb, pandas, polars").Run() == nil { //nolint:gosec // our own environment
		return bin, nil
	}
	for _, argv := range [][]string{
		{"python3", "-m", "venv", filepath.Join(cache, "venv")},
		{bin, "-m", "pip", "install", "--quiet", "-r", requirements},
	} {
		out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput() //nolint:gosec // see above
		if err != nil {
			return "", errors.Join(fmt.Errorf("%s: %w", strings.Join(argv, " "), err), errors.New(tail(string(out))))
		}
	}
	return bin, nil
}
