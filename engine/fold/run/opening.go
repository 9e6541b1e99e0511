package run

import (
	"context"
	"fmt"
	"slices"

	"recount"
	"recount/engine/result"
)

// readOpenings gives the states of Spec.Opening to the parts of their keys.
func (r *runner) readOpenings() (err error) {
	if r.spec.Opening == "" || r.spec.Alone {
		return nil
	}
	if r.plan.bucketd {
		return fmt.Errorf("fold %s: states are of keys without a bucket", r.spec.Where)
	}
	names := append(slices.Clone(r.spec.By), recount.StateColumn)
	rows, err := result.OpenTexts(context.Background(), r.spec.Opening, names)
	if err != nil {
		return err
	}
	defer func() {
		if e := rows.Close(); err == nil {
			err = e
		}
	}()
	for n := 0; ; n++ {
		values, ok := rows.Next()
		if !ok {
			return rows.Err()
		}
		if err := r.addOpening(values, n); err != nil {
			return fmt.Errorf("read states %q: %w", r.spec.Opening, err)
		}
	}
}

func (r *runner) addOpening(values []recount.Value, n int) error {
	by, state := values[:len(values)-1], values[len(values)-1]
	if state.Null {
		return nil
	}
	key, null, err := r.plan.keyOf(by)
	if err != nil {
		return err
	}
	if r.wanted != nil {
		if _, ok := r.wanted[string(key)]; null && !r.wantedNull || !null && !ok {
			return nil
		}
	}
	p := &r.parts[r.partOf(r.plan.hashKey(key, null))]
	if len(p.openings) == 0 || p.openings[len(p.openings)-1].n == r.chunkRows {
		p.openings = append(p.openings, r.plan.newOpening(n))
	}
	return r.plan.appendOpening(p.openings[len(p.openings)-1], by, key, state.Text)
}

// newOpening is a chunk of states: of the slots it has those of the key alone,
// and the state behind them all.
func (p *plan) newOpening(order int) *chunk {
	c := p.newChunk()
	c.columns = append(c.columns, column{})
	c.order = order
	return c
}

func (p *plan) appendOpening(c *chunk, by []recount.Value, key []byte, state string) error {
	for i, v := range by {
		col, s := &c.columns[p.by[i]], p.slots[p.by[i]]
		if v.Null {
			col.appendNull()
			continue
		}
		b, err := s.appendText(nil, v.Text)
		if err != nil {
			return err
		}
		col.append(b)
	}
	if p.keyOwn {
		c.columns[p.key].append(key)
	}
	c.columns[len(c.columns)-1].append([]byte(state))
	c.n++
	return nil
}
