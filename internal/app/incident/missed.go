package incident

import (
	"context"
	"fmt"
	"strings"

	"recount"
	"recount/engine"
	"recount/internal/archive/cover"
)

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
	if r.hits.Window.By == recount.ByEvent {
		if err := cover.Complete(r.snapshot, r.asked, r.asked); err != nil {
			return nil, err
		}
		input.Read = r.asked
		files = cover.Select(r.snapshot, r.asked)
	} else if r.hits.Window.By == recount.ByPosition {
		files = cover.SelectPositions(r.snapshot, r.hits.Positions)
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
