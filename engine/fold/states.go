package fold

import (
	"context"
	"slices"

	"recount"
	"recount/engine"
)

// defaultStates is how many states of a key are given where nobody says.
const defaultStates = 256

// States follows keys of folds, and those of SQL where a fold, too, says which
// events are a key's.
func (s *session) States(ctx context.Context, v engine.Variant, q engine.StatesQuery) (engine.States, error) {
	if q.Along != nil {
		return s.along(ctx, v, q)
	}
	folds := func(v engine.Variant) bool { return v.Logic.Fold() }
	if !folds(v) && !slices.ContainsFunc(q.Touching, folds) {
		return s.Session.States(ctx, v, q)
	}
	w := newWanted(q.Keys)
	h, err := s.histories(ctx, v, append([]engine.Variant{v}, q.Touching...), w)
	if err != nil {
		return nil, err
	}
	parts := make([]tail, len(w.keys))
	for i, events := range h.events {
		parts[i] = tailOf(events, q)
	}
	out := &states{history: h, tails: parts}
	if folds(v) {
		err = s.shown(ctx, v, out)
	} else {
		err = s.followed(ctx, v, q, out)
	}
	return out, err
}

// tail are the events of a key whose states are given.
type tail struct {
	events     []known
	mixed, cut bool
	newest     int64 // the seq of the newest event
}

// tailOf keeps the events from the last hit event on, or the newest.
func tailOf(events []known, q engine.StatesQuery) (t tail) {
	if len(events) == 0 {
		return t
	}
	most := q.Most
	if most <= 0 {
		most = defaultStates
	}
	start := -1
	for i, e := range events {
		if e.hit {
			start = i
		}
	}
	if start >= 0 {
		since := events[start]
		t.mixed = slices.ContainsFunc(events, func(e known) bool { return e.partition != since.partition && !e.came.Before(since.came) })
	} else {
		start = max(len(events)-max(q.Unhit, 1), 0)
	}
	t.events, t.newest = events[start:], events[len(events)-1].seq
	t.mixed = t.mixed || slices.ContainsFunc(t.events, func(e known) bool { return e.partition != t.events[0].partition })
	if len(t.events) > most {
		t.events, t.cut = t.events[len(t.events)-most:], true
	}
	return t
}

// stand is a key after the last event that the variant processed.
type stand struct {
	seq       int64
	partition string
	position  string
	id        string
	count     int64
	values    []recount.Value // nil: no row
}

// states gives the states of one key after the other.
type states struct {
	*history
	shape  recount.Shape
	tails  []tail
	stands [][]stand // by key, in order of seq; the first may lie before the tail
	// unseen are the rows of keys of which nothing was processed: those of `opening`.
	unseen [][]recount.Value
	key    int
	at     int
}

func (s *states) Shape() recount.Shape { return s.shape }
func (s *states) Err() error           { return nil }
func (s *states) Close() error         { return nil }

func (s *states) Next() (engine.State, bool) {
	for s.key < len(s.keys) && s.at == len(s.tails[s.key].events) {
		s.key, s.at = s.key+1, 0
	}
	if s.key == len(s.keys) {
		return engine.State{}, false
	}
	t := s.tails[s.key]
	e := t.events[s.at]
	s.at++
	out := engine.State{
		Key: s.keys[s.key], Seq: e.seq, Partition: e.partition, Position: e.position, ID: e.id,
		Newest: e.seq == t.newest, Mixed: t.mixed, Cut: t.cut,
	}
	stands := s.stands[s.key]
	n := len(stands)
	for n > 0 && stands[n-1].seq > e.seq {
		n--
	}
	if n == 0 {
		if s.unseen != nil {
			out.Values = s.unseen[s.key]
		}
		return out, true
	}
	last := stands[n-1]
	out.LastPartition, out.LastPosition, out.LastID, out.Count, out.Values = last.partition, last.position, last.id, last.count, last.values
	return out, true
}

// add notes a stand. Of those before the tail only the newest is kept.
func (s *states) add(key int, one stand) {
	list := s.stands[key]
	if t := s.tails[key].events; len(list) == 1 && len(t) > 0 && one.seq <= t[0].seq {
		list = list[:0]
	}
	s.stands[key] = append(list, one)
}

// followed takes the stands of SQL from the base.
func (s *session) followed(ctx context.Context, v engine.Variant, q engine.StatesQuery, out *states) (err error) {
	const all = 1 << 20
	q.Touching = slices.DeleteFunc(slices.Clone(q.Touching), func(t engine.Variant) bool { return t.Logic.Fold() })
	q.Most, q.Unhit = all, all
	base, err := s.Session.States(ctx, v, q)
	if err != nil {
		return err
	}
	out.shape, out.stands = base.Shape(), make([][]stand, len(out.keys))
	for {
		one, ok := base.Next()
		if !ok {
			break
		}
		i, ok := out.at0(one.Key)
		if !ok {
			continue
		}
		out.tails[i].mixed = out.tails[i].mixed || one.Mixed
		out.add(i, stand{one.Seq, one.LastPartition, one.LastPosition, one.LastID, one.Count, slices.Clone(one.Values)})
	}
	return closing(base, base.Err())
}

func (s *states) at0(key []recount.Value) (int, bool) {
	i, ok := s.history.at[recount.KeyText(key)]
	return i, ok
}
