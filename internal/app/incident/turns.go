package incident

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"recount"
	"recount/engine"
)

// What folds that take turns are called in messages. No version has such a name.
const (
	previousTurn = "the previous logic"
	rightTurn    = "the right logic"
)

// previously makes of the previous fold what wrote the live rows: it processed the
// hit events, and the right logic all others, each going on from the states of the
// other. Where these cannot be handed over, or where it is said so, it processed all
// events that are read.
func (r *Incident) previously(ctx context.Context) error {
	if r.calc.Previous == nil || !r.calc.Previous.Fold() {
		return nil
	}
	if r.wrote == nil {
		r.wrote = r.calc.Previous
	}
	r.calc.Previous, r.over = r.wrote, ""
	switch {
	case r.allHit():
		return nil
	case r.calc.Over == recount.OverAll:
		r.over = "previous was run for all events of its keys (over: all)"
		return nil
	case r.apart != "":
		r.over = "previous was run for all events of its keys, as the state of a key cannot be handed over: " + r.apart
		return nil
	}
	mixed, err := r.mixed(ctx)
	if e, ok := errors.AsType[*recount.Error](err); ok && e.Code == recount.CodeHandover && r.calc.Over == recount.OverUnsaid {
		r.over = "previous was run for all events of its keys, as the state of a key cannot be handed over: " + e.Why
		return nil
	}
	if err != nil {
		return err
	}
	r.calc.Previous = &mixed
	r.over = "previous was run for hit events alone, and the right logic for all others, each from the states of the other"
	return nil
}

// allHit says that nothing but hit events is read.
func (r *Incident) allHit() bool {
	w := r.hits.Window
	return r.right.See == engine.SeeHit || w.By == recount.ByEvent && !r.read.From.IsZero() && w.From.Equal(r.read.From) && w.To.Equal(r.read.To)
}

// mixed joins the previous fold, for hit events, and the right one, for all others.
func (r *Incident) mixed(ctx context.Context) (recount.Logic, error) {
	list := []recount.Version{{Name: previousTurn, Logic: *r.wrote, Hit: true}}
	switch len(r.used) {
	case 0:
		list = append(list, recount.Version{Name: rightTurn, Logic: r.calc.Logic})
	case 1:
		list = append(list, recount.Version{Name: rightTurn, Logic: r.used[0].Logic})
	default:
		list = append(list, r.used...)
	}
	mixed := recount.Continued(list)
	columns, err := r.engine.Check(ctx, mixed, r.eventFields())
	if err != nil {
		return mixed, err
	}
	if _, err := r.shapeOf(columns, r.wrote.Path); err != nil {
		return mixed, &recount.Error{
			Code: recount.CodeHandover, What: "the state of a key cannot be handed over", Where: r.wrote.Path, Why: "the previous logic and the right one do not return the same columns",
			Next: "let them return the same columns under the same types, or write over: all under previous", Err: err,
		}
	}
	return mixed, nil
}

// stands says whether the previous logic is to be run again for all events, since
// the states of the other were not taken and nothing in the configuration asks for
// that.
func (r *Incident) stands(err error) bool {
	e, ok := errors.AsType[*recount.Error](err)
	if !ok || e.Code != recount.CodeHandover || r.wrote == nil || r.calc.Previous == r.wrote || r.calc.Over != recount.OverUnsaid {
		return false
	}
	r.apart = sentence(e.Why)
	return true
}

// turnNotes says which folds took turns.
func (r *Incident) turnNotes() (notes []string) {
	if r.over != "" {
		notes = append(notes, r.over)
	}
	if r.versioned != nil && len(r.used) > 1 {
		var names []string
		for _, v := range r.used {
			names = append(names, v.Name)
		}
		notes = append(notes, fmt.Sprintf("each of the versions %s went on from the states that the one before it left", strings.Join(names, ", ")))
	}
	return notes
}
