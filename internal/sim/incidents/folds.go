package main

import (
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

// isFold says whether the batch's logic is a fold of this program instead of SQL.
// A fold has no event in several buckets, and may not depend on an order that
// the log does not give.
func (b *batch) isFold() bool {
	return b.folds && b.memory != memoryRolling && (!b.lastWins || !b.mixed || b.order)
}

// logic is the calculation's logic as recount.yaml names it. A previous logic that
// gives events another key is no fold of the same keys: it stays SQL.
func (b *batch) logic(p previous, file string) string {
	if !b.isFold() || p == prevRoute {
		return "sql: " + file
	}
	return "go: " + b.foldName(p)
}

func (b *batch) foldName(p previous) string {
	return fmt.Sprintf("sales-%d-%t-%t-%t", p, b.bucketed(), b.lastWins, b.sums())
}

// event is one sale as folds see it.
type event struct {
	Kind   string
	Amount worker.Decimal
	Hit    bool
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
// not, with the last kind, the total, or both.
func registerFolds() {
	for _, p := range []previous{prevNone, prevAbs, prevSkip, prevDouble} {
		register(p, false, true, true, func(_ time.Time, s *state) any2 { return any2{lastPart{s.Last}, totalPart{s.Total}, countPart{s.N}} })
		register(p, false, true, false, func(_ time.Time, s *state) lastRow { return lastRow{lastPart{s.Last}, countPart{s.N}} })
		register(p, false, false, true, func(_ time.Time, s *state) totalRow { return totalRow{totalPart{s.Total}, countPart{s.N}} })
		register(p, true, true, true, func(at time.Time, s *state) hour2 {
			return hour2{hourPart{at}, lastPart{s.Last}, totalPart{s.Total}, countPart{s.N}}
		})
		register(p, true, true, false, func(at time.Time, s *state) hourLast { return hourLast{hourPart{at}, lastPart{s.Last}, countPart{s.N}} })
		register(p, true, false, true, func(at time.Time, s *state) hourTotal {
			return hourTotal{hourPart{at}, totalPart{s.Total}, countPart{s.N}}
		})
	}
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

func register[Row any](p previous, bucketed, lastWins, sums bool, row func(time.Time, *state) Row) {
	worker.Register(fmt.Sprintf("sales-%d-%t-%t-%t", p, bucketed, lastWins, sums), worker.Fold[state, event, Row]{
		Step: func(_ *worker.Context, s *state, e *event) error {
			amount := e.Amount
			switch {
			case p == prevSkip && e.Hit && e.Kind == "b":
				return nil
			case p == prevAbs && e.Hit:
				amount = amount.Abs()
			case p == prevDouble && e.Hit && e.Kind == "a":
				amount = amount.MulInt(2)
			}
			s.Last, s.Total, s.N = e.Kind, s.Total.Add(amount), s.N+1
			return nil
		},
		Rows: func(c *worker.Context, s *state, emit func(Row)) {
			if s.N > 0 {
				emit(row(c.Bucket(), s))
			}
		},
	})
}
