package main

import (
	"cmp"
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"strings"

	"recount"
)

// verdict is what must become of a row, as the oracle says it.
type verdict struct {
	action recount.Action // empty: it is right
	cause  string         // of a write
	after  string         // what a write makes of it
	dim    bool           // a checkpoint may hide where the row stands: then it is held
	beside bool           // no hit event touches it: it is not part of the plan
}

// part is one hypothesis that the project gives.
type part struct {
	name  string
	place int
	set   func(*fault)
}

// account is a combination of hypotheses.
type account struct {
	cause string
	fault fault
}

// parts lists the given hypotheses in the order in which they are tried.
func (b *batch) parts(repeats bool) (list []part) {
	missed, again := 0, 0
	for _, l := range b.lists {
		if l.given && l.times == 0 {
			missed++
		}
		if l.given && l.times > 0 {
			again++
		}
	}
	numbered := func(name string, of int, match func(listed) bool, place int) {
		n := 0
		for i, l := range b.lists {
			if !l.given || !match(l) {
				continue
			}
			n++
			shown := name
			if of > 1 {
				shown = fmt.Sprintf("%s.%d", name, n)
			}
			list = append(list, part{shown, place, func(f *fault) { f.lists[i] = true }})
		}
	}
	numbered("missed", missed, func(l listed) bool { return l.times == 0 }, 1)
	numbered("again", again, func(l listed) bool { return l.times > 0 }, 2)
	if b.given.late {
		list = append(list, part{"late", 3, func(f *fault) { f.late = true }})
	}
	if repeats && b.dedupe {
		list = append(list, part{"twice", 4, func(f *fault) { f.twice = true }})
	}
	if b.given.order {
		list = append(list, part{"order", 5, func(f *fault) { f.order = true }})
	}
	if b.given.previous {
		list = append(list, part{"previous", 0, func(f *fault) { f.previous = true }})
	}
	return list
}

// accounts lists the combinations that are tried: those of few parts first.
func (b *batch) accounts(repeats bool) (list []account) {
	parts := b.parts(repeats)
	var masks []uint
	for m := uint(1); m < 1<<len(parts); m++ {
		masks = append(masks, m)
	}
	slices.SortFunc(masks, func(x, y uint) int { // lower bits are earlier parts
		return cmp.Or(cmp.Compare(bits.OnesCount(x), bits.OnesCount(y)), cmp.Compare(bits.Reverse(y), bits.Reverse(x)))
	})
	const most = 16
	for _, m := range masks[:min(len(masks), most)] {
		var a account
		var chosen []part
		for i, p := range parts {
			if m>>i&1 == 1 {
				chosen = append(chosen, p)
				p.set(&a.fault)
			}
		}
		slices.SortStableFunc(chosen, func(x, y part) int { return x.place - y.place })
		var names []string
		for _, p := range chosen {
			names = append(names, p.name)
		}
		a.cause = strings.Join(names, "+")
		list = append(list, a)
	}
	return list
}

// oracle judges the rows of one history.
type oracle struct {
	b        *batch
	entries  []*entry // the archived ones of the history
	live     table
	accounts []account
}

// judge says what must become of every row of the history.
func (o *oracle) judge() map[string]verdict {
	if o.b.running() && o.b.cut != cutPaused {
		return o.settle()
	}
	b := o.b
	read := o.read()
	right := b.right(read)
	excluded := o.excluded(read)
	touched := o.touched(read)
	made := make([]table, len(o.accounts), len(o.accounts)+1)
	for i, a := range o.accounts {
		made[i] = table{}
		b.work(made[i], read, a.fault)
	}
	out := map[string]verdict{}
	for key := range o.keys(slices.Concat(made, []table{right}), excluded) {
		var v verdict
		switch {
		case excluded[key]:
			v.action = recount.ActionExcluded
		case right[key] != nil && !b.everything() && !touched[key]:
			v.beside = true
		case right[key].text(b) == o.live[key].text(b):
			if right[key] == nil {
				continue
			}
		default:
			v = o.explain(key, right[key], made)
		}
		out[key] = v
	}
	return out
}

// keys are those of the rows that are looked at.
func (o *oracle) keys(tables []table, excluded map[string]bool) map[string]bool {
	keys := map[string]bool{}
	for _, t := range append(tables, o.live) {
		for key := range t {
			keys[key] = o.b.owned(key)
		}
	}
	for key := range excluded {
		keys[key] = true
	}
	maps.DeleteFunc(keys, func(_ string, in bool) bool { return !in })
	return keys
}

func (o *oracle) explain(key string, right *row, made []table) verdict {
	cause := ""
	for i, a := range o.accounts {
		if made[i][key].text(o.b) == o.live[key].text(o.b) {
			cause = a.cause
			break
		}
	}
	return o.decide(key, cause, right)
}

// decide is the policy over a row that is not right.
func (o *oracle) decide(key, cause string, right *row) verdict {
	b := o.b
	v := verdict{cause: cause, after: right.text(b)}
	if cause == "" {
		v.cause = string(recount.CauseUnknown)
	}
	known := cause != ""
	given := b.hypotheses()
	hold := given && b.unexplained != "correct"
	switch {
	case right == nil && b.extra == "delete" && (b.memory != memoryWindow || b.clock == byEvent): // else other events may make it
		v.action = recount.ActionDelete
		if hold && !known {
			v.action = recount.ActionHeld
		}
	case right == nil:
		v.action = recount.ActionExtra
		switch {
		case given && known && (b.extra == "explained" || b.extra == "delete"):
			v.action = recount.ActionDelete
		case given && !known:
			v.action = recount.ActionHeld
		}
	case hold && !known:
		v.action = recount.ActionHeld
	case o.live[key] == nil:
		v.action = recount.ActionInsert
	default:
		v.action = recount.ActionUpdate
	}
	if b.write == "delta" && v.action.Writes() && (v.action == recount.ActionDelete || cause != b.against) {
		v.action = recount.ActionHeld // a delta is right for one cause alone
	}
	return v
}

// read lists the entries that the rows remember.
func (o *oracle) read() (list []*entry) {
	for _, e := range o.entries {
		if o.b.reads(e) {
			list = append(list, e)
		}
	}
	return list
}

// excluded are the keys that a quarantined entry touches.
func (o *oracle) excluded(read []*entry) map[string]bool {
	return o.contributed(read, func(e *entry) bool { return e.bad || e.dies })
}

// touched are the keys to which a hit entry contributes.
func (o *oracle) touched(read []*entry) map[string]bool {
	return o.contributed(read, func(e *entry) bool { return !e.bad && o.b.hit(e) && (!e.repeat || !o.b.dedupe) })
}

// contributed are the keys of the rows that an entry makes alone, under the
// right logic or the previous one.
func (o *oracle) contributed(read []*entry, which func(*entry) bool) map[string]bool {
	keys := map[string]bool{}
	for _, e := range read {
		if !which(e) {
			continue
		}
		for _, f := range []fault{{}, {previous: o.b.given.previous}} {
			rows := table{}
			o.b.absorb(rows, e, f)
			for key := range rows {
				keys[key] = true
			}
		}
	}
	return keys
}
