package run_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"recount"
	"recount/engine/fold/run"
)

// badFold answers with whatever a test wants.
type badFold struct {
	answer func(in run.Batch, n int) (run.Answer, error)
}

func (f badFold) New(context.Context, int, run.Wants) (run.Stepper, error) {
	return &badStepper{fold: f}, nil
}

type badStepper struct {
	fold badFold
	n    int
}

func (*badStepper) Close() error { return nil }

func (s *badStepper) Step(_ context.Context, in run.Batch) (run.Answer, error) {
	s.n++
	return s.fold.answer(in, s.n)
}

// twoKeys is a run over two keys, of two events each.
func twoKeys(t *rapid.T, dir string) run.Spec {
	events := make([]event, 4)
	for i := range events {
		e := &events[i]
		e.seq, e.Partition, e.Position, e.Time = int64(i+1), "p", recount.PadPosition(string(rune('1'+i))), epoch
		for _, f := range testFields {
			e.Fields = append(e.Fields, recount.Text(samples[f.Name][i%2]))
		}
	}
	s := run.Spec{Stream: "orders", Fields: testFields, Reads: []string{"n"}, By: []string{"user"}, Threads: 1, Scratch: dir, Out: filepath.Join(dir, "rows"), Effects: filepath.Join(dir, "effects")}
	text := recount.Type{Kind: recount.KindString}
	s.Shape = recount.Shape{Key: []recount.Column{{Name: "user", Type: text}}, Values: []recount.Column{{Name: recount.StateColumn, Type: text}, {Name: "sum", Type: text}}}
	s.Files, s.Marks = writeFiles(t, dir, events)
	return s
}

func row(group int64, values ...string) run.Row {
	r := run.Row{Group: group}
	for _, v := range values {
		r.Values = append(r.Values, recount.Text(v))
	}
	return r
}

func TestBadAnswersAreRefused(t *testing.T) {
	states := []run.State{{Group: 0, Bytes: []byte("a")}, {Group: 1, Bytes: []byte("b")}}
	cases := map[string]struct {
		answer run.Answer
		code   recount.Code
		why    string
	}{
		"a row of another group":      {run.Answer{States: states, Rows: []run.Row{row(7, "a", "1")}}, recount.CodeWorkerAnswer, "group 7"},
		"rows out of order":           {run.Answer{States: states, Rows: []run.Row{row(1, "a", "1"), row(0, "b", "1")}}, recount.CodeWorkerAnswer, "comes after"},
		"too few values":              {run.Answer{States: states, Rows: []run.Row{row(0, "a")}}, recount.CodeWorkerAnswer, "1 values, not 2"},
		"a row without a state":       {run.Answer{States: states[:1], Rows: []run.Row{row(1, "a", "1")}}, recount.CodeWorkerAnswer, "no state"},
		"two states":                  {run.Answer{States: []run.State{states[0], states[0]}}, recount.CodeWorkerAnswer, "two states"},
		"a state that is no text":     {run.Answer{States: []run.State{{Group: 0, Bytes: []byte{0xff}}}}, recount.CodeWorkerAnswer, "no text"},
		"an effect of no event":       {run.Answer{States: states, Effects: []recount.Effect{{Kind: "mail", Seq: 99}}}, recount.CodeWorkerAnswer, "event 99"},
		"a key twice":                 {run.Answer{States: states, Rows: []run.Row{row(0, "a", "1"), row(1, "a", "2")}}, recount.CodeResultKey, "twice"},
		"a key that is NULL":          {run.Answer{States: states, Rows: []run.Row{{Group: 0, Values: []recount.Value{recount.Null, recount.Text("1")}}}}, recount.CodeResultKey, "NULL"},
		"effects that go back in log": {run.Answer{States: states, Effects: []recount.Effect{{Kind: "mail", Seq: 3}, {Kind: "mail", Seq: 1}}}, recount.CodeWorkerAnswer, "event 1"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			check(t, 2, func(rt *rapid.T) {
				fold := badFold{func(in run.Batch, _ int) (run.Answer, error) {
					if len(in.Groups) != 2 {
						rt.Fatalf("groups: got %d, want 2", len(in.Groups))
					}
					return c.answer, nil
				}}
				_, err := run.Execute(context.Background(), twoKeys(rt, t.TempDir()), fold)
				if e := recount.AsError(err); err == nil || e.Code != c.code || !strings.Contains(e.Why, c.why) {
					rt.Fatalf("error: got %v, want one of code %s that says %q", err, c.code, c.why)
				}
			})
		})
	}
}

func TestAFoldThatDiesOnceIsNoPoison(t *testing.T) {
	check(t, 5, func(rt *rapid.T) {
		died := false
		fold := badFold{func(run.Batch, int) (run.Answer, error) {
			if !died {
				died = true
				return run.Answer{}, &run.Poison{Group: -1, Err: errors.New("signal: killed")}
			}
			return run.Answer{}, nil
		}}
		_, err := run.Execute(context.Background(), twoKeys(rt, t.TempDir()), fold)
		if e := recount.AsError(err); err == nil || e.Code != recount.CodeWorker {
			rt.Fatalf("error: got %v, want one of code %s", err, recount.CodeWorker)
		}
	})
}
