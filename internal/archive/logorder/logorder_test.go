package logorder_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"recount/internal/archive/logorder"
)

// event is commit, partition and position; its sequence number is its place.
type event struct {
	commit    int64
	partition string
	position  string
}

func events(text string) (list []event) {
	for i, commit := range strings.Split(text, "|") {
		for e := range strings.FieldsSeq(commit) {
			list = append(list, event{int64(i + 1), e[:1], e[1:]})
		}
	}
	return list
}

func ordered(list []event) (string, int) {
	var o logorder.Order
	for seq, e := range list {
		o.Add(e.commit, int64(seq), e.partition, e.position)
	}
	legs := o.Legs()
	var got []string
	for _, leg := range legs {
		for seq, e := range list {
			if leg.Has(int64(seq), e.partition, e.position) {
				got = append(got, e.partition+e.position)
			}
		}
	}
	return strings.Join(got, " "), len(legs)
}

func TestEventsComeInTheOrderOfTheLog(t *testing.T) {
	for name, c := range map[string]struct {
		events, want string
		legs         int
	}{
		"none":                           {"", "", 1},
		"as they came":                   {"a1 b1 a2|b2 a3", "a1 b1 a2 b2 a3", 1},
		"a span that was pulled later":   {"a5 b5|a6 b6|a1 b1 a2", "a1 b1 a2 a5 b5 a6 b6", 2},
		"a partition is not held up":     {"a5|b1|a1|a6 b2", "b1 a1 a5 a6 b2", 3},
		"later commits pass it by":       {"a5 b5|a1 a3 a7 b1 b6", "a1 a3 b1 a5 b5 a7 b6", 3},
		"each has what the other awaits": {"a5 b5|a1 b8", "b5 a1 b8 a5", 3},
	} {
		if got, legs := ordered(events(c.events)); got != c.want || legs != c.legs {
			t.Errorf("%s: got %s in %d legs, want %s in %d", name, got, legs, c.want, c.legs)
		}
	}
}

// Random pulls: each event comes once, and those of a partition by position.
func TestNoPullMakesAnotherOrder(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 3)) //nolint:gosec // a history that its seed repeats
		// Spans are pulled at random; then all that is left comes, in commits of some.
		var commits []string
		taken := map[string]bool{}
		take := func(p string, from, to int) (s []string) {
			for at := from; at < to; at++ {
				if e := fmt.Sprintf("%s%03d", p, at); !taken[e] {
					taken[e] = true
					s = append(s, e)
				}
			}
			return s
		}
		const most = 40
		for range rng.IntN(6) {
			var s []string
			for _, p := range []string{"a", "b", "c"} {
				from := rng.IntN(most)
				s = append(s, take(p, from, min(from+rng.IntN(15), most))...)
			}
			commits = append(commits, strings.Join(s, " "))
		}
		at := map[string]int{}
		for at["a"] < most || at["b"] < most || at["c"] < most {
			var s []string
			for _, p := range []string{"a", "b", "c"} {
				n := rng.IntN(20)
				s = append(s, take(p, at[p], min(at[p]+n, most))...)
				at[p] += n
			}
			commits = append(commits, strings.Join(s, " "))
		}
		list := events(strings.Join(commits, "|"))
		text, _ := ordered(list)
		got := strings.Fields(text)
		last := map[byte]string{}
		for _, e := range got {
			if e <= last[e[0]] {
				t.Fatalf("seed %d: %s comes after %s in %s", seed, e, last[e[0]], text)
			}
			last[e[0]] = e
		}
		if slices.Sort(got); len(got) != len(list) || len(slices.Compact(got)) != len(list) {
			t.Fatalf("seed %d: got %d events, want %d", seed, len(got), len(list))
		}
	}
}
