package main

import (
	"bytes"
	"encoding/json"
	"testing"

	"recount/internal/solve"
)

// TestASmallRunSolvesWhatCanBeSolved runs the benchmark on small logs.
func TestASmallRunSolvesWhatCanBeSolved(t *testing.T) {
	var out bytes.Buffer
	b := bench{out: &out, incidents: 80, events: 300_000, keys: 50_000, seed: 11}
	if err := b.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSpace(out.Bytes()), []byte("\n"))
	var last struct {
		Bench                      string
		Solvable, Incidents        int
		Exact, Refused, Seconds10m float64
		Wrong                      *int
		SecondsOfTenMillion        *float64 `json:"seconds_10m"`
	}
	if err := json.Unmarshal(lines[len(lines)-1], &last); err != nil {
		t.Fatal(err)
	}
	if last.Bench != "solve" || last.Wrong == nil || *last.Wrong != 0 || last.Exact < 0.95 || last.SecondsOfTenMillion == nil {
		t.Errorf("last line: %s, want exact from 0.95, wrong 0\n%s", lines[len(lines)-1], out.Bytes())
	}
	if last.Solvable != 70 || last.Incidents != 80 || last.Refused < 0.125 {
		t.Errorf("last line: %s, want 70 of 80 solvable and the others refused", lines[len(lines)-1])
	}
}

// TestTheJudgeSeesWhatIsWrong: a benchmark that cannot count is worth nothing.
func TestTheJudgeSeesWhatIsWrong(t *testing.T) {
	part := solve.Partition{Keys: []int32{0, 1, 2, 3, 1}, Amounts: [][]int64{{5, 6, 7, 0, 8}}}
	inc := &incident{
		in:      solve.Input{Partitions: []solve.Partition{part}, Keys: 4, Differences: [][]int64{{9, -6, -7, 0}}},
		truth:   []solve.Span{{Partition: 0, From: 0, To: 4, Kind: solve.Missed}},
		foreign: map[int32]bool{0: true},
	}
	span := func(from, to int) solve.Span {
		return solve.Span{Partition: 0, From: from, To: to, Kind: solve.Missed}
	}
	again := span(1, 3)
	again.Kind, again.Times = solve.Again, 2
	for name, c := range map[string]struct {
		answer solve.Answer
		want   bool
	}{
		"without undecided ends": {solve.Answer{Spans: []solve.Span{span(1, 3)}, Foreign: []int32{0}}, true},
		"as planted":             {solve.Answer{Spans: []solve.Span{span(0, 4)}, Foreign: []int32{0}}, true},
		"too short":              {solve.Answer{Spans: []solve.Span{span(1, 2)}, Foreign: []int32{0}}, false},
		"too long":               {solve.Answer{Spans: []solve.Span{span(1, 5)}, Foreign: []int32{0}}, false},
		"another kind":           {solve.Answer{Spans: []solve.Span{again}, Foreign: []int32{0}}, false},
		"no foreign key":         {solve.Answer{Spans: []solve.Span{span(1, 3)}}, false},
		"another foreign key":    {solve.Answer{Spans: []solve.Span{span(1, 3)}, Foreign: []int32{3}}, false},
		"nothing":                {solve.Answer{}, false},
	} {
		if got := inc.right(c.answer); got != c.want {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}
