package effects

import (
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"recount"
)

var noon = time.Date(2024, 6, 10, 12, 0, 0, 0, time.UTC)

// drawn is one group: effects in order of their events, the log in order of time.
func drawn(t *rapid.T) (right []recount.Effect, sent []Sent) {
	minutes := func(n int, name string) []int {
		list := rapid.SliceOfN(rapid.IntRange(-3, 12), 0, n).Draw(t, name)
		slices.Sort(list)
		return list
	}
	payload := rapid.SampledFrom([]string{`{"a":1}`, `{"a":2}`, `{"a":1,"b":"x"}`})
	for i, at := range minutes(6, "right") {
		right = append(right, recount.Effect{Seq: int64(i + 1), Time: noon.Add(time.Duration(at) * time.Minute), Payload: []byte(payload.Draw(t, "payload"))})
	}
	for i, at := range minutes(8, "sent") {
		sent = append(sent, Sent{ID: fmt.Sprint(i), Time: noon.Add(time.Duration(at) * time.Minute), Payload: payload.Draw(t, "payload"), Edge: at < 0 || at > 9})
	}
	return right, sent
}

// naive counts the outcome by payload alone: what must hold whatever is paired.
func naive(right []recount.Effect, sent []Sent, within time.Duration) (fewest, core map[string]int) {
	fewest, core = map[string]int{}, map[string]int{}
	for _, s := range sent {
		if !s.Edge {
			core[s.Payload]++
		}
	}
	for _, e := range right {
		fewest[string(e.Payload)]++
	}
	return fewest, core
}

func TestEveryEffectAndEveryLogEventIsToldOfOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		right, sent := drawn(t)
		r := Rules{Within: 2 * time.Minute}
		out := r.Match(right, sent)
		wanted, core := naive(right, sent, r.Within)
		count := map[Reason]int64{}
		rights, logged := map[int64]int{}, map[string]int{}
		for _, d := range out.Differences {
			count[d.Reason]++
			if d.Sent != nil {
				logged[d.Sent.ID]++
				if d.Sent.Edge && d.Reason != Wrongly {
					t.Errorf("an event at the edge is told as %s", d.Reason)
				}
			}
			switch d.Reason {
			case Never, Wrongly:
				rights[d.Right.Seq]++
			case Twice:
				if Canonical(d.Right.Payload) != d.Sent.Payload {
					t.Errorf("sent twice, but of another payload: %s and %s", d.Right.Payload, d.Sent.Payload)
				}
			case Unasked:
				if wanted[d.Sent.Payload] > 0 {
					t.Errorf("not asked for, though it is: %s", d.Sent.Payload)
				}
			}
			if d.Reason == Wrongly && d.Why == "" {
				t.Errorf("nothing says how %s and %s differ", d.Right.Payload, d.Sent.Payload)
			}
		}
		for what, n := range rights {
			if n != 1 {
				t.Errorf("effect %d is told of %d times", what, n)
			}
		}
		for what, n := range logged {
			if n != 1 {
				t.Errorf("log event %s is told of %d times", what, n)
			}
		}
		if got := out.Right + count[Never] + count[Wrongly]; got != int64(len(right)) {
			t.Errorf("got %d effects, want %d", got, len(right))
		}
		if got := out.Right + out.Edge + count[Wrongly] + count[Twice] + count[Unasked]; got != int64(len(sent)) {
			t.Errorf("got %d log events, want %d", got, len(sent))
		}
		checkCounts(t, out, wanted, core, right, sent, r.Within)
	})
}

// checkCounts holds the number of right effects against counting payloads: all of
// the core that is asked for is used before any edge is.
func checkCounts(t *rapid.T, out Outcome, wanted, core map[string]int, right []recount.Effect, sent []Sent, within time.Duration) {
	var least, most, twice int64
	for payload, n := range wanted {
		edges := 0
		for _, s := range sent {
			near := slices.ContainsFunc(right, func(e recount.Effect) bool {
				return string(e.Payload) == payload && s.Time.Sub(e.Time).Abs() <= within
			})
			if s.Edge && s.Payload == payload && near {
				edges++
			}
		}
		least += int64(min(n, core[payload]))
		most += int64(min(n, core[payload]+edges))
		twice += int64(max(core[payload]-n, 0))
	}
	if out.Right < least || out.Right > most {
		t.Errorf("got %d right, want %d to %d", out.Right, least, most)
	}
	var got int64
	for _, d := range out.Differences {
		if d.Reason == Twice {
			got++
		}
	}
	if got != twice {
		t.Errorf("got %d sent twice, want %d", got, twice)
	}
}

func TestWhatWasSentAsItShouldHaveBeenDiffersInNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		right, _ := drawn(t)
		var sent []Sent
		for i, e := range right {
			sent = append(sent, Sent{ID: fmt.Sprint(i), Time: e.Time, Payload: Canonical(e.Payload), Edge: rapid.Bool().Draw(t, "edge")})
		}
		sent = rapid.Permutation(sent).Draw(t, "order")
		slices.SortStableFunc(sent, func(a, b Sent) int { return a.Time.Compare(b.Time) })
		out := Rules{Within: 30 * time.Minute}.Match(right, sent)
		if len(out.Differences) > 0 || out.Right != int64(len(right)) || out.Edge != 0 {
			t.Errorf("got %+v", out)
		}
	})
}

func TestEqualNumbersAreOneText(t *testing.T) {
	for _, same := range [][]string{
		{"12.5", "12.50", "1.25e1", "125E-1", "0.125e+2"},
		{"0", "-0", "0.000", "0e99"},
		{"100", "1e2", "100.0"},
		{"-0.001", "-1e-3"},
		{"1e400", "10e399"},
		{"123456789012345678901234567890.10", "123456789012345678901234567890.1"},
		{`{"b":1,"a":[1.0,"ü<"]}`, "{ \"a\" : [1, \"\\u00fc\\u003c\"], \"b\": 1.0 }"},
	} {
		for _, text := range same {
			if got, want := Canonical([]byte(text)), Canonical([]byte(same[0])); got != want {
				t.Errorf("%s: got %s, want %s", text, got, want)
			}
		}
	}
	if got := Canonical([]byte(`12.5.1, no JSON`)); got != `"12.5.1, no JSON"` {
		t.Errorf("got %s", got)
	}
}

func TestANumberKeepsItsValue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,20})?(e[+-]?[0-9]{1,2})?`).Draw(t, "number")
		before, ok := new(big.Rat).SetString(text)
		after, okAfter := new(big.Rat).SetString(number(text))
		if !ok || !okAfter || before.Cmp(after) != 0 {
			t.Errorf("%s became %s", text, number(text))
		}
		if !json.Valid([]byte(number(text))) {
			t.Errorf("%s is no JSON", number(text))
		}
		if again := number(number(text)); again != number(text) {
			t.Errorf("%s became %s, then %s", text, number(text), again)
		}
	})
}

func TestNamedMembersAloneAreCompared(t *testing.T) {
	right, sent := Canonical([]byte(`{"to":"a","order":{"total":5,"note":"x"},"at":1}`)), Canonical([]byte(`{"to":"a","order":{"total":5.0,"note":"y"},"at":2}`))
	if Members(right, []string{"to", "$.order.total"}) != Members(sent, []string{"to", "$.order.total"}) {
		t.Error("members that are equal differ")
	}
	if got := Differ(right, sent, nil); got != `at: sent 2, right is 1; order: sent {"note":"y","total":5}, right is {"note":"x","total":5}` {
		t.Errorf("got %s", got)
	}
	if got := Differ(right, sent, []string{"to", "$.order.note"}); got != `$.order.note: sent "y", right is "x"` {
		t.Errorf("got %s", got)
	}
	if got := Differ(`{"a":1}`, `{}`, nil); got != "a: sent nothing, right is 1" {
		t.Errorf("got %s", got)
	}
	if got := Differ(`"`+strings.Repeat("x", 100)+`"`, `1`, nil); len(got) > 150 || !strings.HasPrefix(got, "sent 1, right is ") {
		t.Errorf("got %s", got)
	}
}

func FuzzCanonical(f *testing.F) {
	f.Add([]byte(`{"a":[1,2.50,null,true],"b":"x"}`))
	f.Add([]byte(`1e999999999999999999999`))
	f.Fuzz(func(t *testing.T, b []byte) {
		text := Canonical(b)
		if again := Canonical([]byte(text)); again != text {
			t.Errorf("%q became %q, then %q", b, text, again)
		}
		Differ(text, `{"a":1}`, nil)
		Members(text, []string{"a", "$.a.b"})
	})
}
