package main

import (
	"maps"
	"slices"
	"strconv"

	"recount"
)

// stand is a row as it would be if the worker stood at one entry of the key.
type stand struct {
	text   string
	mark   string // what the row's position column would say
	after  string // the right row there
	cause  string // empty: it is the right logic's
	row    *row   // the right row there
	newest bool
	early  bool // the worker processed nothing since a checkpoint, which may have been used
}

// settle judges rows of which nothing but themselves says how far they are.
func (o *oracle) settle() map[string]verdict {
	b := o.b
	excluded := o.excluded(o.entries)
	touched := o.touched(o.entries)
	sound := func(e *entry) bool { return !e.bad && !e.dies }
	made := o.contributed(o.entries, sound)
	out := map[string]verdict{}
	keys := maps.Clone(made)
	maps.Copy(keys, excluded)
	for key := range o.live {
		keys[key] = true
	}
	for key := range keys {
		switch {
		case excluded[key]:
			out[key] = verdict{action: recount.ActionExcluded}
		case made[key] && !touched[key]:
			if o.live[key] != nil || b.right(o.entries)[key] != nil {
				out[key] = verdict{beside: true}
			}
		default:
			v, there := o.stood(key)
			if there {
				out[key] = v
			}
		}
	}
	return out
}

// stood judges one row by all the positions at which it may stand.
func (o *oracle) stood(key string) (verdict, bool) {
	b := o.b
	live := o.live[key].text(b)
	stands, mixed := o.stands(key)
	if len(stands) == 0 {
		return o.decide(key, "", nil), o.live[key] != nil
	}
	if o.live[key] == nil && !slices.ContainsFunc(stands, func(s stand) bool { return s.row != nil }) {
		return verdict{}, false // there is no row, and none is right
	}
	if mixed && b.cut == cutFound {
		return verdict{action: recount.ActionHeld}, true
	}
	var right *stand
	var found []stand
	for i, s := range stands {
		if o.live[key] == nil && !s.newest { // had it a row by now, somebody deleted it
			continue
		}
		if s.text != live || b.cut != cutFound && s.mark != o.mark(o.live[key]) {
			continue
		}
		switch {
		case s.cause == "":
			right = &stands[i]
		case b.cut != cutFound || s.after != live: // what gives the right row explains nothing
			found = append(found, s)
		}
	}
	if b.cut != cutFound {
		return o.stoodAtColumn(key, right, found, stands, mixed)
	}
	agreed := len(found) == 0 || !slices.ContainsFunc(found, func(s stand) bool { return s.after != found[0].after })
	switch {
	case right != nil && (len(found) == 0 || agreed && found[0].after == right.after):
		return verdict{}, o.live[key] != nil
	case len(found) == 0 || right != nil || !agreed:
		return verdict{action: recount.ActionHeld}, true
	}
	return o.found(key, found[0], found), true
}

// found decides on a row that accounts explain.
func (o *oracle) found(key string, s stand, all []stand) verdict {
	v := o.decide(key, s.cause, s.row)
	v.dim = slices.ContainsFunc(all, func(s stand) bool { return s.early })
	return v
}

// stoodAtColumn is stood where the row names its position.
func (o *oracle) stoodAtColumn(key string, right *stand, found, stands []stand, mixed bool) (verdict, bool) {
	live := o.live[key]
	held := verdict{action: recount.ActionHeld}
	byCause := map[string]stand{} // the newest of each account
	for _, s := range found {
		byCause[s.cause] = s
	}
	agreed := true
	for _, s := range byCause {
		agreed = agreed && s.after == byCause[found[0].cause].after
	}
	switch {
	case right != nil && o.b.cut == cutVersion && len(found) > 0 && (!agreed || byCause[found[0].cause].after != live.text(o.b)):
		return held, true // it is right only if it counted all of its events
	case right != nil:
		return verdict{}, live != nil
	case !agreed:
		return held, true
	case len(found) > 0:
		s := byCause[found[0].cause]
		if s.after == live.text(o.b) {
			return verdict{}, live != nil
		}
		return o.found(key, s, found), true
	}
	if live == nil || mixed || o.b.cut == cutVersion {
		return held, true
	}
	var named []stand
	for _, s := range stands {
		if s.cause == "" && s.text == live.text(o.b) {
			return held, true // it was corrected before, or its column is wrong
		}
		if s.mark == o.mark(live) {
			named = append(named, s)
		}
	}
	if len(named) == 0 || slices.ContainsFunc(named, func(s stand) bool { return s.after != named[0].after }) {
		return held, true
	}
	return o.decide(key, "", named[0].row), true
}

// stands lists where a key may stand under the right logic and under every
// account, from its last hit entry on: the incident is over.
func (o *oracle) stands(key string) (list []stand, mixed bool) {
	b := o.b
	var mine []*entry
	for _, e := range o.entries {
		if !e.bad && !e.dies && o.contributed([]*entry{e}, func(*entry) bool { return true })[key] {
			mine = append(mine, e)
		}
	}
	if len(mine) == 0 {
		return nil, false
	}
	from := lastHit(b, mine, !b.dedupe)
	for _, e := range mine[from:] {
		mixed = mixed || e.lane != mine[from].lane
	}
	for _, e := range mine { // another lane may be behind, however early its lines are archived
		mixed = mixed || b.hit(mine[from]) && e.lane != mine[from].lane && max(e.at, e.in) >= max(mine[from].at, mine[from].in)
	}
	for _, a := range append([]account{{}}, o.accounts...) {
		for i := lastHit(b, mine, !b.dedupe || a.fault.twice); i < len(mine); i++ {
			rows := table{}
			b.work(rows, mine[:i+1], a.fault)
			right := b.right(mine[:i+1])[key]
			list = append(list, stand{text: rows[key].text(b), mark: o.mark(rows[key]), after: right.text(b), cause: a.cause, row: right, newest: i == len(mine)-1, early: b.early(rows[key]) || a.fault.twice && slices.ContainsFunc(mine, b.hidden)})
		}
	}
	return list, mixed
}

// lastHit is the last hit entry of a key, or else its last entry: the worker has
// passed the error window.
func lastHit(b *batch, mine []*entry, repeats bool) int {
	for i, e := range slices.Backward(mine) {
		if b.hit(e) && (!e.repeat || repeats) {
			return i
		}
	}
	return len(mine) - 1
}

// mark is what the row's position column says.
func (o *oracle) mark(r *row) string {
	if r == nil {
		return ""
	}
	switch o.b.cut {
	case cutOffset:
		return strconv.Itoa(r.pos)
	case cutVersion:
		return strconv.FormatInt(r.version, 10)
	case cutEvent:
		return r.event
	case cutClosed, cutPaused, cutFound:
	}
	return ""
}
