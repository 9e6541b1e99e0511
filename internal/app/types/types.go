// Package types holds a calculation to the types of events that it declares to
// know.
package types

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"recount"
	"recount/engine"
	"recount/internal/config"
)

// Known counts the used events of types that the calculation ignores on purpose. Any
// of a type that it neither knows nor ignores is refused, quarantined ones too; the
// error names each type. where says which events were counted.
func Known(calc config.Calculation, source config.Source, counts []engine.TypeCount, where string) (ignored int64, err error) {
	var unknown []engine.TypeCount
	for _, c := range counts {
		switch {
		case calc.Types.Knows(c.Type, c.Version):
		case calc.Types.Ignores(c.Type):
			ignored += c.Used
		default:
			unknown = append(unknown, c)
		}
	}
	if len(unknown) > 0 {
		return 0, refused(calc, source, unknown, where)
	}
	return ignored, nil
}

// refused is the error that names each of them.
func refused(calc config.Calculation, source config.Source, unknown []engine.TypeCount, where string) error {
	size := func(c engine.TypeCount) int64 { return c.Used + c.Quarantined }
	slices.SortStableFunc(unknown, func(a, b engine.TypeCount) int { return cmp.Compare(size(b), size(a)) })
	const most = 8
	var all int64
	var parts []string
	typeless, versions := false, false
	for i, c := range unknown {
		all += size(c)
		typeless = typeless || c.Type.Null
		_, named := calc.Types.Known[c.Type.Text]
		versions = versions || named && !c.Type.Null
		if i < most {
			parts = append(parts, one(calc.Types, c, size(c)))
		}
	}
	if more := len(unknown) - most; more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more types", more))
	}
	what := fmt.Sprintf("%d events are of types that calculation %s does not know", all, calc.Name)
	if all == 1 {
		what = fmt.Sprintf("1 event is of a type that calculation %s does not know", calc.Name)
	}
	next := "what is an old shape, bring to a known type with upcast: of source " + source.Name + " (set: {type: …})"
	switch {
	case versions && calc.Types.Header != "":
		next += "; a version in a header no step changes, so name it under known:"
	case versions:
		next += ", or to a known version (set: {" + calc.Types.Field + ": …})"
	}
	next += "; add to types: what the logic knows, and to ignores: what it passes over"
	if typeless && source.Mapping.Type == "" {
		next = "say under event: {type: …} of source " + source.Name + " what tells its events apart; " + next
	}
	return &recount.Error{
		Code: recount.CodeTypes, What: what, Where: fmt.Sprintf("%s, stream %s", where, source.Name),
		Why: strings.Join(parts, "; "), Next: next,
	}
}

// one is one type: how many, from when to when, and an example.
func one(types *config.Types, c engine.TypeCount, n int64) string {
	name := "without a type"
	if !c.Type.Null {
		name = "of " + c.Type.Text
	}
	if types.Versioned() {
		version := " without a version"
		if !c.Version.Null {
			version = " version " + c.Version.Text
		}
		name += version
	}
	if c.Quarantined > 0 {
		name += fmt.Sprintf(" (%d quarantined)", c.Quarantined)
	}
	place := c.Partition + "@" + recount.ShortPosition(c.Position)
	example := "the one at " + place
	if c.ID != "" {
		example = c.ID + " at " + place
	}
	if n == 1 {
		return fmt.Sprintf("1 %s, %s: %s", name, recount.FormatTimestamp(c.First), example)
	}
	return fmt.Sprintf("%d %s, %s to %s, such as %s", n, name, recount.FormatTimestamp(c.First), recount.FormatTimestamp(c.Last), example)
}
