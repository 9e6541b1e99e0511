package incident

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
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
