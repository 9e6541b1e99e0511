package incident

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"recount"
	"recount/engine"
	"recount/internal/archive/cover"
	"recount/internal/config"
	"recount/target"
)

// mostListed bounds the events of a list that are looked at.
const mostListed = 1_000_000

// readProcessed reads the ids of the events that the worker noted as processed.
func (r *Incident) readProcessed(ctx context.Context) (err error) {
	p := r.calc.Processed
	if p == nil {
		return nil
	}
	if p.File != "" {
		r.processed, err = config.ReadIDs(r.host.Dir(), p.File)
		return err
	}
	t, info, err := r.beside(ctx, p.Table)
	if err != nil {
		return err
	}
	defer joined(&err, t.Close)
	if _, ok := info.Column(p.Column); !ok {
		return r.noColumn(info, p.Column)
	}
	var ids []string
	err = t.Scan(ctx, target.Scan{Key: []string{p.Column}}, func(row recount.Row) error {
		if !row.Key[0].Null {
			ids = append(ids, row.Key[0].Text)
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	sum := sha256.New()
	for _, id := range ids {
		_, _ = fmt.Fprintf(sum, "%d:%s", len(id), id) // a hash never fails
	}
	r.processed = &recount.IDList{From: p.Table + "." + p.Column, Digest: hex.EncodeToString(sum.Sum(nil)), Count: int64(len(ids)), IDs: ids}
	return nil
}

// checkLists refuses lists of events that say what cannot be: ids of no event,
// events that were both missed and processed, and the same event missed by two
// lists. It returns the names of lists that hold no event of the window.
func (r *Incident) checkLists(ctx context.Context) (idle []string, err error) {
	taken := map[int64]string{}
	check := func(name string, list recount.EventList, processed bool) error {
		events, err := r.session.Events(ctx, engine.Query{Lists: []recount.EventList{list}, Limit: mostListed})
		if err != nil {
			return err
		}
		if err := r.knownIDs(name, list, events); err != nil {
			return err
		}
		if len(events) == 0 {
			idle = append(idle, name)
		}
		for _, e := range events {
			if other, twice := taken[e.Seq]; twice {
				return r.listed(e, other+" and "+name+" name the same event", "is on both, and what happened to it would be told twice")
			}
			taken[e.Seq] = name
			if r.processed == nil {
				continue
			}
			switch _, noted := slices.BinarySearch(r.processed.IDs, e.ID); {
			case noted && !processed:
				return r.listed(e, name+" and processed contradict each other", "is on the list of missed events, and "+r.processed.From+" says that it was processed")
			case !noted && processed:
				return r.listed(e, name+" and processed contradict each other", "is said to be processed several times, and "+r.processed.From+" does not have it")
			}
		}
		return nil
	}
	for i, list := range r.calc.Missed {
		if err := check(fmt.Sprintf("missed[%d]", i+1), list, false); err != nil {
			return nil, err
		}
	}
	for i, again := range r.calc.Again {
		if err := check(fmt.Sprintf("again[%d]", i+1), again.EventList, true); err != nil {
			return nil, err
		}
	}
	return idle, nil
}

// listed is the error about an event that two claims name.
func (r *Incident) listed(e engine.ReplayEvent, what, why string) error {
	return &recount.Error{
		Code: recount.CodeLists, What: what, Where: "recount.yaml, calculations: " + r.calc.Name,
		Why:  fmt.Sprintf("event %s (%s:%s) %s", e.ID, e.Partition, recount.ShortPosition(e.Position), why),
		Next: "make the lists apart, by position, time or where",
	}
}

// knownIDs refuses a list of ids of which some are no hit events.
func (r *Incident) knownIDs(name string, list recount.EventList, events []engine.ReplayEvent) error {
	if list.IDs == nil {
		return nil
	}
	there := make(map[string]bool, len(events))
	for _, e := range events {
		there[e.ID] = true
	}
	var missing int64
	var some []string
	for _, id := range list.IDs.IDs {
		if there[id] {
			continue
		}
		const show = 3
		if missing++; missing <= show {
			some = append(some, id)
		}
	}
	if missing == 0 {
		return nil
	}
	err := unknownIDs(list.IDs.From, missing, list.IDs.Count, some)
	if e := recount.AsError(err); e != nil {
		e.Where = name + ": " + e.Where
		e.Why += "; or they lie outside the window, which a list cannot reach"
	}
	return err
}

// Missed returns the sequence numbers of the window's events that a hypothesis of
// the calculation names as missed: all of them, or the one called only, such as
// missed.2. They are those that a plan leaves out where it tries the hypothesis.
func (r *Incident) Missed(ctx context.Context, only string) (seqs []int64, err error) {
	if err := r.readProcessed(ctx); err != nil {
		return nil, err
	}
	lists, err := r.missedLists(only)
	if err != nil {
		return nil, err
	}
	if err := r.locate(ctx); err != nil {
		return nil, err
	}
	input := engine.Input{Window: r.window, Read: recount.Window{By: recount.ByEvent}, Hits: r.hits}
	files := r.snapshot.Files
	switch r.hits.Window.By {
	case recount.ByEvent:
		if err := cover.Complete(r.snapshot, r.asked, r.asked); err != nil {
			return nil, err
		}
		input.Read = r.asked
		files = cover.Select(r.snapshot, r.asked)
	case recount.ByPosition:
		files = cover.SelectPositions(r.snapshot, r.hits.Positions)
	case recount.ByIngest, recount.ByIDs: // any file may hold some
	}
	session, err := r.open(ctx, input, files)
	if err != nil {
		return nil, err
	}
	r.session = session
	defer joined(&err, r.close)
	if _, err := r.checkLists(ctx); err != nil {
		return nil, err
	}
	events, err := session.Events(ctx, engine.Query{Lists: lists, Limit: mostListed})
	for _, e := range events {
		seqs = append(seqs, e.Seq)
	}
	return seqs, err
}

// missedLists are the lists of the hypotheses of missed events, by their names in a
// plan.
func (r *Incident) missedLists(only string) ([]recount.EventList, error) {
	lists := append([]recount.EventList{}, r.calc.Missed...)
	if r.processed != nil {
		lists = append(lists, recount.EventList{Except: r.processed})
	}
	if only == "missed" && len(lists) > 0 {
		return lists, nil
	}
	var names []string
	for i, list := range lists {
		name := "missed"
		if len(lists) > 1 {
			name = fmt.Sprintf("missed.%d", i+1)
		}
		if name == only {
			return []recount.EventList{list}, nil
		}
		names = append(names, name)
	}
	why := "it names no missed events: neither missed: nor processed:"
	if len(names) > 0 {
		why = "its hypotheses of missed events are " + strings.Join(names, ", ")
	}
	return nil, &recount.Error{
		Code: recount.CodeUnknownName, What: fmt.Sprintf("calculation %s has no hypothesis %s", r.calc.Name, only), Where: "recount.yaml, calculations: " + r.calc.Name, Why: why,
		Next: "name the missed events in recount.yaml, such as missed: [{from: …, to: …}], or leave --only away",
	}
}

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
