package run_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"recount"
	"recount/engine/fold/run"
)

// outputs are the bytes of the files that a run wrote.
func outputs(t *rapid.T, s *scene) [2]string {
	var all [2]string
	for i, path := range []string{s.spec.Out, s.spec.Effects} {
		if path == "" {
			continue
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all[i] = string(b)
	}
	return all
}

// TestOutputsAreTheSameBytes runs a spec as it is, then with all changed that must
// not count: threads, memory, batches, the order of files.
func TestOutputsAreTheSameBytes(t *testing.T) {
	check(t, 40, func(rt *rapid.T) {
		s := drawSound(rt, t.TempDir(), 80)
		s.spec.Effects = s.spec.Out + ".effects"
		first := execute(rt, s)
		want := outputs(rt, s)
		other := drawSpec(rt)
		s.spec.Threads, s.spec.Memory, s.spec.Batch = other.Threads, other.Memory, other.Batch
		s.spec.Shake.Threads, s.spec.Shake.Files, s.spec.Shake.Batches = rapid.Bool().Draw(rt, "threads"), rapid.Bool().Draw(rt, "files"), rapid.Bool().Draw(rt, "batches")
		text, err := json.Marshal(s.spec)
		if err != nil {
			rt.Fatal(err)
		}
		s.spec = run.Spec{}
		if err := json.Unmarshal(text, &s.spec); err != nil {
			rt.Fatal(err)
		}
		second := execute(rt, s)
		if got := outputs(rt, s); got != want {
			rt.Fatalf("outputs differ: %d and %d bytes, then %d and %d", len(want[0]), len(want[1]), len(got[0]), len(got[1]))
		}
		first.Spilled, second.Spilled = 0, 0
		if !reflect.DeepEqual(first, second) {
			rt.Fatalf("results: got %+v, then %+v", first, second)
		}
	})
}

var errStopped = errors.New("stopped")

// TestAStoppedRunGoesOn stops a run at any batch, by an error or by a panic, and
// runs it again.
func TestAStoppedRunGoesOn(t *testing.T) {
	check(t, 40, func(rt *rapid.T) {
		dir := t.TempDir()
		s := drawSound(rt, dir, 80)
		s.spec.Effects = s.spec.Out + ".effects"
		if rapid.Bool().Draw(rt, "poison") {
			s.drawPoison(rt)
		}
		whole := execute(rt, s)
		want := outputs(rt, s)
		s.spec.Resume, s.spec.Digest, s.spec.Threads = filepath.Join(dir, "resume"), "one", 1
		fold := s.fold()
		left := rapid.IntRange(0, 40).Draw(rt, "batches")
		fold.before = func(run.Batch) error {
			if left--; left < 0 {
				return errStopped
			}
			return nil
		}
		_, err := run.Execute(context.Background(), s.spec, fold)
		if err != nil && !errors.Is(err, errStopped) {
			rt.Fatal(err)
		}
		if rapid.Bool().Draw(rt, "another") { // nothing of it may be taken
			other := s.spec
			other.Digest = "another"
			r, err := run.Execute(context.Background(), other, s.fold())
			if err != nil {
				rt.Fatal(err)
			}
			if r.Resumed > 0 {
				rt.Fatalf("parts of another digest were taken: %d", r.Resumed)
			}
		}
		again := execute(rt, s)
		if got := outputs(rt, s); got != want {
			rt.Fatal("a run that went on wrote other bytes")
		}
		again.Resumed, again.Spilled, whole.Spilled = 0, 0, 0
		if !reflect.DeepEqual(again, whole) {
			rt.Fatalf("results: got %+v, want %+v", again, whole)
		}
	})
}

// childSpec names the environment variable that makes the test binary run a spec
// and kill itself, without a word, at a batch.
const childSpec = "RECOUNT_FOLD_CHILD"

// childRun is what the child is told.
type childRun struct {
	Spec  run.Spec
	Batch int // at which it kills itself; 0: never
}

func child(path string) {
	text, err := os.ReadFile(path)
	if err != nil {
		panic(err)
	}
	var c childRun
	if err := json.Unmarshal(text, &c); err != nil {
		panic(err)
	}
	s := &scene{spec: c.Spec}
	fold := s.fold()
	fold.before = func(run.Batch) error {
		if c.Batch--; c.Batch == 0 {
			killSelf()
		}
		return nil
	}
	r, err := run.Execute(context.Background(), c.Spec, fold)
	if err != nil {
		panic(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		panic(err)
	}
}

// TestAKilledRunGoesOn kills the process of a run, again and again, until it gets
// to its end.
func TestAKilledRunGoesOn(t *testing.T) {
	check(t, 8, func(rt *rapid.T) {
		dir := t.TempDir()
		s := drawSound(rt, dir, 120)
		s.spec.Effects, s.spec.Threads = s.spec.Out+".effects", 1
		execute(rt, s)
		want := outputs(rt, s)
		s.spec.Resume, s.spec.Digest = filepath.Join(dir, "resume"), "one"
		path := filepath.Join(dir, "child.json")
		for kills := 0; ; kills++ {
			batch := kills + rapid.IntRange(1, 20).Draw(rt, "batch")
			const most = 3
			if kills == most {
				batch = 0
			}
			text, err := json.Marshal(childRun{s.spec, batch})
			if err != nil {
				rt.Fatal(err)
			}
			if err := os.WriteFile(path, text, 0o600); err != nil {
				rt.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$") //nolint:gosec // ourselves
			cmd.Env = append(os.Environ(), childSpec+"="+path)
			var said bytes.Buffer
			cmd.Stderr = &said
			err = cmd.Run()
			if err == nil {
				break
			}
			if batch == 0 || !strings.Contains(err.Error(), "killed") {
				rt.Fatalf("the child ended otherwise: %v\n%s", err, said.String())
			}
		}
		if got := outputs(rt, s); got != want {
			rt.Fatal("a run that was killed and went on wrote other bytes")
		}
		left, err := filepath.Glob(filepath.Join(s.spec.Resume, "*"))
		if err != nil || len(left) > 0 {
			rt.Fatalf("left behind: %v, %v", left, err)
		}
	})
}

// TestAKeyWithManyEventsNeedsLittleMemory folds one key whose events are many
// times what memory holds.
func TestAKeyWithManyEventsNeedsLittleMemory(t *testing.T) {
	const n = 3000
	events := make([]event, n)
	for i := range events {
		e := &events[i]
		e.seq, e.Partition, e.Time = int64(i+1), "p"+strconv.Itoa(i%3), epoch
		e.Position = recount.PadPosition(strconv.Itoa(i * 7919 % n))
		for _, f := range testFields {
			e.Fields = append(e.Fields, recount.Text(samples[f.Name][0]))
		}
	}
	check(t, 8, func(rt *rapid.T) {
		dir := t.TempDir()
		s := &scene{events: events}
		s.spec = run.Spec{
			Stream: "orders", Fields: testFields, Reads: []string{"position"}, By: []string{"user"}, Threads: 1, Memory: 64 << 10, Scratch: dir, Out: filepath.Join(dir, "rows"),
		}
		s.spec.Shape.Key = keyColumns(&s.spec)
		s.spec.Shape.Values = []recount.Column{{Name: "count", Type: recount.Type{Kind: recount.KindInt64}}, {Name: "chain", Type: recount.Type{Kind: recount.KindString}}}
		s.spec.Files, s.spec.Marks = writeFiles(rt, dir, events)
		if r := execute(rt, s); r.Spilled < n {
			rt.Fatalf("spilled: got %d bytes, want many", r.Spilled)
		}
		s.checkRows(rt)
	})
}

// killSelf ends the process as kill -9 does.
func killSelf() {
	if p, err := os.FindProcess(os.Getpid()); err == nil {
		_ = p.Kill()
	}
	select {}
}
