package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"recount/adapter"
)

// sim is one run of many batches.
type sim struct {
	seed      uint64
	histories int
	perBatch  int
	batch     int // -1: all
	history   int // -1: all
	keep      string
	dsn       func() string // of an empty PostgreSQL database for a batch; nil: SQLite
	folds     bool          // the logic is folds, where it can be
	apart     int           // one in so many batches runs its folds in processes of their own; 0: none
	registry  *adapter.Registry
	say       func(format string, args ...any)
}

// run plays the batches, one after the other.
func (s *sim) run(ctx context.Context) (tally, error) {
	t := newTally()
	for number, left := 0, s.histories; left > 0; number, left = number+1, left-s.perBatch {
		if s.batch >= 0 && number != s.batch {
			continue
		}
		if err := s.playOne(ctx, s.draw(number, min(left, s.perBatch)), &t); err != nil {
			if ctx.Err() != nil {
				return t, err
			}
			t.Broken++
			s.say("batch %d (-seed %d -batch %d): %v", number, s.seed, number, err)
		}
	}
	return t, nil
}

// draw draws a batch with its histories.
func (s *sim) draw(number, histories int) *batch {
	b := newBatch(s.seed, number, s.folds)
	b.histories = append(b.histories, filler(b))
	for n := range histories {
		if s.history < 0 || s.history == n {
			b.histories = append(b.histories, newHistory(b, n))
		}
	}
	return b
}

func (s *sim) playOne(ctx context.Context, b *batch, t *tally) error {
	dir := s.keep
	if dir == "" {
		made, err := os.MkdirTemp("", "recount-sim-")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(made) }()
		dir = made
	} else if err := emptied(dir); err != nil {
		return err
	}
	registry := s.registry
	if s.folds && (s.apart == 0 || b.number%s.apart != 0) {
		with, err := replaced(registry, foldsInside())
		if err != nil {
			return err
		}
		registry = with
	}
	g := &game{b: b, dir: dir, registry: registry, tally: t, say: s.say}
	if s.dsn != nil {
		g.dsn = s.dsn()
	}
	return g.play(ctx)
}

// emptied makes a folder that is there, and empty.
func emptied(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.MkdirAll(dir, 0o700)
}

// summary tells a person what was played.
func (t tally) summary() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%d histories, %d rows judged, %d corrected, %d held, %d batches broken off, %d wrong verdicts, %d wrong writes\n",
		t.Histories, t.Rows, t.Corrected, t.Held, t.Broken, t.WrongVerdicts, t.WrongWrites)
	for _, cause := range slices.Sorted(maps.Keys(t.causes)) {
		fmt.Fprintf(&text, "  %6d written: %s\n", t.causes[cause], cause)
	}
	for _, mode := range slices.Sorted(maps.Keys(t.modes)) {
		fmt.Fprintf(&text, "  %6d batches: %s\n", t.modes[mode], mode)
	}
	return text.String()
}
