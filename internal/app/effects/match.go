// Package effects tells what a worker really sent from what it should have sent.
// It compares; it reads no archive and sends nothing.
package effects

import (
	"time"

	"recount"
)

// Sent is one event of the log of effects: something was sent.
type Sent struct {
	Kind    string
	Key     string
	EventID string // of the event at which it was sent; empty where the log does not say
	// ID, Partition, Position and Time are those of the log's event.
	ID, Partition, Position string
	Time                    time.Time
	Payload                 string // as Canonical spells it
	// Edge says that it may belong to an event outside of the window: it can be what
	// should have been sent, but is not told to be too much.
	Edge bool
}

// Reason says how what was sent differs from what should have been.
type Reason string

// The reasons.
const (
	Never   Reason = "never_sent"   // though it should have been
	Wrongly Reason = "sent_wrongly" // with another payload
	Twice   Reason = "sent_twice"   // or more often than it should have been
	Unasked Reason = "not_asked"    // nothing should have been sent
)

// Reasons lists them in the order in which they are shown.
var Reasons = []Reason{Never, Wrongly, Twice, Unasked}

// Difference is one effect that was not sent as it should have been.
type Difference struct {
	Reason Reason
	Right  *recount.Effect // nil: none should have been sent
	Sent   *Sent           // nil: none was
	Why    string          // how the payloads differ; empty where they do not
	Cause  recount.Cause   // the hypothesis that gives just this; CauseUnknown where none does
}

// Rules say what is compared.
type Rules struct {
	Compare []string // the members of a payload; none: all of it
	// Within is how far an effect may be noted from its event, where it is not known
	// whether both belong together.
	Within time.Duration
}

// Outcome is what became of the effects of one group.
type Outcome struct {
	Right       int64 // sent as they should have been
	Edge        int64 // of the log, near the window's edges: they belong to none of its effects
	Differences []Difference
}

// Match compares what should have been sent of one kind and key (and event, where
// the log names it) with what was: right in the order of the log of events, sent in
// that of time. First those are paired whose payloads are equal; what is left of one
// and the same payload was sent too often; what is left on both sides was sent
// wrongly, the earliest with the earliest. What lies at an edge is paired last.
func (r Rules) Match(right []recount.Effect, sent []Sent) (out Outcome) {
	m := matching{rules: r, sent: sent, got: make([]string, len(sent)), taken: make([]bool, len(sent))}
	same, wanted := map[string]*[]int{}, map[string]int{}
	for j, s := range sent {
		m.got[j] = Members(s.Payload, r.Compare)
		same[m.got[j]] = &[]int{}
	}
	m.each(func(j int) { list := same[m.got[j]]; *list = append(*list, j) })
	partner := make([]int, len(right))
	for i, e := range right {
		text := Members(Canonical(e.Payload), r.Compare)
		wanted[text] = i
		if partner[i] = m.take(e, same[text]); partner[i] >= 0 {
			out.Right++
		}
	}
	var other []int // of a payload that no effect has
	m.each(func(j int) {
		if _, ok := wanted[m.got[j]]; !ok {
			other = append(other, j)
		}
	})
	for i, e := range right {
		if partner[i] >= 0 {
			continue
		}
		d := Difference{Reason: Never, Right: &right[i]}
		if j := m.take(e, &other); j >= 0 {
			d.Reason, d.Sent, d.Why = Wrongly, &sent[j], Differ(Canonical(e.Payload), sent[j].Payload, r.Compare)
		}
		out.Differences = append(out.Differences, d)
	}
	for j := range sent {
		i, again := wanted[m.got[j]]
		switch {
		case m.taken[j]:
		case sent[j].Edge:
			out.Edge++
		case again:
			out.Differences = append(out.Differences, Difference{Reason: Twice, Right: &right[i], Sent: &sent[j]})
		default:
			out.Differences = append(out.Differences, Difference{Reason: Unasked, Sent: &sent[j]})
		}
	}
	return out
}

// matching is the log's side of one group.
type matching struct {
	rules Rules
	sent  []Sent
	got   []string // what is compared of each
	taken []bool
}

// each calls with every index: what is no edge first, each in order of time.
func (m *matching) each(call func(j int)) {
	for _, edge := range []bool{false, true} {
		for j := range m.sent {
			if m.sent[j].Edge == edge {
				call(j)
			}
		}
	}
}

// take takes the first of candidates, as each lists them, that is left, and returns
// its index; -1: none is. One at an edge is taken only if it is near the effect.
func (m *matching) take(e recount.Effect, candidates *[]int) int {
	if candidates == nil {
		return -1
	}
	for len(*candidates) > 0 && m.taken[(*candidates)[0]] {
		*candidates = (*candidates)[1:]
	}
	for _, j := range *candidates {
		if !m.taken[j] && (!m.sent[j].Edge || m.sent[j].Time.Sub(e.Time).Abs() <= m.rules.Within) {
			m.taken[j] = true
			return j
		}
	}
	return -1
}
