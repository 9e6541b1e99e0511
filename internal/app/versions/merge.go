package versions

import (
	"cmp"
	"errors"
	"slices"

	"recount"
	"recount/engine"
)

// merged gives the items of several lists in order.
type merged[T any, P interface {
	Next() (T, bool)
	Err() error
	Close() error
}] struct {
	parts []P
	heads []*T
	err   error
}

func (m *merged[T, P]) add(p P) {
	m.parts = append(m.parts, p)
	m.heads = append(m.heads, nil)
	m.fill(len(m.parts) - 1)
}

func (m *merged[T, P]) fill(i int) {
	m.heads[i] = nil
	if item, ok := m.parts[i].Next(); ok {
		m.heads[i] = &item
		return
	}
	m.err = errors.Join(m.err, m.parts[i].Err())
}

// next returns the least of the next ones; keep copies what is valid until the
// next call alone.
func (m *merged[T, P]) next(compare func(a, b T) int, keep func(T) T) (item T, ok bool) {
	least := -1
	for i, head := range m.heads {
		if head != nil && (least < 0 || compare(*head, *m.heads[least]) < 0) {
			least = i
		}
	}
	if least < 0 || m.err != nil {
		return item, false
	}
	item = keep(*m.heads[least])
	m.fill(least)
	return item, true
}

func (m *merged[T, P]) Err() error { return m.err }

func (m *merged[T, P]) Close() error { return closeAll(m.parts) }

// contributions are those of several versions, by partition, position and key.
type contributions struct {
	merged[engine.Contribution, engine.Contributions]
}

func (c *contributions) Shape() recount.Shape { return c.parts[0].Shape() }

func (c *contributions) Next() (engine.Contribution, bool) {
	return c.next(func(a, b engine.Contribution) int {
		return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Position, b.Position), cmp.Compare(recount.KeyText(a.Row.Key), recount.KeyText(b.Row.Key)))
	}, func(e engine.Contribution) engine.Contribution {
		e.Row = recount.Row{Key: slices.Clone(e.Row.Key), Values: slices.Clone(e.Row.Values)}
		return e
	})
}

// effects are those of several versions, by kind, key and Seq.
type effects struct {
	merged[recount.Effect, engine.Effects]
}

func (e *effects) Next() (recount.Effect, bool) {
	return e.next(func(a, b recount.Effect) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Key, b.Key), cmp.Compare(a.Seq, b.Seq))
	}, func(one recount.Effect) recount.Effect {
		one.Payload = slices.Clone(one.Payload)
		return one
	})
}

// states are those of several versions, by key and Seq.
type states struct {
	merged[engine.State, engine.States]
	primed bool
}

func (s *states) Shape() recount.Shape { return s.parts[0].Shape() }

func (s *states) Next() (engine.State, bool) {
	if !s.primed {
		s.primed = true
		s.heads = make([]*engine.State, len(s.parts))
		for i := range s.parts {
			s.fill(i)
		}
	}
	return s.next(func(a, b engine.State) int {
		return cmp.Or(cmp.Compare(recount.KeyText(a.Key), recount.KeyText(b.Key)), cmp.Compare(a.Seq, b.Seq))
	}, func(one engine.State) engine.State {
		one.Key, one.Values = slices.Clone(one.Key), slices.Clone(one.Values)
		return one
	})
}
