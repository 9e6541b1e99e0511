// Command archive crashes the archiver: in a simulation, where file system, object
// store and broker lose what was not synced and answers that were not heard, before
// each operation that changes something; and as real processes, which are killed at
// any moment. A naive oracle reads what is left when all was read: each event must be
// there exactly once. Faults that are planted must be found.
//
// Recovering from a crash is played to the end for each of them, which crashes now
// and then again.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"recount/internal/clock"
)

// options are the command's.
type options struct {
	points   int
	kills    int
	program  string
	planted  bool
	mutants  bool
	seed     uint64
	scenario int
	point    int
	limit    time.Duration
	workers  int
	first    bool // of a worker, as is skim
	skim     bool
}

// result is the last line of the output.
type result struct {
	Sim string `json:"sim"`
	tally
	killed
	Planted caught  `json:"planted"`
	Mutants caught  `json:"mutants"`
	Seed    uint64  `json:"seed"`
	Seconds float64 `json:"seconds"`
	Cores   int     `json:"cores"`
}

// caught counts faults that were planted and found.
type caught struct {
	Faults int `json:"faults"`
	Caught int `json:"caught"`
}

func (c caught) all() bool { return c.Faults == c.Caught }

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

func main() {
	var o options
	flag.IntVar(&o.points, "points", 100_000, "simulated crashes")
	flag.IntVar(&o.kills, "kills", 1000, "real processes to kill; needs what .ci/servers/kafka and .ci/servers/versitygw install, else files and disks serve")
	flag.StringVar(&o.program, "recount", "", "the program recount, which is every tenth to be killed; empty: it is built; none: it is not killed")
	flag.BoolVar(&o.planted, "planted", true, "plant faults in the ports, which must be found")
	flag.BoolVar(&o.mutants, "mutants", false, "build the archiver with one line altered, which must be found; needs the source tree")
	flag.Uint64Var(&o.seed, "seed", 1, "the seed that all is drawn from, but for the moments of real kills")
	flag.IntVar(&o.scenario, "scenario", -1, "play this scenario alone")
	flag.IntVar(&o.point, "point", -1, "play this point of the scenario alone")
	flag.DurationVar(&o.limit, "for", 0, "begin no more simulated crashes after this time; 0: no limit")
	flag.IntVar(&o.workers, "workers", runtime.NumCPU(), "processes that simulate at once")
	worker := flag.Bool("worker", false, "play the scenarios that are named on the standard input")
	flag.BoolVar(&o.first, "first", false, "end a scenario with the first finding")
	flag.BoolVar(&o.skim, "skim", false, "let nothing crash: read all, and judge")
	child := flag.String("archiver", "", "be an archiver that will be killed")
	flag.Parse()
	ctx := context.Background()
	var err error
	ok := true
	switch {
	case *child != "":
		err = beArchiver(ctx, *child, os.Stdout)
	case *worker:
		err = work(ctx, o, os.Stdin, os.Stdout)
	default:
		// Workers and archivers are ended by this; of themselves they know no end but
		// the sudden one.
		ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
		err = inFolder(func() (err error) {
			ok, err = run(ctx, o)
			return err
		})
		stop()
	}
	if locked(err) {
		os.Exit(exitLocked)
	}
	if err != nil {
		say("sim/archive: %v", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

// inFolder has all temporary files of this process and of its children, killed or
// not, in a folder that goes in the end.
func inFolder(act func() error) error {
	dir, err := os.MkdirTemp("", "recount-sim-")
	if err != nil {
		return err
	}
	err = os.Setenv("TMPDIR", dir)
	if err == nil {
		err = act()
	}
	return errors.Join(err, os.RemoveAll(dir))
}

// run plays all that is asked for, and prints the line. It says whether nothing
// was found but what was planted.
func run(ctx context.Context, o options) (ok bool, err error) {
	watch := clock.System{}
	began := watch.Now()
	r := result{Sim: "archive", Seed: o.seed, Cores: runtime.NumCPU()}
	if r.tally, err = simulate(ctx, o, watch); err != nil {
		return false, err
	}
	say("%d crashes, %d pauses and %d failures simulated in %.0f s", r.Points, r.Pauses, r.Failures, watch.Now().Sub(began).Seconds())
	if o.scenario < 0 {
		if o.kills > 0 {
			if r.killed, err = killAll(ctx, o); err != nil {
				return false, err
			}
			r.add(tally{findings: r.found})
		}
		if o.planted {
			if r.Planted, err = plantAll(ctx, o); err != nil {
				return false, err
			}
		}
		if o.mutants {
			if r.Mutants, err = mutateAll(ctx, o); err != nil {
				return false, err
			}
		}
	}
	r.Seconds = watch.Now().Sub(began).Round(time.Second / 10).Seconds()
	line, err := json.Marshal(r)
	if err != nil {
		return false, err
	}
	fmt.Println(string(line))
	return !r.any() && r.Planted.all() && r.Mutants.all(), nil
}

// plantAll plants one fault after the other.
func plantAll(ctx context.Context, o options) (c caught, err error) {
	for i := range faults {
		c.Faults++
		found, by, err := faults[i].caught(ctx, o.seed, scenariosOfAFault)
		if err != nil {
			return c, fmt.Errorf("planted: %s: %w", faults[i].name, err)
		}
		if !found {
			say("planted and not found: %s", faults[i].name)
			continue
		}
		c.Caught++
		say("planted and found: %s (%s)", faults[i].name, by.first)
	}
	return c, nil
}
