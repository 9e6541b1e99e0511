package run_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"recount"
	"recount/engine/fold/run"
)

// attempted are the events of a group without one, or with it once more; false
// where the group has it not.
func attempted(g *group, seq int64, more bool) (events []*event, has bool) {
	for _, e := range g.events {
		if e.seq != seq {
			events = append(events, e)
			continue
		}
		has = true
		if more {
			events = append(events, e, e)
		}
	}
	return events, has
}

// drawSingle asks for some events of some keys, among them such as no key has.
func (s *scene) drawSingle(t *rapid.T) {
	s.spec.Single = []run.SingleKey{}
	seen := map[string]bool{}
	for _, g := range s.groups() {
		if text := recount.KeyText(g.by); seen[text] || !rapid.Bool().Draw(t, "key") {
			continue
		}
		seen[recount.KeyText(g.by)] = true
		one := run.SingleKey{Key: g.by, Seqs: []int64{}}
		for _, e := range s.events {
			if rapid.IntRange(0, 3).Draw(t, "seq") > 0 {
				one.Seqs = append(one.Seqs, e.seq)
			}
		}
		s.spec.Single = append(s.spec.Single, one)
	}
}

// tried are the rows and the failures that the oracle expects.
func (s *scene) tried() (rows, failed []string) {
	number := 0
	for _, k := range s.spec.Single {
		for _, seq := range k.Seqs {
			for _, more := range []bool{false, true} {
				var made []string
				for _, g := range s.groups() {
					events, has := attempted(g, seq, more)
					if !has || len(events) == 0 || recount.KeyText(g.by) != recount.KeyText(k.Key) {
						continue
					}
					if at := slices.IndexFunc(events, func(e *event) bool { return s.poison[e.seq] }); at >= 0 {
						failed = append(failed, fmt.Sprint(number, events[at].seq))
						continue
					}
					for _, row := range s.fold1(g, events).rows(g.key) {
						made = append(made, recount.KeyText(row[:len(s.spec.Shape.Key)])+fmt.Sprint(row[len(s.spec.Shape.Key):]))
					}
				}
				slices.Sort(made)
				for _, row := range made {
					rows = append(rows, fmt.Sprint(number, " ", row))
				}
				number++
			}
		}
	}
	return rows, failed
}

func TestAKeyIsFoldedWithoutEachEventAndWithItOnceMore(t *testing.T) {
	check(t, 60, func(rt *rapid.T) {
		s := drawSound(rt, t.TempDir(), 30)
		s.spec.Memory = 0 // it wants all events of a key
		s.drawSingle(rt)
		if rapid.Bool().Draw(rt, "poison") {
			s.drawPoison(rt)
		}
		s.spec.MaxPoisoned = 1 << 20
		result, err := run.Execute(context.Background(), s.spec, s.fold())
		if err != nil {
			rt.Fatal(err)
		}
		opened, err := run.OpenTried(context.Background(), s.spec)
		if err != nil {
			rt.Fatal(err)
		}
		var rows, failed []string
		for {
			one, ok := opened.Next()
			if !ok {
				break
			}
			rows = append(rows, fmt.Sprint(one.Attempt, " ", recount.KeyText(one.Row.Key)+fmt.Sprint(one.Row.Values)))
		}
		if err := opened.Err(); err != nil {
			rt.Fatal(err)
		}
		if err := opened.Close(); err != nil {
			rt.Fatal(err)
		}
		for _, p := range result.Poisoned {
			failed = append(failed, fmt.Sprint(p.Attempt, p.Seq))
		}
		wantRows, wantFailed := s.tried()
		slices.Sort(failed)
		slices.Sort(wantFailed)
		if !slices.Equal(rows, wantRows) {
			rt.Fatalf("rows: got\n%s\nwant\n%s", strings.Join(rows, "\n"), strings.Join(wantRows, "\n"))
		}
		if !slices.Equal(failed, wantFailed) {
			rt.Fatalf("failed: got %v, want %v", failed, wantFailed)
		}
	})
}
