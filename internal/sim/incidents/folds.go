package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"recount/engine/duckdb"
	"recount/engine/fold/gofold"
	"recount/internal/sandbox"
	"recount/worker"
)

// child is what the engines start this program for.
func child(args []string, in io.Reader, out, errs io.Writer) (handled bool, exit int) {
	registerFolds()
	if handled, exit := sandbox.Child(args...); handled {
		return true, exit
	}
	if handled, exit := gofold.Child(args, in, out, errs); handled {
		return true, exit
	}
	return duckdb.Child(args, in, out, errs)
}

// logic is a logic as recount.yaml names it. Doubled is that of the second version.
func (b *batch) logic(isFold bool, p previous, doubled bool, file string) string {
	if !isFold {
		return "sql: " + file
	}
	return "go: " + foldName(p, b.bucketed(), b.lastWins, b.sums(), b.rates != ratesNone, doubled)
}

func foldName(p previous, bucketed, lastWins, sums, rated, doubled bool) string {
	return fmt.Sprintf("sales-%d-%t-%t-%t-%t-%t", p, bucketed, lastWins, sums, rated, doubled)
}

// event is one sale as folds see it.
type event struct {
	Kind   string
	Amount worker.Decimal
	Hit    bool
}

// rated is one with reference data.
type rated struct {
	Kind   string
	Amount worker.Decimal
	Hit    bool
	Extra  worker.Decimal `recount:"extra,zero"`
}

type state struct {
	Last  string
	Total worker.Decimal
	N     int64
}

// The parts of rows.
type (
	hourPart  struct{ Hour time.Time }
	lastPart  struct{ Last string }
	totalPart struct {
		Total worker.Decimal `recount:"total,decimal(38,2)"`
	}
	countPart struct{ N int64 }
)

// registerFolds registers the logic of all batches: right and previous, by hour or
// not, with the last kind, the total, or both; with reference data or without.
func registerFolds() {
	for _, p := range []previous{prevNone, prevAbs, prevSkip, prevDouble} {
		registerRows(p, false, false, func(e *event) event { return *e })
		registerRows(p, true, false, (*rated).event)
	}
	registerRows(prevNone, false, true, func(e *event) event { return *e })
	registerRows(prevNone, true, true, (*rated).event)
}

// event is one with the amount that counts.
func (e *rated) event() event { return event{e.Kind, e.Amount.Add(e.Extra), e.Hit} }

func registerRows[Event any](p previous, priced, doubled bool, see func(*Event) event) {
	name := func(bucketed, lastWins, sums bool) string {
		return foldName(p, bucketed, lastWins, sums, priced, doubled)
	}
	step := func(s *state, e *Event) error { return s.add(p, doubled, see(e)) }
	inOrder := func(s *state, e *Event) error {
		n := s.N
		err := step(s, e)
		if s.N > n { // the previous logic may have passed it by
			s.Last = see(e).Kind
		}
		return err
	}
	register(name(false, true, true), inOrder, func(_ time.Time, s *state) any2 { return any2{lastPart{s.Last}, totalPart{s.Total}, countPart{s.N}} })
	register(name(false, true, false), inOrder, func(_ time.Time, s *state) lastRow { return lastRow{lastPart{s.Last}, countPart{s.N}} })
	register(name(false, false, true), step, func(_ time.Time, s *state) totalRow { return totalRow{totalPart{s.Total}, countPart{s.N}} })
	register(name(true, true, true), inOrder, func(at time.Time, s *state) hour2 {
		return hour2{hourPart{at}, lastPart{s.Last}, totalPart{s.Total}, countPart{s.N}}
	})
	register(name(true, true, false), inOrder, func(at time.Time, s *state) hourLast { return hourLast{hourPart{at}, lastPart{s.Last}, countPart{s.N}} })
	register(name(true, false, true), step, func(at time.Time, s *state) hourTotal {
		return hourTotal{hourPart{at}, totalPart{s.Total}, countPart{s.N}}
	})
}

// add takes an event, as a previous logic did or as the right one does.
func (s *state) add(p previous, doubled bool, e event) error {
	if e.Kind == "x" {
		return errors.New("there is no kind x")
	}
	amount := e.Amount
	if doubled && e.Kind == "a" {
		amount = amount.MulInt(2)
	}
	switch {
	case p == prevSkip && e.Hit && e.Kind == "b":
		return nil
	case p == prevAbs && e.Hit:
		amount = amount.Abs()
	case p == prevDouble && e.Hit && e.Kind == "a":
		amount = amount.MulInt(2)
	}
	s.Total, s.N = s.Total.Add(amount), s.N+1
	return nil
}

type (
	any2 struct {
		lastPart
		totalPart
		countPart
	}
	lastRow struct {
		lastPart
		countPart
	}
	totalRow struct {
		totalPart
		countPart
	}
	hour2 struct {
		hourPart
		lastPart
		totalPart
		countPart
	}
	hourLast struct {
		hourPart
		lastPart
		countPart
	}
	hourTotal struct {
		hourPart
		totalPart
		countPart
	}
)

func register[Event, Row any](name string, step func(*state, *Event) error, row func(time.Time, *state) Row) {
	worker.Register(name, worker.Fold[state, Event, Row]{
		Step: func(_ *worker.Context, s *state, e *Event) error { return step(s, e) },
		Rows: func(c *worker.Context, s *state, emit func(Row)) {
			if s.N > 0 {
				emit(row(c.Bucket(), s))
			}
		},
	})
}
