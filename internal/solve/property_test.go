package solve

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestSmallInputsAgainstTheOracle: whatever happened, an answer is the one span
// of each partition that leaves the fewest keys, and most that can be told are.
func TestSmallInputsAgainstTheOracle(t *testing.T) {
	kinds := [][]func(*rand.Rand) int64{{cents}, {one}, {cents, one}, {seldom}, {refunds}, {huge}, {refunds, seldom, one}}
	var planted, answered int
	for seed := range uint64(400) {
		rng := rand.New(rand.NewPCG(seed, 1))
		partitions := 1 + rng.IntN(3)
		keys := partitions * (2 + rng.IntN(40))
		events := 20 + rng.IntN(40)
		w := newWorld(seed, partitions, events, keys, kinds[rng.IntN(len(kinds))]...)
		spans := rng.IntN(4) // none, one, or several anywhere
		for range spans {
			from := rng.IntN(events - 2)
			w.process(rng.IntN(partitions), from, from+1+rng.IntN(events-from), []int{0, 0, 2, 3, 4}[rng.IntN(5)])
		}
		for range rng.IntN(4) {
			w.edit(int32(rng.IntN(keys)), rng.Int64N(9)-4)
		}
		answer := w.solve(t)
		if text := judge(w.in, answer); text != "" {
			t.Fatalf("seed %d: %s", seed, text)
		}
		if spans == 1 && keys > 20*partitions {
			planted++
			if answer.Refused == nil {
				answered++
			}
		}
	}
	t.Logf("%d of %d incidents of one span answered", answered, planted)
	if planted < 25 || answered*3 < planted {
		t.Errorf("%d of %d incidents of one span answered, want a third: the others are too small to tell", answered, planted)
	}
}

// TestPlantedSpansAreFoundOrRefused: in logs long enough, the truth is known to
// be the only answer.
func TestPlantedSpansAreFoundOrRefused(t *testing.T) {
	kinds := [][]func(*rand.Rand) int64{{cents}, {one}, {cents, one}, {seldom}, {refunds, one}}
	var planted, exact int
	for seed := range uint64(250) {
		rng := rand.New(rand.NewPCG(seed, 2))
		events, keys := 3000+rng.IntN(20_000), 100+rng.IntN(3000)
		partitions := 1 + rng.IntN(4)
		w := newWorld(seed, partitions, events, keys*partitions, kinds[rng.IntN(len(kinds))]...)
		want := map[int]Span{}
		for _, id := range rng.Perm(partitions)[:1+rng.IntN(partitions)] {
			from := rng.IntN(events - 1000)
			s := spanOf(id, from, from+60+rng.IntN(900), []int64{-1, -1, 1, 2, 4}[rng.IntN(5)])
			w.process(id, s.From, s.To, s.Times)
			want[id] = s
		}
		edited := map[int32]bool{}
		for range rng.IntN(30) {
			key := int32(rng.IntN(keys * partitions))
			edited[key] = true
			w.edit(key, 100_000+rng.Int64N(1_000_000))
		}
		planted++
		answer := w.solve(t)
		if answer.Refused != nil {
			continue
		}
		exact++
		if len(answer.Spans) != len(want) {
			t.Fatalf("seed %d: got %d spans, want %d", seed, len(answer.Spans), len(want))
		}
		for _, s := range answer.Spans {
			truth := want[s.Partition]
			if s.Kind != truth.Kind || s.Times != truth.Times || s.From < truth.From || s.To > truth.To {
				t.Fatalf("seed %d: got %+v, want %+v", seed, s, truth)
			}
			// What the answer leaves out of the truth adds nothing.
			sums := map[int32]int64{}
			for i, key := range w.in.Partitions[s.Partition].Keys {
				if i >= truth.From && i < truth.To && (i < s.From || i >= s.To) && !edited[key] {
					sums[key] += w.in.Partitions[s.Partition].Amounts[0][i]
				}
			}
			for key, sum := range sums {
				if sum != 0 {
					t.Fatalf("seed %d: got %+v, want %+v: key %d is left out", seed, s, truth, key)
				}
			}
		}
		if want := len(edited); len(answer.Foreign) != want {
			t.Fatalf("seed %d: got %d foreign keys, want %d", seed, len(answer.Foreign), want)
		}
	}
	t.Logf("%d of %d found", exact, planted)
	if exact*10 < planted*9 {
		t.Errorf("%d of %d found, want nine of ten", exact, planted)
	}
}

func TestKeysOfSeveralPartitions(t *testing.T) {
	// While a topic gets more partitions, keys move: a fifth of them occur in two.
	var exact int
	const worlds = 60
	for seed := range uint64(worlds) {
		w := newWorld(seed, 4, 5000, 4000, cents, one)
		for id := range w.in.Partitions {
			part := &w.in.Partitions[id]
			for i, key := range part.Keys {
				if key%5 == 0 {
					part.Keys[i] = (key/4*4 + int32((id+w.rng.IntN(2))%4))
				}
			}
		}
		want := []Span{spanOf(1, 1000, 1300, -1), spanOf(2, 2000, 2100, -1), spanOf(3, 500, 900, 1)}
		for _, s := range want {
			w.process(s.Partition, s.From, s.To, s.Times)
		}
		for range 10 {
			w.edit(int32(w.rng.IntN(4000)), 100_000+w.rng.Int64N(1_000_000))
		}
		answer := w.solve(t)
		if answer.Refused != nil {
			continue
		}
		exact++
		if got := unexplained(w.in, answer.Spans); len(got) > 10 || len(got) < 8 {
			t.Errorf("seed %d: %d keys remain, want those edited: %+v", seed, len(got), answer.Spans)
		}
		for i, s := range answer.Spans {
			if s.From-want[i].From > 3 || s.From < want[i].From || want[i].To-s.To > 3 || s.To > want[i].To {
				t.Errorf("seed %d: got %+v, want %+v", seed, s, want[i])
			}
		}
	}
	if exact < worlds*3/4 {
		t.Errorf("%d of %d answered, want three quarters", exact, worlds)
	}
}

func TestWhereAllKeysAreInAllPartitions(t *testing.T) {
	mixed := func(seed uint64) *world { // keys have nothing to do with partitions
		w := newWorld(seed, 3, 5000, 900, cents)
		for id := range w.in.Partitions {
			for i := range w.in.Partitions[id].Keys {
				w.in.Partitions[id].Keys[i] = int32(w.rng.IntN(900))
			}
		}
		return w
	}
	w := mixed(1)
	w.process(1, 1000, 1200, 0)
	w.edit(13, 1_000_003)
	answer := w.wantSpans(t, Span{Partition: 1, From: 1000, To: 1200, Kind: Missed})
	if !slices.Equal(answer.Foreign, []int32{13}) {
		t.Errorf("foreign keys: got %v, want [13]", answer.Foreign)
	}

	w = mixed(2) // two at once cannot be told apart
	w.process(1, 1000, 1200, 0)
	w.process(2, 3000, 3200, 0)
	w.wantRefusal(t, ReasonNone, ReasonForeign)

	w = mixed(3) // and so not an event of each
	w.in.Partitions[2] = w.in.Partitions[1]
	w.process(1, 1000, 1200, 0)
	w.wantRefusal(t, ReasonAmbiguous)
}

func TestEndsThatMoveTogetherAreRefused(t *testing.T) {
	w := newWorld(1, 2, 5000, 1000, cents)
	// Key 8 is in both partitions: last of one span, and just behind the other.
	a, b := w.in.Partitions[0], w.in.Partitions[1]
	a.Keys[1299], a.Amounts[0][1299] = 8, 700
	b.Keys[2400], b.Amounts[0][2400] = 8, 700
	w.process(0, 1000, 1300, 0)
	w.process(1, 2000, 2400, 0)
	w.wantRefusal(t, ReasonAmbiguous)
	b.Amounts[0][2400] = 701
	w.wantSpans(t, Span{Partition: 0, From: 1000, To: 1300, Kind: Missed}, Span{Partition: 1, From: 2000, To: 2400, Kind: Missed})
}

// FuzzSolve makes small logs of bytes; what is answered must be what the oracle
// finds.
func FuzzSolve(f *testing.F) {
	f.Add([]byte("the quick brown fox jumps over the lazy dog, and then once more"), []byte{3, 20, 0}, int64(1))
	f.Add([]byte{}, []byte{}, int64(0))
	f.Add([]byte{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, []byte{2, 9, 3, 1, 5, 2}, int64(-1<<63))
	f.Fuzz(func(t *testing.T, log, faults []byte, unit int64) {
		const most, keys = 32, 64
		log = log[:min(len(log), most)]
		w := &world{in: Input{Keys: keys, Differences: [][]int64{make([]int64, keys)}, Partitions: []Partition{{Amounts: [][]int64{nil}}}}}
		part := &w.in.Partitions[0]
		for i, b := range log {
			part.Keys = append(part.Keys, int32(b%keys))
			part.Amounts[0] = append(part.Amounts[0], int64(b/keys)*unit+int64(i%3))
		}
		for ; len(faults) >= 3; faults = faults[3:] {
			if from, to := int(faults[0]), int(faults[1]); from < to && to <= len(log) {
				w.process(0, from, to, int(faults[2]%6))
			} else {
				w.edit(int32(faults[0]%keys), int64(faults[2])*unit)
			}
		}
		if text := judge(w.in, w.solve(t)); text != "" {
			t.Error(text)
		}
	})
}
