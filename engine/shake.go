package engine

import (
	"strings"

	"recount"
)

// shake is a single shake.
type shake struct {
	name string
	one  Shake
	sql  bool // the SQL engine has it too
}

// shakes are the single shakes in the order in which they are tried: what is most
// often the reason comes first.
var shakes = []shake{
	{"threads", Shake{Threads: true}, true},
	{"files", Shake{Files: true}, true},
	{"batches", Shake{Batches: true}, false},
	{"interleave", Shake{Interleave: true}, false},
	{"seed", Shake{Seed: true}, false},
	{"clock", Shake{Clock: true}, false},
	{"zone", Shake{Zone: true}, false},
	{"locale", Shake{Locale: true}, false},
	{"cores", Shake{Cores: true}, false},
	{"machine", Shake{Machine: true}, false},
}

// Shakes lists the single shakes that the engine of a logic's kind has, of versions
// those of any; none of rows that something else made.
func Shakes(l recount.Logic) (list []Shake) {
	for _, s := range shakes {
		if s.of(l) {
			list = append(list, s.one)
		}
	}
	return list
}

// of says that the engine of a logic has the shake, or that of one of its versions.
func (s shake) of(l recount.Logic) bool {
	for _, v := range l.Versions {
		if s.of(v.Logic) {
			return true
		}
	}
	return l.Fold() || l.Kind == recount.LogicSQL && s.sql
}

// String names what is shaken, "nothing" where nothing is.
func (s Shake) String() string {
	var names []string
	for _, one := range shakes {
		if s.has(one.one) {
			names = append(names, one.name)
		}
	}
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, "+")
}

// has says whether s holds all of another.
func (s Shake) has(other Shake) bool { return s.With(other) == s }

// With shakes what either does.
func (s Shake) With(other Shake) Shake {
	return Shake{
		Threads: s.Threads || other.Threads, Files: s.Files || other.Files, Batches: s.Batches || other.Batches,
		Interleave: s.Interleave || other.Interleave, Seed: s.Seed || other.Seed, Clock: s.Clock || other.Clock, Zone: s.Zone || other.Zone,
		Locale: s.Locale || other.Locale, Draw: max(s.Draw, other.Draw), Cores: s.Cores || other.Cores, Machine: s.Machine || other.Machine,
	}
}
