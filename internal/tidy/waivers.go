package tidy

import (
	"regexp"
	"slices"
)

// Waiver lets one place break one rule.
type Waiver struct {
	Rule   string
	Place  string // a file or folder
	Reason string
	Date   string // when it was given, YYYY-MM-DD
}

// Waivers is the whole list.
var Waivers = []Waiver{
	{"folder size", "engine/duckdb", "the check, the child and its parent speak one protocol; cut apart they would share it through exported names", "2026-11-23"},
	{"homes", "internal/tools/check/main.go", "a program of its own, which tells by its exit code that a part failed", "2026-11-23"},
	{"homes", "bench/seed/main.go", "a program of its own, which tells by its exit code that a peer failed", "2026-11-23"},
	{"homes", "bench/fold/main.go", "a program of its own, which tells by its exit code that a peer failed", "2026-11-26"},
	{"homes", "bench/archive/process.go", "it measures by the wall clock", "2026-11-25"},
	{"homes", "bench/archive/main.go", "a program of its own, which tells by its exit code that a peer failed", "2026-11-25"},
	{"homes", "bench/solve/main.go", "a program of its own, which measures by the wall clock and tells by its exit code that it failed", "2026-11-25"},
	{"homes", "internal/sim/archive/main.go", "a program of its own, which takes its time and tells by its exit code that something is wrong", "2026-11-25"},
	{"homes", "internal/sim/incidents/main.go", "a program of its own, which takes its time and tells by its exit code that something is wrong", "2026-11-25"},
	{"homes", "bench/seed/measure.go", "it measures by the wall clock", "2026-11-23"},
	{"homes", "internal/badworkers/folds_test.go", "its workers read the clock and chance as bad ones do", "2026-11-26"},
	{"folder size", "changes", "one file for each change since the last release, which joins them", "2026-11-25"},
	{"folder size", "docs/errors", "one page for each code", "2026-11-23"},
}

var lineOf = regexp.MustCompile(`:\d+$`)

// Waive takes waived breaches out, and adds one for each waiver that is of no
// use or says no reason.
func Waive(found []Breach, waivers []Waiver) []Breach {
	used := make([]bool, len(waivers))
	left := slices.DeleteFunc(slices.Clone(found), func(b Breach) bool {
		for i, w := range waivers {
			if w.Rule == b.Rule && w.Place == lineOf.ReplaceAllString(b.Place, "") {
				used[i] = true
				return true
			}
		}
		return false
	})
	for i, w := range waivers {
		switch {
		case w.Reason == "" || w.Date == "":
			left = append(left, Breach{w.Rule, w.Place, "the waiver has no reason or no date"})
		case !used[i]:
			left = append(left, Breach{w.Rule, w.Place, "the waiver is not needed any more: take it out"})
		}
	}
	return left
}
