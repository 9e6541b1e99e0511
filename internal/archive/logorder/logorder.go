// Package logorder finds the order in which archived events lay in their log. They
// came in that order, but for spans that were brought in by themselves: those came
// after events that follow them, and later commits passed them by. Within a commit,
// the events of a partition are in order.
package logorder

import (
	"cmp"
	"maps"
	"math"
	"slices"
)

// Leg is a run of sequence numbers, both ends inside, and which positions of it.
type Leg struct {
	From, To  int64
	Positions map[string]Span // by partition; nil: all
}

// Span is the half-open span [From, To) of positions, compared as texts.
type Span struct{ From, To string }

// All is the leg that has every event.
func All() Leg { return Leg{From: math.MinInt64, To: math.MaxInt64} }

// Has says whether an event is part of the leg.
func (l Leg) Has(seq int64, partition, position string) bool {
	if seq < l.From || seq > l.To || l.Positions == nil {
		return seq >= l.From && seq <= l.To
	}
	s, there := l.Positions[partition]
	return there && s.From <= position && position < s.To
}

// Order is told of events in order of arrival. The zero Order is ready.
type Order struct {
	commits []*commit // by growing sequence number
	last    map[string]string
	broken  bool
}

// commit is what one commit brought.
type commit struct {
	from, to int64
	number   int64
	spans    map[string]Span // by partition, all of its positions
}

// after is the first text after a position.
func after(position string) string { return position + "\x00" }

// Add tells of the next event.
func (o *Order) Add(number, seq int64, partition, position string) {
	if n := len(o.commits); n == 0 || o.commits[n-1].number != number {
		o.commits = append(o.commits, &commit{number: number, from: seq, spans: map[string]Span{}})
	}
	c := o.commits[len(o.commits)-1]
	c.to = seq
	s, known := c.spans[partition]
	if !known || position < s.From {
		s.From = position
	}
	s.To = max(s.To, after(position))
	c.spans[partition] = s
	if o.last == nil {
		o.last = map[string]string{}
	}
	if position < o.last[partition] {
		o.broken = true
	} else {
		o.last[partition] = position
	}
}

// piece is a part of what a commit brought of a partition: no other commit has
// positions both before and after one of it and inside.
type piece struct {
	Span
	commit int
}

// pieces cuts the spans of a partition wherever one of them begins or ends, and puts
// the pieces in order.
func (o *Order) pieces(partition string) []piece {
	var cuts []string
	for _, c := range o.commits {
		if s, there := c.spans[partition]; there {
			cuts = append(cuts, s.From, s.To)
		}
	}
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)
	var list []piece
	for i, c := range o.commits {
		s, there := c.spans[partition]
		if !there {
			continue
		}
		at, _ := slices.BinarySearch(cuts, s.From)
		for ; cuts[at] < s.To; at++ {
			list = append(list, piece{Span{cuts[at], cuts[at+1]}, i})
		}
	}
	slices.SortStableFunc(list, func(x, y piece) int { return cmp.Compare(x.From, y.From) })
	return list
}

// Legs are the events in the order of the log: leg after leg, each by arrival. Of
// what may come next, the earliest arrival does.
func (o *Order) Legs() []Leg {
	if !o.broken {
		return []Leg{All()}
	}
	w := &walk{queues: map[string][]piece{}, left: make([]map[string]int, len(o.commits))}
	for i, c := range o.commits {
		w.left[i] = map[string]int{}
		for p := range c.spans {
			if w.queues[p] == nil {
				w.queues[p] = o.pieces(p)
			}
		}
	}
	for p, list := range w.queues {
		for _, piece := range list {
			w.left[piece.commit][p]++
		}
	}
	var legs []Leg
	before := -2 // the commit whose whole leg is the last one
	for w.done < len(o.commits) {
		i := w.choose()
		fresh := len(w.left[i]) == len(o.commits[i].spans)
		for p, n := range w.left[i] {
			fresh = fresh && w.next(i, p) == n && w.queues[p][0].From == o.commits[i].spans[p].From
		}
		leg := w.take(i, o.commits[i])
		switch {
		case fresh && before == i-1:
			legs[len(legs)-1].To = leg.To
		case fresh:
			leg.Positions = nil
			legs = append(legs, leg)
		default:
			legs = append(legs, leg)
		}
		if before = -2; fresh {
			before = i
		}
	}
	return legs
}

// walk goes through all pieces.
type walk struct {
	queues map[string][]piece // by partition, what is still to come
	left   []map[string]int   // by commit and partition, how many pieces are still to come
	done   int                // commits before it are through
}

// next counts the pieces of a commit that are the next ones of a partition.
func (w *walk) next(commit int, partition string) (n int) {
	for _, p := range w.queues[partition] {
		if p.commit != commit {
			break
		}
		n++
	}
	return n
}

// choose returns the earliest commit all of which may come next, or else the
// earliest of which a part may.
func (w *walk) choose() int {
	part := -1
	for i := w.done; i < len(w.left); i++ {
		whole := len(w.left[i]) > 0
		for p, n := range w.left[i] {
			next := w.next(i, p)
			whole = whole && next == n
			if next > 0 && part < 0 {
				part = i
			}
		}
		if whole {
			return i
		}
	}
	return part
}

// take takes from the queues what may come next of a commit.
func (w *walk) take(i int, c *commit) Leg {
	leg := Leg{From: c.from, To: c.to, Positions: map[string]Span{}}
	for _, p := range slices.Sorted(maps.Keys(w.left[i])) {
		n := w.next(i, p)
		if n == 0 {
			continue
		}
		queue := w.queues[p]
		leg.Positions[p] = Span{queue[0].From, queue[n-1].To}
		w.queues[p] = queue[n:]
		if w.left[i][p] -= n; w.left[i][p] == 0 {
			delete(w.left[i], p)
		}
	}
	for w.done < len(w.left) && len(w.left[w.done]) == 0 {
		w.done++
	}
	return leg
}
