package guess

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"recount"
)

// KeyPart is one column that names a row of the results, and what of an event it
// is: a column's value, or the start of the bucket that its time lies in.
type KeyPart struct {
	Column string
	Event  string        // the events' column; empty for a bucket
	Bucket time.Duration // zero for a value
	Date   bool          // the bucket is written as a date
}

// Keys guesses what names a row of the results: columns that events have too, by
// name or by their values, and columns of times that lie on a grid; the fewest
// that tell all rows apart.
func Keys(results Table, live []Column, events Table, columns []Column, env Envelope) []KeyPart {
	var found []KeyPart
	for _, c := range live {
		if part, ok := PartOf(results, c, events, columns, env); ok {
			found = append(found, part)
		}
	}
	if len(results.Unique) > 0 {
		declared := slices.DeleteFunc(slices.Clone(found), func(p KeyPart) bool { return !slices.Contains(results.Unique, p.Column) })
		if len(declared) == len(results.Unique) {
			return declared
		}
	}
	if fewest := tellingApart(results, found); fewest != nil {
		return fewest
	}
	if len(found) == 0 && len(live) > 0 {
		return []KeyPart{{Column: live[0].Name, Event: live[0].Name}}
	}
	return found
}

// tellingApart is the smallest part of found under which no two rows are the
// same. Of a handful of rows that says nothing: then all of them are taken.
func tellingApart(results Table, found []KeyPart) []KeyPart {
	const handful = 4
	if len(results.Rows) <= handful || len(found) == 0 || len(found) > 6 {
		return nil
	}
	var best []KeyPart
	for set := 1; set < 1<<len(found); set++ {
		var parts []KeyPart
		for i, p := range found {
			if set&(1<<i) != 0 {
				parts = append(parts, p)
			}
		}
		if (best == nil || len(parts) < len(best)) && apart(results, parts) {
			best = parts
		}
	}
	return best
}

func apart(results Table, parts []KeyPart) bool {
	seen := map[string]bool{}
	for _, row := range results.Rows {
		var key strings.Builder
		for _, p := range parts {
			key.WriteString(row[slices.Index(results.Columns, p.Column)] + "\x00")
		}
		if seen[key.String()] {
			return false
		}
		seen[key.String()] = true
	}
	return true
}

// PartOf says what of an event a column of the results may be.
func PartOf(results Table, c Column, events Table, columns []Column, env Envelope) (KeyPart, bool) {
	if c.Time() || c.Type.Kind == recount.KindDate {
		d := grid(results, c)
		return KeyPart{Column: c.Name, Bucket: d, Date: c.Type.Kind == recount.KindDate}, d > 0
	}
	mine := distinct(results.Values(c.Name))
	best, score := "", 0.0
	for _, e := range columns {
		s := likeness(c, mine, e, events)
		if env.Has(e.Name) {
			s /= 2 // the payload's own columns are what a worker reads
		}
		if s > score {
			best, score = e.Name, s
		}
	}
	return KeyPart{Column: c.Name, Event: best}, best != ""
}

// likeness says how much a column of the events is a column of the results: by
// its name, or by the share of values that it holds too.
func likeness(c Column, mine map[string]bool, e Column, events Table) float64 {
	const few, much = 3, 0.8
	if e.Time() || e.Type.Kind == recount.KindDouble || e.Type.Kind == recount.KindDecimal || e.Type.Kind == recount.KindJSON {
		return 0
	}
	same := plainWord(c.Word()) == plainWord(e.Word())
	identifies := e.Type.Kind == recount.KindString && (!c.Numeric() || named(c.Word(), "id", "key", "code", "no", "number"))
	if !same && !identifies || same && c.Numeric() && !named(c.Word(), "id", "key", "code", "no", "number") {
		return 0
	}
	theirs := distinct(events.Values(e.Name))
	common := 0
	for v := range mine {
		if theirs[v] {
			common++
		}
	}
	part := float64(common) / float64(max(len(mine), 1))
	switch {
	case same:
		return 2 + part
	case part >= much && len(mine) >= few:
		return part
	}
	return 0
}

func plainWord(name string) string {
	return strings.ReplaceAll(strings.ReplaceAll(splitCamel(name), "_", ""), "-", "")
}

func distinct(values []string) map[string]bool {
	set := make(map[string]bool)
	for _, v := range values {
		set[v] = true
	}
	return set
}

// grids are the buckets that results usually have, longest first.
var grids = []time.Duration{
	24 * time.Hour, 12 * time.Hour, 6 * time.Hour, 4 * time.Hour, 3 * time.Hour, 2 * time.Hour, time.Hour,
	30 * time.Minute, 20 * time.Minute, 15 * time.Minute, 10 * time.Minute, 5 * time.Minute, time.Minute,
}

// grid is the bucket of a column of times; 0 if they lie on none, or if its name
// says that it tells when the row was written.
func grid(t Table, c Column) time.Duration {
	if named(c.Word(), "updated", "modified", "created", "changed", "last", "first", "seen", "written", "inserted") {
		return 0
	}
	if c.Type.Kind == recount.KindDate {
		return 24 * time.Hour
	}
	if c.Unit != "" {
		return 0 // a number would have to be made of the bucket's start
	}
	var seconds []int64
	for v := range distinct(t.Values(c.Name)) {
		at, ok := Instant(c, v, time.UTC)
		if !ok {
			continue
		}
		seconds = append(seconds, at.Unix())
		if at.Nanosecond() != 0 {
			return 0
		}
	}
	slices.Sort(seconds)
	fits := func(d time.Duration) bool {
		n := int64(d / time.Second)
		for i, s := range seconds {
			if s%n != 0 || i > 0 && s-seconds[i-1] < n {
				return false
			}
		}
		return len(seconds) > 0
	}
	for word, d := range map[string]time.Duration{"hour": time.Hour, "day": 24 * time.Hour, "date": 24 * time.Hour, "minute": time.Minute} {
		if named(c.Word(), word) && fits(d) {
			return d
		}
	}
	if len(seconds) == 1 && fits(time.Hour) {
		return time.Hour // one row says no more
	}
	for _, d := range grids {
		if fits(d) {
			return d
		}
	}
	return 0
}

// Span is the first and the last time of a sample's events.
func Span(t Table, c Column, zone *time.Location) (first, last time.Time) {
	for _, text := range t.Values(c.Name) {
		at, ok := Instant(c, text, zone)
		if !ok {
			continue
		}
		if first.IsZero() || at.Before(first) {
			first = at
		}
		if at.After(last) {
			last = at
		}
	}
	return first, last
}

// Instant reads a value of a column of times.
func Instant(c Column, text string, zone *time.Location) (time.Time, bool) {
	if c.Unit == "" {
		at, err := recount.ParseLocal(text, zone)
		return at, err == nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, false
	}
	switch c.Unit { //nolint:exhaustive // the text unit was looked at
	case recount.UnitMS:
		return time.UnixMilli(n).UTC(), true
	case recount.UnitUS:
		return time.UnixMicro(n).UTC(), true
	case recount.UnitNS:
		return time.Unix(0, n).UTC(), true
	}
	return time.Unix(n, 0).UTC(), true
}
