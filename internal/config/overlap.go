package config

import (
	"reflect"

	"recount"
)

// placed is a list with the place where it stands.
type placed struct {
	recount.EventList
	at value
}

// overlaps reports lists of one kind that share events, as far as that can be
// seen without any: each entry is a hypothesis of its own, and their combination
// would hold for the shared events twice.
func overlaps(lists []placed) {
	for i, list := range lists {
		for j, earlier := range lists[:i] {
			if what := shared(earlier.EventList, list.EventList); what != "" {
				list.at.problem("it overlaps with entry [%d]: %s; entries of one list share no event, so that each row has one cause", j+1, what)
				break
			}
		}
	}
}

// shared says what two lists share; empty where that takes the events to know.
func shared(a, b recount.EventList) string {
	timed := func(l recount.EventList) bool { return !l.From.IsZero() || !l.To.IsZero() }
	switch {
	case reflect.DeepEqual(withoutName(a), withoutName(b)):
		return "they are the same"
	case a.Where != b.Where, timed(a) != timed(b), (a.IDs == nil) != (b.IDs == nil), len(a.Positions) != len(b.Positions):
		return ""
	case timed(a) && (!a.To.IsZero() && !b.From.Before(a.To) || !b.To.IsZero() && !a.From.Before(b.To)):
		return ""
	case a.IDs != nil && commonID(a.IDs.IDs, b.IDs.IDs) == "":
		return ""
	}
	what := "their times overlap"
	if a.IDs != nil {
		what = "both hold the id " + clip(commonID(a.IDs.IDs, b.IDs.IDs))
	}
	for i, p := range a.Positions {
		q := b.Positions[i]
		if p.Partition != q.Partition || len(p.From) != len(q.From) || p.From >= q.To || q.From >= p.To {
			return ""
		}
		what = "their positions overlap, " + p.String() + " and " + q.String()
	}
	return what
}

// withoutName leaves out of a list what its file is called.
func withoutName(l recount.EventList) recount.EventList {
	if l.IDs != nil {
		l.IDs = &recount.IDList{Count: l.IDs.Count, IDs: l.IDs.IDs}
	}
	return l
}

// commonID returns the first id that two lists in byte order share.
func commonID(a, b []string) string {
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0] == b[0]:
			return a[0]
		case a[0] < b[0]:
			a = a[1:]
		default:
			b = b[1:]
		}
	}
	return ""
}

// contradicts reports lists of again that stand under missed too.
func contradicts(missed []recount.EventList, again []placed) {
	for _, list := range again {
		for i, m := range missed {
			if reflect.DeepEqual(withoutName(m), withoutName(list.EventList)) {
				list.at.problem("missed[%d] lists the same events; they cannot have been missed and processed several times", i+1)
			}
		}
	}
}
