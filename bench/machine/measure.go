package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Watch samples the proportional memory of a process and its descendants until
// stop, and returns the largest sum in bytes.
func Watch(pid int, stop <-chan struct{}) int64 {
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
	for _, child := range children(pid) {
		sum += memory(child)
	}
	return sum
}

// pss is the process's share of memory: pages that several processes share, such
// as the program's own, count once in all.
func pss(pid int) int64 {
	return MemoryLine(pid, "smaps_rollup", "Pss:")
}

// MemoryLine is what a line of a file of /proc says of a process's memory, in bytes; 0
// where it says nothing.
func MemoryLine(pid int, file, line string) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		return 0
	}
	for said := range strings.Lines(string(text)) {
		if fields := strings.Fields(said); len(fields) == 3 && fields[0] == line {
			kib, _ := strconv.ParseInt(fields[1], 10, 64)
			return kib << 10
		}
	}
	return 0
}

// Python makes a benchmark's own environment of Python with the pinned versions
// of a file, once, and returns its interpreter. imports are what it must have.
func Python(ctx context.Context, cache, requirements, imports string) (string, error) {
	bin := filepath.Join(cache, "venv", "bin", "python")
	if exec.CommandContext(ctx, bin, "-c", "import "+imports).Run() == nil { //nolint:gosec // our own environment
		return bin, nil
	}
	for _, argv := range [][]string{
		{"python3", "-m", "venv", filepath.Join(cache, "venv")},
		{bin, "-m", "pip", "install", "--quiet", "-r", requirements},
	} {
		out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput() //nolint:gosec // see above
		if err != nil {
			return "", errors.Join(fmt.Errorf("%s: %w", strings.Join(argv, " "), err), errors.New(string(out)))
		}
	}
	return bin, nil
}

// Processor adds up the processor time of a process and its descendants until
// stop, also of those that nobody waits for: by looking at them again and again,
// so that of each process its last instants are missed.
func Processor(pid int, stop <-chan struct{}) time.Duration {
	const every = 20 * time.Millisecond
	tick := time.NewTicker(every)
	defer tick.Stop()
	seen := map[int]time.Duration{}
	for {
		processorTimes(pid, seen)
		select {
		case <-stop:
			var sum time.Duration
			for _, t := range seen {
				sum += t
			}
			return sum
		case <-tick.C:
		}
	}
}

func processorTimes(pid int, seen map[int]time.Duration) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)) //nolint:gosec // of /proc
	if err != nil {
		return // ended meanwhile
	}
	// The name may hold anything but ends with the last bracket. Behind it, from
	// the process's state on, the 12th and 13th words are its ticks.
	const user, system, tick = 11, 12, 10 * time.Millisecond
	_, rest, _ := strings.Cut(string(text[strings.LastIndexByte(string(text), ')'):]), " ")
	if words := strings.Fields(rest); len(words) > system {
		u, _ := strconv.ParseInt(words[user], 10, 64)
		s, _ := strconv.ParseInt(words[system], 10, 64)
		seen[pid] = time.Duration(u+s) * tick
	}
	for _, child := range children(pid) {
		processorTimes(child, seen)
	}
}

func children(pid int) (pids []int) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, name := range tasks {
		list, err := os.ReadFile(name) //nolint:gosec // of /proc
		if err != nil {
			continue // ended meanwhile
		}
		for text := range strings.FieldsSeq(string(list)) {
			if child, err := strconv.Atoi(text); err == nil {
				pids = append(pids, child)
			}
		}
	}
	return pids
}
