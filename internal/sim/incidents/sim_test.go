package main

import (
	"os"
	"testing"

	"recount/adapter"
	"recount/internal/pgtest"
)

func TestMain(m *testing.M) {
	if handled, exit := child(os.Args[1:], os.Stdin, os.Stdout, os.Stderr); handled {
		os.Exit(exit)
	}
	m.Run()
}

func newSim(t *testing.T, seed uint64, histories, perBatch int) *sim {
	t.Helper()
	return &sim{seed: seed, histories: histories, perBatch: perBatch, batch: -1, history: -1, registry: adapter.Default, say: t.Logf}
}

// TestNoRightRowIsMadeWrong is the promise of promises, over every mode.
func TestNoRightRowIsMadeWrong(t *testing.T) {
	histories, perBatch := 240, 40
	if testing.Short() {
		histories = 80
	}
	got, err := newSim(t, 20261125, histories, perBatch).run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !got.sound() {
		t.Errorf("got %+v, want nothing wrong", got)
	}
	if got.Histories != histories || got.Corrected < histories/20 || got.Held < histories/20 {
		t.Errorf("the histories test too little: %+v", got)
	}
}

// TestNoRightRowIsMadeWrongByFolds plays histories whose logic is a fold, in this
// process. `-folds` of the command also plays some whose folds have processes.
func TestNoRightRowIsMadeWrongByFolds(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped in short mode: every run of a fold goes through files")
	}
	s := newSim(t, 11, 120, 40)
	s.folds = true
	got, err := s.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !got.sound() || got.Corrected == 0 {
		t.Errorf("got %+v, want corrections and nothing wrong", got)
	}
}

// TestNoRightRowIsMadeWrongOnPostgreSQL plays a few batches on a server.
func TestNoRightRowIsMadeWrongOnPostgreSQL(t *testing.T) {
	s := newSim(t, 7, 160, 40)
	if testing.Short() {
		s.histories = 40
	}
	s.dsn = func() string { return pgtest.Start(t) }
	got, err := s.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !got.sound() || got.Corrected == 0 {
		t.Errorf("got %+v, want corrections and nothing wrong", got)
	}
}

// TestEveryModeIsPlayed looks for a batch of each mode that a few batches may
// leave out.
func TestEveryModeIsPlayed(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped in short mode: each mode takes seconds")
	}
	for name, is := range map[string]func(*batch) bool{
		"buckets that remember half a bucket":       func(b *batch) bool { return b.remembers == hour/2 && !b.hypotheses() },
		"entries beside frozen rows":                func(b *batch) bool { return b.write == "adjust" && b.bucketed() },
		"deltas by rows that tell where they stand": func(b *batch) bool { return b.write == "delta" && b.cut == cutFound },
		"deltas by offsets":                         func(b *batch) bool { return b.write == "delta" && b.cut == cutOffset },
		"deltas of closed buckets":                  func(b *batch) bool { return b.write == "delta" && b.memory == memoryBucket },
		"unexplained rows corrected by event ids": func(b *batch) bool {
			return b.cut == cutEvent && b.unexplained == "correct" && b.mixed && b.lanes > 1
		},
		"versions":        func(b *batch) bool { return b.cut == cutVersion && b.unexplained == "correct" && b.hypotheses() },
		"a paused worker": func(b *batch) bool { return b.cut == cutPaused && b.hypotheses() },
		"processed ids": func(b *batch) bool {
			return b.running() && b.write == "" && len(b.lists) > 1 && b.lists[len(b.lists)-1].by == listProcessed
		},
		"order of arrival": func(b *batch) bool { return b.given.order && b.running() },
	} {
		t.Run(name, func(t *testing.T) {
			newSim(t, 5, 0, 0).playKind(t, is)
		})
	}
}

// TestFoldsArePlayedWithAllThatMayLieBeforeThem looks for a batch of each kind.
func TestFoldsArePlayedWithAllThatMayLieBeforeThem(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped in short mode: each kind takes seconds")
	}
	for name, is := range map[string]func(*batch) bool{
		"states of checkpoints, and events that no fold survives": func(b *batch) bool { return b.begins() && b.dies && b.rightFold[0] && !b.given.previous },
		"versions, one of them SQL": func(b *batch) bool {
			return b.second >= 0 && b.rightFold[0] != b.rightFold[1] && b.rates != ratesNone
		},
		"buckets with events that no fold survives":           func(b *batch) bool { return b.memory == memoryBucket && b.dies && b.extra == "delete" },
		"deltas, old shapes and events that no fold survives": func(b *batch) bool { return b.write == "delta" && b.dies && b.upcasts },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSim(t, 5, 0, 0)
			s.folds = true
			s.playKind(t, is)
		})
	}
}

// playKind plays the first batch that is of a kind.
func (s *sim) playKind(t *testing.T, is func(*batch) bool) {
	t.Helper()
	number := 0
	for !is(newBatch(s.seed, number, s.folds)) {
		number++
	}
	const histories = 40
	got := newTally()
	if err := s.playOne(t.Context(), s.draw(number, histories), &got); err != nil {
		t.Fatalf("batch %d: %v", number, err)
	}
	if !got.sound() || got.Rows < histories {
		t.Errorf("batch %d: got %+v, want nothing wrong", number, got)
	}
}
