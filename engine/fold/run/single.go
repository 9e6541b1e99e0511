package run

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"recount"
	"recount/engine/result"
)

// SingleKey is a key and those of its events that are left out or repeated by
// themselves.
type SingleKey struct {
	Key  []recount.Value `json:"key"` // the values of By
	Seqs []int64         `json:"seqs"`
}

// A run with Spec.Single folds a key several times: what one of them is called is
// its attempt. Attempts are numbered through all keys and their Seqs: two for
// each, the first without the event, the second with it once more.
const attemptsOfEvent = 2

// attempt is one folding of a key.
type attempt struct {
	number int
	seq    int64
	more   bool // else the event is left out
}

// attempts are those of the wanted keys, by the bytes of the key; null has those of
// the key that is NULL.
type attempts struct {
	of   map[string][]attempt
	null []attempt
}

// readAttempts lists what Spec.Single asks for.
func (r *runner) readAttempts() error {
	if r.spec.Single == nil {
		return nil
	}
	r.attempts = &attempts{of: map[string][]attempt{}}
	number := 0
	for _, k := range r.spec.Single {
		key, null, err := r.plan.keyOf(k.Key)
		if err != nil {
			return err
		}
		var list []attempt
		for _, seq := range k.Seqs {
			list = append(list, attempt{number, seq, false}, attempt{number + 1, seq, true})
			number += attemptsOfEvent
		}
		if null {
			r.attempts.null = list
		} else {
			r.attempts.of[string(key)] = list
		}
	}
	return nil
}

// single makes a key of each attempt of each key that has the attempt's event. They
// share the events' memory.
func (g *gathered) single(all *attempts) {
	keys, refs := g.keys, g.refs
	g.keys, g.refs = nil, nil
	from := 0
	for _, k := range keys {
		events := refs[from:k.events]
		from = k.events
		c := g.keyChunk(&k)
		list := all.null
		if column := &c.columns[g.plan.key]; !column.null(int(k.of.row)) {
			list = all.of[string(g.plan.byOf(column.at(int(k.of.row))))]
		}
		for _, a := range list {
			began := len(g.refs)
			// Without its only event there is no key, unless it has a state to begin with.
			if g.attempt(events, a) && (len(g.refs) > began || k.opened) {
				one := k
				one.events = len(g.refs)
				g.keys, g.numbers = append(g.keys, one), append(g.numbers, a.number)
			}
		}
	}
}

// attempt adds the events of an attempt; false where the key has not its event.
func (g *gathered) attempt(events []ref, a attempt) (has bool) {
	began := len(g.refs)
	for _, r := range events {
		switch {
		case g.chunks[r.chunk].columns[g.plan.seq].int64(int(r.row)) != a.seq:
			g.refs = append(g.refs, r)
		case !a.more:
			has = true
		case !has:
			has = true
			g.refs = append(g.refs, r, r)
		default: // it is seen several times anyway
			g.refs = append(g.refs, r)
		}
	}
	if !has {
		g.refs = g.refs[:began]
	}
	return has
}

// addRow keeps a row of the group that stands at i of the batch.
func (d *driver) addRow(i int, values []recount.Value) error {
	uid, key := d.uid+int64(i), d.rowKey(values)
	if !d.tried() {
		return d.results.rows.add(uid, 0, key, values[len(d.spec.Shape.Key):])
	}
	number := d.attemptOf(d.filled.groups[i])
	sort := binary.BigEndian.AppendUint64(nil, uint64(number)) //nolint:gosec // counted from 0
	return d.results.rows.add(uid, 0, string(sort)+key, slices.Concat([]recount.Value{recount.Text(strconv.Itoa(number))}, values))
}

// tried says that keys are folded several times.
func (r *runner) tried() bool { return r.attempts != nil || r.spec.Several > 0 }

// attemptOf is the attempt, or the variant, that a group is of.
func (d *driver) attemptOf(g filledGroup) int {
	if d.spec.Several > 0 {
		return d.plan.variantOf(g.of.columns[d.plan.key].at(g.row))
	}
	return g.number
}

// triedColumn is the column of an attempt's number in a file of rows.
const triedColumn = "attempt"

// checkTried refuses a row of an attempt whose key is NULL or stands there twice.
func (r *runner) checkTried(row []recount.Value, twice bool) error {
	key := row[1 : 1+len(r.spec.Shape.Key)]
	for i, v := range key {
		if v.Null {
			return result.NoKey(r.spec.Shape, key, i, r.of())
		}
	}
	if twice && len(key) > 0 {
		return result.Twice(r.spec.Shape, key, r.of())
	}
	return nil
}

// Tried is a row of an attempt under Spec.Single, or of a variant under Spec.Several.
type Tried struct {
	Attempt int
	Row     recount.Row
}

// TriedRows are the rows of a run with Spec.Single or Spec.Several, sorted by attempt, then by
// recount.KeyText of the row's key.
type TriedRows struct {
	texts *result.Texts
	path  string
	keys  int
	err   error
}

// OpenTried opens what a run of the spec wrote to Spec.Out. The file is removed
// when it is closed.
func OpenTried(ctx context.Context, s Spec) (*TriedRows, error) {
	t, err := result.OpenTexts(ctx, s.Out, outColumns(&s))
	if err != nil {
		return nil, err
	}
	return &TriedRows{texts: t, path: s.Out, keys: len(s.Shape.Key)}, nil
}

// Next returns the next row, which is valid until the next call.
func (r *TriedRows) Next() (t Tried, ok bool) {
	if r.err != nil {
		return t, false
	}
	row, ok := r.texts.Next()
	if !ok {
		r.err = r.texts.Err()
		return t, false
	}
	number, err := strconv.Atoi(row[0].Text)
	if err != nil {
		r.err = fmt.Errorf("read rows: %q is no attempt", row[0].Text)
		return t, false
	}
	return Tried{number, recount.Row{Key: row[1 : 1+r.keys : 1+r.keys], Values: row[1+r.keys:]}}, true
}

// Err is why there is no next row, if it is an error.
func (r *TriedRows) Err() error { return r.err }

// Close removes the file.
func (r *TriedRows) Close() error {
	return errors.Join(r.texts.Close(), remove(r.path))
}
