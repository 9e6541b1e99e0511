// Package logorder finds the order in which archived events lay in their log. They
// came in that order, but for spans that were brought in by themselves: those came
// after events that follow them. Within a commit, each partition was read without
// leaving anything out, so that commits are in order or apart, partition by
// partition.
package logorder

import (
	"cmp"
	"maps"
	"math"
	"slices"
)

// Leg is a run of sequence numbers, both ends inside, and which partitions of it.
type Leg struct {
	From, To   int64
	Partitions map[string]bool // nil: all
}

// All is the leg that has every event.
func All() Leg { return Leg{From: math.MinInt64, To: math.MaxInt64} }

// Has says whether an event is part of the leg.
func (l Leg) Has(seq int64, partition string) bool {
	return seq >= l.From && seq <= l.To && (l.Partitions == nil || l.Partitions[partition])
}

// Order is told of events in order of arrival. The zero Order is ready.
type Order struct {
	commits []*commit // by growing sequence number
	last    map[string]string
	broken  bool
}

// commit is what one commit brought.
type commit struct {
	number   int64
	from, to int64
	first    map[string]string // by partition, the smallest position
}

// Add tells of the next event.
func (o *Order) Add(number, seq int64, partition, position string) {
	if n := len(o.commits); n == 0 || o.commits[n-1].number != number {
		o.commits = append(o.commits, &commit{number: number, from: seq, first: map[string]string{}})
	}
	c := o.commits[len(o.commits)-1]
	c.to = seq
	if first, known := c.first[partition]; !known || position < first {
		c.first[partition] = position
	}
	if o.last == nil {
		o.last = map[string]string{}
	}
	if position < o.last[partition] {
		o.broken = true
	} else {
		o.last[partition] = position
	}
}

// Legs are the events in the order of the log: leg after leg, each by arrival. Of
// what may come next, the earliest arrival does.
func (o *Order) Legs() []Leg {
	if !o.broken {
		return []Leg{All()}
	}
	queues := map[string][]int{} // by partition, commits in order of their positions
	for i, c := range o.commits {
		for p := range c.first {
			queues[p] = append(queues[p], i)
		}
	}
	for p, list := range queues {
		slices.SortStableFunc(list, func(x, y int) int { return cmp.Compare(o.commits[x].first[p], o.commits[y].first[p]) })
	}
	left := make([]map[string]bool, len(o.commits)) // partitions that are still to come
	for i, c := range o.commits {
		left[i] = map[string]bool{}
		for p := range c.first {
			left[i][p] = true
		}
	}
	var legs []Leg
	before := -2 // the commit whose whole leg is the last one
	for done := 0; done < len(o.commits); {
		i, ready := choose(left, queues, done)
		whole := len(ready) == len(o.commits[i].first)
		for _, p := range ready {
			delete(left[i], p)
			queues[p] = queues[p][1:]
		}
		if whole && before == i-1 {
			legs[len(legs)-1].To = o.commits[i].to
		} else {
			legs = append(legs, o.leg(i, whole, ready))
		}
		if before = -2; whole {
			before = i
		}
		for done < len(left) && len(left[done]) == 0 {
			done++
		}
	}
	return legs
}

func (o *Order) leg(i int, whole bool, ready []string) Leg {
	l := Leg{From: o.commits[i].from, To: o.commits[i].to}
	if !whole {
		l.Partitions = map[string]bool{}
		for _, p := range ready {
			l.Partitions[p] = true
		}
	}
	return l
}

// choose returns the earliest commit whose partitions are all next, or else the
// earliest of which one is.
func choose(left []map[string]bool, queues map[string][]int, from int) (i int, ready []string) {
	part := -1
	var some []string
	for i := from; i < len(left); i++ {
		if len(left[i]) == 0 {
			continue
		}
		ready = ready[:0]
		for _, p := range slices.Sorted(maps.Keys(left[i])) {
			if queues[p][0] == i {
				ready = append(ready, p)
			}
		}
		if len(ready) == len(left[i]) {
			return i, ready
		}
		if part < 0 && len(ready) > 0 {
			part, some = i, slices.Clone(ready)
		}
	}
	return part, some
}
