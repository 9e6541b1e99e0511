//go:build amd64 || arm64

package sandbox

import (
	"cmp"
	"maps"
	"runtime"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// cell is what the builder builds around itself and then runs, worked out by the
// parent.
type cell struct {
	Off     layer
	Program string
	Args    []string
	Env     []string
	Dir     string
	Binds   []bind
	Links   []link
	Runs    []string
	Limits  []limit
	Tasks   int
	Seed    uint64
	Host    string
	PID     int
	// Processors bounds how many it sees; 0: nothing does.
	Processors int
	Forks      bool
	Clock      bool
}

type bind struct {
	Path   string
	Access access
}

type link struct{ Path, Target string }

type limit struct {
	Resource int
	Most     uint64
}

func (c *cell) has(l layer) bool { return c.Off&l == 0 }

// sorted returns a map's keys in order: a folder before what lies in it.
func sorted[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// perProcessor is how many threads a process may have for each processor: the
// runtimes of languages start some for each.
const perProcessor = 16

// leastTasks is the least bound that the kernel takes for a pid namespace, which
// is plenty for one process too.
const leastTasks = 512

func newCell(s Spec) (*cell, error) {
	v, p, err := seen(s)
	if err != nil {
		return nil, err
	}
	memory := uint64(cmp.Or(s.MemoryMiB, DefaultMemoryMiB)) << 20
	files := cmp.Or(s.FileMiB, DefaultFileMiB)
	processes := cmp.Or(s.Processes, DefaultProcesses)
	tasks := max(leastTasks, processes+perProcessor*runtime.NumCPU())
	c := &cell{
		Off: s.off, Program: p.path, Args: p.args, Env: s.environment(), Dir: p.dir, Runs: p.runs,
		Tasks: tasks, Seed: s.Seed, Host: cmp.Or(s.Host, hostInside), PID: max(s.PID, pidInside), Processors: s.Processors, Forks: processes > 1, Clock: !s.Clock.IsZero(),
		Limits: []limit{
			{unix.RLIMIT_DATA, memory},
			{unix.RLIMIT_FSIZE, uint64(files) << 20},
			{unix.RLIMIT_NPROC, uint64(tasks)},
			{unix.RLIMIT_NOFILE, 4096},
			{unix.RLIMIT_CORE, 0},
			{unix.RLIMIT_MEMLOCK, 64 << 10},
			{unix.RLIMIT_MSGQUEUE, 0},
		},
	}
	if s.CPU > 0 {
		c.Limits = append(c.Limits, limit{unix.RLIMIT_CPU, uint64(max(1, (s.CPU + 999_999_999).Seconds()))})
	}
	for _, path := range v.paths() {
		c.Binds = append(c.Binds, bind{path, v.Binds[path]})
	}
	for _, path := range sorted(v.Links) {
		c.Links = append(c.Links, link{path, v.Links[path]})
	}
	return c, nil
}

// uidInside is who the process is, to itself.
const uidInside = 1000

// accounts are the files that tell a name for uidInside; nothing of the
// machine's own is in them.
var accounts = map[string]string{
	"/etc/passwd":        "worker:x:" + strconv.Itoa(uidInside) + ":" + strconv.Itoa(uidInside) + "::/tmp:/bin/false\n",
	"/etc/group":         "worker:x:" + strconv.Itoa(uidInside) + ":\n",
	"/etc/hosts":         "127.0.0.1 localhost\n",
	"/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}
