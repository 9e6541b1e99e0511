// Package turns lets several folds share the events of a key: each event is folded
// by the one whose turn it is, and a fold that takes over goes on from the state
// that the one before left. It cuts each batch of a run into stretches of one fold,
// and knows nothing of where folds run, nor of what their states mean.
package turns

import (
	"context"
	"errors"
	"fmt"

	"recount"
	"recount/engine/fold/run"
)

// Steppers returns the steppers of a run whose events several folds share: parts
// are those of spec.Turns, in the same order.
func Steppers(spec run.Spec, parts []run.Steppers) run.Steppers {
	return &steppers{spec: spec, parts: parts, headed: headed(spec.Turns)}
}

// Of returns the steppers of a logic: those of its versions where they take turns.
func Of(logic recount.Logic, spec run.Spec, one func(turn int, l recount.Logic) run.Steppers) run.Steppers {
	if len(spec.Turns) == 0 {
		return one(none, logic)
	}
	parts := make([]run.Steppers, len(logic.Versions))
	for i, v := range logic.Versions {
		parts[i] = one(i, v.Logic)
	}
	return Steppers(spec, parts)
}

// none stands for a turn that nobody has.
const none = -1

// headed says whether states that leave the run say whose they are: a key without
// a further event has the rows of the fold that it ended with, and where turns go
// by time nothing else tells which that was.
func headed(turns []run.Turn) bool {
	for _, t := range turns {
		if !t.Span.From.IsZero() || !t.Span.To.IsZero() {
			return true
		}
	}
	return false
}

type steppers struct {
	spec   run.Spec
	parts  []run.Steppers
	headed bool
}

// New makes the stepper of a thread. Those of the turns are made once they are
// needed: a thread may have no event of some.
func (s *steppers) New(_ context.Context, n int, w run.Wants) (run.Stepper, error) {
	if len(s.parts) != len(s.spec.Turns) || len(s.parts) == 0 {
		return nil, fmt.Errorf("fold %s in turns: there are %d turns of %d folds", s.spec.Where, len(s.spec.Turns), len(s.parts))
	}
	t := &stepper{steppers: s, n: n, wants: w, inner: w, subs: make([]sub, len(s.parts)), open: none}
	t.inner.State = w.State || !s.spec.Alone // an event alone is never handed over
	var err error
	if t.chooser, err = newChooser(s.spec); err != nil {
		return nil, err
	}
	for i, turn := range s.spec.Turns {
		if t.subs[i].columns, err = columnsOf(s.spec.Reads, turn.Reads); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// columnsOf finds the columns of a turn among those of the run.
func columnsOf(all, own []string) ([]int, error) {
	list := make([]int, len(own))
	for i, name := range own {
		at := index(all, name)
		if at < 0 {
			return nil, fmt.Errorf("fold in turns: the run does not read column %q", name)
		}
		list[i] = at
	}
	return list, nil
}

// stepper hands each thread's batches on, stretch by stretch.
type stepper struct {
	*steppers
	chooser

	n     int
	wants run.Wants // of the run
	inner run.Wants // of the turns
	subs  []sub     // by turn
	// The key that goes on in the next batch: the turn that has it, none where no
	// key does, and, under Show, its state after the last event.
	open  int
	state []byte
	// begun and begunBucket are those of the key that went on from the last batch;
	// key and bucket those of the newest one.
	begun, key          []recount.Value
	begunBucket, bucket int64
}

// sub is the stepper of a turn.
type sub struct {
	stepper run.Stepper // nil: not needed yet
	number  int64       // of the next group
	columns []int       // of the run's batches
}

// Close ends all steppers.
func (t *stepper) Close() error {
	var errs []error
	for i := range t.subs {
		if s := t.subs[i].stepper; s != nil {
			t.subs[i].stepper, t.subs[i].number = nil, 0
			errs = append(errs, s.Close())
		}
	}
	return errors.Join(errs...)
}

// Step cuts a batch into stretches, and hands on in rounds: first the first stretch
// of every key, then the second, so that a turn gets the stretches of many keys at
// once. A key that goes on ends with the last round, and is the last of its turn.
func (t *stepper) Step(ctx context.Context, in run.Batch) (run.Answer, error) {
	list, err := t.cut(in)
	if err != nil {
		return run.Answer{}, err
	}
	b := &batch{t: t, in: in, list: list}
	rounds := 0
	for _, s := range list {
		rounds = max(rounds, s.round+1)
	}
	if last := len(list) - 1; last >= 0 && !list[last].end {
		list[last].round = rounds - 1
	}
	for round := range rounds {
		for turn := range t.subs {
			if err := b.hand(ctx, turn, round); err != nil {
				return run.Answer{}, err
			}
		}
	}
	return b.sorted(), nil
}

// stretch are events of a key that one fold takes, one after the other.
type stretch struct {
	group      int // of the batch
	turn       int
	round      int // how many stretches of the key lie before, in the batch
	from, to   int // rows of the batch
	begin, end bool
	last       bool // the key ends with it
	// opening is the state that it begins with; handed says that it is another
	// turn's.
	opening []byte
	handed  bool
}

// cut cuts the groups of a batch.
func (t *stepper) cut(in run.Batch) (list []stretch, err error) {
	turns, err := t.choose(in)
	if err != nil {
		return nil, err
	}
	t.begun, t.begunBucket = t.key, t.bucket
	for i, g := range in.Groups {
		first := len(list)
		if g.Begin {
			t.key, t.bucket = g.Key, g.Bucket
		} else if t.open == none {
			return nil, fmt.Errorf("fold %s in turns: group %d goes on, and none is open", t.spec.Where, g.Number)
		}
		opening, owner := t.opening(g)
		switch {
		case !g.Begin && g.From < g.To && turns[g.From] != t.open:
			list = append(list, stretch{group: i, turn: t.open, from: g.From, to: g.From, end: true})
		case g.From == g.To && g.Begin:
			list = append(list, stretch{group: i, turn: owner, from: g.From, to: g.To, begin: true})
		case g.From == g.To:
			list = append(list, stretch{group: i, turn: t.open, from: g.From, to: g.To})
		}
		for at := g.From; at < g.To; {
			s := stretch{group: i, turn: turns[at], from: at, begin: len(list) > first || g.Begin, end: true}
			for at < g.To && turns[at] == s.turn {
				at++
			}
			s.to = at
			list = append(list, s)
		}
		for n := range list[first:] {
			list[first+n].round = n
		}
		if g.Begin {
			list[first].opening, list[first].handed = opening, opening != nil && list[first].turn != owner
		}
		end := &list[len(list)-1]
		end.end, end.last = g.End, g.End
		if t.open = none; !g.End {
			t.open = end.turn
		}
	}
	return list, nil
}
