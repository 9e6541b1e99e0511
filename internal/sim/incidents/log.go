package main

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// The incident's day. Ticks are seconds since its start; they order the log.
const (
	hour      = 3600
	windowAt  = hour     // the error window's edges, in ticks of event time
	windowEnd = 2 * hour // its end, outside
	windowMid = windowAt + hour/2
	planned   = 3 * hour // what reached the log before the plan was made
	round     = 900      // what reaches it from one act to the next
)

var dayStart = time.Date(2024, 6, 10, 11, 0, 0, 0, time.UTC)

func instant(tick int) time.Time { return dayStart.Add(time.Duration(tick) * time.Second) }

// entry is one line of the log.
type entry struct {
	id     string
	lane   int // the file, which is the partition
	tick   int // when it reached the log
	at     int // event time, in ticks
	in     int // when the source took it in, in ticks: a repeat says what its first copy says
	who    string
	kind   string
	cents  int64
	ord    int64
	poison bool
	dies   bool            // no fold survives it
	listed [mostLists]bool // the file of ids of that list names it

	history int
	seq     int  // its line, over all lanes, in the order in which they are archived
	pos     int  // its line in its lane, from 1
	repeat  bool // a sound copy of its id came before
	bad     bool // quarantined
}

const mostLists = 4

// history is one incident of its own: keys and events that no other history has.
type history struct {
	n      int
	log    []*entry // in order of tick, all rounds
	faults map[string]fault
	edits  map[string]edit
	laps   map[string][]int // by who: how far its rows are behind, a round
	frozen map[string]bool  // by who
	ghost  bool
}

// edit is what somebody else does to a row.
type edit int

const (
	editNone edit = iota
	editNonsense
	editCent
	editDelete
)

// newHistory draws a history. It depends on its seed and the batch's form alone,
// so that it can be run without the others.
func newHistory(b *batch, n int) *history {
	rng := rand.New(rand.NewPCG(b.seed^0x9e3779b97f4a7c15*uint64(b.number+1), uint64(n))) //nolint:gosec // a history that its seed repeats
	h := &history{n: n, faults: map[string]fault{}, edits: map[string]edit{}, laps: map[string][]int{}, frozen: map[string]bool{}}
	whole := b.randomFault(rng)
	for u := range 1 + rng.IntN(4) {
		who := fmt.Sprintf("h%04d-u%d", n, u)
		h.addEvents(b, rng, who, u)
		h.faults[who] = whole
		if rng.IntN(10) == 0 {
			h.faults[who] = fault{}
		}
		h.edits[who] = randomEdit(rng)
		h.frozen[who] = rng.IntN(2) == 0
		for range 4 {
			lap := 0
			if rng.IntN(3) == 0 {
				lap = rng.IntN(round)
			}
			h.laps[who] = append(h.laps[who], lap)
		}
	}
	h.ghost = rng.IntN(30) == 0
	h.sort()
	return h
}

func randomEdit(rng *rand.Rand) edit {
	switch rng.IntN(100) {
	case 0, 1, 2, 3, 4, 5:
		return editNonsense
	case 6, 7:
		return editCent
	case 8, 9:
		return editDelete
	}
	return editNone
}

// addEvents draws the events of one user.
func (h *history) addEvents(b *batch, rng *rand.Rand, who string, u int) {
	lane := rng.IntN(b.lanes)
	strays := b.mixed && rng.IntN(8) == 0
	count := 1 + rng.IntN(10)
	for i := range count {
		tick := rng.IntN(planned)
		switch rng.IntN(5) {
		case 0, 1:
			tick = windowAt + rng.IntN(windowEnd-windowAt)
		case 2:
			if rng.IntN(2) == 0 {
				tick = planned + rng.IntN(3*round) // live traffic
			}
		}
		e := &entry{
			id: fmt.Sprintf("h%04d-%d-%d", h.n, u, i), lane: lane, tick: tick, at: tick, in: tick, who: who, history: h.n,
			kind: string(rune('a' + rng.IntN(4))), cents: rng.Int64N(20_000_000) - 6_000_000,
		}
		if rng.IntN(30) == 0 {
			e.cents = 0
		}
		if strays && rng.IntN(2) == 0 {
			e.lane = rng.IntN(b.lanes)
		}
		if tick < planned && rng.IntN(6) == 0 { // it happened earlier than it came
			e.at = max(0, e.at-rng.IntN(2*hour))
		}
		b.form(e)
		e.ord = 10_000_000 + int64(e.tick)*100 + int64(i)
		if rng.IntN(5) == 0 && tick < planned-round {
			e.ord -= int64(rng.IntN(hour)) * 100
		}
		for l := range e.listed {
			e.listed[l] = rng.IntN(3) == 0
		}
		e.tick = h.freeTick(e.tick)
		h.log = append(h.log, e)
		h.addCopies(b, rng, e)
	}
}

// addCopies sometimes sends an event again, or another one under its id, or
// breaks it.
func (h *history) addCopies(b *batch, rng *rand.Rand, e *entry) {
	again := func() *entry {
		copied := *e
		copied.tick = e.tick + 1 + rng.IntN(hour/2)
		if e.tick < planned { // the worker is mended by the time of the plan
			copied.tick = min(copied.tick, planned-60)
		}
		copied.tick = h.freeTick(copied.tick)
		h.log = append(h.log, &copied)
		return &copied
	}
	switch pick := rng.IntN(120); {
	case pick < 8:
		again()
		if rng.IntN(4) == 0 {
			again()
		}
	case pick == 8 && e.tick < planned && !b.spotless(e): // later it would condemn what was planned before
		again().cents += 100
	case pick == 9 && !b.spotless(e):
		e.poison = true
	case pick == 10 && b.dies && !b.spotless(e):
		e.kind, e.dies = "x", true
		if e.cents%2 == 0 {
			again()
		}
	}
}

// freeTick returns the first tick from t on at which no event of the history
// came.
func (h *history) freeTick(t int) int {
	for _, e := range h.log {
		if e.tick == t {
			return h.freeTick(t + 1)
		}
	}
	return t
}

// filler is a history that every batch has: each lane has events in the window,
// and every list has some.
func filler(b *batch) *history {
	h := &history{n: fillerNumber, faults: map[string]fault{}, edits: map[string]edit{}, laps: map[string][]int{}, frozen: map[string]bool{}}
	for lane := range b.lanes {
		who := fmt.Sprintf("h%04d-u%d", h.n, lane)
		h.faults[who], h.laps[who] = fault{}, make([]int, 4)
		for i, tick := range []int{0, windowMid, windowMid + 1} {
			e := &entry{
				id: fmt.Sprintf("h%04d-%d-%d", h.n, lane, i), lane: lane, tick: tick, at: tick, in: tick, who: who, history: h.n,
				kind: []string{"a", "a", "c"}[i], cents: 1234, ord: 10_000_000 + int64(tick)*100,
			}
			for l := range e.listed {
				e.listed[l] = i > 0
			}
			h.log = append(h.log, e)
		}
	}
	h.sort()
	return h
}

const fillerNumber = 9999
