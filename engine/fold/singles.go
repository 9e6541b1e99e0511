package fold

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"recount"
	"recount/engine"
	"recount/engine/fold/run"
)

const (
	// mostAttempts bounds how often keys are folded for single events, whatever
	// they take: the rows are held in memory.
	mostAttempts = 100_000
	// mostFailed bounds the attempts that a fold may not survive: each costs a
	// process or more.
	mostFailed = 64
)

// Singles folds keys without single events, and with them once more.
func (s *session) Singles(ctx context.Context, v engine.Variant, q engine.SinglesQuery) (out engine.Singles, err error) {
	if !v.Logic.Fold() {
		return s.Session.Singles(ctx, v, q)
	}
	v.Keys = q.Keys
	j, err := s.job(ctx, v)
	if err != nil {
		return out, err
	}
	w := newWanted(q.Keys)
	if _, err := j.groups(w); err != nil {
		return out, fmt.Errorf("leave single events out of %s: its rows do not name their events: %w", name(v.Logic), recount.ErrUnsupported)
	}
	h, err := s.histories(ctx, v, []engine.Variant{v}, w)
	if err != nil {
		return out, err
	}
	p := singlesPlan{history: h, first: map[singleEvent]int{}}
	out.Left = p.choose(q.Most)
	if len(p.chosen) == 0 {
		return out, nil
	}
	p.number(j)
	t, err := s.try(ctx, j, p.spec)
	if err != nil {
		return out, err
	}
	out.List = p.list(t)
	return out, nil
}

// singlesPlan says which keys are folded without which events.
type singlesPlan struct {
	*history
	chosen []int    // of the wanted keys
	folds  []string // by wanted key: the text of the fold's key
	spec   []run.SingleKey
	// first is the number of the first of the two attempts at an event.
	first map[singleEvent]int
}

type singleEvent struct {
	key string // the fold's, without a bucket
	seq int64
}

// hits are the events of a key that are left out: of repeats the first.
func (p *singlesPlan) hits(key int) (list []known) {
	seen := map[string]bool{}
	for _, e := range p.events[key] {
		if !e.hit || e.id != "" && seen[e.id] {
			continue
		}
		seen[e.id] = true
		list = append(list, e)
	}
	return list
}

// choose takes keys as long as there is room, those that take least first, and says
// for how many there was none.
func (p *singlesPlan) choose(most int64) (left int) {
	cost := make([]int64, len(p.keys))
	var order []int
	for key := range p.keys {
		if hits := len(p.hits(key)); hits > 0 {
			cost[key] = 2 * int64(hits) * int64(len(p.events[key]))
			order = append(order, key)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(cost[a], cost[b]) })
	sum, attempts := int64(0), 0
	for i, key := range order {
		sum += cost[key]
		attempts += 2 * len(p.hits(key))
		if sum > most || attempts > mostAttempts {
			left = len(order) - i
			break
		}
		p.chosen = append(p.chosen, key)
	}
	slices.Sort(p.chosen)
	return left
}

// number numbers the attempts. Several wanted keys may be of one key of the fold,
// and share what is tried.
func (p *singlesPlan) number(j job) {
	columns, _ := j.byInKey()
	at := map[string]int{}
	p.folds = make([]string, len(p.keys))
	for _, key := range p.chosen {
		by := make([]recount.Value, len(columns))
		for i, n := range columns {
			by[i] = p.keys[key][n]
		}
		text := recount.KeyText(by)
		_, known := at[text]
		if p.folds[key] = text; !known {
			at[text], p.spec = len(p.spec), append(p.spec, run.SingleKey{Key: by})
		}
		for _, e := range p.hits(key) {
			one := singleEvent{text, e.seq}
			if _, known := p.first[one]; !known {
				p.first[one] = 0
				p.spec[at[text]].Seqs = append(p.spec[at[text]].Seqs, e.seq)
			}
		}
	}
	number := 0
	for _, k := range p.spec {
		for _, seq := range k.Seqs {
			p.first[singleEvent{recount.KeyText(k.Key), seq}] = number
			number += 2
		}
	}
}

// attempted is what came of the attempts.
type attempted struct {
	rows   map[int]map[string][]recount.Value // by attempt and the row's key
	failed map[int]bool
}

// try runs the attempts. What ends the fold in one of them says nothing of the
// events, so that it is not noted.
func (s *session) try(ctx context.Context, j job, single []run.SingleKey) (out attempted, err error) {
	dir, err := s.folder()
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	spec := s.frame(j, dir)
	spec.Out, spec.Single, spec.Keys, spec.MaxPoisoned, spec.Resume = filepath.Join(dir, "tried"), single, [][]recount.Value{}, mostFailed, ""
	for _, k := range single {
		spec.Keys = append(spec.Keys, k.Key)
	}
	if err := s.finish(ctx, j, &spec); err != nil {
		return out, err
	}
	result, err := j.kind.Run(ctx, j.v.Logic, spec)
	if err != nil {
		return out, fmt.Errorf("replay %s without single events: %w", name(j.v.Logic), err)
	}
	out = attempted{map[int]map[string][]recount.Value{}, map[int]bool{}}
	for _, p := range result.Poisoned {
		out.failed[p.Attempt] = true
	}
	rows, err := run.OpenTried(ctx, spec)
	if err != nil {
		return out, err
	}
	for {
		one, ok := rows.Next()
		if !ok {
			return out, closing(rows, rows.Err())
		}
		if out.rows[one.Attempt] == nil {
			out.rows[one.Attempt] = map[string][]recount.Value{}
		}
		out.rows[one.Attempt][recount.KeyText(one.Row.Key)] = slices.Clone(one.Row.Values)
	}
}

// list gives each chosen key what came of its attempts.
func (p *singlesPlan) list(t attempted) (list []engine.Single) {
	for _, key := range p.chosen {
		text, hits := recount.KeyText(p.keys[key]), p.hits(key)
		for again := range 2 {
			for _, e := range hits {
				number := p.first[singleEvent{p.folds[key], e.seq}] + again
				list = append(list, engine.Single{
					Key: p.keys[key], Seq: e.seq, Partition: e.partition, Position: e.position, ID: e.id, Again: again == 1,
					Values: t.rows[number][text], Failed: t.failed[number],
				})
			}
		}
	}
	return list
}
