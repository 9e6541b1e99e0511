package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strconv"

	"recount/bench/machine"
)

const (
	// What -bounded folds where nobody says otherwise, and what a run may have that
	// need not be sparing.
	boundedEvents, boundedKeys = 100_000_000, 10_000_000
	plentyMiB                  = 8192
)

// bounded is one run of the Go fold under a limit of memory.
type bounded struct {
	MemoryMiB int     `json:"memory_mib"`
	PeakMiB   float64 `json:"peak_mib"` // of all its processes together
	Seconds   float64 `json:"processor_seconds"`
	Rate      float64 `json:"events_per_second_core"`
	Rows      string  `json:"rows"` // a digest of all rows, in order
}

// runBounded folds the same events within the limit and without one that matters,
// and refuses where the rows differ or the limit does not hold.
func (b *bench) runBounded(ctx context.Context) error {
	if err := b.begin(); err != nil {
		return err
	}
	one := func(memory int) (bounded, error) {
		c, err := b.own("go", 1)
		if err != nil {
			return bounded{}, err
		}
		c.argv = append(c.argv, "-digest", "-memory", strconv.Itoa(memory))
		took, err := c.run(ctx, true)
		if err != nil {
			return bounded{}, err
		}
		r := bounded{
			MemoryMiB: memory, PeakMiB: math.Round(float64(c.peak) / (1 << 20)), Seconds: took.Seconds(),
			Rate: math.Round(float64(b.events) / took.Seconds()), Rows: c.said,
		}
		say("memory %d MiB: peak %.0f MiB, %.1f s of processors, rows %s", memory, r.PeakMiB, r.Seconds, r.Rows)
		return r, nil
	}
	within, err := one(b.memory)
	if err != nil {
		return err
	}
	plenty, err := one(max(plentyMiB, 2*b.memory))
	if err != nil {
		return err
	}
	same := within.Rows == plenty.Rows
	err = json.NewEncoder(os.Stdout).Encode(struct {
		Bench  string  `json:"bench"`
		Events int     `json:"events"`
		Keys   int     `json:"keys"`
		Same   bool    `json:"same"`
		Within bounded `json:"within"`
		Plenty bounded `json:"plenty"`
	}{"fold_bounded", b.events, b.keys, same, within, plenty})
	switch {
	case err != nil:
		return err
	case !same:
		return fmt.Errorf("within %d MiB the rows are %s, else %s", b.memory, within.Rows, plenty.Rows)
	case within.PeakMiB > float64(b.memory):
		return fmt.Errorf("within %d MiB the peak was %.0f MiB", b.memory, within.PeakMiB)
	}
	return nil
}

// begin makes what all runs need.
func (b *bench) begin() error {
	b.prepare()
	say("machine: %s", machine.Describe())
	if err := os.MkdirAll(b.dir, 0o755); err != nil { //nolint:gosec // a scratch folder
		return err
	}
	say("making %d events of %d keys", b.events, b.keys)
	return makeArchive(b.data, b.events, b.keys)
}

// own is one of recount's contenders.
func (b *bench) own(name string, part int) (*contender, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return &contender{name: name, part: part, argv: []string{
		self, "-contender", name, "-part", strconv.Itoa(part), "-events", strconv.Itoa(b.events), "-keys", strconv.Itoa(b.keys),
		"-memory", strconv.Itoa(b.memory), "-threads", strconv.Itoa(b.threads), "-dir", b.dir,
	}}, nil
}
