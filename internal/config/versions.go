package config

import (
	"fmt"
	"slices"
	"strings"

	"recount"
)

var versionBlock = Block{
	Path: "calculations.NAME.versions", Doc: "One version of the logic. The spans of all follow one another without a gap.", Keys: []Key{
		{Name: "name", Type: "text", Doc: "What plans, messages and --as call it.", Required: true},
		{Name: "sql", Type: "text", Doc: "The file of its SQL. A version has sql, worker or go."},
		{Name: "worker", Type: "mapping", Doc: "Its process, as for a calculation."},
		{Name: "go", Type: "text", Doc: "The name of its fold."},
		{Name: "by", Type: "list of texts", Doc: "With worker or go, the fields of its key.", Default: "those of key that are fields of the event"},
		{Name: "state", Type: "continues", Doc: "With worker or go: it goes on from the states that the version before it left, which mean the same to both.", Default: "it does not, and no window may need both"},
		{Name: "effective", Type: "mapping", Doc: "The event times in which it was in force.", Default: "always"},
	},
}

var effectiveBlock = Block{
	Path: "calculations.NAME.versions.effective", Doc: "A span of event time, [from, to). With buckets, its edges are edges of buckets.", Keys: []Key{
		{Name: "from", Type: "text", Doc: "Its begin, with an offset.", Default: "the first event"},
		{Name: "to", Type: "text", Doc: "Its end, excluded.", Default: "it is still in force"},
	},
}

// versions reads the versions of a logic, in the order of their times.
func (l *loader) versions(c *Calculation, v entry, found map[string]entry) recount.Logic {
	for _, key := range append(slices.Clone(logicKeys), "by") {
		if e, ok := found[key]; ok {
			v.r.problem(e.at, "%s: versions stands there too, and each version has its own", e.path)
		}
	}
	var list []recount.Version
	before := len(v.r.problems)
	for _, item := range v.items() {
		block := item.block(versionBlock, false)
		if block == nil {
			continue
		}
		one := recount.Version{}
		if e, ok := block["name"]; ok {
			if one.Name, ok = e.word(); ok && !plainName(one.Name) {
				e.problem("use letters, digits, _ - and ., beginning with a letter or digit, at most 100")
			}
			if slices.ContainsFunc(list, func(o recount.Version) bool { return o.Name == one.Name }) {
				e.problem("another version is called %q", clip(one.Name))
			}
		}
		one.Logic, _ = l.logic(item, block)
		l.by(c, &one.Logic, block)
		if e, ok := block["effective"]; ok {
			one.Effective = effective(e)
		}
		if len(list) > 0 {
			follows(item, list[len(list)-1], one)
		}
		if e, ok := block["state"]; ok {
			one.Continues = continues(e, list, one)
		}
		list = append(list, one)
	}
	if len(list) == 0 {
		if len(v.r.problems) == before {
			v.problem("the list is empty")
		}
		return recount.Logic{}
	}
	return recount.Versioned(list)
}

// continues reads that a version goes on from the states of the one before it.
func continues(v entry, before []recount.Version, one recount.Version) bool {
	if _, ok := v.oneOf(recount.CodeConfig, "continues"); !ok {
		return false
	}
	if len(before) == 0 {
		v.problem("no version stands before %q, whose states it could go on from", clip(one.Name))
		return false
	}
	last := before[len(before)-1]
	for _, version := range []recount.Version{last, one} {
		if version.Logic.Kind != "" && !version.Logic.Fold() {
			v.problem("version %q is %s, and worker and go alone have states", clip(version.Name), version.Logic.Kind)
			return false
		}
	}
	if last.Logic.Kind != "" && one.Logic.Kind != "" && last.Logic.Kind != one.Logic.Kind {
		v.problem("version %q is %s and version %q is %s: states are of one kind", clip(last.Name), last.Logic.Kind, clip(one.Name), one.Logic.Kind)
		return false
	}
	return true
}

func effective(v entry) recount.Window {
	w := recount.Window{By: recount.ByEvent}
	found := v.block(effectiveBlock, false)
	if e, ok := found["from"]; ok {
		w.From = instant(e.value)
	}
	if e, ok := found["to"]; ok {
		w.To = instant(e.value)
	}
	if !w.From.IsZero() && !w.To.IsZero() && !w.From.Before(w.To) {
		v.problem("from is not before to")
	}
	return w
}

// follows refuses a version that does not begin where the one before it ends.
func follows(v value, before, after recount.Version) {
	end, begin := before.Effective.To, after.Effective.From
	switch {
	case end.IsZero():
		v.problem("version %q has no end, so that none can follow it: give it effective: {to: …}", clip(before.Name))
	case begin.IsZero():
		v.problem("version %q has no begin: give it effective: {from: %s}, where %q ends", clip(after.Name), recount.FormatTimestamp(end), clip(before.Name))
	case begin.Before(end):
		v.problem("versions %q and %q overlap: from %s to %s both are in force", clip(before.Name), clip(after.Name), recount.FormatTimestamp(begin), recount.FormatTimestamp(end))
	case begin.After(end):
		v.problem("no version is in force between %q and %q: from %s to %s", clip(before.Name), clip(after.Name), recount.FormatTimestamp(end), recount.FormatTimestamp(begin))
	}
}

// edgesOnGrid refuses an edge between versions inside a bucket: its row would come
// from two.
func edgesOnGrid(c *Calculation, v entry) {
	if c.Bucket.None() {
		return
	}
	for _, one := range c.Logic.Versions {
		if from := one.Effective.From; !from.IsZero() && !c.Bucket.Floor(from).Equal(from) {
			v.problem("version %q begins at %s, inside the bucket of %s that begins at %s; its row would come from two versions", clip(one.Name),
				recount.FormatTimestamp(from), c.Bucket, recount.FormatTimestamp(c.Bucket.Floor(from)))
		}
	}
}

// AsVersion returns the calculation with one of its versions for all events.
func (c Calculation) AsVersion(name string) (Calculation, error) {
	var known []string
	for _, v := range c.Logic.Versions {
		if v.Name == name {
			c.Logic, c.As = v.Logic, name
			return c, nil
		}
		known = append(known, v.Name)
	}
	e := &recount.Error{
		Code: recount.CodeVersion, What: fmt.Sprintf("calculation %s has no version %s", c.Name, clip(name)), Where: "--as " + name,
		Why: "it has no versions", Next: "leave --as away",
	}
	if len(known) > 0 {
		e.Why, e.Next = "its versions are "+strings.Join(known, ", "), "name one of them"
		if near := recount.Nearest(name, known); near != "" {
			e.Next = "did you mean " + near + "?"
		}
	}
	return c, e
}
