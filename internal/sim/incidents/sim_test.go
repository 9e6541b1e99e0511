package main

import (
	"os"
	"testing"

	"recount/adapter"
	"recount/engine/duckdb"
	"recount/internal/pgtest"
)

func TestMain(m *testing.M) { os.Exit(duckdb.RunTests(m)) }

func newSim(t *testing.T, seed uint64, histories, perBatch int) *sim {
	t.Helper()
	return &sim{seed: seed, histories: histories, perBatch: perBatch, batch: -1, history: -1, registry: adapter.Default, say: t.Logf}
}

// TestNoRightRowIsMadeWrong is the promise of promises, over every mode.
func TestNoRightRowIsMadeWrong(t *testing.T) {
	histories, perBatch := 400, 40
	if testing.Short() {
		histories = 80
	}
	got, err := newSim(t, 20261125, histories, perBatch).run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got.WrongWrites != 0 || got.WrongVerdicts != 0 {
		t.Errorf("%d wrong writes and %d wrong verdicts, want none", got.WrongWrites, got.WrongVerdicts)
	}
	if got.Histories != histories || got.Corrected < histories/20 || got.Held < histories/20 {
		t.Errorf("the histories test too little: %+v", got)
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
	if got.WrongWrites != 0 || got.WrongVerdicts != 0 || got.Corrected == 0 {
		t.Errorf("got %+v, want corrections and nothing wrong", got)
	}
}
