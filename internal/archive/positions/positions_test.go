package positions_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"recount"
	"recount/internal/archive/positions"
)

func TestPositionsThatAreNumbersAreCounted(t *testing.T) {
	for _, n := range []int64{0, 1, 9, 10, 99, 1 << 40, math.MaxInt64 - 1} {
		text := positions.Text(n)
		if got, ok := positions.Number(text); !ok || got != n {
			t.Errorf("%d is read back as %d, %v", n, got, ok)
		}
		if got := positions.After(text); got != positions.Text(n+1) {
			t.Errorf("after %s comes %s", text, got)
		}
		if got := positions.Before(positions.Text(n + 1)); got != text {
			t.Errorf("before %d comes %s", n+1, got)
		}
	}
	for _, text := range []string{"", "shard-1:17", "9223372036854775808", "12a"} {
		if n, ok := positions.Number(text); ok {
			t.Errorf("%q is read as %d", text, n)
		}
		if got := positions.After(text); text != "9223372036854775808" && text != "shard-1:17" && got != text {
			t.Errorf("after %q comes %q", text, got)
		}
	}
	zero := positions.Text(0)
	if got := positions.Before(zero); got != zero {
		t.Errorf("before 0 comes %s", got)
	}
}

// TestASetIsTheSetOfItsNumbers compares with a map of numbers.
func TestASetIsTheSetOfItsNumbers(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var set positions.Set
		naive, twice := map[int64]int{}, map[int64]bool{}
		for range rng.IntN(12) {
			var spans []positions.Span
			for range rng.IntN(4) {
				from := rng.Int64N(60)
				spans = append(spans, positions.Span{From: from, To: from + rng.Int64N(9)})
			}
			for _, s := range spans {
				for n := s.From; n < s.To; n++ {
					naive[n]++
				}
			}
			for _, s := range set.Add(spans) {
				for n := s.From; n < s.To; n++ {
					twice[n] = true
				}
			}
		}
		for n := range int64(80) {
			missing := len(set.Missing(positions.Span{From: n, To: n + 1})) == 1
			if missing == (naive[n] > 0) || twice[n] != (naive[n] > 1) {
				t.Fatalf("seed %d: %d is missing: %v, twice: %v; it was added %d times", seed, n, missing, twice[n], naive[n])
			}
		}
		for i, s := range set.Spans() {
			if s.From >= s.To || i > 0 && s.From <= set.Spans()[i-1].To {
				t.Fatalf("seed %d: spans %v", seed, set.Spans())
			}
		}
		count := int64(0)
		for _, s := range set.Missing(positions.Span{From: 5, To: 55}) {
			count += s.To - s.From
		}
		for n := int64(5); n < 55; n++ {
			if naive[n] == 0 {
				count--
			}
		}
		if count != 0 {
			t.Fatalf("seed %d: what is missing is %d off", seed, count)
		}
	}
}

func TestWhatWasReadIsPassedBy(t *testing.T) {
	at := func(n int) string { return positions.Text(int64(n)) }
	var r positions.Reached
	r.Add([]recount.Stretch{{Partition: "0", First: at(10), Last: at(19), Pulled: true}}, true)
	r.Add([]recount.Stretch{{Partition: "0", First: at(20), Last: at(24), Pulled: true}, {Partition: "0", First: at(0), Last: at(4)}}, true)
	for n, want := range map[int][2]bool{3: {false, true}, 7: {false, false}, 10: {true, true}, 22: {true, true}, 25: {false, false}} {
		if got := [2]bool{r.Holds("0", at(n), false), r.Holds("0", at(n), true)}; got != want {
			t.Errorf("position %d is held by a run, by a pull: %v, want %v", n, got, want)
		}
	}
	gap := recount.Gap{Partition: "0", From: at(2), To: at(40), Reason: recount.GapRetention}
	if got, want := fmt.Sprint(r.Outside(gap, true)), "[0:[5, 10) 0:[25, 40)]"; got != want {
		t.Errorf("outside: got %s, want %s", got, want)
	}
	if got, want := fmt.Sprint(r.Outside(gap, false)), "[0:[2, 10) 0:[25, 40)]"; got != want {
		t.Errorf("outside: got %s, want %s", got, want)
	}
	if got := r.Stretches(); len(got) != 2 || got[1].Last != at(24) {
		t.Errorf("stretches: %v", got)
	}
}
