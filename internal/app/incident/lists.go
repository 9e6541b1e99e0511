package incident

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"recount"
	"recount/engine"
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
