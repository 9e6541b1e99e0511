package main

import (
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
)

// fault is what a worker did wrong to the events of the error window.
type fault struct {
	lists    [mostLists]bool // the batch's lists: missed, or processed again
	late     bool
	twice    bool
	order    bool
	previous bool
	own      ownFault
}

// ownFault is a fault of no hypothesis.
type ownFault int

const (
	ownNone  ownFault = iota
	ownLost           // every other hit event was lost
	ownTwice          // every other hit event was processed twice
	ownLogic          // every hit event counted one unit too much
)

// row is what the worker holds of one key.
type row struct {
	total   *big.Rat
	n       int64
	last    string
	lastOrd string

	frozen bool // it is never edited; entries beside it correct it

	// How far it is, as the table's columns say it.
	version int64
	pos     int
	lane    int
	event   string
	at      int // event time of its last event
}

// text is what is compared.
func (r *row) text(b *batch) string {
	if r == nil {
		return "-"
	}
	parts := []string{strconv.FormatInt(r.n, 10)}
	if b.sums() {
		parts = append(parts, r.total.FloatString(2))
	}
	if b.lastWins {
		parts = append(parts, r.last)
	}
	return strings.Join(parts, "|")
}

func (r *row) clone() *row {
	if r == nil {
		return nil
	}
	c := *r
	c.total = new(big.Rat).Set(r.total)
	return &c
}

// table is a worker's rows by key.
type table map[string]*row

// work is the naive worker: it takes entry after entry, reads the row, adds to it
// and writes it back.
func (b *batch) work(rows table, entries []*entry, f fault) {
	for _, e := range entries {
		for range b.copies(e, f) {
			b.absorb(rows, e, f)
		}
	}
}

// copies is how often the worker processes an entry.
func (b *batch) copies(e *entry, f fault) int {
	hit := b.hit(e)
	switch {
	case e.bad || e.dies:
		return 0
	case e.repeat && b.dedupe && (!f.twice || !hit):
		return 0
	case !hit:
		return 1
	case f.late && b.late(e):
		return 0
	}
	n := 1
	for i, l := range b.lists {
		if !f.lists[i] || !b.on(l, i, e) {
			continue
		}
		if l.times == 0 {
			return 0
		}
		n += l.times - 1
	}
	odd := e.cents%2 != 0
	switch {
	case f.own == ownLost && odd:
		return 0
	case f.own == ownTwice && odd:
		return n + 1
	}
	return n
}

// absorb adds an entry to the row of its key.
func (b *batch) absorb(rows table, e *entry, f fault) {
	who, cents := e.who, b.value(e)
	if f.previous && b.hit(e) {
		switch b.previous {
		case prevAbs:
			cents = max(cents, -cents)
		case prevSkip:
			if e.kind == "b" {
				return
			}
		case prevRoute:
			if e.kind == "b" {
				who += "-x"
			}
		case prevDouble:
			if e.kind == "a" {
				cents *= 2
			}
		case prevNone:
		}
	}
	if f.own == ownLogic && b.hit(e) {
		cents += 100
	}
	for _, key := range b.keys(who, e) {
		b.absorbInto(rows, key, e, cents, f)
	}
}

func (b *batch) absorbInto(rows table, key string, e *entry, cents int64, f fault) {
	r := rows[key]
	if r == nil {
		r = &row{total: new(big.Rat)}
		rows[key] = r
	}
	r.total.Add(r.total, big.NewRat(cents, 100))
	r.n++
	ord := fmt.Sprintf("%20d", e.pos)
	if b.order && !f.order {
		ord = fmt.Sprintf("%20d %d %20d", e.ord, e.lane, e.pos)
	}
	if ord >= r.lastOrd {
		r.last, r.lastOrd = e.kind, ord
	}
	r.version++
	r.pos, r.lane, r.event, r.at = e.pos, e.lane, e.id, e.at
}

// keys names the rows that an entry is part of.
func (b *batch) keys(who string, e *entry) (list []string) {
	if !b.bucketed() {
		return []string{who}
	}
	for bucket := e.at - e.at%hour; bucket <= e.at+b.remembers; bucket += hour {
		list = append(list, who+"@"+instant(bucket).Format(sqlTime))
	}
	return list
}

// right is the table of the worker that never went wrong.
func (b *batch) right(entries []*entry) table {
	rows := table{}
	b.work(rows, entries, fault{})
	return rows
}

func (h *history) sort() {
	slices.SortStableFunc(h.log, func(a, b *entry) int { return a.tick - b.tick })
}
