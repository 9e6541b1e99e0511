package incident

import (
	"context"
	"fmt"
	"slices"

	"recount"
	"recount/engine"
)

// touchedKeys finds the result keys to which a hit event contributes, by their
// text; nil where every row of the window is looked at. A key is touched if the
// hit events alone make a row of it, under the right logic or the previous one,
// or if the right row is another without them.
func (r *Incident) touchedKeys(ctx context.Context) (map[string]bool, error) {
	if r.everything() || r.calc.Logic.Brought() {
		return nil, nil
	}
	act := r.host.Progress().Begin("which rows were hit", 0)
	defer act.End()
	touched := map[string]bool{}
	for _, v := range r.logics() {
		v.See = engine.SeeHit
		if err := r.eachKey(ctx, v, func(row recount.Row) { touched[recount.KeyText(row.Key)] = true }); err != nil {
			return nil, err
		}
	}
	return touched, r.touchedByDifference(ctx, touched)
}

func (r *Incident) eachKey(ctx context.Context, v engine.Variant, each func(recount.Row)) (err error) {
	rows, err := r.session.Run(ctx, v)
	if err != nil {
		return fmt.Errorf("find touched rows: %w", err)
	}
	defer joined(&err, rows.Close)
	for {
		row, ok := rows.Next()
		if !ok {
			return rows.Err()
		}
		each(row)
	}
}

// touchedByDifference adds the keys whose right row is another without the hit
// events: an event may matter to a row that it does not make alone.
func (r *Incident) touchedByDifference(ctx context.Context, touched map[string]bool) (err error) {
	all, err := r.session.Run(ctx, r.right)
	if err != nil {
		return err
	}
	defer joined(&err, all.Close)
	without := r.right
	without.See = engine.SeeUnhit
	rest, err := r.session.Run(ctx, without)
	if err != nil {
		return err
	}
	defer joined(&err, rest.Close)
	a, haveA := all.Next()
	b, haveB := rest.Next()
	for haveA || haveB {
		var textA, textB string
		if haveA {
			textA = recount.KeyText(a.Key)
		}
		if haveB {
			textB = recount.KeyText(b.Key)
		}
		switch {
		case haveA && (!haveB || textA < textB):
			touched[textA] = true
			a, haveA = all.Next()
		case haveB && (!haveA || textB < textA):
			touched[textB] = true
			b, haveB = rest.Next()
		default:
			if !slices.Equal(a.Values, b.Values) {
				touched[textA] = true
			}
			a, haveA = all.Next()
			b, haveB = rest.Next()
		}
	}
	if err := all.Err(); err != nil {
		return err
	}
	return rest.Err()
}
