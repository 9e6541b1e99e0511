package run

import (
	"bytes"
	"cmp"
	"container/heap"
	"context"
)

// merge hands the records of sources to use, in order of their sort texts; those
// of one text in order of parts.
func merge(ctx context.Context, sources []*source, use func(*source) error) error {
	var h merging
	for _, s := range sources {
		ok, err := s.step()
		if err != nil {
			return err
		}
		if ok {
			h = append(h, s)
		}
	}
	heap.Init(&h)
	const between = 1 << 14
	for n := 0; len(h) > 0; n++ {
		if n%between == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		if err := use(h[0]); err != nil {
			return err
		}
		ok, err := h[0].step()
		if err != nil {
			return err
		}
		if ok {
			heap.Fix(&h, 0)
		} else {
			heap.Pop(&h)
		}
	}
	return nil
}

// merging are sources by their present record.
type merging []*source

func (m merging) Len() int { return len(m) }

func (m merging) Less(i, j int) bool {
	return cmp.Or(bytes.Compare(m[i].sort, m[j].sort), cmp.Compare(m[i].part, m[j].part), cmp.Compare(m[i].run, m[j].run)) < 0
}

func (m merging) Swap(i, j int) { m[i], m[j] = m[j], m[i] }

// Push is heap's.
func (m *merging) Push(x any) {
	if s, ok := x.(*source); ok {
		*m = append(*m, s)
	}
}

// Pop is heap's.
func (m *merging) Pop() any {
	last := (*m)[len(*m)-1]
	*m = (*m)[:len(*m)-1]
	return last
}
