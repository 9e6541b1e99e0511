package main

import (
	"bytes"
	"os"
	"runtime"
	"strings"
	"testing"
)

// TestMain lets the test's program be what the simulator starts: workers and
// archivers.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == "-worker" || os.Args[1] == "-archiver") {
		main()
		os.Exit(0)
	}
	exit := 1
	if err := inFolder(func() error { exit = m.Run(); return nil }); err != nil {
		exit = 1
	}
	os.Exit(exit)
}

// TestNoCrashLosesOrDoublesAnEvent crashes before each operation of some archives,
// pauses some for others, and lets operations fail.
func TestNoCrashLosesOrDoublesAnEvent(t *testing.T) {
	scenarios := 3
	if testing.Short() {
		scenarios = 2
	}
	var sum tally
	for n := range scenarios {
		g := newGame(draw(20261125, n), &planted{})
		g.say = t.Errorf
		got, err := g.play(t.Context())
		if err != nil {
			t.Fatalf("scenario %d: %v", n, err)
		}
		sum.add(got)
	}
	const each = 100
	if sum.any() || sum.Points < each*scenarios || sum.Pauses == 0 || sum.Failures == 0 || sum.Compacted == 0 {
		t.Errorf("got %+v, want nothing found in more", sum)
	}
	t.Logf("%d crashes, %d pauses, %d failures", sum.Points, sum.Pauses, sum.Failures)
}

// TestAPlantedFaultIsFound bends one promise at a time.
func TestAPlantedFaultIsFound(t *testing.T) {
	for i := range faults {
		t.Run(faults[i].name, func(t *testing.T) {
			found, by, err := faults[i].caught(t.Context(), 1, scenariosOfAFault)
			if err != nil || !found {
				t.Errorf("not found in %d scenarios (%v)", scenariosOfAFault, err)
			}
			t.Log(by.first)
		})
	}
}

// TestAMutantIsFound builds the simulator with one line of the product altered.
// All of them take minutes: go run ./internal/sim/archive -mutants.
func TestAMutantIsFound(t *testing.T) {
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mutants {
		text, err := m.altered(root)
		if err != nil {
			t.Fatalf("%s: %v", m.name, err)
		}
		if bytes.Contains(text, []byte(m.old)) {
			t.Errorf("%s: nothing is altered", m.name)
		}
	}
	if testing.Short() {
		t.Skip("skipped in short mode: a mutant takes seconds to build")
	}
	found, by, err := mutants[0].caught(t.Context(), root, 1)
	if err != nil || !found {
		t.Errorf("%s: not found (%v)", mutants[0].name, err)
	}
	t.Log(by)
}

// TestASeedPlaysTheSame: what a failing point says can be played again, operation
// by operation. It holds for one thread, as workers have.
func TestASeedPlaysTheSame(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for scenario := range 4 {
		for _, point := range []int{11, 40, 150, 270, 500} { // the last ones pause and fail
			first := play(t, scenario, point)
			if again := play(t, scenario, point); first != again {
				t.Errorf("scenario %d, point %d: two plays differ", scenario, point)
			}
		}
	}
}

// play returns all operations of a point, and the digests of what it left.
func play(t *testing.T, scenario, point int) string {
	t.Helper()
	var trace strings.Builder
	g := newGame(draw(7, scenario), &planted{})
	g.trace, g.only = &trace, point
	if got, err := g.play(t.Context()); err != nil || got.any() {
		t.Fatalf("scenario %d, point %d: %+v, %v", scenario, point, got, err)
	}
	return trace.String()
}

// TestKilledArchiversLoseAndDoubleNothing kills real processes: on Kafka and S3
// where they are installed, else on files and disks.
func TestKilledArchiversLoseAndDoubleNothing(t *testing.T) {
	kills := 30
	if testing.Short() {
		kills = 10
	}
	got, err := killAll(t.Context(), options{kills: kills, seed: 1, workers: 1, program: "none"})
	if err != nil {
		t.Fatal(err)
	}
	if got.found.any() || got.Kills < kills || got.Commits == 0 {
		t.Errorf("got %+v, want nothing found", got)
	}
	t.Logf("%+v", got)
}
