package replay

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"recount"
	"recount/engine"
)

// probes are the ways in which a broken field is filled in (engine.Variant).
const probes = 3

// Excluded returns the keys of the rows that quarantined events touch, by their
// text, and the events for which that is unknown.
//
// Each event is replayed alone, under the right logic and the previous one. A
// broken field is filled with NULL, a small value and a large one in turn: if the
// row's key depends on it, or if no row comes out, the key is unknown. Without a
// logic that can be replayed all are. An event that a fold did not survive says
// itself which key of the fold it is.
func Excluded(ctx context.Context, session engine.Session, logics []engine.Variant) (map[string][]recount.Value, []recount.Mark, error) {
	marks, err := session.Quarantined(ctx)
	if err != nil {
		return nil, nil, err
	}
	return excluded(ctx, session, logics, marks)
}

// Fallen returns those of Excluded that events touch which a fold did not survive.
func Fallen(ctx context.Context, session engine.Session, logics []engine.Variant) (map[string][]recount.Value, error) {
	marks, err := session.Quarantined(ctx)
	if err != nil {
		return nil, err
	}
	keys, _, err := excluded(ctx, session, logics, slices.DeleteFunc(marks, func(m recount.Mark) bool { return m.Key == nil }))
	return keys, err
}

func excluded(ctx context.Context, session engine.Session, logics []engine.Variant, marks []recount.Mark) (map[string][]recount.Value, []recount.Mark, error) {
	keys := map[string][]recount.Value{}
	var unknown []recount.Mark
	for _, mark := range marks {
		if mark.Time.IsZero() || len(logics) == 0 {
			unknown = append(unknown, mark)
			continue
		}
		touched, known, err := touchedBy(ctx, session, logics, mark)
		if err != nil {
			return nil, nil, fmt.Errorf("find the rows of quarantined event %q: %w", mark.ID, err)
		}
		if !known {
			unknown = append(unknown, mark)
		}
		maps.Copy(keys, touched)
	}
	return keys, unknown, nil
}

func touchedBy(ctx context.Context, session engine.Session, logics []engine.Variant, mark recount.Mark) (map[string][]recount.Value, bool, error) {
	if mark.Key != nil {
		return foldedBy(ctx, session, logics, mark)
	}
	all := map[string][]recount.Value{}
	tries := 1
	if mark.Kind == recount.MarkFault {
		tries = probes
	}
	// A conflicting event can be read whole: no row means that it touches none.
	found := mark.Kind == recount.MarkConflict
	for _, v := range logics {
		v.Only = []int64{mark.Seq}
		var seen map[string][]recount.Value
		for probe := range tries {
			v.Probe = probe
			made, err := keysOf(ctx, session, v)
			if err != nil {
				return nil, false, err
			}
			if len(made) == 0 {
				if v.See == engine.SeeAll {
					continue
				}
				// Its row may be known, and the event none of those that count.
				whole := v
				whole.See = engine.SeeAll
				if made, err = keysOf(ctx, session, whole); err != nil {
					return nil, false, err
				}
				found = found || len(made) > 0
				continue
			}
			if seen != nil && !slices.Equal(slices.Sorted(maps.Keys(seen)), slices.Sorted(maps.Keys(made))) {
				return nil, false, nil
			}
			seen, found = made, true
			maps.Copy(all, made)
		}
	}
	return all, found, nil
}

// foldedBy returns the rows of the key whose fold did not survive an event: where
// the key and its bucket do not name them, those that its other events give.
func foldedBy(ctx context.Context, session engine.Session, logics []engine.Variant, mark recount.Mark) (map[string][]recount.Value, bool, error) {
	all := map[string][]recount.Value{}
	for _, v := range logics {
		if at := slices.IndexFunc(v.Logic.Versions, func(one recount.Version) bool { return within(mark.Time, one.Effective) }); at >= 0 {
			v.Logic = v.Logic.Versions[at].Logic
		}
		if !v.Logic.Fold() { // it survives every event
			mark := mark
			mark.Key, mark.Kind = nil, recount.MarkConflict
			touched, _, err := touchedBy(ctx, session, []engine.Variant{v}, mark)
			if err != nil {
				return nil, false, err
			}
			maps.Copy(all, touched)
			continue
		}
		if len(v.Logic.By) != len(mark.Key) {
			return all, false, nil
		}
		if key, named := namedBy(v, mark.Key); named {
			all[recount.KeyText(key)] = key
			continue
		}
		if !v.Logic.Bucket.None() {
			key, err := inBucket(ctx, session, v, mark)
			if err != nil {
				return nil, false, err
			}
			if key != nil {
				all[recount.KeyText(key)] = key
				continue
			}
		}
		touched, err := ofOthers(ctx, session, v, mark)
		if err != nil {
			return nil, false, err
		}
		if len(touched) == 0 {
			return all, false, nil
		}
		maps.Copy(all, touched)
	}
	return all, true, nil
}

// within says whether an instant lies in a span whose zero edges are open.
func within(at time.Time, span recount.Window) bool {
	return (span.From.IsZero() || !at.Before(span.From)) && (span.To.IsZero() || at.Before(span.To))
}

// namedBy orders the values of a fold's key as the result's key, where both have
// the same columns.
func namedBy(v engine.Variant, by []recount.Value) ([]recount.Value, bool) {
	if len(v.Key) != len(by) {
		return nil, false
	}
	key := make([]recount.Value, len(by))
	for i, name := range v.Key {
		at := slices.Index(v.Logic.By, name)
		if at < 0 {
			return nil, false
		}
		key[i] = by[at]
	}
	return key, true
}

// inBucket is the key of a bucket's row: that of the fold, and the bucket's start as
// the one column besides. Nil: the result's key is another.
func inBucket(ctx context.Context, session engine.Session, v engine.Variant, mark recount.Mark) (_ []recount.Value, err error) {
	v.Only = []int64{}
	rows, err := session.Run(ctx, v)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	start := v.Logic.Bucket.Floor(mark.Time)
	var key []recount.Value
	others := 0
	for _, c := range rows.Shape().Key {
		at := slices.Index(v.Logic.By, c.Name)
		switch {
		case at >= 0:
			key = append(key, mark.Key[at])
			continue
		case c.Type.Kind == recount.KindTimestamp:
			key = append(key, recount.Text(recount.FormatTimestamp(start)))
		case c.Type.Kind == recount.KindDate:
			zone := v.Logic.Bucket.Zone
			if zone == nil {
				zone = time.UTC
			}
			key = append(key, recount.Text(start.In(zone).Format(time.DateOnly)))
		default:
			return nil, nil
		}
		others++
	}
	if others != 1 || len(key) != len(v.Logic.By)+1 {
		return nil, nil
	}
	return key, nil
}

// ofOthers are the rows that the other events of a fold's key give.
func ofOthers(ctx context.Context, session engine.Session, v engine.Variant, mark recount.Mark) (map[string][]recount.Value, error) {
	events, err := Beside(ctx, session, v.Logic, mark)
	if err != nil {
		return nil, err
	}
	v.Only = []int64{}
	for _, e := range events {
		v.Only = append(v.Only, e.Seq)
	}
	return keysOf(ctx, session, v)
}

// Beside returns the other events of the key, and of its bucket, whose fold did not
// survive the marked one.
func Beside(ctx context.Context, session engine.Session, fold recount.Logic, mark recount.Mark) ([]engine.ReplayEvent, error) {
	fields := map[string]recount.Value{}
	for i, name := range fold.By {
		fields[name] = mark.Key[i]
	}
	events, err := session.Events(ctx, engine.Query{Fields: fields})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(events, func(e engine.ReplayEvent) bool {
		return e.Seq == mark.Seq || !fold.Bucket.None() && !fold.Bucket.Floor(e.Time).Equal(fold.Bucket.Floor(mark.Time))
	}), nil
}

func keysOf(ctx context.Context, session engine.Session, v engine.Variant) (keys map[string][]recount.Value, err error) {
	rows, err := session.Run(ctx, v)
	if nullKey(err) {
		return nil, nil // the broken field is part of the key
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	keys = map[string][]recount.Value{}
	for {
		row, ok := rows.Next()
		if !ok {
			break
		}
		keys[recount.KeyText(row.Key)] = slices.Clone(row.Key)
	}
	if err := rows.Err(); err != nil {
		if nullKey(err) {
			return nil, nil
		}
		return nil, err
	}
	return keys, nil
}

func nullKey(err error) bool {
	var e *recount.Error
	return errors.As(err, &e) && e.Code == recount.CodeResultKey
}

// MostShown is how many quarantined events RefuseUnknown names.
const MostShown = 3

// RefuseUnknown is the error for quarantined events of a stream whose rows are
// unknown.
func RefuseUnknown(unknown []recount.Mark, stream string) error {
	var lines []string
	for _, m := range unknown[:min(MostShown, len(unknown))] {
		lines = append(lines, fmt.Sprintf("event %s (%s)", orNone(m.ID), m.Why))
	}
	if more := len(unknown) - MostShown; more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	return &recount.Error{
		Code: recount.CodeUnknownKey, What: "it is unknown which rows some quarantined events touch",
		Where: strings.Join(lines, "; "),
		Why:   "their time or the key of their row cannot be read, so any row could be the one that lacks them",
		Next:  "look at them with recount archive cat " + stream + " EVENT; if they touch none of these rows, plan again with --without-quarantined (it is recorded)",
	}
}

func orNone(id string) string {
	if id == "" {
		return "without id"
	}
	return id
}
