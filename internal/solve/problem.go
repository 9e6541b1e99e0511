package solve

import (
	"context"
	"fmt"
)

// shared and nobody stand for an owner that is not one partition.
const (
	nobody int32 = -1
	shared int32 = -2
)

// problem is one call of Solve.
type problem struct {
	in      *Input
	columns int
	weights []uint64 // of key k and column c at k*columns+c
	owner   []int32  // the only partition in which a key occurs, nobody or shared
	shares  bool     // whether any key is shared
	factors []int64
	state   state
	left    leftover
	buckets buckets
}

// view is one partition with the keys that count in it and their differences.
type view struct {
	id     int
	part   *Partition
	counts []bool // of each key
	keys   int    // how many count
	hit    []int32
	diff   [][]int64
}

func newProblem(in *Input) *problem {
	p := &problem{in: in, columns: len(in.Differences), factors: in.factors()}
	seed := uint64(in.Keys)
	for _, part := range in.Partitions {
		seed = mix(seed ^ uint64(len(part.Keys)))
	}
	p.weights = make([]uint64, in.Keys*p.columns)
	for i := range p.weights {
		p.weights[i] = mix(seed+uint64(i)*golden) | 1
	}
	p.owner = make([]int32, in.Keys)
	for i := range p.owner {
		p.owner[i] = nobody
	}
	for id, part := range in.Partitions {
		for _, key := range part.Keys {
			switch p.owner[key] {
			case int32(id), shared:
			case nobody:
				p.owner[key] = int32(id)
			default:
				p.owner[key], p.shares = shared, true
			}
		}
	}
	p.state.init(in.Keys, p.columns)
	return p
}

const golden = 0x9E3779B97F4A7C15

// mix is SplitMix64's finalizer: every bit of x changes half of the result's.
func mix(x uint64) uint64 {
	x += golden
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}

// look makes a view of a partition in which the keys count that keep says.
func (p *problem) look(id int, diff [][]int64, keep func(key int32) bool) *view {
	v := &view{id: id, part: &p.in.Partitions[id], counts: make([]bool, p.in.Keys), diff: diff}
	for k := range v.counts {
		key := int32(k)
		if !keep(key) {
			continue
		}
		v.counts[k] = true
		v.keys++
		if v.differs(key) {
			v.hit = append(v.hit, key)
		}
	}
	return v
}

func (v *view) differs(key int32) bool {
	for _, column := range v.diff {
		if column[key] != 0 {
			return true
		}
	}
	return false
}

// decides says whether an event can move a span's end: it adds something to a key
// that counts.
func (v *view) decides(i int) bool {
	if !v.counts[v.part.Keys[i]] {
		return false
	}
	for _, column := range v.part.Amounts {
		if column[i] != 0 {
			return true
		}
	}
	return false
}

// differing lists all keys that differ.
func (p *problem) differing() []int32 {
	var keys []int32
	for k := range p.in.Keys {
		for _, column := range p.in.Differences {
			if column[k] != 0 {
				keys = append(keys, int32(k))
				break
			}
		}
	}
	return keys
}

// solve finds each partition's span by the keys that live there alone, then
// decides and verifies all of them together.
func (p *problem) solve(ctx context.Context) ([]Span, *Refusal, error) {
	differing := len(p.differing())
	if differing == 0 {
		return nil, &Refusal{ReasonNothing, -1, "every row is right"}, nil
	}
	var spans []Span
	for id := range p.in.Partitions {
		v := p.look(id, p.in.Differences, func(key int32) bool { return p.owner[key] == int32(id) })
		span, refusal, err := p.find(ctx, v)
		if err != nil || refusal != nil {
			return nil, refusal, err
		}
		if span != nil {
			spans = append(spans, *span)
		}
	}
	if len(spans) == 0 && p.shares {
		span, refusal, err := p.alone(ctx)
		if err != nil || refusal != nil {
			return nil, refusal, err
		}
		spans = append(spans, *span)
	}
	if len(spans) == 0 {
		return nil, &Refusal{ReasonNone, -1, fmt.Sprintf("%d keys differ, and no contiguous span of any partition explains them", differing)}, nil
	}
	if p.shares {
		var refusal *Refusal
		if spans, refusal = p.settle(spans); refusal != nil {
			return nil, refusal, nil
		}
	}
	refusal, err := p.verify(ctx, spans)
	return spans, refusal, err
}

// alone tries each partition as the only faulty one, with all keys in it.
func (p *problem) alone(ctx context.Context) (*Span, *Refusal, error) {
	var only *Span
	for id, part := range p.in.Partitions {
		here := make([]bool, p.in.Keys)
		for _, key := range part.Keys {
			here[key] = true
		}
		span, refusal, err := p.find(ctx, p.look(id, p.in.Differences, func(key int32) bool { return here[key] }))
		if err != nil || refusal != nil {
			return nil, refusal, err
		}
		if span == nil || p.remaining([]Span{*span}).count() > p.in.maxForeign() {
			continue
		}
		if only != nil {
			return nil, &Refusal{ReasonAmbiguous, id, fmt.Sprintf("a span of partition %d agrees, and one of partition %d", only.Partition, id)}, nil
		}
		only = span
	}
	if only == nil {
		return nil, &Refusal{ReasonNone, -1, "no span of one partition alone explains the differences, and keys occur in several partitions, so that those cannot be told apart"}, nil
	}
	return only, nil, nil
}
