package diff

import (
	"cmp"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"

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
	// Says is Last as a person reads it in the row.
	Says string
	// Counts says that Last is how many events the row absorbed, not which.
	Counts bool
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
	// Hold says why nothing is written; empty: nothing keeps it. Detail says what
	// that is in this row, empty where there is no more to say.
	Hold   string
	Detail string
	At     string
	// Seq is the last event that the row absorbed, where that is known.
	Seq int64
	// Ahead says that the row has absorbed events which its stands do not know.
	Ahead bool
}

// Settle decides a live row of which nothing else says how far it is: it must be
// the row of some account at some position, and the after-image is the right
// logic at that position. Where several positions fit and do not agree about the
// after-image, the row could be right already, or nothing fits, it is held. With
// a position column only the position that it names counts.
func Settle(r Running) Verdict {
	if r.Seen == nil {
		r = r.absent()
	}
	if r.Mixed && !r.Known {
		return Verdict{Hold: "its events come from several partitions, and only a paused worker or a position column tells which of them the row has absorbed"}
	}
	if r.Known {
		return r.atColumn()
	}
	at := slices.IndexFunc(r.Right, func(s Stand) bool { return r.same(s.Values) })
	found, several := r.explained()
	switch {
	case at >= 0 && several:
		return Verdict{Hold: "it is right if it stands at one position, and hypotheses explain it at others", Detail: "right at " + r.Right[at].At}
	case at >= 0 && (found == nil || r.equal(found.After, r.Right[at].Values)):
		return Verdict{Correct: true, After: r.Right[at].Values, At: r.Right[at].At, Seq: r.Right[at].Seq}
	case at >= 0:
		return Verdict{Hold: "it is right if it stands at one position, and explained if it stands at another", Detail: fmt.Sprintf("right at %s, %s at %s", r.Right[at].At, found.Cause, found.At)}
	case several:
		return Verdict{Hold: "several positions explain it, and they do not agree about the right value"}
	case found != nil:
		return *found
	case r.Cut:
		return Verdict{Hold: "no hypothesis gives it at any of the newest positions; older ones were not looked at"}
	}
	return Verdict{Hold: "no hypothesis gives it at any position"}
}

// absent keeps the newest stands. Where there is no row, an account explains that
// only if it makes none up to now: were there one by later events, the row was
// deleted, or its worker is behind, and nothing tells how far.
func (r Running) absent() Running {
	newest := func(stands []Stand) []Stand { return stands[max(len(stands)-1, 0):] }
	accounts := make([]Account, len(r.Accounts))
	for i, a := range r.Accounts {
		accounts[i] = Account{Cause: a.Cause, Stands: newest(a.Stands)}
	}
	r.Right, r.Accounts = newest(r.Right), accounts
	return r
}

// explained finds the first account that gives the live row, and whether others
// want another after-image.
func (r Running) explained() (found *Verdict, several bool) {
	for _, a := range r.Accounts {
		for _, s := range a.Stands {
			after, known := r.rightAt(s.Seq)
			if !known || !r.same(s.Values) || r.equal(s.Values, after.Values) { // an account that gives what is right explains nothing
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

// rightAt is the right row where an account stands. An account may stand at an
// event that the right logic does not see, such as a repeat: there the right row
// is still that of the event before.
func (r Running) rightAt(seq int64) (Stand, bool) {
	i, found := slices.BinarySearchFunc(r.Right, seq, func(s Stand, seq int64) int { return cmp.Compare(s.Seq, seq) })
	switch {
	case found:
		return r.Right[i], true
	case i == 0:
		return Stand{}, false
	}
	return r.Right[i-1], true
}

// atColumn decides a row whose position column says how far it is. A count is a
// position only together with what was counted, so two accounts may place the row
// differently.
func (r Running) atColumn() Verdict {
	found, several := r.explainedAtColumn()
	for _, s := range r.Right {
		switch {
		case s.Last != r.Last || !r.same(s.Values):
		case r.Counts && (several || found != nil && !found.Correct):
			return Verdict{Hold: "it is right if it counted all of its events, and explained if it did not", Detail: "right at " + s.At}
		default:
			return Verdict{Correct: true, After: s.Values, At: s.At, Seq: s.Seq}
		}
	}
	switch {
	case several:
		return Verdict{Hold: "several accounts explain what its position column says, and they do not agree about the right value"}
	case found != nil:
		return *found
	}
	return r.unexplainedAtColumn()
}

// explainedAtColumn finds the first account that gives the row where its column
// says that it is, and whether others want another after-image.
func (r Running) explainedAtColumn() (found *Verdict, several bool) {
	for _, a := range r.Accounts {
		for _, s := range slices.Backward(a.Stands) { // what follows without being processed changes nothing
			after, known := r.rightAt(s.Seq)
			if !known || s.Last != r.Last || !r.same(s.Values) {
				continue
			}
			switch {
			case found == nil:
				found = &Verdict{Correct: r.same(after.Values), After: after.Values, Cause: a.Cause, At: s.At, Seq: s.Seq}
			case !r.equal(found.After, after.Values):
				return found, true
			}
			break
		}
	}
	return found, false
}

// unexplainedAtColumn decides a row that no account gives where its column says
// that it is. What is right there is known only if the column says the same
// whatever went wrong.
func (r Running) unexplainedAtColumn() Verdict {
	switch right := slices.IndexFunc(r.Right, func(s Stand) bool { return r.same(s.Values) }); {
	case r.ahead():
		return Verdict{Hold: "it has absorbed events that are not archived yet", Detail: "its position column says " + r.says(), Ahead: true}
	case r.Seen == nil:
		return Verdict{Hold: "there is no row, so nothing says how far it is, and no hypothesis leaves it out"}
	case right >= 0:
		return Verdict{
			Hold:   "it is right if it stands elsewhere than its position column says: it was corrected before, or the column is wrong",
			Detail: fmt.Sprintf("right at %s, the column says %s", r.Right[right].At, r.says()),
		}
	case r.Counts:
		return Verdict{Hold: "no hypothesis gives it, and how many events it counts says how far it is only if it is known which of them it counted"}
	case r.Mixed:
		return Verdict{Hold: "no hypothesis gives it, and its events come from several partitions, of which its position column names one"}
	}
	var found *Stand
	for _, s := range r.named() {
		if found != nil && !r.equal(found.Values, s.Values) {
			return Verdict{Hold: "no hypothesis gives it, and what its position column says stands for several positions", Detail: "the column says " + r.says()}
		}
		found = &s
	}
	switch {
	case found != nil:
		return Verdict{After: found.Values, At: found.At, Seq: found.Seq}
	case r.Last == "":
		return Verdict{Hold: "its position column holds nothing"}
	}
	v := Verdict{Hold: "its position column names none of its events since the window", Detail: "the column says " + r.says()}
	if n := len(r.Right); n > 0 && r.Right[n-1].At != "" {
		v.Detail += ", the newest of its archived events stands at " + r.Right[n-1].At
	}
	return v
}

// ahead says whether the row's position column names a position behind all that
// its stands know. Of ids it cannot be told.
func (r Running) ahead() bool {
	newest := [][]Stand{r.Right}
	for _, a := range r.Accounts {
		newest = append(newest, a.Stands)
	}
	compared := false
	for _, stands := range newest {
		if len(stands) == 0 || stands[len(stands)-1].Last == "" {
			continue
		}
		if later, known := r.later(stands[len(stands)-1].Last); !known || !later {
			return false
		}
		compared = true
	}
	return compared
}

// later says whether the row's position lies behind one; known is false where
// the two cannot be compared.
func (r Running) later(than string) (later, known bool) {
	if r.Counts {
		have, ok := new(big.Int).SetString(r.Last, 10)
		want, okWant := new(big.Int).SetString(than, 10)
		return ok && okWant && have.Cmp(want) > 0, ok && okWant
	}
	a, b := strings.LastIndexByte(r.Last, ':'), strings.LastIndexByte(than, ':')
	digits := func(s string) bool { return len(s) == recount.PositionWidth && strings.Trim(s, "0123456789") == "" }
	if r.Last[:a+1] != than[:b+1] || !digits(r.Last[a+1:]) || !digits(than[b+1:]) {
		return false, false
	}
	return r.Last > than, true
}

// says is the position column's text for a person.
func (r Running) says() string {
	if r.Says != "" {
		return strconv.Quote(r.Says)
	}
	return strconv.Quote(recount.ShortPosition(r.Last))
}

// named lists the right rows at the positions that the row's column may mean,
// whatever happened.
func (r Running) named() (list []Stand) {
	for _, s := range r.Right {
		if s.Last == r.Last {
			list = append(list, s)
		}
	}
	for _, a := range r.Accounts {
		for _, s := range a.Stands {
			if after, known := r.rightAt(s.Seq); known && s.Last == r.Last {
				list = append(list, after)
			}
		}
	}
	return list
}

// same says whether values are the live row, or no row where there is none.
func (r Running) same(values []recount.Value) bool { return r.equal(values, r.Seen) }

func (r Running) equal(a, b []recount.Value) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return EqualRows(r.Shape, r.Rules, rounded(r.Shape, a), rounded(r.Shape, b))
}
