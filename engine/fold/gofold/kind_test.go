package gofold_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"recount"
	"recount/engine"
	"recount/engine/enginetest"
	"recount/engine/fold/gofold"
	"recount/engine/fold/run"
	"recount/engine/result"
)

var noon = time.Date(2024, 6, 10, 12, 0, 0, 0, time.UTC)

// bench is a file of events and a fold that runs over them.
type bench struct {
	t     *testing.T
	kind  *gofold.Kind
	spec  run.Spec
	logic recount.Logic
}

// newBench makes events of users ann and bob by turns, whose types are given; the
// rest are plain.
func newBench(t *testing.T, o gofold.Options, types ...string) *bench {
	t.Helper()
	b := enginetest.NewBuilder(t, enginetest.Fields...)
	var events []enginetest.Event
	for i, typ := range types {
		user := []string{"ann", "bob"}[i%2]
		events = append(events, enginetest.Event{Event: recount.Event{
			ID: fmt.Sprint("e", i+1), Type: typ, Partition: "0", Position: recount.PadPosition(fmt.Sprint(i)), Time: noon.Add(time.Duration(i) * time.Second),
			Fields: []recount.Value{recount.Text(user), recount.Text(fmt.Sprintf("%d.25", i+1)), recount.Text("1")},
		}})
	}
	b.Add(events...)
	in := b.Input(noon, noon.Add(time.Hour))
	k := gofold.New(o)
	logic := recount.Logic{Kind: recount.LogicGo, Text: "orders", Path: "go: orders", By: []string{"user_id"}}
	s := &bench{t: t, kind: k, logic: logic, spec: run.Spec{
		Read: in.Window, Hit: in.Window, Stream: in.Stream, Fields: in.Fields, By: logic.By, Threads: 2, Memory: 256 << 20, Where: logic.Path,
	}}
	for _, f := range in.Files {
		s.spec.Files = append(s.spec.Files, run.File{Path: f.Path, Rows: f.Data.Rows, FirstSeq: f.Data.FirstSeq, LastSeq: f.Data.LastSeq})
	}
	return s
}

// run runs the fold and returns its rows and its effects.
func (b *bench) run(columns ...string) (rows []string, effects []string, _ run.Result, _ error) {
	b.t.Helper()
	d, err := b.kind.Describe(b.t.Context(), b.logic, b.spec.Fields)
	if err != nil {
		return nil, nil, run.Result{}, err
	}
	s := b.spec
	s.Reads, s.Scratch = d.Reads, b.t.TempDir()
	s.Out, s.Effects = filepath.Join(s.Scratch, "rows"), filepath.Join(s.Scratch, "effects")
	s.Shape = recount.Shape{Key: []recount.Column{{Name: "user_id", Type: recount.Type{Kind: recount.KindString}}}}
	for _, name := range columns {
		for _, c := range d.Columns {
			if c.Name == name {
				s.Shape.Values = append(s.Shape.Values, c)
			}
		}
		if name == recount.StateColumn {
			s.Shape.Values = append(s.Shape.Values, recount.Column{Name: name, Type: recount.Type{Kind: recount.KindString}})
		}
	}
	got, err := b.kind.Run(b.t.Context(), b.logic, s)
	if err != nil {
		return nil, nil, got, err
	}
	r, err := result.OpenRows(b.t.Context(), s.Out, s.Shape, result.Of{Where: s.Where, Fold: true})
	if err != nil {
		b.t.Fatal(err)
	}
	for row, ok := r.Next(); ok; row, ok = r.Next() {
		rows = append(rows, text(row.Key)+"|"+text(row.Values))
	}
	e, errEffects := run.OpenEffects(b.t.Context(), s.Effects)
	if err := errors.Join(r.Err(), r.Close(), errEffects); err != nil {
		b.t.Fatal(err)
	}
	for effect, ok := e.Next(); ok; effect, ok = e.Next() {
		effects = append(effects, fmt.Sprintf("%s %s %s %s", effect.Kind, effect.Key, effect.EventID, effect.Payload))
	}
	if err := errors.Join(e.Err(), e.Close()); err != nil {
		b.t.Fatal(err)
	}
	return rows, effects, got, nil
}

func (b *bench) must(columns ...string) (rows, effects []string, got run.Result) {
	b.t.Helper()
	rows, effects, got, err := b.run(columns...)
	if err != nil {
		b.t.Fatal(err)
	}
	return rows, effects, got
}

func same(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("%s: got\n%s\nwant\n%s", what, g, w)
	}
}

func TestAFoldRunsInAProcessOfItsOwn(t *testing.T) {
	b := newBench(t, gofold.Options{}, "", "", "mail", "print", "")
	rows, effects, got := b.must("total", "n")
	same(t, "rows", rows, "ann|9.75,3", "bob|6.50,2")
	same(t, "effects", effects, `mail 3.25 e3 {"n":2}`)
	if got.Events != 5 || got.Keys != 2 {
		t.Errorf("result: got %+v", got)
	}
	rows, _, _ = b.must(recount.StateColumn)
	if len(rows) != 2 || !strings.HasSuffix(rows[0], ` {"Total":"9.75","N":3,"Trace":null}`) {
		t.Errorf("states: got %q", rows)
	}
}

func TestAnEventThatAFoldDoesNotSurviveCostsItsKeyAlone(t *testing.T) {
	for typ, why := range map[string]string{
		"error":    "an event that is refused",
		"panic":    "panic: assignment to entry in nil map at gofold_test.registerAll.func1 (main_test.go:",
		"overflow": "the number does not fit 38 digits",
		"exit":     "exit code 7; it said: these are the last words",
		"fatal":    "it said: panic: in another goroutine",
		"hang":     "did not come back from the event",
		"loop":     "did not come back from the event",
	} {
		t.Run(typ, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, gofold.Options{Patience: 2 * time.Second}, "", "", typ, "", "")
			rows, _, got := b.must("total", "n")
			same(t, "rows", rows, "bob|6.50,2")
			if len(got.Poisoned) != 1 || got.Poisoned[0].Seq != 3 || text(got.Poisoned[0].Key) != "ann" || !strings.Contains(got.Poisoned[0].Why, why) {
				t.Errorf("poisoned: got %+v, want event 3 of ann, since %q", got.Poisoned, why)
			}
		})
	}
}

func TestTwoKeysWithFatalEventsAreBothLeftOut(t *testing.T) {
	b := newBench(t, gofold.Options{}, "", "", "exit", "exit", "")
	rows, _, got := b.must("total", "n")
	same(t, "rows", rows)
	if len(got.Poisoned) != 2 || got.Poisoned[0].Seq != 3 || got.Poisoned[1].Seq != 4 {
		t.Errorf("poisoned: got %+v, want events 3 and 4", got.Poisoned)
	}
}

func TestAFoldThatNeedsTooMuchMemoryIsStopped(t *testing.T) {
	b := newBench(t, gofold.Options{}, "", "", "memory", "", "")
	rows, _, got := b.must("total", "n")
	same(t, "rows", rows, "bob|6.50,2")
	if len(got.Poisoned) != 1 || got.Poisoned[0].Seq != 3 {
		t.Errorf("poisoned: got %+v, want event 3", got.Poisoned)
	}
}

func wantError(t *testing.T, err error, code recount.Code, why string) {
	t.Helper()
	e, ok := errors.AsType[*recount.Error](err)
	if !ok || e.Code != code || e.What == "" || e.Where == "" || e.Next == "" || !strings.Contains(e.Why, why) {
		t.Errorf("got %+v (%v), want %s with all its parts, since %q", e, err, code, why)
	}
}

func TestAFoldThatKeepsEndingItsProcessIsRefused(t *testing.T) {
	_, _, _, err := newBench(t, gofold.Options{Deaths: 1}, "exit", "exit", "").run("n")
	wantError(t, err, recount.CodePoison, "these are the last words")
}

func TestARunThatIsCancelledEnds(t *testing.T) {
	b := newBench(t, gofold.Options{}, "hang")
	ctx, cancel := context.WithCancel(t.Context())
	b.spec.Scratch, b.spec.Reads = t.TempDir(), []string{"value", "type", "time"}
	b.spec.Out = filepath.Join(b.spec.Scratch, "rows")
	b.spec.Shape = recount.Shape{Key: []recount.Column{{Name: "user_id", Type: recount.Type{Kind: recount.KindString}}}}
	time.AfterFunc(300*time.Millisecond, cancel)
	if _, err := b.kind.Run(ctx, b.logic, b.spec); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that it was cancelled", err)
	}
}

func TestShakenRunsHaveAnotherPlace(t *testing.T) {
	t.Setenv("RECOUNT_TEST_SECRET", "hunter2")
	b := newBench(t, gofold.Options{}, "")
	b.logic.Text = "place"
	base, _, _ := b.must("answer")
	if again, _, _ := b.must("answer"); again[0] != base[0] {
		t.Errorf("run again: got %s, want %s", again, base)
	}
	if strings.Contains(base[0], "hunter2") {
		t.Errorf("the fold sees the environment of the command: %s", base)
	}
	for _, shake := range []engine.Shake{{Seed: true}, {Zone: true}, {Locale: true}, {Cores: true}, {Machine: true}} {
		b.spec.Shake = shake
		if got, _, _ := b.must("answer"); got[0] == base[0] {
			t.Errorf("shaken by %+v: got %s as without", shake, got)
		}
	}
}

func TestFoldsThatAreNotThereOrDoNotFit(t *testing.T) {
	k := gofold.New(gofold.Options{})
	logic := recount.Logic{Kind: recount.LogicGo, Text: "order", Path: "go: order", By: []string{"user_id"}}
	_, err := k.Describe(t.Context(), logic, enginetest.Fields)
	wantError(t, err, recount.CodeFold, "did you mean orders?")
	logic.Text = "orders"
	_, err = k.Describe(t.Context(), logic, enginetest.Fields[:1])
	wantError(t, err, recount.CodeFold, "Event.Value: the source has no field value; it has user_id")
}
