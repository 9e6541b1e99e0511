package positions

import (
	"cmp"
	"slices"
)

// Span is the run [From, To) of numbers.
type Span struct{ From, To int64 }

// Set is a set of numbers, as spans that are sorted and apart from each other. The
// zero Set is empty.
type Set struct{ spans []Span }

// Spans are the set's, which must not be changed.
func (s *Set) Spans() []Span { return s.spans }

// Add adds spans and returns the parts that were there already, or are in two of
// them.
func (s *Set) Add(spans []Span) (twice []Span) {
	if len(spans) == 0 {
		return nil
	}
	all := slices.Concat(s.spans, spans)
	slices.SortFunc(all, func(a, b Span) int { return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To)) })
	out := all[:0]
	for _, next := range all {
		if next.From >= next.To {
			continue
		}
		if len(out) == 0 || next.From > out[len(out)-1].To {
			out = append(out, next)
			continue
		}
		last := &out[len(out)-1]
		if next.From < last.To {
			twice = append(twice, Span{next.From, min(next.To, last.To)})
		}
		last.To = max(last.To, next.To)
	}
	s.spans = slices.Clip(out)
	return twice
}

// Missing returns the parts of a span that are not in the set, in order.
func (s *Set) Missing(of Span) []Span {
	var out []Span
	from := of.From
	i, _ := slices.BinarySearchFunc(s.spans, of.From, func(x Span, at int64) int { return cmp.Compare(x.To, at) })
	for ; i < len(s.spans) && s.spans[i].From < of.To && from < of.To; i++ {
		if x := s.spans[i]; x.From > from {
			out = append(out, Span{from, x.From})
		}
		from = max(from, s.spans[i].To)
	}
	if from < of.To {
		out = append(out, Span{from, of.To})
	}
	return out
}

// Without returns the spans of list without the numbers of the set.
func (s *Set) Without(list []Span) []Span {
	var out []Span
	for _, span := range list {
		out = append(out, s.Missing(span)...)
	}
	return out
}
