// Package solve finds which contiguous spans of a log were lost or processed
// repeatedly, from nothing but the log and the differences that live rows show.
// It is pure: arrays in, an answer out; it reads no archive, target or clock.
//
// # What must hold
//
// Results are additive: an event adds a fixed amount to each value column of one
// result key. The log of a partition ends at the cut, up to which the live rows
// have absorbed events. Then a lost span makes each key's difference (live minus
// right) the negated sum of its amounts in the span, and a span processed n times
// makes it n-1 times the sum. Up to MaxForeign keys may differ by anything: some
// other hand edited them.
//
// # How it works
//
// Each key and column has a random weight, so that many equations become one:
// the prefix sum of weighted amounts at a span's end minus that at its beginning
// equals the weighted difference. Pairs of positions with that property come from
// a hash join. A foreign edit spoils such an equation, so keys are split into
// groups, each with an equation of its own, and few edits spoil few groups. Each
// pair that a group allows is a rectangle: the group says nothing about where
// between two of its own events a span begins or ends. The point that most
// rectangles hold is where all keys are then compared one by one, in 128 bits.
//
// # What an answer promises
//
// Weights only propose. A span that is answered was verified exactly, over every
// key, and leaves no more than MaxForeign keys unexplained, each of which is
// named. Of all spans looked at it leaves the fewest. It is refused where
// another span, or another number of times, leaves as few (ReasonAmbiguous),
// where chance could have made it (ReasonWeak), where the keys left are not few
// beside those explained or all of the partition's (ReasonForeign), and where what
// is left looks like events, not like edits (ReasonScattered, ReasonSeveral): a
// second span; events inside of the span that were processed after all, of which
// a row that somebody has put right already looks like one; single events
// elsewhere. A span of very few events, such as one, is not told from an edit: its
// keys stay among the foreign.
//
// Ends that the differences cannot decide are a matter of definition: events
// that add nothing, or that touch only keys which are foreign either way. Spans
// that differ by those alone are one answer; the smallest is given, so its first
// and last event are always decided. A foreign edit that equals to the last digit
// what the event next to a span would have done cannot be told from it by
// anybody.
//
// Keys that occur in several partitions take no part in finding, only in
// deciding the ends and in verifying. Where all keys do, a fault is found if it
// lies in one partition alone; else it is refused.
//
// # Cost
//
// Time is linear in the number of events, and one partition is looked at after
// another. The input stays where it is: 4 bytes an event and 8 for each value
// column. Beside it, memory is about 60 bytes a key and column, 12 for each event
// of the groups that are looked at in the largest partition (a quarter of its
// events; all, where keys are fewer than groups), up to 20 for each event of the
// largest group, and at most 40 MiB for rectangles.
package solve

import (
	"context"
	"fmt"
	"math"
)

// Partition is one partition's log up to the cut, in order of position. Events
// are named by their ordinal, from 0; the caller knows which position that is.
type Partition struct {
	// Keys has the result key of each event, from 0 to Input.Keys-1.
	Keys []int32
	// Amounts has, for each value column, what each event adds to it, as an
	// integer scaled like the column's differences.
	Amounts [][]int64
}

// Input is what Solve looks at. It is only read.
type Input struct {
	Partitions []Partition
	// Keys is the number of result keys.
	Keys int
	// Differences has, for each value column, live minus right of each key: 0
	// where the row is right. At least one column.
	Differences [][]int64
	// MaxForeign bounds the keys that may remain unexplained; 0 stands for
	// DefaultForeign, a negative number for none.
	MaxForeign int
	// MaxTimes bounds how often a span may have been processed; 0 stands for
	// DefaultTimes.
	MaxTimes int
}

// What Input means where it says nothing.
const (
	DefaultForeign = 50
	DefaultTimes   = 5
)

// Kind says what happened to a span.
type Kind string

// The kinds, spelled as the hypotheses that they become.
const (
	Missed Kind = "missed" // never processed
	Again  Kind = "again"  // processed Times times
)

// Span is one contiguous part of a partition's log that explains differences.
type Span struct {
	Partition int // index into Input.Partitions
	From, To  int // ordinals of events, end excluded; both ends are decided
	Kind      Kind
	Times     int // how often its events were processed: 0 when missed, else at least 2
	Events    int // events that add something, of those in the span
	Keys      int // keys whose difference is explained by it, alone or with other spans
}

// factor is by how much of its sum the span moves its keys.
func (s Span) factor() int64 { return int64(s.Times) - 1 }

func spanOf(partition, from, to int, factor int64) Span {
	s := Span{Partition: partition, From: from, To: to, Kind: Missed}
	if factor > 0 {
		s.Kind, s.Times = Again, int(factor)+1
	}
	return s
}

// Answer is what Solve found: spans in order of partition, or a refusal.
type Answer struct {
	Spans []Span // at most one a partition; empty where refused
	// Foreign lists the keys that no span explains, in ascending order; where
	// refused, all keys that differ.
	Foreign []int32
	Refused *Refusal // nil where the spans are an answer
}

// Reason is why there is no answer.
type Reason string

// The reasons.
const (
	ReasonNothing   Reason = "nothing differs"
	ReasonNone      Reason = "no span agrees"
	ReasonForeign   Reason = "too many keys unexplained"
	ReasonAmbiguous Reason = "more than one answer agrees"
	ReasonWeak      Reason = "chance could have made it"
	ReasonSeveral   Reason = "more than one span in a partition"
	ReasonScattered Reason = "not one contiguous span"
	ReasonTooLarge  Reason = "sums exceed 64 bits"
)

// Refusal says why there is no answer, and of which partition that was found.
type Refusal struct {
	Reason    Reason
	Partition int // -1 where it is about all
	Why       string
}

// Solve returns the one answer that explains the differences, or a refusal. The
// same input gives the same answer: weights are seeded from it. It returns an
// error only for an input that is not well formed, or ctx's. Differences and
// amounts may be any int64; sums of them are held in 128 bits. Only where keys
// occur in several partitions must what one span leaves to the others fit in 64
// bits again, else ReasonTooLarge. Safe to call at once on one input.
func Solve(ctx context.Context, in Input) (Answer, error) {
	if err := in.check(); err != nil {
		return Answer{}, err
	}
	p := newProblem(&in)
	spans, refusal, err := p.solve(ctx)
	if err != nil {
		return Answer{}, fmt.Errorf("solve: %w", err)
	}
	if refusal != nil {
		return Answer{Foreign: p.differing(), Refused: refusal}, nil
	}
	return Answer{Spans: spans, Foreign: p.left.keys}, nil
}

func (in *Input) check() error {
	const mostColumns = 64
	if n := len(in.Differences); n == 0 || n > mostColumns {
		return fmt.Errorf("solve: %d value columns; from 1 to %d", n, mostColumns)
	}
	for c, column := range in.Differences {
		if len(column) != in.Keys {
			return fmt.Errorf("solve: column %d has %d differences of %d keys", c, len(column), in.Keys)
		}
	}
	if in.Keys > math.MaxInt32 {
		return fmt.Errorf("solve: %d keys are too many", in.Keys)
	}
	for n, part := range in.Partitions {
		if len(part.Keys) >= math.MaxInt32 {
			return fmt.Errorf("solve: partition %d has too many events: %d", n, len(part.Keys))
		}
		if len(part.Amounts) != len(in.Differences) {
			return fmt.Errorf("solve: partition %d has %d columns of amounts, not %d", n, len(part.Amounts), len(in.Differences))
		}
		for c, column := range part.Amounts {
			if len(column) != len(part.Keys) {
				return fmt.Errorf("solve: partition %d, column %d: %d amounts of %d events", n, c, len(column), len(part.Keys))
			}
		}
		for i, key := range part.Keys {
			if key < 0 || int(key) >= in.Keys {
				return fmt.Errorf("solve: partition %d, event %d: key %d is none of %d", n, i, key, in.Keys)
			}
		}
	}
	return nil
}

func (in *Input) maxForeign() int {
	switch {
	case in.MaxForeign < 0:
		return 0
	case in.MaxForeign == 0:
		return DefaultForeign
	}
	return in.MaxForeign
}

// factors lists by how much of its sum a span may move its keys.
func (in *Input) factors() []int64 {
	times := in.MaxTimes
	if times == 0 {
		times = DefaultTimes
	}
	list := []int64{-1}
	for n := 2; n <= times; n++ {
		list = append(list, int64(n)-1)
	}
	return list
}
