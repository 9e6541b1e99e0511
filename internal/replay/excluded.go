package replay

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

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
// logic that can be replayed all are.
func Excluded(ctx context.Context, session engine.Session, logics []engine.Variant) (map[string][]recount.Value, []recount.Mark, error) {
	marks, err := session.Quarantined(ctx)
	if err != nil {
		return nil, nil, err
	}
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

// RefuseUnknown is the error for quarantined events whose rows are unknown.
func RefuseUnknown(unknown []recount.Mark) error {
	const show = 3
	var lines []string
	for _, m := range unknown[:min(show, len(unknown))] {
		lines = append(lines, fmt.Sprintf("event %s (%s)", orNone(m.ID), m.Why))
	}
	if more := len(unknown) - show; more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	return &recount.Error{
		Code: recount.CodeUnknownKey, What: "it is unknown which rows some quarantined events touch",
		Where: strings.Join(lines, "; "),
		Why:   "their time or the key of their row cannot be read, so any row could be the one that lacks them",
		Next:  "look at them with recount archive cat; if they touch none of these rows, plan again with --without-quarantined (it is recorded)",
	}
}

func orNone(id string) string {
	if id == "" {
		return "without id"
	}
	return id
}
