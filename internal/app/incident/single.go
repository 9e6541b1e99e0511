package incident

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"recount"
	"recount/engine"
	"recount/internal/diff"
)

// Bounds of looking for single events: the rows that are looked at, and the hit
// events of a row of which each is left out, then repeated.
const (
	mostSingle  = 200
	mostLeftOut = 32
)

// suspect is a row that nothing explains, with the hit events of its key.
type suspect struct {
	pair   *diff.Pair
	events []engine.ReplayEvent
	cause  recount.Cause // of the first event that fits
	event  string
	fits   int
}

// single looks, for rows of folds that no hypothesis explains, for one hit event
// that explains the row if it alone was missed, or repeated. The row gets that
// cause if there is exactly one. It was not given, so that nothing is written for
// its sake.
func (r *Incident) single(ctx context.Context, l *live, found *comparison) error {
	if !r.calc.Logic.Fold() {
		return nil
	}
	suspects, err := r.suspects(ctx, found)
	if err != nil || len(suspects) == 0 {
		return err
	}
	act := r.host.Progress().Begin("is it a single event", 0)
	defer act.End()
	most := 0
	for _, s := range suspects {
		most = max(most, len(s.events))
	}
	for _, cause := range []recount.Cause{recount.CauseMissedEvent, recount.CauseRepeatedEvent} {
		found.tried = append(found.tried, cause)
		for n := range most {
			if err := r.trySingle(ctx, r.comparedAs(l), suspects, cause, n); err != nil {
				return fmt.Errorf("try single events: %w", err)
			}
		}
	}
	several := 0
	for _, s := range suspects {
		switch s.fits {
		case 0:
		case 1:
			s.pair.Cause, s.pair.Event = s.cause, s.event
		default:
			several++
		}
	}
	if several > 0 {
		found.singles = append(found.singles, fmt.Sprintf("rows that any of several single events would explain, so that their cause stays unknown: %d", several))
	}
	return nil
}

// suspects are the rows that nothing explains and whose hit events are few.
func (r *Incident) suspects(ctx context.Context, found *comparison) (list []*suspect, err error) {
	by := r.calc.Logic.By
	many, left := 0, 0
	for i := range found.Pairs {
		p := &found.Pairs[i]
		if p.Cause != "" || p.Excluded || p.Hold != "" || p.Key == nil {
			continue
		}
		fields := map[string]recount.Value{}
		for _, name := range by {
			if at := slices.Index(r.calc.Key, name); at >= 0 {
				fields[name] = p.Key[at]
			}
		}
		if len(fields) < len(by) {
			return nil, nil // the row does not name its events
		}
		if len(list) == mostSingle {
			left++
			continue
		}
		events, err := r.session.Events(ctx, engine.Query{Fields: fields, Lists: []recount.EventList{{}}, Limit: mostExplained})
		if e, ok := errors.AsType[*recount.Error](err); ok && e.Code == recount.CodeLimit {
			many++
			continue
		}
		if err != nil {
			return nil, err
		}
		events = slices.DeleteFunc(events, func(e engine.ReplayEvent) bool { return !r.inBucket(p.Key, e) })
		if len(events) > mostLeftOut {
			many++
			continue
		}
		if len(events) > 0 {
			list = append(list, &suspect{pair: p, events: events})
		}
	}
	if many > 0 {
		found.singles = append(found.singles, fmt.Sprintf("unexplained rows with more than %d hit events, of which none was left out by itself: %d", mostLeftOut, many))
	}
	if left > 0 {
		found.singles = append(found.singles, fmt.Sprintf("more unexplained rows, of which no event was left out by itself: %d", left))
	}
	return list, nil
}

// inBucket says whether an event is one of a row's bucket, where rows remember no
// other.
func (r *Incident) inBucket(key []recount.Value, e engine.ReplayEvent) bool {
	if !r.bucketed() || r.calc.Memory.Kind != recount.MemoryWindow {
		return true
	}
	at, err := r.bucketTime(key)
	return err != nil || r.calc.Bucket.Floor(e.Time).Equal(r.calc.Bucket.Floor(at))
}

// trySingle replays all suspects without the nth of their hit events, or with it
// twice.
func (r *Incident) trySingle(ctx context.Context, shape recount.Shape, suspects []*suspect, cause recount.Cause, n int) (err error) {
	var pairs []diff.Pair
	var of []*suspect
	var events []engine.ReplayEvent
	v := r.right
	for _, s := range suspects {
		if n >= len(s.events) || s.fits > 1 {
			continue
		}
		one := *s.pair
		pairs, of, events = append(pairs, one), append(of, s), append(events, s.events[n])
		v.Keys = append(v.Keys, one.Key)
	}
	if len(of) == 0 {
		return nil
	}
	singled(&v, cause, events)
	rows, err := r.session.Run(ctx, v)
	if err != nil {
		return err
	}
	defer joined(&err, rows.Close)
	if _, err := diff.Explain(shape, r.rules(), pairs, cause, diff.As(r.within(rows, r.compared), shape)); err != nil {
		return err
	}
	for i, p := range pairs {
		if p.Cause == "" {
			continue
		}
		if s := of[i]; s.fits == 0 {
			s.cause, s.event = cause, eventName(s.events[n])
		}
		of[i].fits++
	}
	return nil
}

// singled lets a variant miss events, or see them twice.
func singled(v *engine.Variant, cause recount.Cause, events []engine.ReplayEvent) {
	quote := func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
	var parts []string
	for _, e := range events {
		parts = append(parts, `("partition" = `+quote(e.Partition)+` AND "position" = `+quote(e.Position)+`)`)
	}
	list := recount.EventList{Where: strings.Join(parts, " OR ")}
	if cause == recount.CauseRepeatedEvent {
		v.Again = append(slices.Clone(v.Again), recount.Again{EventList: list, Times: 2})
		return
	}
	v.Missed = append(slices.Clone(v.Missed), list)
}

// eventName names an event to a person.
func eventName(e engine.ReplayEvent) string {
	if e.ID != "" {
		return e.ID
	}
	return e.Partition + ":" + recount.ShortPosition(e.Position)
}
