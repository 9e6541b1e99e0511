package solve

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// world is a log under construction and what was done to the live rows.
type world struct {
	in  Input
	rng *rand.Rand
}

// newWorld makes partitions of events each, with keys that live in one of them.
func newWorld(seed uint64, partitions, events, keys int, amounts ...func(*rand.Rand) int64) *world {
	w := &world{Input{Keys: keys, Partitions: make([]Partition, partitions)}, rand.New(rand.NewPCG(seed, 7))}
	for range amounts {
		w.in.Differences = append(w.in.Differences, make([]int64, keys))
	}
	for id := range w.in.Partitions {
		part := &w.in.Partitions[id]
		part.Amounts = make([][]int64, len(amounts))
		for range events {
			part.Keys = append(part.Keys, int32(w.rng.IntN(keys/partitions)*partitions+id))
			for c, amount := range amounts {
				part.Amounts[c] = append(part.Amounts[c], amount(w.rng))
			}
		}
	}
	return w
}

func one(*rand.Rand) int64       { return 1 }
func cents(r *rand.Rand) int64   { return r.Int64N(20000) - 2000 }
func seldom(r *rand.Rand) int64  { return max(0, r.Int64N(400)-300) }
func huge(r *rand.Rand) int64    { return int64(r.Uint64()) }
func refunds(r *rand.Rand) int64 { return 500 * (1 - 2*r.Int64N(2)) }

// process has a span processed so many times.
func (w *world) process(id, from, to, times int) {
	part := w.in.Partitions[id]
	for c, column := range part.Amounts {
		for i := from; i < to; i++ {
			w.in.Differences[c][part.Keys[i]] += column[i] * int64(times-1)
		}
	}
}

// edit changes a key by another hand.
func (w *world) edit(key int32, by int64) { w.in.Differences[0][key] += by }

func (w *world) solve(t *testing.T) Answer {
	t.Helper()
	answer, err := Solve(t.Context(), w.in)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func (w *world) wantSpans(t *testing.T, want ...Span) Answer {
	t.Helper()
	answer := w.solve(t)
	if answer.Refused != nil {
		t.Fatalf("refused: %+v, want %+v", *answer.Refused, want)
	}
	got := slices.Clone(answer.Spans)
	for i := range got {
		if i < len(want) && want[i].Events == 0 {
			got[i].Events, got[i].Keys = 0, 0
		}
	}
	if !slices.Equal(got, want) {
		t.Fatalf("spans: got %+v, want %+v", got, want)
	}
	return answer
}

func (w *world) wantRefusal(t *testing.T, reasons ...Reason) Refusal {
	t.Helper()
	answer := w.solve(t)
	if answer.Refused == nil {
		t.Fatalf("answered %+v, foreign %v; want a refusal: %v", answer.Spans, answer.Foreign, reasons)
	}
	if !slices.Contains(reasons, answer.Refused.Reason) {
		t.Fatalf("refused: %+v; want one of %q", *answer.Refused, reasons)
	}
	if len(answer.Spans) > 0 {
		t.Errorf("a refusal has spans: %+v", answer.Spans)
	}
	return *answer.Refused
}

func TestALostSpanIsFound(t *testing.T) {
	w := newWorld(1, 1, 20_000, 1000, cents, one)
	w.process(0, 7000, 7400, 0)
	answer := w.wantSpans(t, Span{Partition: 0, From: 7000, To: 7400, Kind: Missed, Events: 400, Keys: len(distinct(w.in.Partitions[0].Keys[7000:7400]))})
	if len(answer.Foreign) > 0 {
		t.Errorf("foreign keys: got %v, want none", answer.Foreign)
	}
}

func distinct(keys []int32) []int32 { return slices.Compact(slices.Sorted(slices.Values(keys))) }

func TestSpansOfManyPartitionsAmongForeignEdits(t *testing.T) {
	w := newWorld(2, 16, 5000, 8000, cents, one)
	var want []Span
	for id := 0; id < 16; id += 3 {
		s := Span{Partition: id, From: 100 * (id + 1), To: 100*(id+1) + 150 + id, Kind: Missed}
		if id%2 == 1 {
			s.Kind, s.Times = Again, 2+id%3
		}
		w.process(id, s.From, s.To, s.Times)
		want = append(want, s)
	}
	edited := []int32{}
	for k := int32(3); len(edited) < 50; k += 151 {
		// Not beside a span, where the edit would decide its end.
		w.edit(k, 1_000_003+int64(k))
		edited = append(edited, k)
	}
	answer := w.solve(t)
	if answer.Refused != nil {
		t.Fatalf("refused: %+v", *answer.Refused)
	}
	for i, s := range answer.Spans {
		trimmed := want[i]
		part := w.in.Partitions[s.Partition]
		undecided := func(i int) bool { return slices.Contains(edited, part.Keys[i]) }
		for ; undecided(trimmed.From); trimmed.From++ {
		}
		for ; undecided(trimmed.To - 1); trimmed.To-- {
		}
		s.Events, s.Keys = 0, 0
		if s != trimmed {
			t.Errorf("span %d: got %+v, want %+v", i, s, trimmed)
		}
	}
	if len(answer.Spans) != len(want) || !slices.Equal(answer.Foreign, edited) {
		t.Errorf("got %d spans and foreign keys %v, want %d and %v", len(answer.Spans), answer.Foreign, len(want), edited)
	}
}

func TestUndecidedEndsGiveTheSmallestSpan(t *testing.T) {
	w := newWorld(3, 1, 5000, 500, cents)
	part := w.in.Partitions[0]
	for _, i := range []int{1000, 1001, 1299} {
		part.Amounts[0][i] = 0
	}
	const edited = 77
	part.Keys[1298], part.Keys[1002] = edited, edited
	part.Amounts[0][1298], part.Amounts[0][1002] = 300, 500
	w.process(0, 1000, 1300, 0)
	w.edit(edited, 123_456_789)
	answer := w.wantSpans(t, Span{Partition: 0, From: 1003, To: 1298, Kind: Missed})
	if !slices.Equal(answer.Foreign, []int32{edited}) {
		t.Errorf("foreign keys: got %v, want [%d]", answer.Foreign, edited)
	}
}

func TestEndsThatCancelOutAreNotPartOfTheSpan(t *testing.T) {
	w := newWorld(4, 1, 5000, 500, cents)
	part := w.in.Partitions[0]
	part.Keys[2000], part.Amounts[0][2000] = 9, 700
	part.Keys[2001], part.Amounts[0][2001] = 9, -700
	w.process(0, 2000, 2200, 2)
	w.wantSpans(t, Span{Partition: 0, From: 2002, To: 2200, Kind: Again, Times: 2})
}

func TestEqualNeighboursAreRefused(t *testing.T) {
	w := newWorld(5, 1, 5000, 500, cents)
	part := w.in.Partitions[0]
	// The event before the span and the last one of it are the same.
	part.Keys[1999], part.Amounts[0][1999] = 9, 700
	part.Keys[2199], part.Amounts[0][2199] = 9, 700
	w.process(0, 2000, 2200, 0)
	w.wantRefusal(t, ReasonAmbiguous)
}

func TestALogThatRepeatsItselfIsRefused(t *testing.T) {
	for _, period := range []int{50, 400, 2500} {
		w := newWorld(6, 1, 10_000, 300, cents)
		part := w.in.Partitions[0]
		for i := period; i < len(part.Keys); i++ {
			part.Keys[i], part.Amounts[0][i] = part.Keys[i-period], part.Amounts[0][i-period]
		}
		w.process(0, 3000, 3000+period-7, 0)
		w.wantRefusal(t, ReasonAmbiguous)
	}
}

func TestWhatIsNoContiguousSpanIsRefused(t *testing.T) {
	for _, amounts := range [][]func(*rand.Rand) int64{{cents}, {cents, one}, {one}} {
		for seed := range uint64(20) {
			fresh := func() *world { return newWorld(seed, 1, 20_000, 2000, amounts...) }
			w := fresh()
			w.process(0, 5000, 5300, 0)
			w.process(0, 9000, 9300, 0)
			w.wantRefusal(t, ReasonSeveral, ReasonForeign, ReasonNone, ReasonAmbiguous, ReasonWeak)

			w = fresh()
			w.process(0, 5000, 5300, 0)
			w.process(0, 9000, 9030, 2)
			w.wantRefusal(t, ReasonSeveral, ReasonScattered)

			w = fresh()
			for i := 5000; i < 5400; i += 1 + w.rng.IntN(3) {
				w.process(0, i, i+1, 0)
			}
			w.wantRefusal(t, ReasonForeign, ReasonNone, ReasonAmbiguous, ReasonWeak, ReasonScattered)

			w = fresh() // one event in twenty was processed after all
			w.process(0, 5000, 5300, 0)
			for i := 5010; i < 5290; i += 20 {
				w.process(0, i, i+1, 2)
			}
			w.wantRefusal(t, ReasonForeign, ReasonScattered, ReasonSeveral)

			w = fresh() // edits alone
			for range 40 {
				w.edit(int32(w.rng.IntN(2000)), 1+w.rng.Int64N(9))
			}
			w.wantRefusal(t, ReasonNone)
		}
	}
}

func TestASecondSpanWhoseKeysComeTwiceIsSeen(t *testing.T) {
	w := newWorld(16, 1, 20_000, 2000, cents)
	part := w.in.Partitions[0]
	for i := 9015; i < 9030; i++ { // so that no single event looks like a difference
		part.Keys[i] = part.Keys[i-15]
	}
	w.process(0, 5000, 5300, 0)
	w.process(0, 9000, 9030, 3)
	w.wantRefusal(t, ReasonSeveral)
}

func TestNothingDiffers(t *testing.T) {
	newWorld(7, 2, 100, 10, cents).wantRefusal(t, ReasonNothing)
	(&world{in: Input{Differences: [][]int64{{}}}}).wantRefusal(t, ReasonNothing)
}

func TestTooManyForeignKeysAreRefused(t *testing.T) {
	w := newWorld(8, 1, 20_000, 2000, cents)
	w.process(0, 7000, 8000, 0)
	for k := range int32(51) {
		w.edit(k*30, 1_000_000+int64(k)*17)
	}
	if r := w.wantRefusal(t, ReasonForeign); r.Partition != 0 || !strings.Contains(r.Why, "51 keys") {
		t.Errorf("refusal: %+v, want partition 0 and 51 keys", r)
	}
	w.in.MaxForeign = 51
	if answer := w.solve(t); answer.Refused != nil || len(answer.Foreign) != 51 {
		t.Errorf("with 51 allowed: refused %v, %d foreign", answer.Refused, len(answer.Foreign))
	}
	w.in.MaxForeign = -1
	w.wantRefusal(t, ReasonForeign)
}

func TestFewKeysAreNoEvidence(t *testing.T) {
	w := newWorld(9, 1, 5000, 3, one)
	w.process(0, 1000, 1100, 0)
	w.wantRefusal(t, ReasonNone, ReasonWeak, ReasonAmbiguous)
}

func TestSumsBeyond64Bits(t *testing.T) {
	// Sums wrap in the differences as they do in nobody's table: what agrees only
	// modulo 2^64 does not agree.
	w := newWorld(10, 1, 2000, 20, huge)
	w.process(0, 500, 1500, 0)
	w.in.MaxForeign = -1
	w.wantRefusal(t, ReasonForeign)

	// Large amounts that come and go are summed exactly.
	w = newWorld(11, 1, 20_000, 500, huge)
	part := w.in.Partitions[0]
	for i := 1; i < len(part.Keys); i += 2 {
		part.Keys[i], part.Amounts[0][i] = part.Keys[i-1], -(part.Amounts[0][i-1] + 5)
	}
	part.Amounts[0][4000] = math.MinInt64
	part.Amounts[0][4001] = math.MaxInt64
	w.process(0, 4000, 4800, 3)
	w.wantSpans(t, Span{Partition: 0, From: 4000, To: 4800, Kind: Again, Times: 3})

	// The least int64 as a difference and as an amount has no negative.
	w = newWorld(12, 1, 5000, 500, cents)
	w.in.Partitions[0].Amounts[0][1234] = math.MinInt64
	w.process(0, 1000, 1300, 2)
	w.wantSpans(t, Span{Partition: 0, From: 1000, To: 1300, Kind: Again, Times: 2})
	w = newWorld(13, 1, 5000, 500, cents)
	untouched := 0
	for slices.Contains(w.in.Partitions[0].Keys[1000:1300], int32(untouched)) {
		untouched++
	}
	w.in.Differences[0][untouched] = math.MinInt64
	w.process(0, 1000, 1300, 0)
	w.wantSpans(t, Span{Partition: 0, From: 1000, To: 1300, Kind: Missed})
}

func TestSolveKeepsItsInputAndGivesTheSameAnswer(t *testing.T) {
	w := newWorld(14, 4, 5000, 2000, cents, one)
	w.process(2, 100, 400, 0)
	w.edit(17, 5)
	before := deepCopy(w.in)
	first := w.solve(t)
	if !reflect.DeepEqual(before, w.in) {
		t.Error("Solve changed its input")
	}
	if second := w.solve(t); !reflect.DeepEqual(first, second) {
		t.Errorf("second answer: got %+v, want %+v", second, first)
	}
}

func deepCopy(in Input) Input {
	columns := func(list [][]int64) [][]int64 {
		out := slices.Clone(list)
		for i := range out {
			out[i] = slices.Clone(out[i])
		}
		return out
	}
	in.Differences = columns(in.Differences)
	in.Partitions = slices.Clone(in.Partitions)
	for i, part := range in.Partitions {
		in.Partitions[i] = Partition{slices.Clone(part.Keys), columns(part.Amounts)}
	}
	return in
}

func TestMalformedInputIsAnError(t *testing.T) {
	good := func() Input {
		return Input{
			Keys: 2, Differences: [][]int64{{0, 1}},
			Partitions: []Partition{{Keys: []int32{0, 1}, Amounts: [][]int64{{1, 2}}}},
		}
	}
	for name, spoil := range map[string]func(*Input){
		"no value column":   func(in *Input) { in.Differences = nil },
		"differences of":    func(in *Input) { in.Keys = 3 },
		"is none of":        func(in *Input) { in.Partitions[0].Keys[1] = 2 },
		"key -1":            func(in *Input) { in.Partitions[0].Keys[1] = -1 },
		"amounts of":        func(in *Input) { in.Partitions[0].Amounts[0] = []int64{1} },
		"columns of":        func(in *Input) { in.Partitions[0].Amounts = nil },
		"65 value columns;": func(in *Input) { in.Differences = make([][]int64, 65) },
	} {
		in := good()
		spoil(&in)
		if _, err := Solve(t.Context(), in); err == nil || !strings.Contains(err.Error(), strings.Replace(name, "no value", "0 value", 1)) {
			t.Errorf("%s: got error %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := newWorld(15, 1, 2000, 100, cents)
	w.process(0, 100, 300, 0)
	if _, err := Solve(ctx, w.in); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v, want %v", err, context.Canceled)
	}
}
