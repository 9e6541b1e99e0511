package run

import (
	"context"
	"fmt"
	"slices"

	"recount"
	"recount/engine/result"
)

// readOpenings gives the states of Spec.Opening to the parts of their keys.
func (r *runner) readOpenings(ctx context.Context) (err error) {
	if r.spec.Opening == "" || r.spec.Alone {
		return nil
	}
	if r.plan.bucketd {
		return fmt.Errorf("fold %s: states are of keys without a bucket", r.spec.Where)
	}
	names := append(slices.Clone(r.spec.By), recount.StateColumn)
	rows, err := result.OpenTexts(ctx, r.spec.Opening, names)
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
	if r.spec.Several == 0 {
		return r.openKey(by, key, null, state.Text, n)
	}
	for variant := range r.spec.Several {
		if err := r.openKey(by, r.plan.appendVariant(slices.Clone(key), variant), null, state.Text, n); err != nil {
			return err
		}
	}
	return nil
}

// openKey gives a key its state.
func (r *runner) openKey(by []recount.Value, key []byte, null bool, state string, n int) error {
	p := &r.parts[r.partOf(r.plan.hashKey(key, null))]
	if p.done {
		return nil
	}
	if len(p.openings) == 0 {
		p.openings = append(p.openings, r.plan.newOpening(n))
	}
	c := p.openings[len(p.openings)-1]
	if err := r.plan.appendOpening(c, by, key, state); err != nil {
		return err
	}
	if c.n < r.memory.chunkRows && c.bytes() < r.memory.chunkBytes {
		return nil
	}
	return r.keepOpening(p, c, n)
}

// keepOpening keeps a chunk of states that is full, or spills it where memory is
// full.
func (r *runner) keepOpening(p *part, c *chunk, n int) error {
	size := int64(c.bytes())
	if r.memory.held.Add(size) <= r.memory.kept {
		p.openings = append(p.openings, r.plan.newOpening(n+1))
		return nil
	}
	r.memory.held.Add(-size)
	if r.openingFile == nil {
		f, err := r.newSpill()
		if err != nil {
			return err
		}
		r.openingFile = f
	}
	var scratch scratch
	one, err := r.openingFile.write(c.stored(&scratch))
	p.spilledOpenings = append(p.spilledOpenings, one)
	p.openings[len(p.openings)-1] = r.plan.newOpening(n + 1)
	r.memory.spilled.Add(int64(one.size))
	return err
}

// loadOpenings brings a part's states back into memory.
func (r *runner) loadOpenings(p *part) error {
	var scratch scratch
	for _, s := range p.spilledOpenings {
		c := r.plan.newOpening(0)
		if err := s.read(c, &scratch); err != nil {
			return err
		}
		p.openings = append(p.openings, c)
	}
	p.spilledOpenings = nil
	return nil
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
