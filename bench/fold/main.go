// Command fold measures folds: the events of an archive, gathered by key and
// folded in Go, in Python and in SQL by recount, beside what people use otherwise:
// pandas, polars and a bare loop in Go over an array in memory. Each contender is
// a whole process, and its time is the processor time of it and of all that it
// starts, so that neither the number of cores nor what else the machine does
// counts. What would take too long runs on a part of the files, and its time is
// scaled up; the table says so. A peer that cannot be had is left out, with a
// sentence.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"

	"recount/bench/machine"
	"recount/command"
	"recount/worker"
)

func main() {
	worker.Register("totals", totals)
	if handled, exit := command.Child(os.Args[1:], os.Stdin, os.Stdout, os.Stderr); handled {
		os.Exit(exit) //nolint:forbidigo // a command of its own
	}
	b := bench{}
	flag.BoolVar(&b.bounded, "bounded", false, "fold 100 million events of 10 million keys within -memory and with plenty, in Go, and compare the rows")
	flag.IntVar(&b.events, "events", 0, "events in the archive; 0: 50 million")
	flag.IntVar(&b.keys, "keys", 0, "keys; 0: a million")
	flag.IntVar(&b.runs, "runs", 3, "counted runs of each; the median is shown")
	flag.IntVar(&b.memory, "memory", 512, "memory limit of recount's contenders, in MiB")
	flag.IntVar(&b.threads, "threads", 0, "threads of recount's contenders; 0: as many as there are cores")
	flag.StringVar(&b.only, "only", "", "contenders that run, joined by commas; empty: all")
	flag.StringVar(&b.dir, "dir", filepath.Join(os.TempDir(), "recount-bench-fold"), "folder for data and the Python environment, kept between runs")
	flag.StringVar(&b.contender, "contender", "", "be this contender (the command starts itself so)")
	flag.IntVar(&b.part, "part", 1, "be the contender on one of so many files")
	flag.BoolVar(&b.digest, "digest", false, "as a contender, print a digest of the rows")
	flag.Parse()
	b.fill()
	ctx := context.Background()
	run := b.run
	switch {
	case b.contender != "":
		run = b.be
	case b.bounded:
		run = b.runBounded
	}
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench/fold:", err)
		os.Exit(1) //nolint:forbidigo // a command of its own
	}
}

type bench struct {
	events, keys, runs, memory, threads int
	only                                string
	dir                                 string
	contender                           string
	part                                int
	bounded, digest                     bool
	data                                string
	python                              string
}

// fill fills in how much is folded, where nobody said it.
func (b *bench) fill() {
	events, keys := 50_000_000, 1_000_000
	if b.bounded {
		events, keys = boundedEvents, boundedKeys
	}
	b.events, b.keys = cmp.Or(b.events, events), cmp.Or(b.keys, keys)
}

func (b *bench) prepare() {
	b.data = filepath.Join(b.dir, fmt.Sprintf("%d-%d", b.events, b.keys))
	b.python = filepath.Join(b.dir, "venv", "bin", "python")
}

func (b *bench) run(ctx context.Context) error {
	if err := b.begin(); err != nil {
		return err
	}
	if _, err := machine.Python(ctx, b.dir, filepath.Join("bench", "fold", "requirements.txt"), "pandas, polars, pyarrow, numpy"); err != nil {
		say("left out: pandas, polars and the workers in Python, since their environment could not be made: %v", err)
		b.python = ""
	}
	list, err := b.contenders()
	if err != nil {
		return err
	}
	if err := compete(ctx, b.runs, list); err != nil {
		return err
	}
	b.table(list)
	return b.line(list)
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

// table shows all contenders to a person.
func (b *bench) table(list []*contender) {
	say("%-16s %12s %14s %10s  %s", "contender", "seconds", "events/s core", "peak MiB", "")
	for _, c := range list {
		note := c.note
		if c.part > 1 {
			note += fmt.Sprintf(" ran on 1 of %d parts, scaled up", c.part)
		}
		say("%-16s %12.2f %14.0f %10.0f %s", c.name, c.seconds(), c.rate(), float64(c.peak)/(1<<20), note)
	}
}

// line is the result, for programs: bare_loop, pandas and polars are the peer's
// time over the Go fold's, python_* the Go fold's time over theirs.
func (b *bench) line(list []*contender) error {
	find := func(name string) *contender {
		if i := slices.IndexFunc(list, func(c *contender) bool { return c.name == name }); i >= 0 && len(list[i].took) > 0 {
			return list[i]
		}
		return nil
	}
	goFold := find("go")
	if goFold == nil {
		return nil
	}
	type ratios map[string]*float64
	ratio := ratios{}
	for _, name := range []string{"bare_loop", "pandas", "polars", "python_arrow", "python_loop", "python_ndjson", "sql"} {
		ratio[name] = nil
		c := find(name)
		if c == nil {
			continue
		}
		r := c.seconds() / goFold.seconds()
		if name[:3] == "pyt" || name == "sql" {
			r = 1 / r
		}
		const digits = 1000
		r = math.Round(r*digits) / digits
		ratio[name] = &r
	}
	return json.NewEncoder(os.Stdout).Encode(struct {
		Bench string  `json:"bench"`
		Ratio ratios  `json:"ratio"`
		Rate  float64 `json:"events_per_second_core"`
		Peak  float64 `json:"peak_mib"`
	}{"fold", ratio, math.Round(goFold.rate()), math.Round(float64(goFold.peak) / (1 << 20))})
}
