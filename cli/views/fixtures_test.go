package views

import (
	"fmt"
	"testing"

	"recount"
	"recount/engine"
	"recount/internal/app"
)

// fixtureCertificate is that of a fold; shaken: of one that is not deterministic.
func fixtureCertificate(shaken bool) *recount.Certificate {
	c := &recount.Certificate{
		Calculation: "user_totals", Kind: recount.LogicWorker, Logic: "77aa01", Window: fixtureWindow(), Stream: "orders", Snapshot: "9f3c1ab20000aa",
		Events: recount.EventCounts{Read: 820, Used: 812, Duplicates: 8, Hit: 812}, Rows: 400, Checksum: "0f5c1d2b9a3e0f5c", Key: []string{"user_id"},
		Deterministic: !shaken, Program: "recount 0.1.0",
	}
	for _, name := range allShakes() {
		c.Runs = append(c.Runs, recount.ShakenRun{Varied: name, Same: true})
	}
	if !shaken {
		return c
	}
	value := func(s string) *recount.Value { v := recount.Text(s); return &v }
	at := func(name string) *recount.ShakenRun {
		for i := range c.Runs {
			if c.Runs[i].Varied == name {
				c.Runs[i].Same = false
				return &c.Runs[i]
			}
		}
		panic(name)
	}
	seed, zone, cores, machine := at("seed"), at("zone"), at("cores"), at("machine")
	seed.Rows, seed.First = 397, &recount.Difference{Key: values("10482"), Column: "tags", Was: value("[\"new\",\"vip\",\"a long one that goes on and on and does not end so soon\"]"), Is: value("[\"new\",\"vip\",\"a long list\"]")}
	zone.Rows, zone.First = 12, &recount.Difference{Key: values("20911"), Column: "day", Was: value("2024-06-10"), Is: &recount.Value{Null: true}}
	cores.Failed = "the worker ended early: exit 1, after 17 events"
	machine.Rows, machine.First = 1, &recount.Difference{Key: values("web-7"), Is: value("3"), Lacks: "first"}
	c.Columns = []recount.ColumnsOff{{Column: "user_id", Runs: 1}, {Column: "tags", Runs: 1}, {Column: "day", Runs: 1}}
	return c
}

func allShakes() []string {
	names := []string{engine.Shake{}.String()}
	for _, s := range engine.Shakes(recount.Logic{Kind: recount.LogicWorker}) {
		names = append(names, s.String())
	}
	return names
}

// TestEveryShakeHasItsWords: whatever an engine varies, the screen can say what it
// is and what it finds.
func TestEveryShakeHasItsWords(t *testing.T) {
	names := allShakes()
	if len(names) != len(shakeWords) {
		t.Errorf("shakes: got words for %d, want them for %d", len(shakeWords), len(names))
	}
	for i, name := range names {
		if i < len(shakeWords) && shakeWords[i].name != name {
			t.Errorf("shake %d: got words for %q, want %q", i, shakeWords[i].name, name)
		}
		if shakeVaries(name) == "" || WhyShaken(name) == "they depend on it" {
			t.Errorf("shake %q has no words", name)
		}
	}
}

// foldExplanation is one of a fold with a long history, of which the middle was
// not replayed.
func foldExplanation() app.Explanation {
	e := longExplanation()
	for i := range e.Steps {
		s := &e.Steps[i]
		state, under := fmt.Sprintf(`{"seen":["e-77f1","e-78c0","e-78c1"],"n":%d,"total":"1.00"}`, i+1), fmt.Sprintf(`{"seen":["e-77f1","e-78c0"],"n":%d,"total":"1.00"}`, i+1)
		s.State, s.UnderState = &state, &under
		if i >= 20 && i < 87 || i > 93 && i < 180 {
			s.Skipped, s.State, s.UnderState, s.Values, s.Under = true, nil, nil, nil, nil
		}
	}
	return e
}

// mixedExplanation sets a fold beside previous SQL, for a row whose cause is not
// known.
func mixedExplanation() app.Explanation {
	e := fixtureExplanation()
	e.Change.Cause, e.Change.Action, e.Against = recount.CauseUnknown, recount.ActionHeld, "previous"
	for i := range e.Steps {
		state := fmt.Sprintf(`{"n": %d}`, i)
		e.Steps[i].State = &state
	}
	return e
}
