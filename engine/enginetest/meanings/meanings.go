// Package meanings spells the logics of the engines' suite as folds in Go, for
// tests of what runs such.
package meanings

import (
	"errors"
	"time"

	"recount/engine/enginetest"
	"recount/worker"
)

type (
	// valued is what the sums of the suite read.
	valued struct{ Value worker.Null[worker.Decimal] }

	added struct {
		Total worker.Null[worker.Decimal]
		N     int
	}

	addedRow struct {
		Total worker.Null[worker.Decimal] `recount:"total,decimal(18,2)"`
		N     int
	}

	named struct {
		ID  string
		Hit bool
	}

	names struct {
		IDs, Hits *string
		N         int
	}

	namesRow struct {
		IDs  *string `recount:"ids"`
		Hits *string
	}

	followedRow struct {
		IDs  *string `recount:"ids"`
		Hits int
	}

	daysRow struct {
		Day time.Time `recount:"day,date"`
		N   int
	}
)

func add(s *added, e *valued) {
	s.N++
	if e.Value.Valid {
		s.Total = worker.Some(s.Total.Or(worker.NewDecimal(0, 2)).Add(e.Value.V))
	}
}

func addedRows(_ *worker.Context, s *added, emit func(addedRow)) { emit(addedRow(*s)) }

func follow(to **string, id string) {
	if id == "" {
		return
	}
	if *to != nil {
		id = **to + " " + id
	}
	*to = &id
}

func seen(_ *worker.Context, s *names, e *named) error {
	follow(&s.IDs, e.ID)
	if e.Hit {
		follow(&s.Hits, e.ID)
		s.N++
	}
	return nil
}

// Register registers the folds of the suite, each under its meaning.
func Register() {
	thirteen := worker.NewDecimal(13, 0)
	is13 := func(e *valued) bool { return e.Value.Valid && e.Value.V.Equal(thirteen) }
	sums := func(m enginetest.Meaning, step func(c *worker.Context, e *valued) error) {
		worker.Register(string(m), worker.Fold[added, valued, addedRow]{
			Step: func(c *worker.Context, s *added, e *valued) error { add(s, e); return step(c, e) }, Rows: addedRows,
		})
	}
	sums(enginetest.Totals, func(*worker.Context, *valued) error { return nil })
	sums(enginetest.Poison, func(_ *worker.Context, e *valued) error {
		if is13(e) {
			return errors.New("the worker does not like 13")
		}
		return nil
	})
	sums(enginetest.Endless, func(_ *worker.Context, e *valued) error {
		if is13(e) {
			<-make(chan struct{})
		}
		return nil
	})
	sums(enginetest.Mails, func(c *worker.Context, e *valued) error {
		if e.Value.Valid && worker.NewDecimal(5, 0).Less(e.Value.V) {
			c.Effect("mail", c.Key()[0].Text, map[string]any{"value": e.Value.V})
		}
		return nil
	})
	worker.Register(string(enginetest.IDs), worker.Fold[names, named, namesRow]{Step: seen, Rows: func(_ *worker.Context, s *names, emit func(namesRow)) {
		emit(namesRow{s.IDs, s.Hits})
	}})
	worker.Register(string(enginetest.Followed), worker.Fold[names, named, followedRow]{Step: seen, Rows: func(_ *worker.Context, s *names, emit func(followedRow)) {
		emit(followedRow{s.IDs, s.N})
	}})
	worker.Register(string(enginetest.Days), worker.Fold[int, struct{}, daysRow]{
		Step: func(_ *worker.Context, n *int, _ *struct{}) error { *n++; return nil },
		Rows: func(c *worker.Context, n *int, emit func(daysRow)) { emit(daysRow{c.Bucket(), *n}) },
	})
}
