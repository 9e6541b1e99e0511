// Package replay runs one version of a calculation over one window, away from
// the live system: it never opens a target. Same inputs, same rows; what is not
// so is found by running twice.
package replay

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"recount"
	"recount/engine"
)

// Proved are the rows of a calculation that was run twice, with other threads,
// splits and order of files, a fold with all that engine.Shake names. They are the rows of the first run; where the
// second disagrees, Next goes on to the end and Err names what disagrees: rows
// may be used only when Err is nil at the end.
type Proved struct {
	logic  recount.Logic
	first  engine.Rows
	second engine.Rows    // nil: the second run had the same digest
	differ map[string]int // column: rows
	sample string
}

// Prove runs the variant twice; its rows are a *Proved.
func Prove(ctx context.Context, session engine.Session, v engine.Variant) (engine.Rows, error) {
	v.Split = 0
	first, err := session.Run(ctx, v)
	if err != nil {
		return nil, err
	}
	v.Split = 1
	same, err := session.Same(ctx, v, first)
	if err != nil {
		return nil, errors.Join(err, first.Close())
	}
	if same {
		return &Proved{logic: v.Logic, first: first, second: nil}, nil
	}
	// The digests differ: the rows themselves tell where.
	second, err := session.Run(ctx, v)
	if err != nil {
		return nil, errors.Join(err, first.Close())
	}
	return &Proved{logic: v.Logic, first: first, second: second, differ: map[string]int{}}, nil
}

// Shape gives the columns.
func (p *Proved) Shape() recount.Shape { return p.first.Shape() }

// Next returns the next row of the first run.
func (p *Proved) Next() (recount.Row, bool) {
	row, ok := p.first.Next()
	if p.second == nil {
		return row, ok
	}
	again, okAgain := p.second.Next()
	switch {
	case ok && okAgain:
		p.compare(row, again)
	case ok != okAgain:
		p.count("(number of rows)", row, again)
		for okAgain && !ok { // the second run is longer: count it to its end
			_, okAgain = p.second.Next()
		}
	}
	return row, ok
}

func (p *Proved) compare(a, b recount.Row) {
	shape := p.first.Shape()
	for i := range a.Key {
		if a.Key[i] != b.Key[i] {
			p.count(shape.Key[i].Name, a, b)
		}
	}
	for i := range a.Values {
		if a.Values[i] != b.Values[i] {
			p.count(shape.Values[i].Name, a, b)
		}
	}
}

func (p *Proved) count(column string, a, b recount.Row) {
	if p.sample == "" {
		p.sample = fmt.Sprintf("row %s gave %s, then %s", showValues(a.Key), showValues(a.Values), showValues(b.Values))
	}
	p.differ[column]++
}

func showValues(values []recount.Value) string {
	parts := make([]string, len(values))
	for i, v := range values {
		parts[i] = v.String()
	}
	return strings.Join(parts, ", ")
}

// Err says that the rows broke off, or that the two runs disagree.
func (p *Proved) Err() error {
	err := p.first.Err()
	if p.second != nil {
		err = errors.Join(err, p.second.Err())
	}
	// A fold whose second run differed and whose third does not was lucky.
	lucky := p.second != nil && p.logic.Fold() && len(p.differ) == 0
	if err != nil || len(p.differ) == 0 && !lucky {
		return err
	}
	columns := slices.Sorted(maps.Keys(p.differ))
	if lucky {
		columns, p.sample = []string{"not the same ones each time"}, "of three runs the second differed from the others"
	}
	varied := "with other threads and another order of files"
	next := "give every order-dependent function an order, such as sum(x ORDER BY position), or use decimal instead of double; recount verify tells when it is mended"
	if p.logic.Fold() {
		next = "let the fold depend on the events of its key and their order alone: no clock, no random numbers, no order of a set or a map; recount verify over the same window names what it depends on"
		varied = "with all varied that must not matter"
	}
	return &recount.Error{
		Code: recount.CodeNondetermined, What: "the calculation is not deterministic",
		Where: "columns that disagree: " + strings.Join(columns, ", "),
		Why:   "run twice over the same events, " + varied + ", it gave two results: " + p.sample,
		Next:  next,
	}
}

// Close ends both runs.
func (p *Proved) Close() error {
	if p.second == nil {
		return p.first.Close()
	}
	return errors.Join(p.first.Close(), p.second.Close())
}

// Drain reads rows to their end and returns how many there were.
func Drain(rows engine.Rows) (int64, error) {
	var n int64
	for {
		if _, ok := rows.Next(); !ok {
			return n, rows.Err()
		}
		n++
	}
}
