package diff

import (
	"fmt"
	"slices"

	"recount"
)

// Stand is the row of one key under one logic, after the events of the key up to
// one of them.
type Stand struct {
	Seq    int64
	Values []recount.Value // nil: no row
	// Last names the last event that the logic processed by then, as the live
	// row's position column would: its position, its id, or how many it were.
	Last string
	// At shows the position to a person.
	At string
}

// Account is one hypothesis with the stands that it gives a key, by Seq.
type Account struct {
	Cause  recount.Cause
	Stands []Stand
}

// Running is one live row of running state, and what may have made it.
type Running struct {
	Shape recount.Shape
	Rules []recount.Rule
	// Seen is the live row under Shape, nil where there is none.
	Seen []recount.Value
	// Last is the text of the row's position column. Known says that there is
	// such a column; then only stands with that Last count.
	Last  string
	Known bool
	// Right are the stands under the right logic, by Seq.
	Right []Stand
	// Accounts are the hypotheses in the order in which they are tried.
	Accounts []Account
	// Mixed says that the log gives the row's events no order.
	Mixed bool
	// Cut says that older stands were left out.
	Cut bool
}

// Verdict is what becomes of a running row.
type Verdict struct {
	// Correct: the row reads as the right logic has it at a position.
	Correct bool
	// After is the row that is right where the live one stands; nil: none.
	After []recount.Value
	Cause recount.Cause // empty: no hypothesis explains the row
	// Hold says why nothing is written; empty: nothing keeps it.
	Hold string
	At   string
	// Seq is the last event that the row absorbed, where that is known.
	Seq int64
}

// Settle decides a live row of which nothing else says how far it is: it must be
// the row of some account at some position, and the after-image is the right
// logic at that position. Where several positions fit and do not agree about the
// after-image, the row could be right already, or nothing fits, it is held. With
// a position column only the position that it names counts.
func Settle(r Running) Verdict {
	if r.Mixed && !r.Known {
		return Verdict{Hold: "its events come from several partitions, and only a paused worker or a position column tells which of them the row has absorbed"}
	}
	right := map[int64]Stand{}
	for _, s := range r.Right {
		right[s.Seq] = s
	}
	if r.Known {
		return r.atColumn(right)
	}
	at := slices.IndexFunc(r.Right, func(s Stand) bool { return r.same(s.Values) })
	found, several := r.explained(right)
	switch {
	case at >= 0 && (found == nil || r.equal(found.After, r.Right[at].Values)):
		return Verdict{Correct: true, After: r.Right[at].Values, At: r.Right[at].At, Seq: r.Right[at].Seq}
	case at >= 0:
		return Verdict{Hold: fmt.Sprintf("it is right if it stands at %s, and %s if it stands at %s", r.Right[at].At, found.Cause, found.At)}
	case several:
		return Verdict{Hold: "several positions explain it, and they do not agree about the right value"}
	case found != nil:
		return *found
	case r.Cut:
		return Verdict{Hold: "no hypothesis gives it at any of the newest positions; older ones were not looked at"}
	}
	return Verdict{Hold: "no hypothesis gives it at any position"}
}

// explained finds the first account that gives the live row, and whether others
// want another after-image.
func (r Running) explained(right map[int64]Stand) (found *Verdict, several bool) {
	for _, a := range r.Accounts {
		for _, s := range a.Stands {
			after, known := right[s.Seq]
			if !known || !r.same(s.Values) {
				continue
			}
			v := Verdict{After: after.Values, Cause: a.Cause, At: s.At, Seq: s.Seq}
			switch {
			case found == nil:
				found = &v
			case !r.equal(found.After, v.After):
				return nil, true
			}
		}
	}
	return found, false
}

// atColumn decides a row whose position column says how far it is.
func (r Running) atColumn(right map[int64]Stand) Verdict {
	for _, s := range r.Right {
		if s.Last == r.Last && r.same(s.Values) {
			return Verdict{Correct: true, After: s.Values, At: s.At, Seq: s.Seq}
		}
	}
	for _, a := range r.Accounts {
		for _, s := range slices.Backward(a.Stands) { // what follows without being processed changes nothing
			if after, known := right[s.Seq]; known && s.Last == r.Last && r.same(s.Values) {
				return Verdict{After: after.Values, Cause: a.Cause, At: s.At, Seq: s.Seq}
			}
		}
	}
	if r.Seen == nil {
		return Verdict{Hold: "there is no row, so nothing says how far it is, and no hypothesis leaves it out"}
	}
	for _, s := range slices.Backward(r.Right) {
		if s.Last == r.Last {
			return Verdict{After: s.Values, At: s.At, Seq: s.Seq}
		}
	}
	return Verdict{Hold: fmt.Sprintf("its position column says %q, at which none of its events since the window stands", recount.ShortPosition(r.Last))}
}

// same says whether values are the live row, or no row where there is none.
func (r Running) same(values []recount.Value) bool { return r.equal(values, r.Seen) }

func (r Running) equal(a, b []recount.Value) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return EqualRows(r.Shape, r.Rules, rounded(r.Shape, a), rounded(r.Shape, b))
}
