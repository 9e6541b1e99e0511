package duckdb

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"

	"recount"
	"recount/engine"
	"recount/engine/result"
)

// session is the parent's side: it asks its child and reads the files that the
// child wrote.
type session struct {
	engine  *Engine
	child   *process
	input   engine.Input
	scratch string
	files   int // result files so far, for their names
	// lists are the files of lists of ids that the child was given.
	lists map[*recount.IDList]string
	// edges are those of the buckets of hit events; nil: not known yet.
	edges  []int64
	closed bool
}

// out names a new file in the scratch folder.
func (s *session) out(what string) string {
	s.files++
	return filepath.Join(s.scratch, what+"-"+strconv.Itoa(s.files)+".parquet")
}

func (s *session) Count(ctx context.Context, dedupe bool) (recount.EventCounts, error) {
	var c recount.EventCounts
	if err := s.child.call(ctx, request{Count: &countRequest{Dedupe: dedupe}}, &c); err != nil {
		return c, fmt.Errorf("count events of %s: %w", s.input.Stream, err)
	}
	return c, nil
}

func (s *session) Minutes(ctx context.Context, dedupe bool, most int) ([]recount.MinuteCount, error) {
	var steps []recount.MinuteCount
	if err := s.child.call(ctx, request{Minutes: &countRequest{Dedupe: dedupe, Most: most}}, &steps); err != nil {
		return nil, fmt.Errorf("count events of %s per step: %w", s.input.Stream, err)
	}
	return steps, nil
}

func (s *session) Types(ctx context.Context, q engine.TypesQuery) ([]engine.TypeCount, error) {
	var list []engine.TypeCount
	if err := s.child.call(ctx, request{Types: &typesRequest{q}}, &list); err != nil {
		return nil, fmt.Errorf("count types of %s: %w", s.input.Stream, err)
	}
	return list, nil
}

func (s *session) Touched(ctx context.Context, dedupe bool, most int, fields []string, keys [][]recount.Value) ([]int64, error) {
	var counts []int64
	r := touchedRequest{countRequest{Dedupe: dedupe, Most: most}, fields, keys}
	if err := s.child.call(ctx, request{Touched: &r}, &counts); err != nil {
		return nil, fmt.Errorf("count rows of %s per step: %w", s.input.Stream, err)
	}
	return counts, nil
}

func (s *session) Quarantined(ctx context.Context) ([]recount.Mark, error) {
	var marks []recount.Mark
	if err := s.child.call(ctx, request{Quarantined: &struct{}{}}, &marks); err != nil {
		return nil, fmt.Errorf("list quarantined events of %s: %w", s.input.Stream, err)
	}
	return marks, nil
}

func (s *session) Events(ctx context.Context, q engine.Query) ([]engine.ReplayEvent, error) {
	out := s.out("events")
	var err error
	if q.Lists, err = s.sentLists(q.Lists); err != nil {
		return nil, fmt.Errorf("list events of %s: %w", s.input.Stream, err)
	}
	var a eventsAnswer
	if err := s.child.call(ctx, request{Events: &eventsRequest{Query: q, Out: out}}, &a); err != nil {
		return nil, fmt.Errorf("list events of %s: %w", s.input.Stream, err)
	}
	if a.Rows == 0 {
		return nil, nil
	}
	events, err := readEvents(ctx, out, s.input.Fields)
	if err != nil {
		return nil, fmt.Errorf("list events of %s: %w", s.input.Stream, err)
	}
	return events, nil
}

func (s *session) Run(ctx context.Context, v engine.Variant) (engine.Rows, error) {
	q, err := s.request(ctx, v)
	if err != nil {
		return nil, err
	}
	q.Out = s.out("rows")
	var a runAnswer
	if err := s.child.call(ctx, request{Run: &q}, &a); err != nil {
		return nil, fmt.Errorf("replay %s: %w", name(v.Logic), err)
	}
	r, err := result.OpenRows(ctx, q.Out, a.Shape, result.Of{Where: v.Logic.Path})
	if err != nil {
		return nil, fmt.Errorf("replay %s: %w", name(v.Logic), err)
	}
	return r, nil
}

func (s *session) Same(ctx context.Context, v engine.Variant, earlier engine.Rows) (bool, error) {
	first, ok := earlier.(*result.Rows)
	if !ok {
		return false, nil
	}
	path, open := first.Path()
	if !open {
		return false, nil
	}
	q, err := s.request(ctx, v)
	if err != nil {
		return false, err
	}
	q.Same = path
	var a runAnswer
	if err := s.child.call(ctx, request{Run: &q}, &a); err != nil {
		return false, fmt.Errorf("replay %s again: %w", name(v.Logic), err)
	}
	return a.Same, nil
}

// Effects is empty: SQL sends nothing.
func (s *session) Effects(context.Context, engine.Variant) (engine.Effects, error) {
	return noEffects{}, nil
}

type noEffects struct{}

func (noEffects) Next() (recount.Effect, bool) { return recount.Effect{}, false }
func (noEffects) Err() error                   { return nil }
func (noEffects) Close() error                 { return nil }

// Close gives the child back. A child that does not close its input in good
// order is not used again.
func (s *session) Close() error {
	if s.closed {
		return nil
	}
	s.closed = true
	if !s.child.broken() {
		// Nobody waits for long here: the databases are in memory.
		if err := s.child.call(context.Background(), request{Close: &struct{}{}}, &struct{}{}); err != nil {
			s.child.end()
		}
	}
	s.engine.give(s.child)
	return nil
}
