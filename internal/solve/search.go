package solve

import "slices"

// best is the best of the spans seen.
type best struct {
	found       bool
	unexplained int
	factor      int64
	mark        uint64 // of the set of unexplained keys
	mixed       bool   // spans that differ in more than undecided ends are as good
	from, to    int    // what all of the best have in common
	any         [2]int // one of them, to show
}

// see takes note of a span.
func (b *best) see(unexplained int, factor int64, mark uint64, from, to int) {
	switch {
	case from >= to || unexplained > b.unexplained || unexplained == b.unexplained && !b.found:
	case unexplained < b.unexplained:
		*b = best{true, unexplained, factor, mark, false, from, to, [2]int{from, to}}
	case factor != b.factor || mark != b.mark:
		b.mixed = true
	default:
		// The same keys are explained by the same amounts: what the spans do not
		// share adds nothing to them.
		b.from, b.to = max(b.from, from), min(b.to, to)
	}
}

// state is a span that can be moved, and what it leaves of each key's difference.
type state struct {
	v        *view
	columns  int
	rest     []wide  // of key k and column c at k*columns+c, in multiples of the factor
	open     []uint8 // columns of a key that are not zero, and never
	from, to int
	// unexplained counts the keys that are open, and mark is their set.
	unexplained int
	mark        uint64
}

// never marks a key whose difference is no multiple of the factor.
const never = 0x80

func (s *state) init(keys, columns int) {
	s.columns = columns
	s.rest = make([]wide, keys*columns)
	s.open = make([]uint8, keys)
}

// begin puts the span at [from, to) of v, under a factor.
func (s *state) begin(v *view, factor int64, from, to int) {
	s.v, s.from, s.to, s.unexplained, s.mark = v, from, from, 0, 0
	clear(s.rest)
	clear(s.open)
	for _, key := range v.hit {
		for c, column := range v.diff {
			d := column[key]
			if d == 0 {
				continue
			}
			s.open[key]++
			switch {
			case d%factor != 0:
				s.open[key] |= never
			case factor == -1: // the quotient of the least int64 would not fit
				s.rest[int(key)*s.columns+c] = widen(d).neg()
			default:
				s.rest[int(key)*s.columns+c] = widen(d / factor)
			}
		}
		s.turn(key)
		s.unexplained++
	}
	for i := from; i < to; i++ {
		s.enter(i)
	}
	s.to = to
}

func (s *state) turn(key int32) { s.mark ^= mix(uint64(key) + 1) }

// enter takes event i into the span, leave out of it.
func (s *state) enter(i int) { s.change(i, false) }
func (s *state) leave(i int) { s.change(i, true) }

func (s *state) change(i int, back bool) {
	key := s.v.part.Keys[i]
	if !s.v.counts[key] {
		return
	}
	was := s.open[key]
	is := was
	for c, column := range s.v.part.Amounts {
		amount := column[i]
		if amount == 0 {
			continue
		}
		rest := &s.rest[int(key)*s.columns+c]
		if rest.zero() {
			is++
		}
		if back {
			*rest = rest.add(widen(amount))
		} else {
			*rest = rest.sub(widen(amount))
		}
		if rest.zero() {
			is--
		}
	}
	s.open[key] = is
	if (was == 0) != (is == 0) {
		s.turn(key)
		if is == 0 {
			s.unexplained--
		} else {
			s.unexplained++
		}
	}
}

// move puts the span at [from, to).
func (s *state) move(from, to int) {
	for ; s.from > from; s.from-- {
		s.enter(s.from - 1)
	}
	for ; s.from < from; s.from++ {
		s.leave(s.from)
	}
	for ; s.to < to; s.to++ {
		s.enter(s.to)
	}
	for ; s.to > to; s.to-- {
		s.leave(s.to - 1)
	}
}

// reach is how many deciding events around an end are tried with each of the
// other end's, and far how many are tried alone.
const (
	reach = 64
	far   = 2048
)

// search looks for the best spans around a cell and has b see them. First each
// end is moved alone, which finds the way out of a wide cell; then both at once.
func (s *state) search(v *view, factor int64, cell rect, b *best) {
	from, to := int(cell.fromHi), int(cell.toLo)
	if from >= to { // the cell allows spans shorter than itself
		from, to = int(cell.fromLo), int(cell.toHi)
	}
	for from < to && !v.decides(from) {
		from++
	}
	for from < to && !v.decides(to-1) {
		to--
	}
	if from >= to {
		return
	}
	s.begin(v, factor, from, to)
	here := best{unexplained: len(v.hit)}
	here.see(s.unexplained, factor, s.mark, from, to)
	for {
		s.slide(factor, &here)
		s.square(factor, &here)
		if !here.found || here.mixed || here.from >= here.to || here.from == from && here.to == to {
			break
		}
		// Better, or smaller: look around that one.
		from, to = here.from, here.to
		s.move(from, to)
	}
	b.merge(here)
}

// merge has b see all that other saw.
func (b *best) merge(other best) {
	if !other.found {
		return
	}
	if other.unexplained < b.unexplained {
		*b = other
		return
	}
	if other.unexplained == b.unexplained && b.found {
		if other.mixed || other.factor != b.factor || other.mark != b.mark {
			b.mixed = true
		}
		b.from, b.to = max(b.from, other.from), min(b.to, other.to)
	}
}

// slide moves one end alone, then the other, as long as that helps.
func (s *state) slide(factor int64, b *best) {
	for {
		before := s.unexplained
		from, to, least := s.from, s.to, s.unexplained
		list := s.around(s.from, far)
		s.stepFrom(list, 0)
		for n := range list {
			s.stepFrom(list, n)
			b.see(s.unexplained, factor, s.mark, s.from, s.to)
			if s.from < s.to && s.unexplained < least {
				from, least = s.from, s.unexplained
			}
		}
		s.move(from, to)
		list = s.around(s.to-1, far)
		for n := range list {
			s.stepTo(list, n)
			b.see(s.unexplained, factor, s.mark, s.from, s.to)
			if s.from < s.to && s.unexplained < least {
				to, least = s.to, s.unexplained
			}
		}
		s.move(from, to)
		if least >= before {
			return
		}
	}
}

// square moves both ends at once, and returns to where it began.
func (s *state) square(factor int64, b *best) {
	from, to := s.from, s.to
	froms, tos := s.around(from, reach), s.around(to-1, reach)
	for n := range froms {
		s.stepFrom(froms, n)
		for m := range tos {
			if n%2 == 1 { // back, so that no row of the square begins with a jump
				m = len(tos) - 1 - m
			}
			s.stepTo(tos, m)
			b.see(s.unexplained, factor, s.mark, s.from, s.to)
		}
	}
	s.move(from, to)
}

// around lists deciding events in order: at most so many before i, and at most so
// many from i on.
func (s *state) around(i, most int) []int {
	var list []int
	for n := i - 1; n >= 0 && len(list) < most; n-- {
		if s.v.decides(n) {
			list = append(list, n)
		}
	}
	slices.Reverse(list)
	before := len(list)
	for n := i; n < len(s.v.part.Keys) && len(list)-before < most; n++ {
		if s.v.decides(n) {
			list = append(list, n)
		}
	}
	return list
}

// stepFrom has the span begin with the event list[n].
func (s *state) stepFrom(list []int, n int) { s.move(list[n], s.to) }

// stepTo has the span end with the event list[n].
func (s *state) stepTo(list []int, n int) { s.move(s.from, list[n]+1) }
