package main

import (
	"math/rand/v2"
	"slices"
	"strings"
)

// batch is a project with many histories: they share the archive, the window and
// the configuration, and no event or key.
type batch struct {
	seed      uint64
	number    int
	histories []*history

	// What the project says.
	memory      memory
	cut         cut
	clock       clockKind
	lanes       int
	mixed       bool // some keys have events of several lanes
	folds       bool // the logic is a fold where one can be
	lastWins    bool // rows have the kind of their last event
	order       bool // event.order
	dedupe      bool
	previous    previous
	lists       []listed
	lateAfter   int // in ticks; -1: no such hypothesis
	given       given
	unexplained string // "", hold or correct
	extra       string // "", report, explained or delete
	write       string // "", set, delta, adjust
	against     string // the cause of which a delta is taken
	from, to    int    // the window that is asked for, in ticks
	spanFrom    int    // the same, widened to whole buckets
	spanTo      int
	remembers   int // how long before its own a bucket remembers, in ticks

	shape

	database string            // the target's block
	pause    []int             // by lane: the tick at which the paused worker stands
	ids      []map[string]bool // the files of ids, by list
	hitIDs   map[string]bool   // the ids of the window
	lines    int               // archived lines
	laneEnd  []int             // and those of each lane
}

// given says which faults the project names as hypotheses; lists that are not
// given have list.given false.
type given struct{ late, order, previous bool }

type memory int

const (
	memoryWindow memory = iota // no bucket: rows hold the window's events alone
	memoryBucket
	memoryRolling // buckets that remember some time before their own
	memoryUnbounded
)

type cut int

const (
	cutClosed cut = iota
	cutPaused
	cutOffset
	cutVersion
	cutEvent
	cutFound
)

type clockKind int

const (
	byEvent clockKind = iota
	byIngest
	byPosition
	byIDs
)

type previous int

const (
	prevNone previous = iota
	prevAbs
	prevSkip
	prevRoute
	prevDouble
)

// listed is a list of events: missed, or processed several times.
type listed struct {
	times int // 0: missed
	given bool
	kinds string // "": all; else only events of these kinds
	by    listKind
	from  int // ticks: of event time, or of the log's order
	to    int
	lane  int
}

type listKind int

const (
	listTimes listKind = iota
	listPositions
	listWhere
	listIDs
	listProcessed
)

// everything says that all rows of the window are looked at.
func (b *batch) everything() bool {
	return (b.memory == memoryWindow || b.memory == memoryBucket) && b.clock == byEvent
}

// reads says whether the rows that are compared remember an entry.
func (b *batch) reads(e *entry) bool {
	switch b.memory {
	case memoryBucket:
		return e.at >= b.spanFrom && e.at < b.spanTo
	case memoryRolling:
		return e.at >= b.spanFrom-b.remembers && e.at < b.lastOwned()
	case memoryWindow:
		return b.hit(e)
	case memoryUnbounded:
	}
	return b.cut != cutPaused || e.tick < b.pause[e.lane]
}

// owned says whether a row belongs to the rows that are compared.
func (b *batch) owned(key string) bool {
	_, at, bucketed := strings.Cut(key, "@")
	return !bucketed || at >= instant(b.spanFrom).Format(sqlTime) && at < instant(b.lastOwned()).Format(sqlTime)
}

// lastOwned is the end of the buckets that a hit event can reach.
func (b *batch) lastOwned() int { return (b.spanTo + b.remembers + hour - 1) / hour * hour }

// sqlTime is how the table spells an hour.
const sqlTime = "2006-01-02 15:04:05"

// widen finds the whole buckets of the window.
func (b *batch) widen() {
	from, to := b.from, b.to
	if b.clock != byEvent {
		from, to = planned, 0
		for _, e := range b.all(0, planned) {
			if b.hit(e) && (e.bad || !e.repeat || !b.dedupe) { // the rows of quarantined ones are looked at
				from, to = min(from, e.at), max(to, e.at+1)
			}
		}
	}
	b.spanFrom, b.spanTo = from-from%hour, (to+hour-1)/hour*hour
}

func (b *batch) bucketed() bool { return b.memory == memoryBucket || b.memory == memoryRolling }
func (b *batch) running() bool  { return b.memory == memoryUnbounded }

// sums says that rows have a total. Where a row itself, or a count, says how far
// it is, it needs one: a count and a letter fit too many accounts by chance.
func (b *batch) sums() bool { return !b.lastWins || b.cut == cutFound || b.cut == cutVersion }

// hypotheses says whether the project names any.
func (b *batch) hypotheses() bool {
	for _, l := range b.lists {
		if l.given {
			return true
		}
	}
	return b.given.late || b.given.order || b.given.previous
}

// hit says whether an entry is in the error window.
func (b *batch) hit(e *entry) bool {
	switch b.clock {
	case byIngest:
		return e.in >= b.from && e.in < b.to
	case byPosition:
		return e.tick >= b.from && e.tick < b.to && (b.lanes == 1 || e.lane != b.lanes-1)
	case byIDs:
		return b.hitIDs[e.id]
	case byEvent:
	}
	return e.at >= b.from && e.at < b.to
}

// on says whether a hit entry is on the ith list.
func (b *batch) on(l listed, i int, e *entry) bool {
	if l.kinds != "" && l.kinds[0] != e.kind[0] && l.kinds[1] != e.kind[0] {
		return false
	}
	switch l.by {
	case listTimes:
		return e.at >= l.from && e.at < l.to
	case listPositions:
		return e.lane == l.lane && e.tick >= l.from && e.tick < l.to
	case listWhere:
		return e.ord%2 == 0
	case listIDs:
		return b.ids[i][e.id]
	case listProcessed:
		return !b.ids[i][e.id]
	}
	return false
}

// late says whether an entry came later than the hypothesis allows.
func (b *batch) late(e *entry) bool {
	end := b.to
	if b.bucketed() {
		end = e.at - e.at%hour + hour
	}
	return e.in >= end+b.lateAfter
}

// newBatch draws what the histories of a batch share.
func newBatch(seed uint64, number int, folds bool) *batch {
	rng := rand.New(rand.NewPCG(seed, uint64(number)+1<<32)) //nolint:gosec // a batch that its seed repeats
	b := &batch{seed: seed, number: number, folds: folds, lanes: 1 + rng.IntN(4), dedupe: rng.IntN(8) != 0, lateAfter: -1}
	b.memory = []memory{memoryWindow, memoryBucket, memoryBucket, memoryRolling, memoryUnbounded, memoryUnbounded, memoryUnbounded, memoryUnbounded}[rng.IntN(8)]
	if b.memory == memoryRolling {
		b.remembers = []int{hour, 2 * hour, 3 * hour / 2, hour / 2}[rng.IntN(4)]
	}
	if b.running() {
		b.cut = cut(1 + rng.IntN(5))
	}
	b.clock = clockKind(rng.IntN(4))
	b.from, b.to = windowAt, windowEnd
	if b.bucketed() {
		b.from, b.to = b.from+rng.IntN(hour/2), b.to-rng.IntN(hour/3)
	}
	b.drawLogic(rng)
	b.drawLists(rng)
	if b.bucketed() || b.clock == byEvent {
		b.lateAfter = rng.IntN(hour / 2)
		b.given.late = rng.IntN(3) == 0
	}
	for range b.lanes {
		b.pause = append(b.pause, planned-rng.IntN(round))
	}
	if b.cut == cutFound && !b.hypotheses() {
		b.cut = cutOffset // what is found needs something to look for
	}
	b.unexplained = []string{"", "", "hold", "correct"}[rng.IntN(4)]
	if parts := b.parts(true); b.hypotheses() && !b.lastWins && rng.IntN(3) == 0 {
		b.write = "delta"
		given := slices.DeleteFunc(parts, func(p part) bool { return p.name == "twice" || p.name == "order" })
		b.against = given[rng.IntN(len(given))].name
	}
	b.extra = []string{"", "report", "explained", "delete"}[rng.IntN(4)]
	if !b.lastWins && b.write == "" && (!b.running() || b.cut == cutPaused) && rng.IntN(4) == 0 {
		b.write, b.extra = "adjust", "report" // an entry deletes no row
	}
	b.drawShape()
	return b
}

func (b *batch) drawLogic(rng *rand.Rand) {
	b.lastWins = rng.IntN(4) == 0
	b.order = b.lastWins && rng.IntN(2) == 0
	b.given.order = b.order && rng.IntN(2) == 0
	b.mixed = !b.lastWins
	b.previous = previous(rng.IntN(5))
	if !b.sums() && (b.previous == prevAbs || b.previous == prevDouble) {
		b.previous = prevRoute
	}
	b.given.previous = b.previous != prevNone && rng.IntN(3) != 0
}

// drawLists draws lists of events: those of a batch that has several are of
// different kinds of events, so that no two hold the same.
func (b *batch) drawLists(rng *rand.Rand) {
	n := rng.IntN(3)
	for i := range n {
		l := listed{by: listKind(rng.IntN(4)), given: rng.IntN(4) != 0, lane: rng.IntN(b.lanes)}
		if rng.IntN(3) == 0 {
			l.times = 2 + rng.IntN(2)
		}
		l.from = windowAt + rng.IntN(hour/2)
		l.to = windowMid + 2 + rng.IntN(hour/2)
		if n > 1 {
			l.kinds = []string{"ab", "cd"}[i]
		}
		b.lists = append(b.lists, l)
	}
	if rng.IntN(6) == 0 {
		b.lists = append(b.lists, listed{by: listProcessed, given: true})
	}
}

// randomFault draws what a worker did: nothing, one or several of the faults
// that the batch knows, given as hypotheses or not, or one that nobody gave.
func (b *batch) randomFault(rng *rand.Rand) (f fault) {
	if rng.IntN(4) == 0 {
		return f
	}
	if rng.IntN(7) == 0 {
		f.own = ownFault(1 + rng.IntN(3))
		return f
	}
	for range 1 + rng.IntN(3)/2 + rng.IntN(5)/4 {
		switch pick := rng.IntN(len(b.lists) + 4); {
		case pick < len(b.lists):
			f.lists[pick] = true
		case pick == len(b.lists):
			f.twice = true
		case pick == len(b.lists)+1:
			f.previous = b.previous != prevNone
		case pick == len(b.lists)+2:
			f.late = b.lateAfter >= 0
		default:
			f.order = b.order
		}
	}
	return f
}
