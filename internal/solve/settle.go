package solve

import "fmt"

// settle decides the ends of spans once more, now by the keys of several
// partitions too: each span by what the others leave, until none moves. It
// refuses where two ends could move together.
func (p *problem) settle(spans []Span) ([]Span, *Refusal) {
	const rounds = 8
	moved := true
	for round := 0; moved; round++ {
		if round == rounds {
			return nil, &Refusal{ReasonAmbiguous, -1, "keys that occur in several partitions do not let the ends of the spans settle"}
		}
		moved = false
		for n, span := range spans {
			v, refusal := p.others(spans, n)
			if refusal != nil {
				return nil, refusal
			}
			b := best{unexplained: len(v.hit)}
			p.state.search(v, span.factor(), rect{
				int32(span.From), int32(span.From), int32(span.To), int32(span.To),
			}, &b)
			if !b.found || b.mixed || !p.stands(v, b) {
				return nil, &Refusal{ReasonAmbiguous, span.Partition, fmt.Sprintf(
					"the keys of this partition alone give events %d to %d (%s), but those of several partitions do not decide its ends", span.From, span.To, span.Kind)}
			}
			if b.from != span.From || b.to != span.To {
				spans[n] = spanOf(span.Partition, b.from, b.to, b.factor)
				moved = true
			}
		}
	}
	return spans, p.together(spans)
}

// others makes the view of span n's partition with all keys that can be in it,
// and with the differences that the other spans leave.
func (p *problem) others(spans []Span, n int) (*view, *Refusal) {
	rest := append(append([]Span{}, spans[:n]...), spans[n+1:]...)
	left := p.remaining(rest)
	diff := make([][]int64, p.columns)
	for c := range diff {
		diff[c] = make([]int64, p.in.Keys)
		for k := range diff[c] {
			d, ok := left.rest[k*p.columns+c].narrow()
			if !ok {
				return nil, &Refusal{ReasonTooLarge, -1, fmt.Sprintf("what the spans of other partitions leave of key %d does not fit", k)}
			}
			diff[c][k] = d
		}
	}
	id := int32(spans[n].Partition)
	return p.look(spans[n].Partition, diff, func(key int32) bool { return p.owner[key] == id || p.owner[key] == shared }), nil
}

// together refuses where an end of one span and an end of another can move at
// once with the same result: an event of a shared key beside each.
func (p *problem) together(spans []Span) *Refusal {
	foreign := make(map[int32]bool)
	for _, key := range p.remaining(spans).keys {
		foreign[key] = true
	}
	seen := map[uint64]int{} // what a move does, to the span that moves
	for n, span := range spans {
		for _, sum := range p.moves(span, foreign) {
			if sum == 0 {
				continue
			}
			if other, ok := seen[-sum]; ok {
				return &Refusal{ReasonAmbiguous, span.Partition, fmt.Sprintf(
					"an end of events %d to %d can move together with one in partition %d: a key of both partitions is beside each",
					span.From, span.To, spans[other].Partition)}
			}
		}
		for _, sum := range p.moves(span, foreign) {
			seen[sum] = n
		}
	}
	return nil
}

// moves returns what each move of one end of a span does to all keys, weighted.
// An end moves as far as the events beside it are of shared or foreign keys.
func (p *problem) moves(span Span, foreign map[int32]bool) []uint64 {
	const most = 64
	part := &p.in.Partitions[span.Partition]
	var out []uint64
	walk := func(i, step int, sign int64) {
		var sum uint64
		for n := 0; n < most && i >= 0 && i < len(part.Keys); i, n = i+step, n+1 {
			key := part.Keys[i]
			if foreign[key] {
				continue
			}
			before := sum
			for c, column := range part.Amounts {
				sum += p.weights[int(key)*p.columns+c] * uint64(column[i]*sign*span.factor())
			}
			if p.owner[key] != shared && sum != before {
				return
			}
			out = append(out, sum)
		}
	}
	walk(span.From-1, -1, 1)
	walk(span.From, 1, -1)
	walk(span.To, 1, 1)
	walk(span.To-1, -1, -1)
	return out
}
