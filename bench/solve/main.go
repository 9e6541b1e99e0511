// Command solve measures the solver: synthetic incidents whose truth is known,
// solved from the log and the differences alone. Every second log has 10 million
// events, in 1 to 16 partitions; the median time of those is seconds_10m. The
// others have a hundredth of that up to all of it, small ones as often as large
// ones, so that the whole run ends in minutes. One incident in eight is no
// contiguous span, and must be refused.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"recount/bench/machine"
	"recount/internal/solve"
)

func main() {
	b := bench{out: os.Stdout}
	flag.IntVar(&b.incidents, "incidents", 200, "incidents to solve")
	flag.IntVar(&b.events, "events", 10_000_000, "events of the large logs")
	flag.IntVar(&b.keys, "keys", 100_000, "result keys")
	flag.Uint64Var(&b.seed, "seed", 1, "seed of everything")
	flag.Parse()
	if err := b.run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "bench/solve:", err)
		os.Exit(1) //nolint:forbidigo // a command of its own
	}
}

type bench struct {
	out                     io.Writer
	incidents, events, keys int
	seed                    uint64
	solvable, exact         int
	refused, wrong          int
	large                   []time.Duration
}

const (
	largeEvery      = 2
	unsolvableEvery = 8
	largePartitions = 16
	mostForeign     = 50
)

func (b *bench) run(ctx context.Context) error {
	b.say("machine: %s", machine.Describe())
	for n := range b.incidents {
		if err := b.one(ctx, n); err != nil {
			return err
		}
	}
	return b.line()
}

// shape draws what incident n is like.
func (b *bench) shape(n int, rng *rand.Rand) shape {
	s := shape{
		events: int(float64(b.events) * math.Pow(100, rng.Float64()-1)), keys: b.keys,
		partitions: 1 + rng.IntN(largePartitions), foreign: rng.IntN(mostForeign + 1),
		values: values(rng.IntN(int(kinds))), fault: solvable[rng.IntN(len(solvable))],
	}
	switch {
	case n%largeEvery == 0:
		s.events = b.events
		// From one partition, which is the most work at once, to sixteen.
		s.partitions = 1 << (n / largeEvery % 5)
	case n%unsolvableEvery == 3:
		s.fault = unsolvable[n/unsolvableEvery%len(unsolvable)]
	}
	return s
}

func (b *bench) one(ctx context.Context, n int) error {
	rng := rand.New(rand.NewPCG(b.seed, uint64(n))) //nolint:gosec // the same incidents every time
	s := b.shape(n, rng)
	inc := makeIncident(s, rng)
	began := time.Now() //nolint:forbidigo // a benchmark measures the wall clock
	answer, err := solve.Solve(ctx, inc.in)
	took := time.Since(began) //nolint:forbidigo // see above
	if err != nil {
		return err
	}
	if s.events == b.events {
		b.large = append(b.large, took)
	}
	verdict := b.judge(inc, answer)
	b.say("%3d/%d  %8d events  %2d partitions, %2d faulty  %2d foreign  %-17s  %6.3f s  %s",
		n+1, b.incidents, s.events, s.partitions, len(inc.truth), s.foreign, s.fault, took.Seconds(), verdict)
	return nil
}

// judge counts an answer. Anything but the whole truth is wrong, also an answer
// to what has none.
func (b *bench) judge(inc *incident, answer solve.Answer) string {
	if len(inc.truth) > 0 {
		b.solvable++
	}
	switch {
	case answer.Refused != nil:
		b.refused++
		return "refused: " + string(answer.Refused.Reason)
	case inc.right(answer):
		b.exact++
		return "exact"
	}
	b.wrong++
	return fmt.Sprintf("WRONG: answers %v, %d foreign; true is %v", answer.Spans, len(answer.Foreign), inc.truth)
}

// line prints the last line. Refused is a share of all incidents, exact one of
// those that can be solved.
func (b *bench) line() error {
	share := func(n, of int) float64 {
		const digits = 10_000
		if of == 0 {
			return 0
		}
		return float64(n*digits/of) / digits
	}
	slices.Sort(b.large)
	var median float64
	if len(b.large) > 0 {
		median = float64(b.large[len(b.large)/2].Milliseconds()) / 1000
	}
	text, err := json.Marshal(struct {
		Bench      string  `json:"bench"`
		Incidents  int     `json:"incidents"`
		Solvable   int     `json:"solvable"`
		Exact      float64 `json:"exact"`
		Refused    float64 `json:"refused"`
		Wrong      int     `json:"wrong"`
		Events     int     `json:"events"`
		Seconds10M float64 `json:"seconds_10m"`
	}{"solve", b.incidents, b.solvable, share(b.exact, b.solvable), share(b.refused, b.incidents), b.wrong, b.events, median})
	if err != nil {
		return err
	}
	b.say("\n%s", text)
	return nil
}

func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.out, format+"\n", args...)
}
