package run_test

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"recount"
	"recount/engine/fold/run"
)

func execute(t *rapid.T, s *scene) run.Result {
	r, err := run.Execute(context.Background(), s.spec, s.fold())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// noNulls keeps keys from being NULL, which is another test's.
func noNulls(events []event) {
	for i := range events {
		for f, v := range events[i].Fields {
			if v.Null {
				events[i].Fields[f] = recount.Text(samples[testFields[f].Name][0])
			}
		}
	}
}

func drawSound(t *rapid.T, dir string, most int) *scene {
	s := &scene{spec: drawSpec(t), events: drawEvents(t, most)}
	noNulls(s.events)
	s.spec.Files, s.spec.Marks = writeFiles(t, dir, s.events)
	s.spec.Out, s.spec.Scratch = filepath.Join(dir, "rows"), dir
	return s
}

// shown is one line for each shown row.
func shownText(s run.Shown) string {
	return fmt.Sprintf("%v %v %d %s %s %s %s %t %d %t %v %v", s.By, s.Bucket, s.Seq, s.Partition, s.Position, s.ID, recount.FormatTimestamp(s.Time), s.Hit, s.Times, s.Made, s.Row.Key, s.Row.Values)
}

func readShown(t *rapid.T, s *scene) (lines []string) {
	rows, err := run.OpenShown(context.Background(), s.spec)
	if err != nil {
		t.Fatal(err)
	}
	for {
		one, ok := rows.Next()
		if !ok {
			break
		}
		lines = append(lines, shownText(one))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if err := rows.Close(); err != nil {
		t.Fatal(err)
	}
	return lines
}

// shownOf is what is to be shown of a group after an event.
func (s *scene) shownOf(g *group, e *event, state chainState) (shown []run.Shown) {
	one := run.Shown{By: g.by, Bucket: recount.Null, Seq: e.seq, Partition: e.Partition, Position: e.Position, ID: e.ID, Time: e.Time, Hit: inside(s.spec.Hit, e.Time), Times: 1}
	if !s.spec.Bucket.None() {
		one.Bucket = g.key[len(g.by)]
	}
	keys := len(s.spec.Shape.Key)
	for _, row := range state.rows(g.key) {
		made := one
		made.Made, made.Row = true, recount.Row{Key: row[:keys], Values: row[keys:]}
		shown = append(shown, made)
	}
	if len(shown) == 0 {
		for range s.spec.Shape.Key {
			one.Row.Key = append(one.Row.Key, recount.Null)
		}
		for range s.spec.Shape.Values {
			one.Row.Values = append(one.Row.Values, recount.Null)
		}
		shown = append(shown, one)
	}
	return shown
}

func texts(shown []run.Shown) (lines []string) {
	for _, s := range shown {
		lines = append(lines, shownText(s))
	}
	return lines
}

// along gives the scene, at times, an order of its own in which events are shown.
func (s *scene) along(t *rapid.T) (rank func(seq int64) int64) {
	if !rapid.Bool().Draw(t, "along") {
		return func(seq int64) int64 { return seq }
	}
	s.spec.Along = []int64{}
	for _, e := range s.events {
		s.spec.Along = append(s.spec.Along, e.seq)
	}
	s.spec.Along = rapid.Permutation(s.spec.Along).Draw(t, "order")
	return func(seq int64) int64 { return int64(slices.Index(s.spec.Along, seq)) }
}

func TestWhatIsShownAfterAnEventIsTheFoldUpToIt(t *testing.T) {
	check(t, 40, func(rt *rapid.T) {
		s := drawSound(rt, t.TempDir(), 40)
		s.spec.Show, s.spec.Memory = true, 0 // it wants all events of a key
		rank := s.along(rt)
		var want []run.Shown
		for _, g := range s.groups() {
			for _, e := range g.events {
				var before []*event
				for _, x := range g.events {
					if rank(x.seq) <= rank(e.seq) {
						before = append(before, x)
					}
				}
				want = append(want, s.shownOf(g, e, s.fold1(g, before))...)
			}
		}
		slices.SortFunc(want, func(a, b run.Shown) int {
			key := func(s run.Shown) string { return recount.KeyText(append(slices.Clone(s.By), s.Bucket)) }
			return cmp.Or(strings.Compare(key(a), key(b)), cmp.Compare(a.Seq, b.Seq), strings.Compare(recount.KeyText(a.Row.Key), recount.KeyText(b.Row.Key)))
		})
		execute(rt, s)
		if got, want := readShown(rt, s), texts(want); !slices.Equal(got, want) {
			rt.Fatalf("shown: got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

func TestEventsAloneAreFoldedAlone(t *testing.T) {
	check(t, 40, func(rt *rapid.T) {
		s := drawSound(rt, t.TempDir(), 40)
		s.spec.Alone = true
		var want []run.Shown
		for _, g := range s.groups() {
			for _, e := range g.events {
				want = append(want, s.shownOf(g, e, s.fold1(g, []*event{e}))...)
			}
		}
		slices.SortFunc(want, func(a, b run.Shown) int {
			return cmp.Or(strings.Compare(a.Partition, b.Partition), strings.Compare(a.Position, b.Position), cmp.Compare(a.Seq, b.Seq), strings.Compare(recount.KeyText(a.Row.Key), recount.KeyText(b.Row.Key)))
		})
		execute(rt, s)
		if got, want := readShown(rt, s), texts(want); !slices.Equal(got, want) {
			rt.Fatalf("alone: got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// effects are what the oracle expects.
func (s *scene) effects() (effects []recount.Effect) {
	for _, g := range s.groups() {
		if _, ok := s.poisoned(g); ok {
			continue
		}
		for i, e := range g.events {
			for _, one := range s.fold1(g, g.events[:i+1]).effects(e.seq) {
				one.Partition, one.Position, one.EventID, one.Time = e.Partition, e.Position, e.ID, e.Time
				effects = append(effects, one)
			}
		}
	}
	slices.SortStableFunc(effects, func(a, b recount.Effect) int {
		return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.Key, b.Key), cmp.Compare(a.Seq, b.Seq))
	})
	return effects
}

func TestEffectsAreSortedAndNameTheirEvents(t *testing.T) {
	check(t, 40, func(rt *rapid.T) {
		s := drawSound(rt, t.TempDir(), 40)
		s.spec.Effects, s.spec.Out = s.spec.Out+".effects", ""
		if rapid.Bool().Draw(rt, "poison") {
			s.drawPoison(rt)
		}
		execute(rt, s)
		rows, err := run.OpenEffects(context.Background(), s.spec.Effects)
		if err != nil {
			rt.Fatal(err)
		}
		var got []recount.Effect
		for {
			e, ok := rows.Next()
			if !ok {
				break
			}
			got = append(got, e)
		}
		if err := rows.Err(); err != nil {
			rt.Fatal(err)
		}
		if want := s.effects(); !reflect.DeepEqual(got, want) {
			rt.Fatalf("effects: got\n%v\nwant\n%v", got, want)
		}
	})
}

func (s *scene) drawPoison(t *rapid.T) {
	s.poison = map[int64]bool{}
	for range rapid.IntRange(1, 3).Draw(t, "poisons") {
		if len(s.events) > 0 {
			s.poison[rapid.SampledFrom(s.events).Draw(t, "poison").seq] = true
		}
	}
}

func TestAPoisonedEventCostsItsKeyAlone(t *testing.T) {
	check(t, 40, func(rt *rapid.T) {
		s := drawSound(rt, t.TempDir(), 40)
		s.drawPoison(rt)
		fold := s.fold()
		fold.vague, fold.silent = rapid.Bool().Draw(rt, "vague"), rapid.Bool().Draw(rt, "silent")
		got, err := run.Execute(context.Background(), s.spec, fold)
		if err != nil {
			rt.Fatal(err)
		}
		var want []string
		for _, g := range s.groups() {
			if seq, ok := s.poisoned(g); ok {
				want = append(want, fmt.Sprintf("%d %v", seq, g.by))
			}
		}
		var found []string
		for _, p := range got.Poisoned {
			found = append(found, fmt.Sprintf("%d %v", p.Seq, p.Key))
		}
		slices.Sort(want)
		slices.Sort(found)
		if !slices.Equal(found, want) {
			rt.Fatalf("poisoned: got %v, want %v", found, want)
		}
		s.checkRows(rt)
	})
}

func (s *scene) checkRows(t *rapid.T) {
	want, _ := s.rows()
	rows, err := readRows(s.spec.Out, outNames(&s.spec))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(rows, want) {
		t.Fatalf("rows: got\n%v\nwant\n%v", rows, want)
	}
}

func TestTooMuchPoisonIsRefused(t *testing.T) {
	check(t, 40, func(rt *rapid.T) {
		s := drawSound(rt, t.TempDir(), 40)
		s.poison, s.spec.MaxPoisoned = map[int64]bool{}, 1
		for _, e := range s.events {
			s.poison[e.seq] = true
		}
		_, err := run.Execute(context.Background(), s.spec, s.fold())
		if len(s.groups()) <= 1 {
			if err != nil {
				rt.Fatal(err)
			}
			return
		}
		if e := recount.AsError(err); err == nil || e.Code != recount.CodePoison {
			rt.Fatalf("error: got %v, want one of code %s", err, recount.CodePoison)
		}
	})
}

// TestStatesGoOn begins keys with states, some of keys without an event.
func TestStatesGoOn(t *testing.T) {
	check(t, 40, func(rt *rapid.T) {
		dir := t.TempDir()
		s := drawSound(rt, dir, 40)
		s.spec.Bucket = recount.Bucket{}
		s.spec.Shape.Key = keyColumns(&s.spec)
		s.drawOpenings(rt, dir)
		if len(s.opened) > 0 && rapid.Bool().Draw(rt, "some keys") {
			s.spec.Keys = s.opened[:rapid.IntRange(0, len(s.opened)).Draw(rt, "keys")]
			if s.spec.Keys == nil {
				s.spec.Keys = [][]recount.Value{}
			}
		}
		if rapid.Bool().Draw(rt, "states") {
			s.checkStates(rt)
			return
		}
		execute(rt, s)
		s.checkRows(rt)
	})
}

func (s *scene) drawOpenings(t *rapid.T, dir string) {
	s.openings = map[string]string{}
	domain := rapid.Custom(func(t *rapid.T) []recount.Value {
		var key []recount.Value
		for _, name := range s.spec.By {
			key = append(key, recount.Text(rapid.SampledFrom(samples[name]).Draw(t, name)))
		}
		return key
	})
	s.opened = rapid.SliceOfNDistinct(domain, 0, 3, recount.KeyText).Draw(t, "openings")
	var rows [][]recount.Value
	for i, key := range s.opened {
		s.openings[recount.KeyText(key)] = strconv.Itoa(i) + "|abcd"
		rows = append(rows, append(slices.Clone(key), recount.Text(s.openings[recount.KeyText(key)])))
	}
	s.spec.Opening = filepath.Join(dir, "opening")
	writeTexts(t, s.spec.Opening, append(slices.Clone(s.spec.By), recount.StateColumn), rows)
}

// checkStates runs for the states alone: one for each key.
func (s *scene) checkStates(t *rapid.T) {
	s.spec.Shape = recount.Shape{Values: []recount.Column{{Name: recount.StateColumn, Type: recount.Type{Kind: recount.KindString}}}}
	for _, name := range s.spec.By {
		s.spec.Shape.Key = append(s.spec.Shape.Key, recount.Column{Name: name, Type: typeOf(name)})
	}
	var want [][]recount.Value
	for _, g := range s.groups() {
		want = append(want, append(slices.Clone(g.by), recount.Text(s.fold1(g, g.events).text())))
	}
	slices.SortFunc(want, func(a, b []recount.Value) int {
		return strings.Compare(recount.KeyText(a[:len(a)-1]), recount.KeyText(b[:len(b)-1]))
	})
	execute(t, s)
	rows, err := readRows(s.spec.Out, outNames(&s.spec))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(rows, want) {
		t.Fatalf("states: got\n%v\nwant\n%v", rows, want)
	}
}
