package fold

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"recount"
	"recount/engine"
)

// along follows one key of a fold from event to event, in the order that the query
// gives, by one run.
func (s *session) along(ctx context.Context, v engine.Variant, q engine.StatesQuery) (engine.States, error) {
	refuse := func(why string) error {
		return fmt.Errorf("follow %s along given events: %s: %w", name(v.Logic), why, recount.ErrUnsupported)
	}
	if !v.Logic.Fold() || len(q.Keys) != 1 {
		return nil, refuse("it is no fold, or not of one key")
	}
	v.Only, v.Keys = q.Along, q.Keys
	j, err := s.job(ctx, v)
	if err != nil {
		return nil, err
	}
	g, err := j.groups(newWanted(q.Keys))
	if err != nil {
		return nil, refuse("its rows do not name their events")
	}
	r, err := s.show(ctx, j, false, q.Along)
	if err != nil {
		return nil, err
	}
	out := &followed{shape: j.shape}
	for {
		one, ok := r.Next()
		if !ok {
			break
		}
		if len(g[groupText(one.By, one.Bucket)]) == 0 {
			continue
		}
		if n := len(out.list); n == 0 || out.list[n-1].Seq != one.Seq {
			out.list = append(out.list, engine.State{Key: q.Keys[0], Seq: one.Seq})
		}
		if one.Made && recount.KeyText(one.Row.Key) == recount.KeyText(q.Keys[0]) {
			out.list[len(out.list)-1].Values = slices.Clone(one.Row.Values)
		}
	}
	rank := make(map[int64]int, len(q.Along))
	for i, seq := range q.Along {
		rank[seq] = i
	}
	slices.SortFunc(out.list, func(a, b engine.State) int { return cmp.Compare(rank[a.Seq], rank[b.Seq]) })
	return out, closing(r, r.Err())
}

// followed are states that are all in memory.
type followed struct {
	shape recount.Shape
	list  []engine.State
}

func (f *followed) Shape() recount.Shape { return f.shape }
func (f *followed) Err() error           { return nil }
func (f *followed) Close() error         { return nil }

func (f *followed) Next() (engine.State, bool) {
	if len(f.list) == 0 {
		return engine.State{}, false
	}
	one := f.list[0]
	f.list = f.list[1:]
	return one, true
}
