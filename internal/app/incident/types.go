package incident

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"recount"
	"recount/engine"
)

// begun is start, and refuses what the logic does not know before anything is
// calculated.
func (r *Incident) begun(ctx context.Context) error {
	if err := r.start(ctx); err != nil {
		return err
	}
	var err error
	if r.ignored, err = r.known(ctx, r.session, r.right.See, r.hits.String()); err != nil {
		return errors.Join(err, r.close())
	}
	return nil
}

// KnowsTypes refuses events of types that the logic does not know, for whoever lets
// the rows be made elsewhere.
func (r *Incident) KnowsTypes(ctx context.Context) error {
	if r.calc.Types == nil {
		return nil
	}
	if err := r.begun(ctx); err != nil {
		return err
	}
	return r.close()
}

// known refuses a session's events of types that the logic neither knows nor
// ignores, and counts those that it ignores. Quarantined ones are refused too: most
// likely their type is why they cannot be read.
func (r *Incident) known(ctx context.Context, session engine.Session, see engine.See, where string) (ignored int64, err error) {
	t := r.calc.Types
	if t == nil {
		return 0, nil
	}
	counts, err := session.Types(ctx, engine.TypesQuery{Dedupe: r.calc.Dedupe, See: see, Field: t.Field, Header: t.Header})
	if err != nil {
		return 0, err
	}
	var unknown []engine.TypeCount
	for _, c := range counts {
		switch {
		case t.Knows(c.Type, c.Version):
		case t.Ignores(c.Type):
			ignored += c.Used
		default:
			unknown = append(unknown, c)
		}
	}
	if len(unknown) == 0 {
		return ignored, nil
	}
	return 0, r.unknownTypes(unknown, where)
}

// unknownTypes is the error that names each of them.
func (r *Incident) unknownTypes(unknown []engine.TypeCount, where string) error {
	size := func(c engine.TypeCount) int64 { return c.Used + c.Quarantined }
	slices.SortStableFunc(unknown, func(a, b engine.TypeCount) int { return cmp.Compare(size(b), size(a)) })
	const most = 8
	var all int64
	var parts []string
	typeless, versions := false, false
	for i, c := range unknown {
		all += size(c)
		typeless = typeless || c.Type.Null
		_, named := r.calc.Types.Known[c.Type.Text]
		versions = versions || named && !c.Type.Null
		if i < most {
			parts = append(parts, r.unknownType(c, size(c)))
		}
	}
	if more := len(unknown) - most; more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more types", more))
	}
	what := fmt.Sprintf("%d events are of types that calculation %s does not know", all, r.calc.Name)
	if all == 1 {
		what = fmt.Sprintf("1 event is of a type that calculation %s does not know", r.calc.Name)
	}
	next := "what is an old shape, bring to a known type with upcast: of source " + r.source.Name + " (set: {type: …})"
	switch {
	case versions && r.calc.Types.Header != "":
		next += "; a version in a header no step changes, so name it under known:"
	case versions:
		next += ", or to a known version (set: {" + r.calc.Types.Field + ": …})"
	}
	next += "; add to types: what the logic knows, and to ignores: what it passes over"
	if typeless && r.source.Mapping.Type == "" {
		next = "say under event: {type: …} of source " + r.source.Name + " what tells its events apart; " + next
	}
	return &recount.Error{
		Code: recount.CodeTypes, What: what, Where: fmt.Sprintf("%s, stream %s", where, r.source.Name),
		Why: strings.Join(parts, "; "), Next: next,
	}
}

// unknownType is one type: how many, from when to when, and an example.
func (r *Incident) unknownType(c engine.TypeCount, n int64) string {
	name := "without a type"
	if !c.Type.Null {
		name = "of " + c.Type.Text
	}
	if r.calc.Types.Versioned() {
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
