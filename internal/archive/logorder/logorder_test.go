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
		for _, e := range strings.Fields(commit) {
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
			if leg.Has(int64(seq), e.partition) {
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
		stretches := map[string][][]string{}
		for _, p := range []string{"a", "b", "c"} {
			at := 0
			for range 1 + rng.IntN(6) {
				var s []string
				for range 1 + rng.IntN(4) {
					at++
					s = append(s, fmt.Sprintf("%s%03d", p, at))
				}
				stretches[p] = append(stretches[p], s)
			}
			rng.Shuffle(len(stretches[p]), func(i, j int) { stretches[p][i], stretches[p][j] = stretches[p][j], stretches[p][i] })
		}
		var commits []string
		for i := range 6 {
			var s []string
			for _, p := range []string{"a", "b", "c"} {
				if i < len(stretches[p]) {
					s = append(s, stretches[p][i]...)
				}
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
