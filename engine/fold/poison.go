package fold

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"recount"
	"recount/engine"
	"recount/engine/fold/run"
)

// poisoned is an event that a fold of this session did not survive.
type poisoned struct {
	mark   recount.Mark
	repeat bool // it is a repeat
	hit    bool
}

// note remembers events that a run did not survive. Those that were quarantined
// before stay what they are: they were only probed.
func (s *session) note(ctx context.Context, j job, list []run.Poisoned) error {
	var seqs []int64
	for _, p := range list {
		i := slices.IndexFunc(s.poisoned, func(have poisoned) bool { return have.mark.Seq == p.Seq })
		if i < 0 {
			seqs = append(seqs, p.Seq)
			continue
		}
		s.poisoned[i].mark.First = s.poisoned[i].mark.First && p.First // a run may see less than all events
	}
	if len(seqs) == 0 {
		return nil
	}
	events, err := s.Events(ctx, engine.Query{Seqs: seqs, Repeats: true, Limit: len(seqs)})
	if err != nil {
		return fmt.Errorf("find the events that end %s: %w", name(j.v.Logic), err)
	}
	hits, err := s.Events(ctx, engine.Query{Seqs: seqs, Repeats: true, Limit: len(seqs), Lists: []recount.EventList{{}}})
	if err != nil {
		return fmt.Errorf("find the events that end %s: %w", name(j.v.Logic), err)
	}
	for _, e := range events {
		i := slices.IndexFunc(list, func(p run.Poisoned) bool { return p.Seq == e.Seq })
		if i < 0 {
			continue
		}
		s.poisoned = append(s.poisoned, poisoned{
			mark:   recount.Mark{Seq: e.Seq, Kind: recount.MarkFault, ID: e.ID, Time: e.Time, Why: list[i].Why, Key: list[i].Key, First: list[i].First},
			repeat: e.Mark == recount.MarkRepeat,
			hit:    slices.ContainsFunc(hits, func(h engine.ReplayEvent) bool { return h.Seq == e.Seq }),
		})
	}
	return nil
}

// Quarantined lists the events that folds did not survive, too.
func (s *session) Quarantined(ctx context.Context) ([]recount.Mark, error) {
	marks, err := s.Session.Quarantined(ctx)
	if err != nil || len(s.poisoned) == 0 {
		return marks, err
	}
	for _, p := range s.poisoned {
		marks = append(marks, p.mark)
	}
	slices.SortStableFunc(marks, func(a, b recount.Mark) int { return cmp.Compare(a.Seq, b.Seq) })
	return marks, nil
}

// Count counts events that folds did not survive as quarantined.
func (s *session) Count(ctx context.Context, dedupe bool) (recount.EventCounts, error) {
	c, err := s.Session.Count(ctx, dedupe)
	if err != nil {
		return c, err
	}
	for _, p := range s.poisoned {
		c.Quarantined++
		switch {
		case p.repeat && dedupe:
			c.Duplicates--
			continue
		default:
			c.Used--
		}
		if p.hit {
			c.Hit--
		}
	}
	return c, nil
}
